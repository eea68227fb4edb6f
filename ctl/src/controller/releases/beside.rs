//! What is asked of others about releases, beside the controller's own work: who does not answer holds nobody up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What is under way, by key.
pub(super) struct Beside<T> {
    under_way: HashMap<String, Asked<T>>,
    answered: Arc<Notify>,
}

struct Asked<T>(JoinHandle<T>);

impl<T> Drop for Asked<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How far a question is.
pub(super) enum Heard<T> {
    /// Nothing was asked.
    Nothing,
    /// There is no answer yet.
    NotYet,
    /// This is it.
    Answer(T),
}

impl<T: Send + 'static> Beside<T> {
    /// Whoever waits for this is woken by each answer.
    pub(super) fn new(answered: Arc<Notify>) -> Self {
        Self { under_way: HashMap::new(), answered }
    }

    /// What came of asking, once.
    pub(super) fn hear(&mut self, key: &str) -> Heard<T> {
        let Some(asked) = self.under_way.get_mut(key) else { return Heard::Nothing };
        let Some(ended) = (&mut asked.0).now_or_never() else { return Heard::NotYet };
        self.under_way.remove(key);
        // One that was torn down has no answer, and the question comes again.
        ended.map_or(Heard::NotYet, Heard::Answer)
    }

    /// Asks; what was asked before by this key is left off.
    pub(super) fn ask(&mut self, key: &str, question: impl Future<Output = T> + Send + 'static) {
        let answered = self.answered.clone();
        let asked = tokio::spawn(async move {
            let answer = question.await;
            answered.notify_one();
            answer
        });
        self.under_way.insert(key.to_owned(), Asked(asked));
    }

    /// Forgets answers by other keys than these; what is under way goes on.
    pub(super) fn finish(&mut self, keys: &HashSet<String>) {
        self.under_way.retain(|key, asked| keys.contains(key) || !asked.0.is_finished());
    }

    /// Leaves off asking by other keys than these.
    pub(super) fn keep(&mut self, keys: &HashSet<String>) {
        self.under_way.retain(|key, _| keys.contains(key));
    }
}
