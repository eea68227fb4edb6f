//! Serves the filter's builds over HTTP, each under its own digest: what is fetched by an address never changes.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use crate::failure::Failure;
use crate::filter::{self, Build};

/// The server's routes: `/<sha256>.wasm` for each build, and `/healthz`.
///
/// # Errors
/// When this binary carries no filter.
pub fn router() -> Result<Router, Failure> {
    let mut router = Router::new().route("/healthz", get(|| async { "ok" }));
    for build in [Build::Gateway, Build::Sidecar] {
        let bytes = filter::bytes(build)?;
        let path = format!("/{}.wasm", filter::sha256(bytes));
        router =
            router.route(&path, get(move || async move { ([(CONTENT_TYPE, "application/wasm")], bytes) }));
    }
    Ok(router)
}
