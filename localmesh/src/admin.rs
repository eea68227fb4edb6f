//! A proxy's admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::{Method, Request};

use crate::error::MeshError;
use crate::http::{Client, ClientError, Protocol, Reply};

/// The admin interface of one proxy.
#[derive(Debug, Clone)]
pub struct Admin {
    name: String,
    address: SocketAddr,
    client: Client,
}

impl Admin {
    pub(crate) fn new(name: &str, address: SocketAddr) -> Self {
        Self { name: name.into(), address, client: Client::new(address, Protocol::Http1) }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn get(&self, path: &str) -> Result<Reply, MeshError> {
        self.request(Method::GET, path).await
    }

    /// `POST path`: what changes something, e.g. `/reset_counters` or `/drain_listeners?graceful`.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn post(&self, path: &str) -> Result<Reply, MeshError> {
        self.request(Method::POST, path).await
    }

    async fn request(&self, method: Method, path: &str) -> Result<Reply, MeshError> {
        let request = Request::builder().method(method).uri(format!("http://admin{path}"));
        let reply = match request.body(Full::default()) {
            Ok(request) => self.client.exchange(request).await,
            Err(error) => Err(ClientError::Request(error)),
        };
        reply.map_err(|error| MeshError::Admin {
            name: self.name.clone(),
            address: self.address(),
            source: Box::new(error),
        })
    }

    /// Counters and gauges whose names match Envoy's (RE2) regular expression.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>, MeshError> {
        let texts = self.texts(filter).await?;
        Ok(texts.into_iter().filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect())
    }

    /// Every statistic whose name matches, as text; of text readouts without the quotes.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn texts(&self, filter: &str) -> Result<BTreeMap<String, String>, MeshError> {
        let reply = self.get(&format!("/stats?filter={}", percent_encoded(filter))).await?;
        let text = reply.text();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.trim_matches('"').to_owned()))
        };
        Ok(text.lines().filter_map(pair).collect())
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}
