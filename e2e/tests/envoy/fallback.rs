//! Where a lane has nobody: its parent, the baseline, or a stated refusal; never an error of our making.

use canary_istio::plan::REFUSAL_HEADER;
use canary_localmesh::{Client, Protocol, Role};
use canary_rules::wire::Peers;

use crate::load::flow;
use crate::pair::{BASELINE, BLUE, GRAY, REFUSAL};
use crate::responses::set_cookies;
use crate::stage::{Answer, HOST, Stage, until};

/// Requests that must all be served while a lane's instance is gone.
const REQUESTS: u64 = 50;

#[track_caller]
fn tagged(answer: &Answer, lane: &str) {
    for hop in answer.tree.walk() {
        assert_eq!(hop.received("x-canary-lane"), Some(lane), "{}", hop.instance);
    }
}

pub(crate) async fn parents(stage: &Stage) {
    let answer = flow(stage, &stage.client(), 1, "kid=1").await;
    assert_eq!(answer.path(), GRAY);
    tagged(&answer, "kid");
    let answer = flow(stage, &stage.client(), 1, "blue=1").await;
    assert_eq!(answer.path(), BLUE);
    tagged(&answer, "blue");
}

pub(crate) async fn strict(stage: &Stage) {
    let answer = flow(stage, &stage.client(), 2, "red=1").await;
    assert_eq!((answer.reply.status.as_u16(), answer.path()[0]), (200, "web-red"));
    let refused = &answer.tree.calls[0];
    assert_eq!(refused.status, REFUSAL);
    assert_eq!(refused.error_headers[REFUSAL_HEADER], ["strict lane red has no member of stock.shop"]);
    // At the gateway the proxy answers by itself: the browser learns its lane all the same.
    let reply = stage.client().get(HOST, "/", &[("cookie", "void=1")]).await.expect("a response");
    assert_eq!(reply.status, REFUSAL);
    assert_eq!(reply.header(REFUSAL_HEADER).as_deref(), Some("strict lane void has no member of web.shop"));
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert!(cookies.len() == 1 && cookies[0].as_bytes().starts_with(b"canary-lane=void~"), "{cookies:?}");
    assert_eq!(reply.header("cache-control").as_deref(), Some("private"));
}

/// Straight at a lane's pod, past all routes: its own lane's children may come, others not.
pub(crate) async fn foreign(stage: &Stage) {
    let before = stage.flushed("stock-v2").await;
    let address = stage.mesh.inbound_address("stock-v2").expect("known");
    let pod = Client::new(address, Protocol::Http1);
    for (tag, status) in
        [(None, 200), (Some("gray"), 200), (Some("kid"), 200), (Some("red"), 503), (Some("x"), 200)]
    {
        let headers: Vec<_> = tag.map(|tag| ("x-canary-lane", tag)).into_iter().collect();
        let reply = pod.get("stock.shop", "/", &headers).await.expect("a response");
        assert_eq!(reply.status, status, "{tag:?}");
        let refused = (status == 503).then(|| tag.expect("a lane").to_owned());
        assert_eq!(reply.header("x-canary-refused"), refused);
    }
    assert_eq!(stage.grown(&before, "refused_foreign", 1).await, 1);
}

/// Without mutual TLS nobody is a member of the mesh: what comes with a tag loses it.
pub(crate) async fn strangers(stage: &Stage) {
    let mut lanes = stage.lanes.clone();
    lanes.settings.peers = Peers::Mtls;
    let set = async |role: Role, lanes: &canary_e2e::staged::Lanes| {
        stage.mesh.set_filter_config(role, &lanes.config(role)).await.expect("accepted");
    };
    set(Role::Inbound, &lanes).await;
    let before = stage.flushed("web-v2").await;
    // The gateway routes by its own decision; web's sidecar believes nobody, nor does stock's.
    let path = "/?forward=x-request-id,x-canary-lane,baggage";
    until("no peer is believed", async || {
        let mut seen = Vec::new();
        for _ in 0..8 {
            let answer = stage.get(&stage.client(), path, &[("cookie", "gray=1")]).await;
            seen.push(
                answer.path() == ["web-v2", "stock-v1"] && answer.tree.received("x-canary-lane").is_none(),
            );
        }
        seen.into_iter().all(|right| right).then_some(())
    })
    .await;
    assert!(stage.grown(&before, "stripped", 8).await >= 8);
    set(Role::Inbound, &stage.lanes).await;
    until("peers are believed", async || {
        let mut all = true;
        for number in 0..8 {
            all &= flow(stage, &stage.client(), 10 + number, "gray=1").await.path() == GRAY;
        }
        all.then_some(())
    })
    .await;
}

/// A lane's pod that dies is no reason for an error: the baseline serves, and the tag goes on.
pub(crate) async fn death(stage: &Stage) {
    let client = stage.client();
    stage.mesh.kill_app("stock-v2").expect("known");
    for number in 0..REQUESTS {
        let answer = flow(stage, &client, 100 + number, "gray=1").await;
        assert_eq!((answer.reply.status.as_u16(), answer.path()), (200, vec!["web-v2", "stock-v1"]));
        tagged(&answer, "gray");
    }
    stage.mesh.restart_app("stock-v2").await.expect("back");
    until("gray's stock serves again", async || {
        (flow(stage, &client, 200, "gray=1").await.path() == GRAY).then_some(())
    })
    .await;
    stage.mesh.kill_instance("web-v2").expect("known");
    for number in 0..REQUESTS {
        let answer = flow(stage, &client, 300 + number, "gray=1").await;
        // Web's stable version has no colour: what it sends is tagged by what came with it.
        assert_eq!((answer.reply.status.as_u16(), answer.path()), (200, vec!["web-v1", "stock-v2"]));
        tagged(&answer, "gray");
    }
}

/// Nobody of web is left: the gateway's own answer bears the cookie, and the lane's comes back with web.
pub(crate) async fn nobody(stage: &Stage) {
    stage.mesh.kill_app("web-v1").expect("known");
    let reply = stage.client().get(HOST, "/", &[("cookie", "gray=1")]).await.expect("a response");
    assert_eq!(reply.status, 503);
    let ours = reply.headers.get_all("set-cookie").iter();
    assert_eq!(ours.filter(|line| line.as_bytes().starts_with(b"canary-lane=gray~")).count(), 1);
    stage.mesh.restart_app("web-v1").await.expect("back");
    let answer = until("web serves again", async || {
        let reply = stage.client().get(HOST, "/", &[("cookie", "none=1")]).await.expect("a response");
        reply.status.is_success().then(|| Answer::read(reply))
    })
    .await;
    assert_eq!(answer.path(), BASELINE);
    assert_eq!(set_cookies(&answer), ["session=1"]);
}
