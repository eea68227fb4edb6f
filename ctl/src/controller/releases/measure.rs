//! Has releases measured.

use std::sync::Arc;

use canary_release::{Measured, Release, World, questions};
use tokio::sync::Notify;

use super::beside::{Beside, Heard};
use crate::failure::chain;
use crate::prometheus::Prometheus;

/// What is being asked about releases.
pub(super) struct Measures {
    prometheus: Option<Prometheus>,
    asked: Beside<Measured>,
}

impl Measures {
    pub(super) fn new(answered: Arc<Notify>) -> Self {
        Self { prometheus: None, asked: Beside::new(answered) }
    }

    /// What came of asking about a release, once. Asks, if it is time to.
    pub(super) fn look(&mut self, release: &Release, world: &World, now: i64) -> Option<Measured> {
        let name = release.metadata.name.as_str();
        match self.asked.hear(name) {
            Heard::Answer(measured) => return Some(measured),
            Heard::NotYet => return None,
            Heard::Nothing => {}
        }
        let questions = questions(release, world, now)?;
        match self.prometheus() {
            Ok(prometheus) => {
                self.asked.ask(name, async move { prometheus.ask(&questions).await });
                None
            }
            Err(why) => Some(Measured { at: questions.at, step: questions.step, answers: Err(why) }),
        }
    }

    /// Leaves off asking about releases that are not among these.
    pub(super) fn keep(&mut self, releases: &[Release]) {
        self.asked.keep(&releases.iter().map(|release| release.metadata.name.to_string()).collect());
    }

    fn prometheus(&mut self) -> Result<Prometheus, String> {
        if let Some(prometheus) = &self.prometheus {
            return Ok(prometheus.clone());
        }
        let made = Prometheus::new().map_err(|error| chain(&error))?;
        Ok(self.prometheus.insert(made).clone())
    }
}
