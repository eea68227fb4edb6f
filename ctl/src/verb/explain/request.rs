//! The request to explain, from what was typed.

use canary_rules::name::is_token_byte;
use http::Uri;

use super::header;
use crate::failure::{Code, Failure};

/// A request as an edge would see it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    /// Lower-case names and values, pseudo-headers first.
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn new(method: &str, url: &str, typed: &[String]) -> Result<Self, Failure> {
        if method.is_empty() || !method.bytes().all(is_token_byte) {
            return Err(Failure::new(Code::Usage, format!("`-X {method}`: this is no method")));
        }
        let wrong = |why: String| {
            Failure::new(Code::Usage, format!("`--url {url}`: {why}"))
                .help("give a whole address: --url 'http://shop.test/cart?x=1'")
        };
        let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong("there is no scheme or no host".into()));
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let pseudo =
            [(":authority", authority.as_str()), (":path", path), (":method", method), (":scheme", scheme)];
        let mut headers: Vec<(String, String)> =
            pseudo.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect();
        for text in typed {
            let (name, value) = header(text)?;
            match name.as_str() {
                // As curl does: a typed Host takes the address's place.
                "host" => headers[0].1 = value,
                name => headers.push((name.to_string(), value)),
            }
        }
        Ok(Self { method: method.into(), url: url.into(), headers })
    }

    pub(super) fn lines(&self) -> Vec<(&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }
}
