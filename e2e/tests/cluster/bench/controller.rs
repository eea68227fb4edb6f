//! What the controller keeps in memory, with few services and with many.

use std::fmt::Write as _;

use canary_e2e::bench::usage::{Resident, resident};
use serde_json::json;

use super::changes::timed;
use super::{Section, processes};
use crate::cluster::Cluster;
use crate::shop::{GRAY_SERVICES, Shop};

const NAMESPACES: usize = 10;
/// By this label their namespaces are found.
const LABEL: &str = "canary-bench";
const SERVICES: usize = 1000;

pub(super) fn measure(shop: &Shop) -> Section {
    super::install(shop);
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let mut rows = Vec::new();
    rows.push(("few services", lane(shop), memory(shop)));
    create(shop);
    rows.push(("1,000 services more", lane(shop), memory(shop)));
    rows.push(("the same once istiod has told everybody", lane(shop), memory(shop)));
    delete_services(shop.cluster());
    rows.push(("those deleted", lane(shop), memory(shop)));
    shop.remove("gray");
    let mut text = String::from(
        "The leader's process after a lane has come and gone, and how long `enable` took then. The services more have no \
         pods; `enable` begins right after they were made, while istiod still tells every proxy of them.\n\n| mesh | RSS MB | of it anonymous | enable s |\n|---|---:|---:|---:|\n",
    );
    for (mesh, enable, memory) in rows {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let _ =
            writeln!(text, "| {mesh} | {:.1} | {:.1} | {enable:.2} |", mb(memory.all), mb(memory.anonymous));
    }
    Section { title: "The controller's memory", text }
}

fn namespace(number: usize) -> String {
    format!("bench-{number}")
}

fn create(shop: &Shop) {
    let namespaces = (0..NAMESPACES).map(|number| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace(number), "labels": {LABEL: "yes"}},
        })
    });
    let services = (0..SERVICES).map(|number| {
        let name = format!("service-{number}");
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": namespace(number % NAMESPACES)},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        })
    });
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": namespaces.chain(services).collect::<Vec<_>>()});
    shop.cluster().run("kubectl", &["create", "-f", "-"], Some(&list.to_string())).ok();
}

/// Deletes them, where any are.
pub(super) fn delete_services(cluster: &Cluster) {
    cluster.kubectl(&["delete", "namespace", "-l", LABEL, "--timeout=300s"]);
}

/// Has a lane come and go, by which the controller has seen all there is; returns how long it took to come.
fn lane(shop: &Shop) -> f64 {
    // istiod may be busy with all those services yet.
    let took = timed(shop, &["enable", "--cookie", "gray=1", "--timeout", "5m"]);
    shop.cluster().canaryctl(&["disable"]).ok();
    took
}

fn memory(shop: &Shop) -> Resident {
    let lease = shop.cluster().get(&["-n", "canaryctl-system", "lease", "canaryctl-controller"]);
    let holder = lease["spec"]["holderIdentity"].as_str().expect("a leader");
    let pods = shop.cluster().get(&["-n", "canaryctl-system", "pods"]);
    let names =
        pods["items"].as_array().into_iter().flatten().filter_map(|pod| pod["metadata"]["name"].as_str());
    let leader = names.filter(|name| holder.contains(name)).collect::<Vec<_>>();
    let process =
        leader.iter().flat_map(|pod| processes::canaryctl(pod)).next().expect("a process of this machine");
    resident(process).expect("its memory")
}
