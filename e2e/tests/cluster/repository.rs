//! A release beside a tool that applies its Deployment from a repository, over and over.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::judge::{Lane, Rules};
use crate::load::Load;
use crate::manifests::{self, NEXT_IMAGE};
use crate::releases::{forget, is_over, release};
use crate::shop::Shop;

const LANE: Lane = Lane { services: &["stock"], end: "-r" };
/// How long a release may take to come to where it waits, or to its end.
const THERE_WITHIN: Duration = Duration::from_secs(120);

/// The tool: it applies what the repository says until it is dropped.
struct Tool {
    repository: Arc<Mutex<Repository>>,
    applies: Option<JoinHandle<()>>,
}

struct Repository {
    deployment: Value,
    applied: usize,
    ends: bool,
}

impl Tool {
    fn start(shop: &Shop) -> Self {
        let deployment = manifests::deployment(shop.namespace(), Shop::service("stock"), "v1", None, 1);
        let repository = Arc::new(Mutex::new(Repository { deployment, applied: 0, ends: false }));
        let (cluster, read) = (shop.cluster().clone(), repository.clone());
        let applies = std::thread::spawn(move || goes_on(&cluster, &read));
        Self { repository, applies: Some(applies) }
    }

    /// Somebody commits this image.
    fn commit(&self, image: &str) {
        let mut repository = self.repository.lock().expect("it applies");
        repository.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    }

    /// Waits until what the repository says now is applied so many times more.
    fn applied(&self, shop: &Shop, times: usize) {
        let applied = || self.repository.lock().expect("it applies").applied;
        // One may be under way that began before.
        let wanted = applied() + times + 1;
        shop.cluster().until("it is applied", THERE_WITHIN, || (applied() >= wanted).then_some(()));
    }
}

fn goes_on(cluster: &Cluster, read: &Mutex<Repository>) {
    loop {
        let deployment = {
            let repository = read.lock().expect("nobody panics with it");
            if repository.ends {
                return;
            }
            repository.deployment.clone()
        };
        cluster.apply(&[deployment]);
        read.lock().expect("nobody panics with it").applied += 1;
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Ok(mut repository) = self.repository.lock() {
            repository.ends = true;
        }
        // Its own failure has been told.
        let _ = self.applies.take().map(JoinHandle::join);
    }
}

/// The Deployment's count of changes, and its image.
fn stock(shop: &Shop) -> (Value, Value) {
    let found = shop.cluster().get(&["-n", shop.namespace(), "deploy", "stock-v1"]);
    (
        found["metadata"]["generation"].clone(),
        found["spec"]["template"]["spec"]["containers"][0]["image"].clone(),
    )
}

/// Waits until the release is in this phase and what it waits for says so.
fn until(shop: &Shop, phase: &str, says: &str) {
    shop.cluster().until(&format!("{phase}, {says}"), THERE_WITHIN, || {
        let status = shop.cluster().get(&["release", "r"])["status"].clone();
        let message = status["trouble"]["message"].as_str().unwrap_or_default();
        (status["phase"] == phase && message.contains(says)).then_some(())
    });
}

pub(crate) async fn applied(shop: &Shop) {
    shop.installed();
    let load = Load::of_many(shop, LANE, Rules::Spreading, 5000);
    let tool = Tool::start(shop);
    let (untouched, old) = stock(shop);
    let image = format!("stock={NEXT_IMAGE}");
    release(shop, &["start", "r", "--image", &image, "--cookie", "gray=1", "--steps", "20"]).await.ok();
    load.rules(Rules::Shared);
    tool.applied(shop, 2);
    load.more(50).await;
    assert_eq!(stock(shop), (untouched, old.clone()), "until the end the Deployment is left alone");
    release(shop, &["promote", "--wait=false"]).await.ok();
    // It is given the new image once; the tool gives it the old one again, and that is that.
    until(shop, "Promoting", "give it the new ones, or abort");
    tool.applied(shop, 1);
    let rests = stock(shop);
    assert_eq!(rests.1, old);
    tool.applied(shop, 3);
    assert_eq!(stock(shop), rests, "nobody fights over it");
    load.rules(Rules::Spreading);
    tool.commit(NEXT_IMAGE);
    until(shop, "Completed", "");
    load.rules(Rules::Off);
    load.more(50).await;
    release(shop, &["undo", "r", "--wait=false"]).await.ok();
    until(shop, "Undoing", "the new images again");
    let rests = stock(shop);
    assert_eq!(rests.1, NEXT_IMAGE);
    tool.applied(shop, 3);
    assert_eq!(stock(shop), rests, "nobody fights over it");
    let Value::String(old) = old else { panic!("{old}") };
    tool.commit(&old);
    until(shop, "Undone", "");
    forget(shop);
    // Who commits the new image while users are in the lane promotes by that.
    load.rules(Rules::Spreading);
    release(shop, &["start", "r", "--image", &image, "--cookie", "gray=1", "--steps", "20"]).await.ok();
    tool.commit(NEXT_IMAGE);
    until(shop, "Completed", "");
    load.rules(Rules::Off);
    load.more(50).await;
    tool.commit(&old);
    tool.applied(shop, 1);
    shop.rolled_out();
    drop(tool);
    load.end().await.clean(250);
    is_over(shop, "");
    forget(shop);
}
