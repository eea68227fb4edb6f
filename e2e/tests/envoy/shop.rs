//! The mesh that most tests run in: the demo's shop, and a lane more.
//!
//! Lane `gray` has versions of its own of web, stock and price; `blue` has one of price alone, so that its flows
//! come there through pods that have no colour.

use canary_e2e::carrier::correlation;
use canary_e2e::staged::Lanes;
use canary_localmesh::{AppSpec, FilterEntry, Role, Tracing, Upstream, demo};
use canary_rules::name::HeaderName;

use crate::stage::{Stage, tools};

/// The services that a request travels through, the caller first.
pub(crate) const BASELINE: [&str; 4] = ["web-v1", "cart-v1", "stock-v1", "price-v1"];
/// The same of a request in lane `gray`.
pub(crate) const GRAY: [&str; 4] = ["web-v2", "cart-v1", "stock-v2", "price-v2"];
/// The same of a request in lane `blue`.
pub(crate) const BLUE: [&str; 4] = ["web-v1", "cart-v1", "stock-v1", "price-blue"];

/// A cookie that puts a request in a lane, and the path that it then takes.
pub(crate) const FLOWS: [(&str, [&str; 4]); 3] = [("gray=1", GRAY), ("blue=1", BLUE), ("none=1", BASELINE)];

/// A header of another system, read to migrate from it.
pub(crate) const ALIAS: &str = "x-mse-tag";

/// What web sets itself with every answer.
pub(crate) const OWN_COOKIES: [&str; 2] = ["session=1; Path=/; HttpOnly", "theme=dark; Path=/"];

/// Rules of every kind, so that everything in a request is looked at.
const LANES: &str = r#"
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: gray}
spec:
  rules:
    - when: {cookie: {name: gray, exact: "1"}}
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: blue}
spec:
  rules:
    - when: {cookie: {name: blue, exact: "1"}}
    - {when: {header: {name: x-user, regex: "blue-[a-z]+"}}, sticky: false}
    - {when: {query: {name: lane, prefix: blue}}, sticky: false}
    - {when: {path: {glob: "/blue/**"}}, sticky: false}
    - {when: {host: {suffix: ".blue.test"}}, sticky: false}
    - {when: {client: {cidr: ["203.0.113.0/24"]}}, sticky: false}
    - {when: {claim: {name: team, exact: blue}}, sticky: false}
"#;

/// The shop's lanes under the settings that the tests need.
pub(crate) fn lanes() -> Lanes {
    let mut lanes = Lanes::new(LANES);
    lanes.settings.carriers.correlation = correlation();
    lanes.settings.carriers.aliases = vec![HeaderName::new(ALIAS).expect("a header name")];
    lanes.settings.edge.show_lane = true;
    lanes
}

/// The shop's apps, and price's version of lane `blue`.
pub(crate) fn apps() -> Vec<AppSpec> {
    let mut apps = demo::shop();
    apps.push(AppSpec::new(&demo::host("price"), "blue").in_lane("blue"));
    apps
}

/// Everything in the version that clients speak, two workers per proxy.
pub(crate) async fn http1() -> Stage {
    start(Upstream::AsReceived, false, Tracing::Off).await
}

/// Apps and proxies speak HTTP/2 among each other, and request ids carry a tracing decision, as under Istio.
pub(crate) async fn http2() -> Stage {
    start(Upstream::H2c, true, Tracing::Packed).await
}

fn web_answers() -> Vec<(String, String)> {
    let cookies = OWN_COOKIES.map(|cookie| ("set-cookie", cookie));
    let caches = [
        ("cache-control", "public, max-age=60"),
        ("surrogate-control", "max-age=60"),
        ("vary", "accept-encoding"),
    ];
    cookies.into_iter().chain(caches).map(|(name, value)| (name.into(), value.into())).collect()
}

async fn start(upstream: Upstream, http2: bool, tracing: Tracing) -> Stage {
    let lanes = lanes();
    let mut apps = apps();
    for app in &mut apps {
        app.behaviour.http2 = http2;
        if app.service == demo::entry() {
            app.behaviour.response_headers = web_answers();
        }
    }
    let mut spec = lanes.mesh(&tools(), demo::entry(), apps);
    spec.filters.gateway.insert(0, FilterEntry::Canary(Role::EdgeGuard));
    spec.proxy.concurrency = 2;
    spec.proxy.upstream = upstream;
    spec.proxy.tracing = tracing;
    Stage::start(spec, lanes).await
}
