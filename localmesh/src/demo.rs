//! The shop: the mesh that the demo runs and most tests use.
//!
//! ```text
//! gateway ─ web v1, v2 ─ cart v1 ─ stock v1, v2 ─ price v1, v2
//! ```
//!
//! Each app hands on what ordinary apps do, each something else, so that every carrier is needed once: web is
//! traced with OpenTelemetry (`traceparent` and `baggage`), cart hands on its `traceparent` alone, stock only
//! the `x-request-id`. The versions v2 are of lane `gray`.

use canary_istio::Host;

use crate::app::Behaviour;
use crate::spec::AppSpec;

/// The lane of the versions v2.
pub const GRAY: &str = "gray";

/// The service that the gateway leads to.
#[must_use]
pub fn entry() -> Host {
    host("web")
}

/// A service of the shop.
#[must_use]
pub fn host(name: &str) -> Host {
    Host::new(name, "shop").expect("a DNS label")
}

/// All seven instances.
#[must_use]
pub fn shop() -> Vec<AppSpec> {
    let web = Behaviour {
        calls: vec![host("cart")],
        forward: vec!["traceparent".into(), "baggage".into()],
        starts_trace: true,
        ..Behaviour::default()
    };
    let cart =
        Behaviour { calls: vec![host("stock")], forward: vec!["traceparent".into()], ..Behaviour::default() };
    let stock = Behaviour {
        calls: vec![host("price")],
        forward: vec!["x-request-id".into()],
        ..Behaviour::default()
    };
    let app = |name: &str, version: &str, behaviour: &Behaviour| AppSpec {
        behaviour: behaviour.clone(),
        ..AppSpec::new(&host(name), version)
    };
    let price = Behaviour::default();
    vec![
        app("web", "v1", &web),
        app("web", "v2", &web).in_lane(GRAY),
        app("cart", "v1", &cart),
        app("stock", "v1", &stock),
        app("stock", "v2", &stock).in_lane(GRAY),
        app("price", "v1", &price),
        app("price", "v2", &price).in_lane(GRAY),
    ]
}
