//! `canaryctl explain`: the edge's decision on one request, and why, without a cluster.

mod print;
mod request;

use std::path::PathBuf;

use canary_rules::document::Documents;
use canary_rules::edge::Edge;
use canary_rules::name::HeaderName;
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{Key, KeyId, KeyRing};
use canary_rules::wire::{Filter, Role};
use clap::ValueEnum;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::failure::{Code, Failure};
use crate::files;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:  canaryctl explain -f lanes.yaml --url 'http://shop.test/cart' -H 'cookie: gray=1'

Signed values are shown with a key of this command's own; no mesh accepts them.
A user without any key is shown with an id made of the request, so that the same request gives the same answer."
)]
pub struct Args {
    /// A Lane file, YAML or JSON; may be repeated, `-` reads standard input.
    #[arg(short, long, value_name = "FILE", required = true)]
    filename: Vec<PathBuf>,
    /// What is requested.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The method.
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    header: Vec<String>,
    /// The address that the edge sees the request come from.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<std::net::IpAddr>,
    /// Proxies in front of the edge whose x-forwarded-for entries are trusted.
    #[arg(long, value_name = "N", default_value_t = 0)]
    trusted_hops: u8,
    /// The moment of the request, RFC 3339; default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs `explain`.
///
/// # Errors
/// Files with faults, or a request that is none.
pub fn run(args: &Args) -> Result<(), Failure> {
    let documents = files::read(&args.filename)?;
    let edge = edge(&documents, args.trusted_hops)?;
    let request = request::Request::new(&args.method, &args.url, &args.header)?;
    let now_s = args.at.unwrap_or_else(Timestamp::now).as_second();
    let now_unix_s = u64::try_from(now_s).map_err(|_| Failure::new(Code::Usage, "--at lies before 1970"))?;
    let client = args.client.map(|address| address.to_string());
    let digest = Sha256::digest(format!("{request:?}"));
    let entropy = || digest.first_chunk().copied().unwrap_or_default();
    let lines = request.lines();
    let headers = canary_rules::request::Headers::new(&lines);
    let explanation = edge.explain(&headers, client.as_deref().map(str::as_bytes), now_unix_s, entropy);
    match args.output {
        Output::Text => print::text(&request, &explanation),
        Output::Json => print::json(&explanation),
    }
    Ok(())
}

/// The edge that these lanes make, with a key of this command's own.
fn edge(documents: &Documents, trusted_hops: u8) -> Result<Edge, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let id = KeyId::new("explain").map_err(|error| failed(&error))?;
    let key = Key::new(id, b"shown by canaryctl explain only".to_vec()).map_err(|error| failed(&error))?;
    let mut settings = MeshSettings::new(KeyRing::new([key]).map_err(|error| failed(&error))?);
    settings.edge.trusted_hops = trusted_hops;
    let config = settings.config(Role::Edge, &documents.compiled);
    match Filter::try_from(config) {
        Ok(Filter::Edge(edge)) => Ok(*edge),
        Ok(_) => Err(Failure::new(Code::Failed, "the edge's configuration makes no edge")),
        Err(error) => Err(failed(&error)),
    }
}

/// Reads `name: value` as typed after `-H`.
fn header(text: &str) -> Result<(HeaderName, String), Failure> {
    let wrong = |why: &str| {
        Failure::new(Code::Usage, format!("`-H {text}`: {why}"))
            .help("write it as curl does: -H 'cookie: gray=1'")
    };
    let (name, value) = text.split_once(':').ok_or_else(|| wrong("there is no `:`"))?;
    let name = HeaderName::new(name.trim()).map_err(|error| wrong(&error.to_string()))?;
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(wrong("the value holds a line break"));
    }
    Ok((name, value.trim().to_string()))
}
