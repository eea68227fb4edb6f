//! What every test of a real mesh needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use canary_istio::{LaneRouting, Mode};
use canary_localmesh::{
    AppCommand, AppSpec, Client, FilterChains, Mesh, MeshSpec, Protocol, Reply, Tree, demo,
};
use canary_rules::name::LaneName;

/// The Envoy binary that the tests run.
pub(crate) fn envoy() -> PathBuf {
    let path = std::env::var_os("CANARY_ENVOY");
    path.expect("these tests run a real Envoy: set CANARY_ENVOY to the path of its binary").into()
}

/// A mesh of plain proxies: no filter, only routes.
pub(crate) fn spec(apps: Vec<AppSpec>) -> MeshSpec {
    let app_command = AppCommand { program: env!("CARGO_BIN_EXE_canary-mesh-app").into(), args: Vec::new() };
    let mut spec = MeshSpec::new(envoy(), app_command, demo::entry(), apps);
    spec.filters = FilterChains::none();
    spec
}

/// A permissive lane whose members are found by label.
pub(crate) fn lane(name: &str) -> LaneRouting {
    let name = LaneName::new(name).expect("lane name");
    LaneRouting { name, parent: None, mode: Mode::Permissive, members: BTreeMap::new(), mirror: 0 }
}

/// Every app hands on everything that could carry a tag, as if a filter had restored it.
pub(crate) fn transparent(mut apps: Vec<AppSpec>) -> Vec<AppSpec> {
    for app in &mut apps {
        app.behaviour.forward = vec!["x-canary-lane".into(), "traceparent".into(), "x-request-id".into()];
    }
    apps
}

/// The shop with lane `gray`, its apps transparent.
pub(crate) async fn gray_shop() -> Mesh {
    let mut spec = spec(transparent(demo::shop()));
    spec.lanes = vec![lane("gray")];
    Mesh::start(spec).await.expect("a mesh")
}

/// `GET /cart` through the gateway, tagged or not.
pub(crate) async fn get(client: &Client, tag: Option<&str>) -> Reply {
    let headers: Vec<(&str, &str)> = tag.map(|tag| ("x-canary-lane", tag)).into_iter().collect();
    client.get("shop.test", "/cart?x=1", &headers).await.expect("a response")
}

/// The tree that a response holds.
#[track_caller]
pub(crate) fn tree(reply: &Reply) -> Tree {
    serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {} {}", reply.status, reply.text()))
}

/// The instances that served `GET /cart`, callers first.
pub(crate) async fn served(client: &Client, tag: Option<&str>) -> Vec<String> {
    let reply = get(client, tag).await;
    let tree = tree(&reply);
    tree.instances().into_iter().map(str::to_owned).collect()
}

/// A client of the gateway.
pub(crate) fn client(mesh: &Mesh) -> Client {
    mesh.client(Protocol::Http1)
}

/// Whether a process exists, zombies included.
pub(crate) fn exists(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

/// Whether a process runs; one that is dead and only waits to be buried does not.
pub(crate) fn runs(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with(['Z', 'X']))
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn within(
    limit: Duration,
    what: &'static str,
    mut holds: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let deadline = Instant::now() + limit;
    async move {
        while !holds() {
            assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
