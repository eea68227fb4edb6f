//! Calls the webhooks that steps wait for.

use std::sync::Arc;
use std::time::Duration;

use canary_release::{Called, Release, call};
use tokio::sync::Notify;

use super::beside::{Beside, Heard};
use crate::failure::chain;
use crate::post::{Letter, Post};

/// What is being called.
pub(super) struct Calls {
    post: Option<Post>,
    asked: Beside<Called>,
}

impl Calls {
    pub(super) fn new(answered: Arc<Notify>) -> Self {
        Self { post: None, asked: Beside::new(answered) }
    }

    /// What came of calling, once. Calls, if the release waits for it.
    pub(super) fn look(&mut self, release: &Release) -> Option<Called> {
        let call = call(release)?;
        match self.asked.hear(&call.id) {
            Heard::Answer(called) => return Some(called),
            Heard::NotYet => return None,
            Heard::Nothing => {}
        }
        let post = match self.post() {
            Ok(post) => post,
            Err(why) => return Some(Called { id: call.id, answer: Err(why) }),
        };
        let id = call.id.clone();
        let letter = Letter {
            url: call.url,
            id: call.id,
            body: call.body,
            timeout: Duration::from_secs(call.timeout_s.into()),
            retries: call.retries,
        };
        self.asked.ask(&id, async move {
            let answer = post.send(&letter).await;
            Called { id: letter.id, answer }
        });
        None
    }

    /// Leaves off calling what none of these waits for.
    pub(super) fn keep(&mut self, releases: &[Release]) {
        self.asked.keep(&releases.iter().filter_map(call).map(|call| call.id).collect());
    }

    fn post(&mut self) -> Result<Post, String> {
        if let Some(post) = &self.post {
            return Ok(post.clone());
        }
        let made = Post::new().map_err(|error| chain(&error))?;
        Ok(self.post.insert(made).clone())
    }
}
