//! How the mesh carries a Wasm filter: roles, live configuration, one VM per proxy.

use std::collections::BTreeMap;
use std::path::Path;

use canary_localmesh::{
    FailurePolicy, FilterChains, FilterEntry, GATEWAY, Mesh, MeshError, MeshSpec, Role, WasmSpec, demo,
    inline_wasm,
};

use crate::common::{client, get, lane, served, spec, transparent, tree};

/// A mesh of the shop with the probe in every role, and the directory that holds its module.
fn probed() -> (MeshSpec, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let module = dir.path().join("probe.wasm");
    let code = wat::parse_str(include_str!("probe.wat")).expect("a module");
    std::fs::write(&module, code).expect("written");
    let mut spec = spec(transparent(demo::shop()));
    let configs =
        [(Role::Inbound, "i"), (Role::Outbound, "oo"), (Role::Edge, "eee"), (Role::EdgeGuard, "gggg")];
    spec.filters = FilterChains::default();
    spec.wasm = Some(WasmSpec {
        sidecar_module: module.clone(),
        module,
        configs: configs.map(|(role, config)| (role, config.to_owned())).into(),
        failure_policy: FailurePolicy::Open,
    });
    spec.proxy.concurrency = 2;
    (spec, dir)
}

/// The lengths of the configurations that a response passed, innermost first.
fn sizes(reply: &canary_localmesh::Reply) -> Vec<String> {
    let lines = reply.headers.get_all("x-config-size").iter();
    lines.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

async fn sizes_through(mesh: &Mesh) -> Vec<String> {
    sizes(&get(&client(mesh), None).await)
}

#[tokio::test]
async fn each_listener_has_the_filter_in_its_role_and_both_of_a_sidecar_share_data() {
    let (mut spec, _dir) = probed();
    spec.filters.gateway.insert(0, FilterEntry::Canary(Role::EdgeGuard));
    let mesh = Mesh::start(spec).await.expect("a mesh");
    let reply = get(&client(&mesh), None).await;
    // web's inbound, then the gateway's two, from the router outwards.
    assert_eq!(sizes(&reply), ["1", "3", "4"]);
    let tree = tree(&reply);
    for called in tree.walk().skip(1) {
        assert_eq!(called.received("x-shared"), Some("yes"), "{}", called.instance);
    }
    for proxy in [GATEWAY, "web-v1"] {
        let vms = mesh.stats(proxy, r"^wasm\.envoy\.wasm\.runtime\.v8\.active$").await.expect("stats");
        assert_eq!(vms.values().copied().collect::<Vec<_>>(), [4], "{proxy}: two workers, main and base");
    }
}

#[tokio::test]
async fn a_filter_configuration_is_swapped_while_requests_flow_and_none_fails() {
    let (mut spec, _dir) = probed();
    spec.lanes = vec![lane("gray")];
    let mesh = Mesh::start(spec).await.expect("a mesh");
    let flow = client(&mesh);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let flowing = tokio::spawn(async move {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            assert_eq!(served(&flow, Some("gray")).await, ["web-v2", "cart-v1", "stock-v2", "price-v2"]);
            sent += 1;
        }
        sent
    });
    for size in [5, 6, 7, 8, 3] {
        mesh.set_filter_config(Role::Edge, &"e".repeat(size)).await.expect("accepted");
        mesh.set_filter_config(Role::Inbound, &"i".repeat(size)).await.expect("accepted");
        arrived(&mesh, &[size, size]).await;
    }
    stop.send(()).expect("flowing");
    assert!(flowing.await.expect("none failed") > 0);
}

#[tokio::test]
async fn a_refused_configuration_is_told_and_the_one_before_stays() {
    let (spec, _dir) = probed();
    let mesh = Mesh::start(spec).await.expect("a mesh");
    let error = mesh.set_filter_config(Role::Edge, "nine byte").await.expect_err("refused");
    let MeshError::Refused { name, what, log_tail } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), what.as_str()), (GATEWAY, "the configuration of canary-edge"));
    assert!(log_tail.contains("canary-edge"), "{log_tail}");
    assert_eq!(sizes_through(&mesh).await, ["1", "3"]);
    mesh.set_filter_config(Role::Edge, "eeeee").await.expect("accepted");
    arrived(&mesh, &[1, 5]).await;
}

#[tokio::test]
async fn a_mesh_whose_filter_refuses_its_first_configuration_does_not_start() {
    let (mut spec, _dir) = probed();
    spec.wasm.as_mut().expect("a filter").configs = BTreeMap::from([(Role::Inbound, "nine byte".into())]);
    let error = Mesh::start(spec).await.expect_err("refused");
    assert!(matches!(&error, MeshError::Refused { what, .. } if what.contains("canary-inbound")), "{error}");
}

#[tokio::test]
async fn a_broken_or_missing_module_is_told() {
    let (mut spec, dir) = probed();
    let module = dir.path().join("broken.wasm");
    std::fs::write(&module, b"not wasm").expect("written");
    spec.wasm.as_mut().expect("a filter").module = module.clone();
    let error = Mesh::start(spec.clone()).await.expect_err("broken");
    assert!(matches!(&error, MeshError::Refused { .. }), "{error}");
    std::fs::remove_file(&module).expect("removed");
    let error = Mesh::start(spec).await.expect_err("missing");
    assert_eq!(error.to_string(), format!("no Wasm module at {}", module.display()));
}

#[tokio::test]
async fn any_filters_can_stand_in_for_comparison() {
    let (mut spec, dir) = probed();
    let module = dir.path().join("probe.wasm");
    let copies = |config| vec![inline_wasm("copy", Path::new(&module), config); 3];
    spec.wasm = None;
    spec.filters = FilterChains { gateway: copies("55555"), inbound: copies("666666"), outbound: Vec::new() };
    let mesh = Mesh::start(spec).await.expect("a mesh");
    assert_eq!(sizes_through(&mesh).await, ["6", "6", "6", "5", "5", "5"]);
}

/// Waits until the workers, too, have what the main threads have accepted.
async fn arrived(mesh: &Mesh, wanted: &[usize]) {
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let mut seen = sizes_through(mesh).await;
    while seen != wanted {
        assert!(std::time::Instant::now() < deadline, "saw {seen:?}, wanted {wanted:?}");
        seen = sizes_through(mesh).await;
    }
}
