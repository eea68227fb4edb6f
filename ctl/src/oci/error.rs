//! Why a registry does not do what it is asked.

use std::path::PathBuf;

use docker_credential::CredentialRetrievalError;
use oci_client::errors::OciDistributionError;

use super::registry::Target;

/// Why a registry does not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It wants to know who one is, or does not let one in.
    #[error("registry {registry} does not let you in")]
    NotLetIn {
        /// The registry.
        registry: String,
        /// What it said.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// It refuses, or cannot be reached.
    #[error("registry {registry} does not {tried} {target}")]
    Refused {
        /// The registry.
        registry: String,
        /// What was tried.
        tried: &'static str,
        /// The image.
        target: String,
        /// What it said.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// What it gave is not what its digest says.
    #[error("{target} is not what its digest says: wanted {wanted}, got {got}")]
    Digest {
        /// The image.
        target: String,
        /// The digest asked for.
        wanted: String,
        /// The digest of what came.
        got: String,
    },
    /// It is no image of a module.
    #[error("{target} is no image of a Wasm module")]
    NoModule {
        /// The image.
        target: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Docker keeps a token for it that is to be exchanged first.
    #[error("docker keeps an identity token for {registry}, which is of no use here")]
    IdentityToken {
        /// The registry.
        registry: String,
    },
    /// Docker's configuration cannot be read.
    #[error("cannot read docker's configuration {}", file.display())]
    DockerConfig {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Docker's helper does not give what it has.
    #[error("{helper} does not give credentials for {registry}: {said}")]
    Helper {
        /// The helper's program.
        helper: String,
        /// The registry.
        registry: String,
        /// What it said.
        said: String,
    },
    /// Docker's helper is not there, or what is kept makes no sense.
    #[error("docker's credentials for {registry} cannot be read")]
    Docker {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        source: CredentialRetrievalError,
    },
}

pub(super) fn refused(target: &Target, tried: &'static str, source: OciDistributionError) -> RegistryError {
    let registry = target.registry().to_owned();
    let source = Box::new(source);
    match *source {
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            RegistryError::NotLetIn { registry, source }
        }
        OciDistributionError::ServerError { code: 401 | 403, .. } => {
            RegistryError::NotLetIn { registry, source }
        }
        _ => RegistryError::Refused { registry, tried, target: target.to_string(), source },
    }
}
