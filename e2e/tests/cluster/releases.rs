//! New versions of two services as one release, under load.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use serde_json::Value;

use crate::judge::{Lane, Rules};
use crate::load::Load;
use crate::manifests::NEXT_IMAGE;
use crate::shop::Shop;

const SERVICES: [&str; 2] = ["stock", "price"];
/// Where the copies of release r stand.
pub(crate) const LANE: Lane = Lane { services: &SERVICES, end: "-r" };

/// `canaryctl release …` for release r.
pub(crate) async fn release(shop: &Shop, args: &[&str]) -> crate::cluster::Ran {
    shop.cluster().canaryctl_beside(&[&["-n", shop.namespace(), "release"], args].concat()).await
}

/// Begins release r of both services, for who has the cookie.
pub(crate) async fn start(shop: &Shop, more: &[&str]) -> crate::cluster::Ran {
    start_of(shop, &SERVICES, &[&["--cookie", "gray=1"], more].concat()).await
}

/// Begins release r of these services.
pub(crate) async fn start_of(shop: &Shop, services: &[&str], more: &[&str]) -> crate::cluster::Ran {
    let images: Vec<String> = services.iter().map(|service| format!("{service}={NEXT_IMAGE}")).collect();
    let images: Vec<&str> = images.iter().flat_map(|image| ["--image", image]).collect();
    release(shop, &[&["start", "r"], images.as_slice(), more].concat()).await
}

/// Asserts that the release is over and has left nothing but these images.
#[track_caller]
pub(crate) fn is_over(shop: &Shop, image: &str) {
    let deployments = shop.cluster().get(&["-n", shop.namespace(), "deploy"]);
    for deployment in deployments["items"].as_array().expect("a list") {
        let name = deployment["metadata"]["name"].as_str().expect("a name");
        assert!(name.ends_with("-v1"), "{name} is left");
        let is_released = SERVICES.iter().any(|service| name == format!("{service}-v1"));
        let has = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(has == NEXT_IMAGE, is_released && image == NEXT_IMAGE, "{name} has {has}");
    }
    let lanes = shop.cluster().get(&["lanes"]);
    assert_eq!(lanes["items"], Value::Array(Vec::new()));
}

#[track_caller]
pub(crate) fn forget(shop: &Shop) {
    shop.cluster().kubectl(&["delete", "releases", "--all", "--wait=true", "--timeout=60s"]).ok();
}

/// Who watches a release sees the pods of each of its Deployments, those of the lane first.
#[track_caller]
fn shows_its_pods(shop: &Shop) {
    let mut watch = shop.cluster().start("canaryctl", &["release", "status", "r", "-w"]);
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let shown: Vec<String> =
        lines.map(|line| line.expect("text")).take_while(|line| !line.starts_with("Next:")).collect();
    watch.kill().expect("it goes on until it is over");
    watch.wait().expect("it ends");
    for service in SERVICES {
        let at = |what: &str| shown.iter().position(|line| line.contains(what));
        let (lane, stable) = (at(&format!(" {service}-v1-r-")), at(&format!(" {service}-v1-")));
        let line = lane.and_then(|at| shown.get(at)).map_or("", String::as_str);
        assert!(line.ends_with("1/1 ready   lane") && lane == stable, "{shown:#?}");
    }
    let ready = shown.iter().filter(|line| line.contains(" ✓ ") && line.contains("-v1-")).count();
    assert_eq!(ready, 2 * SERVICES.len(), "{shown:#?}");
}

pub(crate) async fn through(shop: &Shop) {
    shop.installed();
    let load = Load::of_lane(shop, LANE, Rules::Off);
    load.more(50).await;
    load.rules(Rules::Spreading);
    let started = start(shop, &["--steps", "10,50"]).await.ok();
    assert!(started.stdout.contains("step 1 of 2: 10 % of users"), "{started}");
    load.rules(Rules::Shared);
    load.more(200).await;
    let half = release(shop, &["promote"]).await.ok();
    assert!(half.stdout.contains("step 2 of 2: 50 % of users"), "{half}");
    tokio::task::block_in_place(|| shows_its_pods(shop));
    load.more(200).await;
    load.rules(Rules::Spreading);
    let done = release(shop, &["promote"]).await.ok();
    assert!(done.stdout.contains("completed"), "{done}");
    load.rules(Rules::Off);
    load.more(100).await;
    is_over(shop, NEXT_IMAGE);
    let undone = release(shop, &["undo"]).await.ok();
    assert!(undone.stdout.contains("undone"), "{undone}");
    load.more(50).await;
    load.end().await.clean(600);
    is_over(shop, "");
    let release = shop.cluster().get(&["release", "r"]);
    assert_eq!(release["status"]["phase"], "Undone");
    is_told_in_events(shop, &release);
    forget(shop);
}

