//! Flows that keep coming while something else happens.

use std::cell::Cell;

use canary_e2e::carrier::Carrier;
use canary_localmesh::Client;
use futures_util::future::{join, join_all};

use crate::stage::{Answer, Stage};

/// Flows in flight at a time.
const IN_FLIGHT: usize = 8;

/// Sends flows of these cookies in turn until `change` is done; each answer goes to `judge` with the place of its
/// cookie. Every flow must be answered with 200 by everyone on its way. Says how many were sent.
pub(crate) async fn under_load<T>(
    stage: &Stage,
    cookies: &[&str],
    judge: impl Fn(usize, &Answer),
    change: impl AsyncFnOnce() -> T,
) -> (u64, T) {
    let sent = Cell::new(0);
    let done = Cell::new(false);
    let client = stage.client();
    let flows = join_all((0..IN_FLIGHT).map(|_| async {
        while !done.get() {
            sent.set(sent.get() + 1);
            let number = sent.get();
            let at = usize::try_from(number).expect("not that many") % cookies.len();
            let answer = flow(stage, &client, number, cookies[at]).await;
            assert_eq!(answer.reply.status, 200, "{}", answer.reply.text());
            let failed: Vec<_> = answer.tree.walk().filter(|tree| tree.status != 200).collect();
            assert!(failed.is_empty(), "{failed:?}");
            judge(at, &answer);
        }
    }));
    let change = async {
        let changed = change().await;
        // What came last is not yet judged: as many flows again as are in flight.
        let wanted = sent.get() + 2 * IN_FLIGHT as u64;
        crate::stage::until("flows after the change", async || (sent.get() >= wanted).then_some(())).await;
        done.set(true);
        changed
    };
    let (_, changed) = join(flows, change).await;
    (sent.get(), changed)
}

/// One flow whose apps hand on their `traceparent` alone.
pub(crate) async fn flow(stage: &Stage, client: &Client, number: u64, cookie: &str) -> Answer {
    let trace = Carrier::TraceParent.id(fastrand::u64(..u64::MAX / 2) ^ number).expect("an id");
    stage.get(client, "/", &[("cookie", cookie), ("traceparent", &trace)]).await
}
