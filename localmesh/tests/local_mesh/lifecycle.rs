//! What stays and what does not: processes, ports, files, and errors that say what is wrong.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use canary_localmesh::{GATEWAY, Mesh, MeshError, demo};

use crate::common::{client, exists, get, gray_shop, runs, spec, within};

#[tokio::test]
async fn nothing_is_left_behind() {
    let mesh = gray_shop().await;
    let (pids, dir) = (mesh.pids(), mesh.run_dir().to_owned());
    assert_eq!(pids.len(), 15);
    assert!(pids.iter().all(|pid| exists(*pid)) && dir.exists());
    drop(mesh);
    assert!(!pids.iter().any(|pid| exists(*pid)) && !dir.exists());
    let mesh = gray_shop().await;
    let pids = mesh.pids();
    mesh.shutdown().await;
    assert!(!pids.iter().any(|pid| exists(*pid)));
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_named() {
    let first = gray_shop().await;
    let mut spec = spec(demo::shop());
    spec.gateway.port = Some(first.gateway().port());
    let error = Mesh::start(spec).await.expect_err("taken");
    assert_eq!(error.to_string(), format!("port {} for the gateway is taken", first.gateway().port()));
}

#[tokio::test]
async fn a_missing_binary_is_named() {
    let mut no_envoy = spec(demo::shop());
    no_envoy.envoy = "/no/such/envoy".into();
    let error = Mesh::start(no_envoy).await.expect_err("missing");
    assert_eq!(error.to_string(), "no Envoy at /no/such/envoy");
    let mut no_app = spec(demo::shop());
    no_app.app_command.program = "/no/such/app".into();
    let error = Mesh::start(no_app).await.expect_err("missing");
    assert_eq!(error.to_string(), "cannot run /no/such/app as app cart-v1");
}

#[tokio::test]
async fn an_app_that_ends_at_once_is_told_with_its_log() {
    let mut spec = spec(demo::shop());
    spec.apps[0].behaviour.forward = vec!["not a header".into()];
    let error = Mesh::start(spec).await.expect_err("ended");
    assert!(matches!(&error, MeshError::Ended { name, .. } if name == "app web-v1"), "{error}");
    assert!(error.to_string().contains("invalid HTTP header name"), "{error}");
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_told_and_one_that_was_killed_is_not() {
    let mesh = gray_shop().await;
    mesh.kill_instance("web-v2").expect("known");
    mesh.kill_app("price-v1").expect("known");
    mesh.check_running().expect("the others run");
    let quit = mesh.admin("cart-v1").expect("known").post("/quitquitquit").await.expect("an answer");
    assert_eq!(quit.status, 200);
    within(Duration::from_secs(10), "the end is seen", || mesh.check_running().is_err()).await;
    let error = mesh.check_running().expect_err("ended");
    assert!(matches!(&error, MeshError::Ended { name, .. } if name == "cart-v1"), "{error}");
}

#[tokio::test]
async fn a_call_to_nobody_is_refused_before_anything_starts() {
    let mut spec = spec(demo::shop());
    spec.apps.retain(|app| app.service != demo::host("price"));
    let error = Mesh::start(spec).await.expect_err("nobody");
    assert_eq!(error.to_string(), "stock-v1 shall call price.shop, which has no instance");
}

/// What a process of its own does in the next test: holds a mesh and says which processes it started.
#[tokio::test]
async fn holder() {
    if std::env::var_os(HOLDER).is_none() {
        return;
    }
    let mesh = gray_shop().await;
    let pids: Vec<String> = mesh.pids().iter().map(ToString::to_string).collect();
    println!("{HOLDER}={}", pids.join(","));
    std::future::pending::<()>().await;
}

const HOLDER: &str = "CANARY_TEST_HOLDER";

#[tokio::test]
async fn a_killed_owner_takes_everything_along() {
    // What is killed cannot tidy up: its run directory goes with this one.
    let dir = tempfile::tempdir().expect("dir");
    let mut holder = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "lifecycle::holder", "--nocapture"])
        .env(HOLDER, "1")
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a holder");
    let output = BufReader::new(holder.stdout.take().expect("its output"));
    let told = output.lines().map_while(Result::ok);
    let pids =
        told.filter_map(|line| line.split_once(&format!("{HOLDER}=")).map(|(_, pids)| pids.to_owned()));
    let pids = pids.take(1).next().expect("a mesh");
    let pids: Vec<u32> = pids.split(',').map(|pid| pid.parse().expect("a pid")).collect();
    assert!(pids.len() == 15 && pids.iter().all(|pid| exists(*pid)));
    holder.kill().expect("killed");
    holder.wait().expect("gone");
    within(Duration::from_secs(10), "no process is left", || !pids.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn a_proxy_is_told_who_it_is_as_istio_tells_it() {
    let mesh = gray_shop().await;
    let info = mesh.admin("web-v2").expect("known").get("/server_info").await.expect("an answer");
    let info: serde_json::Value = serde_json::from_slice(&info.body).expect("JSON");
    let node = &info["node"];
    assert_eq!(node["id"], "sidecar~127.0.0.1~web-v2.shop~shop.svc.cluster.local");
    assert_eq!(node["metadata"]["LABELS"]["canaryctl.io/lane"], "gray");
    let gateway = mesh.admin(GATEWAY).expect("known").get("/server_info").await.expect("an answer");
    assert!(gateway.text().contains("router~127.0.0.1~gateway"), "{}", gateway.text());
}

#[tokio::test]
async fn access_logs_are_whole_after_a_shutdown() {
    let dir = tempfile::tempdir().expect("dir");
    let mut spec = spec(demo::shop());
    spec.proxy.access_log = true;
    spec.run_dir = Some(dir.path().to_owned());
    let mesh = Mesh::start(spec).await.expect("a mesh");
    get(&client(&mesh), Some("gray")).await;
    mesh.shutdown().await;
    let log = std::fs::read_to_string(dir.path().join("web-v1.access.log")).expect("a log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut seen: Vec<_> =
        lines.iter().map(|line| (&line["listener"], &line["lane"], &line["status"])).collect();
    seen.sort_by_key(|line| line.0.to_string());
    let (inbound, outbound) = (serde_json::json!("inbound"), serde_json::json!("outbound"));
    let (gray, none, ok) = (serde_json::json!("gray"), serde_json::Value::Null, serde_json::json!(200));
    assert_eq!(seen, [(&inbound, &gray, &ok), (&outbound, &none, &ok)]);
}

#[tokio::test]
async fn a_requested_admin_port_is_used_or_told_to_be_taken() {
    let first = gray_shop().await;
    let taken = first.admin(GATEWAY).expect("known").address().port();
    let mut spec = spec(demo::shop());
    spec.gateway.admin_port = Some(taken);
    let error = Mesh::start(spec.clone()).await.expect_err("taken");
    assert_eq!(error.to_string(), format!("port {taken} for the admin interface of gateway is taken"));
    drop(first);
    let second = Mesh::start(spec).await.expect("a mesh");
    assert_eq!(second.admin(GATEWAY).expect("known").address().port(), taken);
}
