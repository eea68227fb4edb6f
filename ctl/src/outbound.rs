//! The client by which servers are asked that people name: a Prometheus, webhooks.

use std::time::Duration;

use reqwest::redirect::Policy;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that trusts the system's authorities, or nobody where there are none: then `http` alone works. How long an
/// answer may take, whoever asks says.
///
/// # Errors
/// When the system refuses what a client takes.
pub(crate) fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Whoever was first has installed one as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = || {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A login page is no answer.
            .redirect(Policy::none())
    };
    client().build().or_else(|_| client().tls_certs_only([]).build())
}
