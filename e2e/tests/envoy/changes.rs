//! Configurations that change while requests flow: none fails, and each arrives where it says it has.

use std::cell::RefCell;

use canary_e2e::staged::{Lanes, keys};
use canary_localmesh::{GATEWAY, Role};

use crate::load::{flow, under_load};
use crate::pair::{AND_BLUE, BASELINE, BLUE, GRAY, ONLY_GRAY, lanes, routing};
use crate::responses::Jar;
use crate::stage::{Answer, Stage, until};

/// Users whose lane must not change.
const USERS: usize = 60;

/// Sidecars first, edges last, as lanes come.
async fn lanes_come(stage: &Stage, lanes: &Lanes) {
    stage.mesh.set_lanes(&routing(lanes)).await.expect("routes accepted");
    for role in [Role::Inbound, Role::Outbound, Role::Edge] {
        stage.mesh.set_filter_config(role, &lanes.config(role)).await.expect("accepted");
    }
}

/// Edges first, routes last, as lanes go.
async fn lanes_go(stage: &Stage, lanes: &Lanes) {
    for role in [Role::Edge, Role::Outbound, Role::Inbound] {
        stage.mesh.set_filter_config(role, &lanes.config(role)).await.expect("accepted");
    }
    stage.mesh.set_lanes(&routing(lanes)).await.expect("routes accepted");
}

