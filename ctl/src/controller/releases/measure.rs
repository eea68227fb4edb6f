//! Has releases measured, beside the controller's own work: who does not answer holds nobody up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use canary_release::{Measured, Questions, Release, World, questions};
use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::failure::chain;
use crate::prometheus::Prometheus;

/// What is being asked about releases.
#[derive(Default)]
pub(in crate::controller) struct Measures {
    prometheus: Option<Prometheus>,
    under_way: HashMap<String, Asked>,
    answered: Arc<Notify>,
}

struct Asked(JoinHandle<Measured>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Measures {
    /// Waits until there is an answer that was not fetched yet.
    pub(in crate::controller) async fn answered(&self) {
        self.answered.notified().await;
    }

    /// What came of asking about a release, once. Asks, if it is time to.
    pub(super) fn look(&mut self, release: &Release, world: &World, now: i64) -> Option<Measured> {
        let name = release.metadata.name.as_str();
        if let Some(asked) = self.under_way.get_mut(name) {
            // One that was torn down has no answer, and the question comes again.
            let measured = (&mut asked.0).now_or_never()?;
            self.under_way.remove(name);
            return measured.ok();
        }
        let questions = questions(release, world, now)?;
        match self.ask(questions.clone()) {
            Ok(asked) => {
                self.under_way.insert(name.to_owned(), asked);
                None
            }
            Err(why) => Some(Measured { at: questions.at, step: questions.step, answers: Err(why) }),
        }
    }

    /// Leaves off asking about releases that are not among these.
    pub(super) fn keep(&mut self, releases: &[Release]) {
        let there: HashSet<&str> = releases.iter().map(|release| release.metadata.name.as_str()).collect();
        self.under_way.retain(|name, _| there.contains(name.as_str()));
    }

    fn ask(&mut self, questions: Questions) -> Result<Asked, String> {
        let prometheus = match &self.prometheus {
            Some(prometheus) => prometheus.clone(),
            None => {
                let made = Prometheus::new().map_err(|error| chain(&error))?;
                self.prometheus.insert(made).clone()
            }
        };
        let answered = self.answered.clone();
        Ok(Asked(tokio::spawn(async move {
            let measured = prometheus.ask(&questions).await;
            answered.notify_one();
            measured
        })))
    }
}
