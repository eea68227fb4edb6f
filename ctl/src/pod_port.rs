//! Asks a port of a pod by HTTP, through the API server: what answers callers from its own host only is reached so.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

/// How long a pod may be silent, before an answer and within it. How long all of it takes depends on how much there is to
/// tell: an istiod's is longer the more proxies and services there are.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A port of a pod. Its connection is made when it is first used.
pub(crate) struct PodPort {
    api: Api<Pod>,
    pod: String,
    port: u16,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

/// What is waited for, unless the pod is silent for too long.
async fn heard<T>(waited_for: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let heard = tokio::time::timeout(SILENCE_MAX, waited_for).await;
    heard.unwrap_or_else(|_| Err(format!("it is silent for {} s", SILENCE_MAX.as_secs())))
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
        let answer = self.ask(path).await;
        if answer.is_err() {
            // The next question gets a connection of its own.
            self.connection = None;
        }
        answer
    }

    async fn ask(&mut self, path: &str) -> Result<Option<Bytes>, String> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => heard(self.dial()).await?,
        };
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let request = http::Request::get(path).header("host", "localhost").body(Empty::new());
        let request = request.map_err(|error| text(&error))?;
        let asked = async {
            connection.ready().await?;
            connection.send_request(request).await
        };
        let response = heard(async { asked.await.map_err(|error| text(&error)) }).await?;
        let status = response.status();
        let mut body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let mut answer = Vec::new();
        while let Some(frame) =
            heard(async { body.frame().await.transpose().map_err(|error| text(&error)) }).await?
        {
            answer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(format!("{path} answers {status}"));
        }
        self.connection = Some(connection);
        Ok(status.is_success().then(|| answer.into()))
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
