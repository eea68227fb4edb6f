//! What stays and what does not: processes, ports, files, and errors that say what is wrong.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use canary_localmesh::{Mesh, MeshError, demo};

use crate::common::{exists, gray_shop, runs, spec, within};

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
    let mut holder = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "lifecycle::holder", "--nocapture"])
        .env(HOLDER, "1")
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
