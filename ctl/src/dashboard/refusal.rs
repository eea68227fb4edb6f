//! An answer that is no: what is wrong, and what to do about it.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::failure::{Code, Failure};

/// Why something is not done.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
    help: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: &str) -> Self {
        Self { status, error: error.into(), help: None }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = match failure.code() {
            Code::Usage | Code::Documents => StatusCode::BAD_REQUEST,
            Code::Conflict => StatusCode::CONFLICT,
            Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Code::Failed | Code::Interrupted => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self { status, error: failure.to_string(), help: failure.advice().map(str::to_owned) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error, "help": self.help}))).into_response()
    }
}
