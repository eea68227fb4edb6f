//! Calls made after the response, kept until someone asks for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;

use crate::app::App;
use crate::app::calls::Cause;
use crate::app::tree::Tree;

/// How many requests' late calls are kept; the oldest go first.
const KEPT_MAX: usize = 10_000;

/// Trees of late calls, by id.
#[derive(Debug, Default)]
pub(crate) struct LateTrees {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    trees: BTreeMap<String, Tree>,
    order: VecDeque<String>,
}

impl LateTrees {
    fn locked(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, instance: &str) -> String {
        let mut kept = self.locked();
        kept.next += 1;
        format!("{instance}-{}", kept.next)
    }

    fn keep(&self, id: String, tree: Tree) {
        let mut kept = self.locked();
        kept.order.push_back(id.clone());
        kept.trees.insert(id, tree);
        if kept.order.len() > KEPT_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.trees.remove(&oldest);
        }
    }

    /// The calls that were made under this id, once all are done.
    pub(crate) fn get(&self, id: &str) -> Option<Tree> {
        self.locked().trees.get(id).cloned()
    }
}

/// Starts the calls that are due after the response, and says under which id they will be found.
pub(crate) fn start(app: &Arc<App>, cause: &Cause) -> Option<String> {
    let config = app.calls.config();
    if config.behaviour.after_response.is_empty() {
        return None;
    }
    let id = app.late.id(&config.instance);
    let (app, cause, key) = (app.clone(), cause.clone(), id.clone());
    tokio::spawn(async move {
        let mut calls = Vec::new();
        for late in &app.calls.config().behaviour.after_response {
            tokio::time::sleep(Duration::from_millis(late.delay_ms)).await;
            calls.push(app.calls.call(&late.host, &cause).await);
        }
        let tree = Tree { calls, ..app.calls.leaf(StatusCode::OK, &hyper::HeaderMap::new()) };
        app.late.keep(key, tree);
    });
    Some(id)
}
