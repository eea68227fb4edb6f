//! A question about lanes, as people ask it: these lanes, this request as typed; which lane, and why?
//!
//! `canaryctl explain` and the dashboard's playground ask here, so that both say the same of the same request.

mod report;
mod request;

use alloc::format;

use sha2::{Digest as _, Sha256};

#[cfg(feature = "documents")]
use crate::document::Documents;
use crate::edge::Edge;
use crate::explain::Explanation;
use crate::request::Headers;
#[cfg(feature = "documents")]
use crate::settings::MeshSettings;
#[cfg(feature = "documents")]
use crate::signing::{Key, KeyError, KeyId, KeyRing};
use crate::wire::{Filter, FilterConfig, WireError};

pub use report::{CloseRule, Report, Rule, SetHeaders};
pub use request::{Request, RequestError};

/// What questions sign with: no mesh accepts it.
#[cfg(feature = "documents")]
const SECRET: &[u8] = b"shown by canaryctl explain only";
/// What the key is called.
#[cfg(feature = "documents")]
const KEY_ID: &str = "explain";

/// Why a configuration makes no edge to ask.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// It contradicts itself.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It is another role's.
    #[error("the configuration is of another role than an edge's")]
    OtherRole,
}

/// What an edge of these lanes is told, with a key of its own. So many proxies in front of it are trusted to say where a
/// request comes from.
///
/// # Errors
/// When the key is none.
#[cfg(feature = "documents")]
pub fn config(documents: &Documents, trusted_hops: u8) -> Result<FilterConfig, KeyError> {
    let key = Key::new(KeyId::new(KEY_ID)?, SECRET.to_vec())?;
    let mut settings = MeshSettings::new(KeyRing::new([key])?);
    settings.edge.trusted_hops = trusted_hops;
    Ok(settings.config(crate::wire::Role::Edge, &documents.compiled))
}

/// The edge that is told so.
///
/// # Errors
/// When it cannot be.
pub fn edge(config: FilterConfig) -> Result<Edge, EdgeError> {
    match Filter::try_from(config)? {
        Filter::Edge(edge) => Ok(*edge),
        _ => Err(EdgeError::OtherRole),
    }
}

/// Decides on a request and tells why. A user without any key gets an id made of the request, so that the same
/// request gives the same answer.
#[must_use]
pub fn ask<'e>(edge: &'e Edge, request: &Request, client: Option<&str>, now_unix_s: u64) -> Explanation<'e> {
    let digest = Sha256::digest(format!("{request:?}"));
    let entropy = || digest.first_chunk().copied().unwrap_or_default();
    let lines = request.lines();
    edge.explain(&Headers::new(&lines), client.map(str::as_bytes), now_unix_s, entropy)
}
