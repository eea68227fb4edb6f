//! Asks a port of a pod by HTTP, through the API server: what answers callers from its own host only is reached so.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::sync::mpsc;

/// How long a pod may be silent, before an answer and within it. How long all of it takes depends on how much there is to
/// tell: an istiod's is longer the more proxies and services there are.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Longest answer that is held, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How many parts of an answer wait for who reads it.
const CHUNKS_MAX: usize = 8;

type Connection = SendRequest<Empty<Bytes>>;

/// A port of a pod. Its connection is made when it is first used.
pub(crate) struct PodPort {
    api: Api<Pod>,
    pod: String,
    port: u16,
    connection: Option<Connection>,
}

/// An answer as it comes.
pub(crate) struct Chunks {
    coming: mpsc::Receiver<Bytes>,
    at_hand: Bytes,
}

impl io::Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at_hand.is_empty() {
            match self.coming.blocking_recv() {
                Some(chunk) => self.at_hand = chunk,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.at_hand.len());
        into[..length].copy_from_slice(&self.at_hand.split_to(length));
        Ok(length)
    }
}

/// What of a body comes next; none at its end. Trailers are of no interest.
async fn next<B>(body: &mut B) -> Result<Option<Bytes>, String>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let frame = heard(async { body.frame().await.transpose().map_err(|error| error.to_string()) }).await?;
    Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
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
        // After an error the next question gets a connection of its own.
        let (connection, response) = self.ask(path).await?;
        let status = response.status();
        let mut body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let mut answer = Vec::new();
        while let Some(chunk) = next(&mut body).await? {
            answer.extend_from_slice(&chunk);
        }
        if !status.is_success() && status != StatusCode::NOT_FOUND {
            return Err(format!("{path} answers {status}"));
        }
        self.connection = Some(connection);
        Ok(status.is_success().then(|| answer.into()))
    }

    /// What `read` makes of the answer to a GET, while that comes: however long the answer is, little of it is held at
    /// a time. It runs where it may block.
    ///
    /// # Errors
    /// In words, why there is no answer, or only a part of it.
    pub(crate) async fn read<T, R>(&mut self, path: &str, read: R) -> Result<T, String>
    where
        T: Send + 'static,
        R: FnOnce(Chunks) -> T + Send + 'static,
    {
        let (connection, response) = self.ask(path).await?;
        if !response.status().is_success() {
            return Err(format!("{path} answers {}", response.status()));
        }
        let (chunks, coming) = mpsc::channel(CHUNKS_MAX);
        let reading = tokio::task::spawn_blocking(move || read(Chunks { coming, at_hand: Bytes::new() }));
        let mut body = response.into_body();
        let mut is_whole = false;
        while !is_whole {
            match next(&mut body).await? {
                Some(chunk) => {
                    // Who reads no further knows why.
                    if chunks.send(chunk).await.is_err() {
                        break;
                    }
                }
                None => is_whole = true,
            }
        }
        drop(chunks);
        self.connection = is_whole.then_some(connection);
        reading.await.map_err(|error| error.to_string())
    }

    /// The answer's head, on a connection that goes on once its body is read.
    async fn ask(&mut self, path: &str) -> Result<(Connection, Response<Incoming>), String> {
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => heard(self.dial()).await?,
        };
        let request = http::Request::get(path).header("host", "localhost").body(Empty::new());
        let request = request.map_err(|error| error.to_string())?;
        let asked = async {
            connection.ready().await?;
            connection.send_request(request).await
        };
        let response = heard(async { asked.await.map_err(|error| error.to_string()) }).await?;
        Ok((connection, response))
    }

    async fn dial(&self) -> Result<Connection, String> {
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_as_it_comes() {
        let (chunks, coming) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || {
            let mut read = String::new();
            Chunks { coming, at_hand: Bytes::new() }.read_to_string(&mut read).map(|_| read)
        });
        for chunk in ["one, ", "", "two"] {
            chunks.send(Bytes::from_static(chunk.as_bytes())).await.expect("it is read");
        }
        drop(chunks);
        assert_eq!(reading.await.expect("no panic").expect("it is text"), "one, two");
    }
}