/// Asserts that all of a release's history is there as Events too.
#[track_caller]
fn is_told_in_events(shop: &Shop, release: &Value) {
    let entries = release["status"]["history"].as_array().expect("a history");
    let history: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["what"].as_str()).collect();
    shop.cluster().until("every entry is an Event", Duration::from_secs(30), || {
        let events = shop.cluster().get(&["-n", "default", "events.events.k8s.io"]);
        let events = events["items"].as_array().expect("a list").iter();
        let own = events.filter(|event| event["regarding"]["uid"] == release["metadata"]["uid"]);
        let own = own.filter(|event| event["type"] == "Normal");
        let told: BTreeSet<&str> = own.filter_map(|event| event["note"].as_str()).collect();
        (told == history).then_some(())
    });
}

pub(crate) async fn aborted(shop: &Shop) {
    shop.installed();
    let load = Load::of_lane(shop, LANE, Rules::Off);
    for steps in 0..3 {
        load.rules(Rules::Spreading);
        start(shop, &["--steps", "20,60"]).await.ok();
        for _ in 0..steps {
            // The last one is on its way to the Deployments when it is called back.
            let waits = if steps == 2 { "--wait=false" } else { "--wait" };
            release(shop, &["promote", waits]).await.ok();
            load.more(30).await;
        }
        release(shop, &["abort"]).await.ok();
        load.rules(Rules::Off);
        load.more(50).await;
        is_over(shop, "");
        forget(shop);
    }
    load.end().await.clean(200);
}

pub(crate) async fn killed(shop: &Shop) {
    shop.installed();
    let load = Load::of_lane(shop, LANE, Rules::Spreading);
    let kill = async |rounds: u64| {
        for round in 0..rounds {
            tokio::time::sleep(Duration::from_millis(300 + 350 * round)).await;
            shop.cluster().kill_controllers();
        }
    };
    let (started, ()) = tokio::join!(start(shop, &["--steps", "30"]), kill(3));
    started.ok();
    let (done, ()) = tokio::join!(release(shop, &["promote"]), kill(4));
    done.ok();
    load.rules(Rules::Off);
    load.more(50).await;
    load.end().await.clean(100);
    is_over(shop, NEXT_IMAGE);
    release(shop, &["undo"]).await.ok();
    forget(shop);
}

pub(crate) async fn stuck(shop: &Shop) {
    shop.installed();
    let load = Load::of_lane(shop, LANE, Rules::Off);
    let none = "canary-lab.test/none:7";
    let image = format!("stock={none}");
    let given = ["start", "r", "--image", &image, "--cookie", "gray=1", "--timeout", "30s"];
    let late = release(shop, &given).await;
    assert_eq!(late.code, 4, "{late}");
    assert!(late.stderr.contains("0 of 1 pods"), "{late}");
    shop.cluster().until("the release says why", Duration::from_secs(90), || {
        let trouble = shop.cluster().get(&["release", "r"])["status"]["trouble"].clone();
        let message = trouble["message"].as_str().unwrap_or_default();
        (message.contains("container app: ") && message.contains("ImagePull")).then_some(())
    });
    // A second one that wants the same is told who has it.
    let second = release(shop, &["start", "s", "--image", &image, "--timeout", "20s"]).await;
    assert_eq!(second.code, 3, "{second}");
    assert!(second.stderr.contains("is in release r"), "{second}");
    release(shop, &["abort", "s"]).await.ok();
    load.more(50).await;
    release(shop, &["abort", "r"]).await.ok();
    load.end().await.clean(50);
    is_over(shop, "");
    let wrong = release(shop, &["start", "--image", "nothing=x:1"]).await;
    assert_eq!(wrong.code, 1, "{wrong}");
    assert!(wrong.stderr.contains("there is no Deployment") && wrong.stderr.contains("stock-v1"), "{wrong}");
    forget(shop);
}