/// Waits until every worker decides so: eight flows in a row, each by a client of its own.
async fn everywhere(stage: &Stage, cookie: &str, path: [&str; 2]) {
    until(&format!("{cookie} goes to {path:?}"), async || {
        for number in 0..8 {
            if flow(stage, &stage.client(), number, cookie).await.path() != path {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// Whatever is in force, a flow is served by whole versions of someone it may be served by.
fn somewhere_right(at: usize, answer: &Answer) {
    let allowed: &[&[&str]] = match at {
        0 => &[&BASELINE],
        1 => &[&BASELINE, &GRAY],
        _ => &[&BASELINE, &BLUE],
    };
    for (place, instance) in answer.path().into_iter().enumerate() {
        assert!(allowed.iter().any(|path| path[place] == instance), "{at}: {:?}", answer.path());
    }
}

const COOKIES: [&str; 3] = ["none=1", "gray=1", "blue=1"];

pub(crate) async fn lanes_come_and_go(stage: &Stage) {
    let (all, gray, none) = (lanes(), stage.lanes.with(ONLY_GRAY), stage.lanes.with(""));
    let before = stage.flushed(GATEWAY).await;
    let change = async || {
        everywhere(stage, "blue=1", BLUE).await;
        lanes_go(stage, &gray).await;
        everywhere(stage, "blue=1", BASELINE).await;
        everywhere(stage, "gray=1", GRAY).await;
        lanes_go(stage, &none).await;
        everywhere(stage, "gray=1", BASELINE).await;
        lanes_come(stage, &gray).await;
        everywhere(stage, "gray=1", GRAY).await;
        lanes_come(stage, &all).await;
        everywhere(stage, "blue=1", BLUE).await;
    };
    let (sent, ()) = under_load(stage, &COOKIES, somewhere_right, change).await;
    assert!(sent > 100, "{sent}");
    let after = stage.flushed(GATEWAY).await;
    // Four configurations, each taken by two workers and the main thread.
    assert_eq!(after.since(&before, "config.ok"), 4 * 3);
    assert_eq!(after.since(&before, "config.rejected"), 0);
}

/// A change of anything but the lanes: every flow stays exactly where it is.
pub(crate) async fn no_flow_moves(stage: &Stage) {
    let paths = [BASELINE, GRAY, BLUE];
    let exact = |at: usize, answer: &Answer| assert_eq!(answer.path(), paths[at], "{}", COOKIES[at]);
    let mut lanes = stage.lanes.clone();
    let change = async move || {
        for linger_s in [20, 40, 30] {
            lanes.settings.linger_s = linger_s;
            lanes_come(stage, &lanes).await;
            everywhere(stage, "blue=1", BLUE).await;
        }
    };
    under_load(stage, &COOKIES, exact, change).await;
    lanes_come(stage, &stage.lanes).await;
}

/// Old keys go when their time has come: nobody is in another lane for it, and no flow is lost.
pub(crate) async fn keys_rotate(stage: &Stage) {
    let documents = format!("{ONLY_GRAY}    - percent: 40\n{AND_BLUE}");
    let rotate = |ring: &[&str]| {
        let mut lanes = stage.lanes.with(&documents);
        lanes.settings.keys = keys(ring);
        lanes
    };
    lanes_come(stage, &rotate(&["k1"])).await;
    everywhere(stage, "gray=1", GRAY).await;
    let users: Vec<RefCell<Jar>> = (0..USERS).map(|_| RefCell::default()).collect();
    let visit = async || {
        let mut lanes = Vec::new();
        for user in &users {
            let cookies = user.borrow().header();
            let answer = stage.get(&stage.client(), "/", &[("cookie", &cookies)]).await;
            user.borrow_mut().take(&answer);
            lanes.push(answer.path()[0].to_owned());
        }
        lanes
    };
    let first = visit().await;
    let inside = first.iter().filter(|instance| *instance == "web-v2").count();
    assert!((8..=40).contains(&inside), "{inside} of {USERS}");
    let tokens = |key: &str| {
        let mark = format!("~{key}~");
        users.iter().filter(|user| user.borrow().header().contains(&mark)).count()
    };
    assert_eq!(tokens("k1"), inside);
    let before = stage.flushed(GATEWAY).await;
    // Blue's flows meet no colour on their way: only the map knows them.
    let exact = |at: usize, answer: &Answer| assert_eq!(answer.path(), [GRAY, BLUE][at]);
    let change = async || {
        // The new key is known everywhere before it signs, and the old one as long as it may be met.
        for ring in [&["k1", "k2"][..], &["k2", "k1"], &["k2"]] {
            lanes_come(stage, &rotate(ring)).await;
            everywhere(stage, "gray=1", GRAY).await;
            assert_eq!(visit().await, first, "{ring:?}");
        }
    };
    let (sent, ()) = under_load(stage, &["gray=1", "blue=1"], exact, change).await;
    assert!(sent > 100, "{sent}");
    // The last ring knows k1 no more: what it signed counts for nothing, and the percentage is the same.
    assert_eq!(stage.flushed(GATEWAY).await.since(&before, "rejected_signatures"), inside as u64);
    assert_eq!((tokens("k1"), tokens("k2")), (0, inside));
    lanes_come(stage, &stage.lanes).await;
    everywhere(stage, "blue=1", BLUE).await;
}

/// A configuration that cannot be read is taken and counted, and the one before stays in force.
pub(crate) async fn bad_ones(stage: &Stage) {
    let paths = [BASELINE, GRAY, BLUE];
    let exact = |at: usize, answer: &Answer| assert_eq!(answer.path(), paths[at], "{}", COOKIES[at]);
    everywhere(stage, "blue=1", BLUE).await;
    let bad = [
        "",
        "{",
        r#"{"version":99,"role":"edge"}"#,
        r#"{"version":1,"role":"edge","lanes":[{"name":"No"}]}"#,
    ];
    for (role, proxy) in [(Role::Edge, GATEWAY), (Role::Inbound, "stock-v2"), (Role::Outbound, "web-v1")] {
        let before = stage.flushed(proxy).await;
        let change = async || {
            for config in bad {
                stage.mesh.set_filter_config(role, config).await.expect("accepted all the same");
            }
            stage.grown(&before, "config.rejected", 3 * bad.len() as u64).await
        };
        let (_, rejected) = under_load(stage, &COOKIES, exact, change).await;
        assert_eq!(rejected, 3 * bad.len() as u64, "{role:?}");
        let before = stage.flushed(proxy).await;
        stage.mesh.set_filter_config(role, &stage.lanes.config(role)).await.expect("accepted");
        assert_eq!(stage.grown(&before, "config.ok", 3).await, 3);
    }
    everywhere(stage, "blue=1", BLUE).await;
}
