//! A request from what was typed: a method, an address, headers as `name: value`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::name::{HeaderName, is_token_byte};

/// A request as an edge would see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    url: String,
    /// Lower-case names and values, pseudo-headers first.
    headers: Vec<(String, String)>,
}

/// What of a request makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The method.
    #[error("`{0}` is no method")]
    Method(String),
    /// The address.
    #[error("`{url}`: {why}")]
    Url {
        /// As typed.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A header.
    #[error("`{header}`: {why}")]
    Header {
        /// As typed.
        header: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Request {
    /// Reads a method, a whole address such as `http://shop.test/cart?x=1`, and headers as `name: value`. A typed
    /// `Host` takes the address's place, as it does with curl.
    ///
    /// # Errors
    /// The first part that makes no sense.
    pub fn new<'h>(
        method: &str,
        url: &str,
        typed: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, RequestError> {
        if method.is_empty() || !method.bytes().all(is_token_byte) {
            return Err(RequestError::Method(method.into()));
        }
        let (scheme, authority, path) = parts(url)?;
        let mut authority = authority.to_owned();
        let mut rest = Vec::new();
        for text in typed {
            let (name, value) = header(text)?;
            match name.as_str() {
                "host" => authority = value,
                name => rest.push((name.to_owned(), value)),
            }
        }
        let pseudo =
            [(":authority", authority), (":path", path), (":method", method.to_owned()), (":scheme", scheme)];
        let pseudo = pseudo.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(Self { method: method.into(), url: url.into(), headers: pseudo.chain(rest).collect() })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The address as typed.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its headers, names in lower case, pseudo-headers first.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Its header lines.
    pub(super) fn lines(&self) -> Vec<(&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }
}

/// Scheme, authority, path with query (RFC 3986). What follows a `#` is no part of a request.
fn parts(url: &str) -> Result<(String, &str, String), RequestError> {
    let wrong = |why| RequestError::Url { url: url.into(), why };
    if url.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err(wrong("it holds a space or a control character"));
    }
    let sent = url.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = sent.split_once("://") else {
        return Err(wrong("there is no scheme or no host"));
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.is_empty() || authority.is_empty() {
        return Err(wrong("there is no scheme or no host"));
    }
    if !scheme.starts_with(|char: char| char.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme) {
        return Err(wrong("its scheme is none"));
    }
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]@%!$&'()*+,;=".contains(&byte);
    if !authority.bytes().all(is_host) {
        return Err(wrong("its host is none"));
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((scheme.to_ascii_lowercase(), authority, path))
}

/// Reads `name: value`.
fn header(text: &str) -> Result<(HeaderName, String), RequestError> {
    let wrong = |why: String| RequestError::Header { header: text.into(), why };
    let (name, value) = text.split_once(':').ok_or_else(|| wrong("there is no `:`".into()))?;
    let name = HeaderName::new(name.trim()).map_err(|error| wrong(error.to_string()))?;
    if value.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(wrong("the value holds a line break".into()));
    }
    Ok((name, value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: Result<(&str, &str, &str), &str>) {
        let got = parts(url);
        match want {
            Ok((scheme, authority, path)) => assert_eq!(got, Ok((scheme.into(), authority, path.into()))),
            Err(part) => assert!(got.expect_err(url).to_string().contains(part)),
        }
    }

    #[test]
    fn an_address_is_taken_apart() {
        check("http://shop.test/cart?x=1", Ok(("http", "shop.test", "/cart?x=1")));
        check("HTTPS://shop.test:8443", Ok(("https", "shop.test:8443", "/")));
        check("http://[::1]:80?q=/a", Ok(("http", "[::1]:80", "/?q=/a")));
        check("http://a/b#c?d", Ok(("http", "a", "/b")));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "/cart", "shop.test/cart", "://a", "http://", "http:///cart", "http://?x"] {
            check(url, Err("no scheme or no host"));
        }
        check("ht tp://a/", Err("a space"));
        check("1http://a/", Err("its scheme"));
        check("http://a{b}/", Err("its host"));
    }

    #[test]
    fn a_typed_host_takes_the_addresss_place() {
        let request = Request::new("GET", "http://a/", ["Host: b", "X-A:  1 "]).expect("a request");
        let lines: [(&[u8], &[u8]); 5] = [
            (b":authority", b"b"),
            (b":path", b"/"),
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b"x-a", b"1"),
        ];
        assert_eq!(request.lines(), lines);
        for wrong in ["cookie", "a b: 1", "x: 1\ny: 2"] {
            Request::new("GET", "http://a/", [wrong]).expect_err(wrong);
        }
        Request::new("G T", "http://a/", []).expect_err("no method");
    }
}
