//! Server-sent events: each part of the picture when the page connects, and again when it has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Picture;

/// Least time between two looks, so that a burst of changes is one.
const SETTLE: Duration = Duration::from_millis(100);

/// What one page was told.
struct Told {
    pictures: watch::Receiver<Arc<Picture>>,
    /// The parts as last sent, by name.
    sent: serde_json::Map<String, Value>,
    queue: Vec<(String, Value)>,
    is_first: bool,
    /// Held as long as the page listens.
    _place: OwnedSemaphorePermit,
}

/// The events of one page; they end when the source does.
pub(super) fn stream(
    pictures: watch::Receiver<Arc<Picture>>,
    first: (&'static str, Value),
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let queue = vec![(first.0.to_owned(), first.1)];
    let told = Told { pictures, sent: serde_json::Map::new(), queue, is_first: true, _place: place };
    stream::unfold(told, |mut told| async move {
        loop {
            if let Some((name, part)) = told.queue.pop() {
                return Some((Ok(Event::default().event(name).data(part.to_string())), told));
            }
            if !std::mem::take(&mut told.is_first) {
                told.pictures.changed().await.ok()?;
                tokio::time::sleep(SETTLE).await;
            }
            told.look();
        }
    })
}

impl Told {
    /// Queues what has changed.
    fn look(&mut self) {
        let picture = Arc::clone(&self.pictures.borrow_and_update());
        let Ok(Value::Object(parts)) = serde_json::to_value(&*picture) else { return };
        for (name, part) in parts {
            if self.sent.get(&name) != Some(&part) {
                self.sent.insert(name.clone(), part.clone());
                self.queue.push((name, part));
            }
        }
        // Taken from the end.
        self.queue.reverse();
    }
}
