//! What a session tells people, and programs, while it lasts.

use std::sync::Arc;

use canary_tunnel::Status;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::failure::{Code, Failure};
use crate::progress::seconds;

/// How to tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// An object for each event, on a line of its own.
    Json,
}

impl Format {
    /// Tells an event: text on standard error, for standard output is what was asked for, or a line of JSON.
    pub fn tell(self, event: &str, text: &str) {
        match self {
            Self::Text => anstream::eprintln!("  {text}"),
            Self::Json => line(&json!({"event": event, "message": text})),
        }
    }
}

/// Prints an event for programs.
pub fn line(event: &Value) {
    anstream::println!("{event}");
}

/// Tells of every break and every return until the session ends by itself, and then why.
pub async fn follow(mut status: watch::Receiver<Status>, format: Format) -> Failure {
    let mut broken: Option<Instant> = None;
    loop {
        let now = status.borrow_and_update().clone();
        match (now, broken) {
            (Status::Connecting { why, .. }, None) => {
                broken = Some(Instant::now());
                let why = why.as_deref().unwrap_or("it ended").to_owned();
                format.tell("disconnected", &format!("the connection broke ({why}); connecting again"));
            }
            (Status::Connected { .. }, Some(since)) => {
                broken = None;
                format.tell("connected", &format!("connected again after{}", seconds(since.elapsed())));
            }
            (Status::Ended(why), _) => return ended(&why),
            (Status::Connecting { .. }, Some(_)) | (Status::Connected { .. }, None) => {}
        }
        if status.changed().await.is_err() {
            return Failure::new(Code::Failed, "the session has ended");
        }
    }
}

fn ended(why: &Arc<canary_tunnel::SessionEnd>) -> Failure {
    Failure::from_error(Code::Failed, why.as_ref())
}
