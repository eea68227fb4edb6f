//! A small mesh for what changes while it runs: web calls stock.
//!
//! Lane `gray` has versions of its own of both, its child `kid` has none; `blue` has one of stock alone, so that
//! its flows come there through a pod without colour; strict lane `red` has one of web and nobody of stock; strict lane `void` has nobody at all.

use canary_e2e::staged::Lanes;
use canary_istio::{LaneRouting, Mode, RefusalStatus};
use canary_localmesh::{AppSpec, Behaviour, MeshSpec, demo};

use crate::stage::{Stage, tools};

/// The status that strict lanes state.
pub(crate) const REFUSAL: u16 = 418;

pub(crate) const BASELINE: [&str; 2] = ["web-v1", "stock-v1"];
pub(crate) const GRAY: [&str; 2] = ["web-v2", "stock-v2"];
pub(crate) const BLUE: [&str; 2] = ["web-v1", "stock-blue"];

/// Lane `gray`, alone.
pub(crate) const ONLY_GRAY: &str = r#"apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: gray}
spec:
  rules:
    - when: {cookie: {name: gray, exact: "1"}}
"#;

/// Lane `blue`, to be added.
pub(crate) const AND_BLUE: &str = r#"
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: blue}
spec:
  rules:
    - when: {cookie: {name: blue, exact: "1"}}
"#;

/// The other lanes.
const OTHERS: &str = r#"
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: kid}
spec:
  parent: gray
  rules:
    - when: {cookie: {name: kid, exact: "1"}}
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: red}
spec:
  mode: strict
  rules:
    - when: {cookie: {name: red, exact: "1"}}
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: void}
spec:
  mode: strict
  rules:
    - when: {cookie: {name: void, exact: "1"}}
"#;

/// All lanes.
pub(crate) fn lanes() -> Lanes {
    Lanes::new(&format!("{ONLY_GRAY}{AND_BLUE}{OTHERS}"))
}

/// What routing is told of them: strict lanes state a status of their own.
pub(crate) fn routing(lanes: &Lanes) -> Vec<LaneRouting> {
    let status = RefusalStatus::new(REFUSAL).expect("a refusal");
    let stated = |lane: LaneRouting| match lane.mode {
        Mode::Strict(_) => LaneRouting { mode: Mode::Strict(status), ..lane },
        Mode::Permissive => lane,
    };
    lanes.routing().into_iter().map(stated).collect()
}

/// The mesh, two workers per proxy.
pub(crate) fn spec(lanes: &Lanes) -> MeshSpec {
    let web = Behaviour {
        calls: vec![demo::host("stock")],
        forward: vec!["traceparent".into()],
        response_headers: vec![("set-cookie".into(), "session=1".into())],
        ..Behaviour::default()
    };
    let app = |service: &str, version: &str, behaviour: &Behaviour| AppSpec {
        behaviour: behaviour.clone(),
        ..AppSpec::new(&demo::host(service), version)
    };
    let stock = Behaviour::default();
    let apps = vec![
        app("web", "v1", &web),
        app("web", "v2", &web).in_lane("gray"),
        app("web", "red", &web).in_lane("red"),
        app("stock", "v1", &stock),
        app("stock", "v2", &stock).in_lane("gray"),
        app("stock", "blue", &stock).in_lane("blue"),
    ];
    let mut spec = lanes.mesh(&tools(), demo::entry(), apps);
    spec.lanes = routing(lanes);
    spec.proxy.concurrency = 2;
    spec
}

pub(crate) async fn start() -> Stage {
    let lanes = lanes();
    Stage::start(spec(&lanes), lanes).await
}
