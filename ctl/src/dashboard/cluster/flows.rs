//! Live flows of a lane on the page: from when somebody asks for them until nobody looks any more.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::NO_PAGE;
use crate::dashboard::Picture;
use crate::dashboard::picture::WatchView;
use crate::failure::Failure;
use crate::traced::{Flow, News, Watching};

/// How often a flow is shown, at most.
const EVERY: Duration = Duration::from_secs(5);
/// How long to listen for calls after the response.
const LATE: Duration = Duration::from_secs(1);
/// How long every proxy may take to have the key.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
/// How long no page may listen before nothing is watched for it: a page that is loaded anew is back sooner.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether one does.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most flows that are kept.
const FLOWS_MAX: usize = 50;

/// What is seen of the lane that is watched.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Watched {
    /// The lane, once there is one.
    pub(super) view: Option<WatchView>,
    /// As the page shows them, the latest first.
    pub(super) flows: VecDeque<Value>,
    count: u64,
}

/// Watches what is wanted, as long as it is and a page listens. Never ends.
pub(super) async fn keep(
    client: Client,
    shown: &watch::Sender<Arc<Picture>>,
    wanted: &watch::Sender<Option<LaneName>>,
    watched: &watch::Sender<Watched>,
) {
    let mut wishes = wanted.subscribe();
    loop {
        let Some(lane) = wishes.borrow_and_update().clone() else {
            // Whoever wishes lasts as long as this.
            let _ = wishes.changed().await;
            continue;
        };
        watched.send_modify(|watched| watched.say(&lane, "proxies get a key for traces"));
        let stop = async {
            tokio::select! {
                _ = wishes.changed() => {}
                () = nobody_looks(shown) => {
                    wanted.send_replace(None);
                }
            }
            Ok(())
        };
        let see = |news| {
            watched.send_modify(|watched| watched.see(&lane, news));
            ControlFlow::Continue(())
        };
        let watching = Watching { lane: lane.clone(), every: EVERY, late: LATE };
        let ended = watching.cluster(&client, ARRIVES_WITHIN, stop, see).await;
        if ended.is_err() {
            wanted.send_if_modified(|wish| *wish == Some(lane.clone()) && wish.take().is_some());
        }
        watched.send_modify(|watched| watched.end(&lane, ended.err()));
    }
}

