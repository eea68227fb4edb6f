//! Routes and fallback without a filter: apps that hand on the tag stand in for it.

use canary_istio::{Mode, RefusalStatus};
use canary_localmesh::{Mesh, Protocol, Upstream, demo};

use crate::common::{client, get, gray_shop, lane, served, spec, transparent, tree};

const BASELINE: [&str; 4] = ["web-v1", "cart-v1", "stock-v1", "price-v1"];
const GRAY: [&str; 4] = ["web-v2", "cart-v1", "stock-v2", "price-v2"];

#[tokio::test]
async fn a_tag_that_apps_hand_on_leads_through_the_lane() {
    let mesh = gray_shop().await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let client = mesh.client(protocol);
        assert_eq!(served(&client, None).await, BASELINE);
        assert_eq!(served(&client, Some("gray")).await, GRAY);
        assert_eq!(served(&client, Some("nosuch")).await, BASELINE);
    }
}

#[tokio::test]
async fn a_dead_app_or_instance_of_a_lane_falls_back_to_the_baseline_at_once() {
    let mesh = gray_shop().await;
    let client = client(&mesh);
    assert_eq!(served(&client, Some("gray")).await, GRAY);
    mesh.kill_app("stock-v2").expect("known");
    for _ in 0..50 {
        assert_eq!(served(&client, Some("gray")).await, ["web-v2", "cart-v1", "stock-v1", "price-v2"]);
    }
    mesh.kill_instance("web-v2").expect("known");
    for _ in 0..50 {
        assert_eq!(served(&client, Some("gray")).await, ["web-v1", "cart-v1", "stock-v1", "price-v2"]);
    }
    mesh.restart_app("stock-v2").await.expect("back");
    assert_eq!(served(&client, Some("gray")).await, ["web-v1", "cart-v1", "stock-v2", "price-v2"]);
}

#[tokio::test]
async fn a_strict_lane_is_refused_where_it_has_no_member() {
    let mut spec = spec(transparent(demo::shop()));
    let status = RefusalStatus::new(418).expect("status");
    spec.lanes = vec![canary_istio::LaneRouting { mode: Mode::Strict(status), ..lane("gray") }];
    let mesh = Mesh::start(spec).await.expect("a mesh");
    let reply = get(&client(&mesh), Some("gray")).await;
    let answer = tree(&reply);
    let refused = &answer.calls[0];
    assert_eq!((answer.instance.as_str(), refused.status), ("web-v2", 418));
    let reason = &refused.error_headers[canary_istio::plan::REFUSAL_HEADER];
    assert_eq!(reason, &["strict lane gray has no member of cart.shop"]);
}

#[tokio::test]
async fn lanes_change_while_requests_flow_and_none_fails() {
    let mesh = gray_shop().await;
    let flow = client(&mesh);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let flowing = tokio::spawn(async move {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            for tag in [None, Some("gray")] {
                let reply = get(&flow, tag).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                let failed: Vec<_> = tree(&reply).walk().filter(|t| t.status != 200).cloned().collect();
                assert!(failed.is_empty(), "{failed:?}");
                sent += 1;
            }
        }
        sent
    });
    let client = client(&mesh);
    for _ in 0..5 {
        mesh.set_lanes(&[]).await.expect("no lanes");
        assert_eq!(served(&client, Some("gray")).await, BASELINE);
        mesh.set_lanes(&[lane("gray")]).await.expect("gray");
        assert_eq!(served(&client, Some("gray")).await, GRAY);
    }
    stop.send(()).expect("flowing");
    assert!(flowing.await.expect("none failed") > 0);
}

#[tokio::test]
async fn every_way_of_speaking_between_proxies_works() {
    let ways = [
        (Upstream::AsReceived, false),
        (Upstream::AsReceived, true),
        (Upstream::Http1, false),
        (Upstream::Http1, true),
        (Upstream::H2c, false),
    ];
    for (upstream, apps_speak_http2) in ways {
        let mut spec = spec(transparent(demo::shop()));
        for app in &mut spec.apps {
            app.behaviour.http2 = apps_speak_http2;
        }
        spec.lanes = vec![lane("gray")];
        spec.proxy.upstream = upstream;
        let mesh = Mesh::start(spec).await.expect("a mesh");
        assert_eq!(served(&client(&mesh), Some("gray")).await, GRAY, "{upstream:?}");
    }
}
