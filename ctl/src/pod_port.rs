//! Asks a port of a pod by HTTP, through the API server: what answers callers from its own host only is reached so.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A port of a pod. Its connection is made when it is first used.
pub(crate) struct PodPort {
    api: Api<Pod>,
    pod: String,
    port: u16,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl PodPort {
    pub(crate) fn new(client: &Client, namespace: &str, pod: &str, port: u16) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, pod: pod.to_owned(), port, connection: None }
    }

    pub(crate) fn pod(&self) -> &str {
        &self.pod
    }

    /// The answer to a GET.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, String> {
        self.find(path).await?.ok_or_else(|| format!("{path} answers {}", StatusCode::NOT_FOUND))
    }

    /// The answer to a GET; none where nothing is there.
    ///
    /// # Errors
    /// In words, why there is no answer.
    pub(crate) async fn find(&mut self, path: &str) -> Result<Option<Bytes>, String> {
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, self.ask(path)).await;
        let answer = asked.unwrap_or_else(|_| Err("it takes too long".into()));
        if answer.is_err() {
            // The next question gets a connection of its own.
            self.connection = None;
        }
        answer
    }

    async fn ask(&mut self, path: &str) -> Result<Option<Bytes>, String> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.dial().await?,
        };
        let text = |error: &dyn std::fmt::Display| error.to_string();
        connection.ready().await.map_err(|error| text(&error))?;
        let request = http::Request::get(path).header("host", "localhost").body(Empty::new());
        let request = request.map_err(|error| text(&error))?;
        let response = connection.send_request(request).await.map_err(|error| text(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| text(&error))?.to_bytes();
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(format!("{path} answers {status}"));
        }
        self.connection = Some(connection);
        Ok(status.is_success().then_some(body))
    }

    async fn dial(&self) -> Result<SendRequest<Empty<Bytes>>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let port = self.port;
        let mut forwarder = self.api.portforward(&self.pod, &[port]).await.map_err(|error| text(&error))?;
        let stream = forwarder.take_stream(port).ok_or("the port is not forwarded")?;
        let (send, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
        tokio::spawn(async move {
            // Its end shows in the next question.
            let _ = connection.await;
            forwarder.abort();
        });
        Ok(send)
    }
}