/// Ends once no page has listened for a while.
async fn nobody_looks(shown: &watch::Sender<Arc<Picture>>) {
    let mut away = Away(Instant::now());
    while !away.is_long(shown.receiver_count() > NO_PAGE, Instant::now()) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Since when no page listens.
struct Away(Instant);

impl Away {
    fn is_long(&mut self, somebody_listens: bool, now: Instant) -> bool {
        if somebody_listens {
            self.0 = now;
        }
        now.duration_since(self.0) >= AWAY_MAX
    }
}

impl Watched {
    /// Whether the key is given back, or was never taken.
    pub(super) fn is_over(&self) -> bool {
        self.view.as_ref().is_none_or(|view| !view.on)
    }

    fn say(&mut self, lane: &LaneName, words: impl Into<String>) {
        let view = WatchView { lane: lane.to_string(), on: true, failed: false, words: words.into() };
        self.view = Some(view);
    }

    fn see(&mut self, lane: &LaneName, news: News) {
        match news {
            News::Flow(flow) => {
                self.count += 1;
                self.flows.push_front(value(&flow, self.count));
                self.flows.truncate(FLOWS_MAX);
                self.say(lane, format!("one flow in {} s is shown, at most", EVERY.as_secs()));
            }
            // Said until the first one has come.
            News::Nothing { unheard } if self.flows.is_empty() || !unheard.is_empty() => {
                let words = unheard.first().map_or_else(
                    || "no flow of it has come yet".to_owned(),
                    |why| format!("not heard: {why}"),
                );
                self.say(lane, words);
            }
            News::Nothing { .. } => {
                self.say(lane, format!("one flow in {} s is shown, at most", EVERY.as_secs()));
            }
        }
    }

    fn end(&mut self, lane: &LaneName, failure: Option<Failure>) {
        let failed = failure.is_some();
        let words = failure.map_or_else(|| "watched no more".to_owned(), |failure| in_words(&failure));
        self.view = Some(WatchView { lane: lane.to_string(), on: false, failed, words });
    }
}

fn in_words(failure: &Failure) -> String {
    match failure.advice() {
        Some(help) => format!("{failure} — {help}"),
        None => failure.to_string(),
    }
}

/// A flow as the page shows it.
fn value(flow: &Flow, id: u64) -> Value {
    let entered = flow.trace.hops.first();
    let culprits: Vec<String> = flow.trace.culprits.iter().map(ToString::to_string).collect();
    json!({
        "id": id,
        "at_unix_s": flow.at.as_second(),
        "request": entered.map(|hop| &hop.request),
        "status": entered.and_then(|hop| hop.status),
        "lane": flow.trace.lane(),
        "calls": flow.trace.hops,
        "culprits": culprits,
        "unheard": flow.unheard,
    })
}

#[cfg(test)]
mod tests {
    use canary_trace::{Hop, Trace};
    use jiff::Timestamp;

    use super::*;
    use crate::failure::Code;

    fn flow(request: &str) -> News {
        let hop =
            Hop { request: request.into(), tag: Some("gray".into()), status: Some(200), ..Hop::default() };
        let trace = Trace { hops: vec![hop], culprits: Vec::new() };
        News::Flow(Flow { at: Timestamp::UNIX_EPOCH, trace, unheard: Vec::new() })
    }

    fn gray() -> LaneName {
        LaneName::new("gray").expect("a lane")
    }

    #[test]
    fn the_last_flows_are_kept_the_latest_first() {
        let mut watched = Watched::default();
        for number in 0..=FLOWS_MAX {
            watched.see(&gray(), flow(&format!("GET /{number}")));
        }
        assert_eq!(watched.flows.len(), FLOWS_MAX);
        let first = &watched.flows[0];
        assert_eq!(
            (&first["request"], &first["id"], &first["lane"], &first["status"]),
            (&json!("GET /50"), &json!(51), &json!("gray"), &json!(200))
        );
        assert_eq!(watched.flows[FLOWS_MAX - 1]["request"], "GET /1");
    }

    #[test]
    fn how_it_goes_is_said() {
        let mut watched = Watched::default();
        assert!(watched.is_over());
        let said = |watched: &Watched| watched.view.clone().expect("a lane").words;
        watched.see(&gray(), News::Nothing { unheard: Vec::new() });
        assert_eq!(said(&watched), "no flow of it has come yet");
        watched.see(&gray(), flow("GET /"));
        watched.see(&gray(), News::Nothing { unheard: Vec::new() });
        assert_eq!(said(&watched), "one flow in 5 s is shown, at most");
        watched.see(&gray(), News::Nothing { unheard: vec!["shop/web-1: forbidden".into()] });
        assert_eq!(said(&watched), "not heard: shop/web-1: forbidden");
        assert!(!watched.is_over());
        watched.end(&gray(), Some(Failure::new(Code::Failed, "no key").help("canaryctl check")));
        assert!(watched.is_over() && watched.view.as_ref().is_some_and(|view| view.failed));
        assert_eq!(said(&watched), "no key — canaryctl check");
        assert_eq!(watched.flows.len(), 1, "what was seen stays");
    }

    #[test]
    fn who_loads_the_page_anew_still_watches_and_who_closed_it_does_not() {
        let start = Instant::now();
        let mut away = Away(start);
        assert!(!away.is_long(true, start + AWAY_MAX * 2));
        assert!(!away.is_long(false, start + AWAY_MAX * 3 - LOOK_EVERY));
        assert!(away.is_long(false, start + AWAY_MAX * 3));
    }
}
