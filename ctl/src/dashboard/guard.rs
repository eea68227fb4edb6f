//! Who may see the page, and who may ask for something on it.
//!
//! Other pages of the same browser, and other users of the same machine, are whom this is against: the first
//! cannot guess a token, send its cookie or claim our origin; the second cannot guess a token. Nor is the cookie
//! told to what else this machine serves: cookies know no ports, but paths, and ours is a random one. A name that
//! leads to loopback (DNS rebinding) is no host of ours.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};

use super::refusal::Refusal;
use crate::failure::Failure;
use crate::random;

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// Random bytes in the path of the page.
const PLACE_BYTES: usize = 16;

/// What the page may do, as browsers enforce it: nothing from elsewhere, no script or style but our files.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is said with every answer.
static HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Lets in who has this run's token.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    token: String,
    /// The path that everything of the page is below: `/…`, without a slash at its end.
    place: String,
    /// The name keeps runs on several ports apart in a browser's tools.
    cookie: String,
}

impl Guard {
    /// A guard with a token of its own, for a page on this port.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(port: u16) -> Result<Self, Failure> {
        let place = format!("/{}", random_hex::<PLACE_BYTES>()?);
        Ok(Self { token: random_hex::<TOKEN_BYTES>()?, place, cookie: format!("canaryctl-{port}") })
    }

    /// The path that everything of the page is below: `/…`, without a slash at its end.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// This run's token.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    fn is_token(&self, given: &str) -> bool {
        // Every byte is looked at, so that the time taken tells nothing of how many were right.
        let differing = given.bytes().zip(self.token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
        given.len() == self.token.len() && differing == 0
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == self.cookie && self.is_token(value))
    }

    /// Answers who comes with the token: the cookie, and the page a moment later. Asked for by our own page,
    /// browsers send the cookie along wherever the link was clicked.
    fn welcome(&self) -> Response {
        let place = &self.place;
        let cookie = format!("{}={}; Path={place}/; HttpOnly; SameSite=Strict", self.cookie, self.token);
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8>\
             <meta http-equiv=refresh content=\"0;url={place}/\">\
             <title>canaryctl</title><p><a href=\"{place}/\">To the page</a>"
        );
        ([(header::SET_COOKIE, cookie)], Html(page)).into_response()
    }

    fn judge(&self, request: &Request) -> Verdict {
        let headers = request.headers();
        let Some(host) = text(headers, header::HOST).filter(|host| is_own_host(host)) else {
            return Verdict::Refuse("this host is none of ours: open the address that canaryctl printed");
        };
        if token(request.uri()).is_some_and(|given| self.is_token(given)) && request.method() == Method::GET {
            return Verdict::Welcome;
        }
        if !self.has_cookie(headers) {
            return Verdict::Refuse("open the address that canaryctl printed: it holds this run's token");
        }
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        if writes && text(headers, header::ORIGIN) != Some(&format!("http://{host}")) {
            return Verdict::Refuse("only this page itself may ask for changes");
        }
        Verdict::Pass
    }
}

/// What becomes of a request.
enum Verdict {
    /// It is answered.
    Pass,
    /// Whoever sends it gets the cookie.
    Welcome,
    /// It is refused, for this reason.
    Refuse(&'static str),
}

/// Judges a request before anything else looks at it.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match guard.judge(&request) {
        Verdict::Pass => next.run(request).await,
        Verdict::Welcome => guard.welcome(),
        Verdict::Refuse(why) => Refusal::new(StatusCode::FORBIDDEN, why).into_response(),
    };
    for (name, value) in &HEADERS {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Random bytes in hexadecimal.
fn random_hex<const BYTES: usize>() -> Result<String, Failure> {
    let bytes: [u8; BYTES] = random::bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The token in an address: `?token=…`.
fn token(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// Whether a host leads here whatever a name server says: an address, or `localhost`; at any port, since ports may be
/// forwarded.
fn is_own_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_own_host;

    #[test]
    fn only_addresses_and_localhost_are_hosts_of_ours() {
        for host in
            ["localhost", "localhost:8900", "LOCALHOST:1", "127.0.0.1:8900", "[::1]:8900", "10.0.0.1:80"]
        {
            assert!(is_own_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8900",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "a@localhost",
        ] {
            assert!(!is_own_host(host), "{host}");
        }
    }
}
