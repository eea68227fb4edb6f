//! A tag's way through a chain of apps that hand on one thing alone, or nothing.

use canary_e2e::carrier::Carrier;

use crate::shop::{BASELINE, FLOWS};
use crate::stage::{Answer, Stage};

/// Flows of each lane and carrier: enough to meet every worker of every proxy.
const FLOWS_EACH: u64 = 4;

async fn flow(stage: &Stage, carrier: Carrier, number: u64, cookie: &str) -> Answer {
    // A client of its own: another connection, hence another worker.
    let path = format!("/cart?forward={}", carrier.header());
    let id = carrier.id(number);
    let mut headers = vec![("cookie", cookie)];
    headers.extend(id.as_deref().map(|id| (carrier.header(), id)));
    stage.get(&stage.client(), &path, &headers).await
}

/// Cart has no lane of its own: what it sends on is tagged by what came with it, and by nothing else.
pub(crate) async fn each_alone(stage: &Stage) {
    let before = stage.flushed("cart-v1").await;
    let mut number = 1000;
    for carrier in Carrier::ALL {
        for (cookie, path) in FLOWS {
            for _ in 0..FLOWS_EACH {
                number += 1;
                let answer = flow(stage, carrier, number, cookie).await;
                assert_eq!(answer.path(), path, "{carrier:?} {cookie} {:?}", answer.tree);
            }
        }
    }
    let after = stage.flushed("cart-v1").await;
    let tagged = FLOWS_EACH * 2;
    // The baseline's flows, too, are known by ids, and not by a header or baggage that they do not have.
    let by_id = FLOWS_EACH * 3;
    for (origin, wanted) in [
        ("header", tagged),
        ("baggage", tagged),
        ("request_id", by_id),
        ("correlation", 6 * by_id),
        ("none", 2 * FLOWS_EACH),
        ("colour", 0),
    ] {
        assert_eq!(after.since(&before, &format!("outbound.{origin}")), wanted, "{origin}");
    }
    for counter in ["lost", "ambiguous", "host_refused", "map.cas_exhausted"] {
        assert_eq!(after.since(&before, counter), 0, "{counter}");
    }
}

/// Web's own version of the lane colours what it sends; cart's does not.
pub(crate) async fn nothing(stage: &Stage) {
    let before = stage.flushed("cart-v1").await;
    let answer = stage.get(&stage.client(), "/cart?forward=", &[("cookie", "gray=1")]).await;
    assert_eq!(answer.path(), ["web-v2", "cart-v1", "stock-v1", "price-v1"]);
    let answer = stage.get(&stage.client(), "/cart?forward=", &[("cookie", "blue=1")]).await;
    assert_eq!(answer.path(), BASELINE);
    assert_eq!(stage.grown(&before, "outbound.none", 2).await, 2);
}

/// Past web's inbound sidecar, as if web started something by itself.
pub(crate) async fn colour(stage: &Stage) {
    for (instance, path) in [
        ("web-v2", vec!["cart-v1", "stock-v2", "price-v2"]),
        ("web-v1", vec!["cart-v1", "stock-v1", "price-v1"]),
    ] {
        let before = stage.flushed(instance).await;
        let address = stage.mesh.outbound_address(instance).expect("known");
        let own = canary_localmesh::Client::new(address, canary_localmesh::Protocol::Http1);
        for headers in
            [vec![], vec![("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]]
        {
            let reply = own.get("cart.shop", "/?forward=baggage", &headers).await.expect("a response");
            assert_eq!(Answer::read(reply).path(), path, "{instance}");
        }
        let origin = if instance == "web-v2" { "outbound.colour" } else { "outbound.none" };
        assert_eq!(stage.grown(&before, origin, 2).await, 2);
        assert_eq!(stage.grown(&before, "lost", 1).await, 1);
    }
}
