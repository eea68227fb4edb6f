//! Answers over HTTP. Whatever goes wrong, the write goes on as it came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use canary_istio::Object;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::edit::{EditError, edit};
use super::known::Known;
use super::review::{Review, allowed};
use super::{PATH, json_patch};

/// Longest question, in bytes: an object and the one before it, each as long as etcd takes, and some.
const REVIEW_BYTES_MAX: usize = 8 << 20;

/// What was asked and answered, and for how long it can be.
#[derive(Debug, Default)]
pub struct Counts {
    /// Questions.
    pub requests: AtomicU64,
    /// Answers with a patch.
    pub patched: AtomicU64,
    /// Questions that could not be judged.
    pub failures: AtomicU64,
    /// When the certificate ends that the API server is shown, Unix, in seconds; 0 while there is none.
    pub certificate_ends_unix_s: AtomicU64,
}

/// What answers are made with.
#[derive(Debug)]
pub struct Hook {
    /// The world, once it is known.
    pub known: watch::Receiver<Option<Arc<Known>>>,
    /// The Lanes as they are now.
    pub lanes: watch::Receiver<Arc<Vec<Object>>>,
    /// Counts of answers.
    pub counts: Arc<Counts>,
}

/// Why there is no patch where there might be one.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it is no AdmissionReview")]
    Review(#[from] serde_json::Error),
    #[error("the world is not known yet")]
    Unknown,
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("the judgement ended early")]
    Ended(#[from] tokio::task::JoinError),
}

/// Serves the path that the API server asks.
pub fn router(hook: Arc<Hook>) -> Router {
    Router::new().route(PATH, post(answer)).layer(DefaultBodyLimit::max(REVIEW_BYTES_MAX)).with_state(hook)
}

async fn answer(State(hook): State<Arc<Hook>>, body: Bytes) -> impl IntoResponse {
    let counts = &hook.counts;
    counts.requests.fetch_add(1, Ordering::Relaxed);
    let (uid, judged) = match serde_json::from_slice::<Review>(&body) {
        Ok(review) => (review.request.uid.clone(), judge(&hook, review).await),
        Err(error) => (String::new(), Err(error.into())),
    };
    let patch = judged.unwrap_or_else(|error| {
        counts.failures.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, uid, "a write goes on as it came");
        Vec::new()
    });
    if !patch.is_empty() {
        counts.patched.fetch_add(1, Ordering::Relaxed);
    }
    ([(CONTENT_TYPE, "application/json")], allowed(&uid, &patch).to_string())
}

async fn judge(hook: &Hook, review: Review) -> Result<Vec<Value>, Failed> {
    let known = hook.known.borrow().clone().ok_or(Failed::Unknown)?;
    let lanes = hook.lanes.borrow().clone();
    let judged = tokio::task::spawn_blocking(move || {
        let request = review.request;
        let wanted = edit(&request, &known, &lanes, Timestamp::now().as_second())?;
        Ok(wanted.map_or(Vec::new(), |wanted| json_patch::between(&request.object, &wanted)))
    });
    judged.await?
}
