//! Posts JSON to addresses that people name, again where that may help. An address may hold a secret: what is said of it
//! names its host alone.

use std::time::Duration;

use canary_release::origin;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::chain;
use crate::outbound;

/// By which a server knows that it has had this before. Source: draft-ietf-httpapi-idempotency-key-header.
const ID: &str = "idempotency-key";
/// Wait before it is posted again, doubled each time up to the longest.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes, and longest reason that is passed on, in characters.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const REASON_CHARS_MAX: usize = 300;

/// What is posted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    /// Where.
    pub(crate) url: String,
    /// What it is known by.
    pub(crate) id: String,
    /// All of it.
    pub(crate) body: Value,
    /// How long one try may take.
    pub(crate) timeout: Duration,
    /// How many tries there are after the first.
    pub(crate) retries: u32,
}

/// Who posts. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    client: reqwest::Client,
    again_after: Duration,
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("{origin} does not answer")]
    Unreachable { origin: String, source: reqwest::Error },
    #[error("it answers {status}{}", reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Refused { status: StatusCode, reason: Option<String> },
}

impl PostError {
    /// Whether the same may be taken later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
        }
    }
}

impl Post {
    /// One that trusts whom [`outbound::client`] trusts.
    ///
    /// # Errors
    /// When the system refuses what a client takes.
    pub(crate) fn new() -> Result<Self, reqwest::Error> {
        Ok(Self { client: outbound::client()?, again_after: AGAIN_AFTER })
    }

    /// Posts until it is taken, refused, or tried often enough.
    ///
    /// # Errors
    /// Why it was not taken, in words.
    pub(crate) async fn send(&self, letter: &Letter) -> Result<(), String> {
        let mut wait = self.again_after;
        let mut left = letter.retries;
        loop {
            let error = match self.once(letter).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if left == 0 || !error.may_pass() {
                return Err(chain(&error));
            }
            tracing::info!(to = origin(&letter.url), id = letter.id, error = %chain(&error), "is posted again");
            tokio::time::sleep(wait).await;
            left = left.saturating_sub(1);
            wait = (wait * 2).min(AGAIN_AFTER_MAX);
        }
    }

    async fn once(&self, letter: &Letter) -> Result<(), PostError> {
        let unreachable = |source: reqwest::Error| PostError::Unreachable {
            origin: origin(&letter.url),
            source: source.without_url(),
        };
        let posted = self
            .client
            .post(&letter.url)
            .timeout(letter.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header(ID, &letter.id)
            .body(letter.body.to_string())
            .send();
        let mut answer = posted.await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut body = Vec::new();
        // Without all of it there is no reason, and the status says enough.
        while let Ok(Some(part)) = answer.chunk().await {
            if body.len().saturating_add(part.len()) > ANSWER_BYTES_MAX {
                break;
            }
            body.extend_from_slice(&part);
        }
        let said: Option<Said> = serde_json::from_slice(&body).ok();
        let reason = said.map(|said| said.message.chars().take(REASON_CHARS_MAX).collect());
        Err(PostError::Refused { status, reason })
    }
}

/// Why a server refuses. Of what is no such answer nothing is passed on: an address may be that of anything.
#[derive(Debug, Deserialize)]
struct Said {
    message: String,
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::HeaderMap;
    use axum::response::IntoResponse as _;
    use axum::routing::post;
    use serde_json::json;

    use super::*;

    /// What a server got: ids and bodies.
    type Got = Arc<Mutex<Vec<(String, String)>>>;

    /// A server that answers so, one after the other, the last for ever.
    async fn server(answers: &'static [(u16, &'static str)]) -> (String, Got) {
        let got = Got::default();
        let kept = got.clone();
        let answer = async move |headers: HeaderMap, body: String| {
            let mut got = kept.lock().expect("nobody panics with it");
            let id = headers.get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
            let (status, said) = answers[got.len().min(answers.len() - 1)];
            got.push((id, body));
            (StatusCode::from_u16(status).expect("a status"), said).into_response()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new().route("/{secret}", post(answer));
        tokio::spawn(axum::serve(listener, router).into_future());
        (format!("http://{address}/secret"), got)
    }

    async fn send(url: &str, retries: u32) -> Result<(), String> {
        let post = Post { again_after: Duration::from_millis(1), ..Post::new().expect("a client") };
        let body = json!({"release": "r-1"});
        let letter =
            Letter { url: url.into(), id: "u-1".into(), body, timeout: Duration::from_secs(5), retries };
        post.send(&letter).await
    }

    #[tokio::test]
    async fn it_is_posted_again_under_the_same_id_until_it_is_taken() {
        let (url, got) = server(&[(503, ""), (429, ""), (204, "")]).await;
        assert_eq!(send(&url, 3).await, Ok(()));
        let all = got.lock().expect("nobody panics with it").clone();
        assert_eq!(all, vec![("u-1".to_owned(), r#"{"release":"r-1"}"#.to_owned()); 3]);
    }

    #[tokio::test]
    async fn who_refuses_is_not_asked_again_and_gives_the_reason() {
        let (url, got) = server(&[(403, r#"{"message": "the audit is not done"}"#)]).await;
        assert_eq!(send(&url, 3).await, Err("it answers 403 Forbidden: the audit is not done".into()));
        assert_eq!(got.lock().expect("nobody panics with it").len(), 1);
    }

    #[tokio::test]
    async fn tries_end_and_what_is_said_holds_neither_the_address_nor_the_answer() {
        let (url, got) = server(&[(500, "secret")]).await;
        assert_eq!(send(&url, 2).await, Err("it answers 500 Internal Server Error".into()));
        assert_eq!(got.lock().expect("nobody panics with it").len(), 3);
        let silent = send("http://127.0.0.1:1/secret", 0).await.expect_err("nobody is there");
        assert!(
            silent.starts_with("http://127.0.0.1:1 does not answer") && !silent.contains("secret"),
            "{silent}"
        );
    }

    #[tokio::test]
    async fn where_an_answer_leads_elsewhere_nobody_follows() {
        let (url, _) = server(&[(302, "")]).await;
        assert_eq!(send(&url, 0).await, Err("it answers 302 Found".into()));
    }
}
