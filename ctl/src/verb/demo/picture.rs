//! The demo's mesh as the page shows it.

use std::collections::BTreeMap;

use canary_localmesh::Mesh;
use canary_localmesh::spec::AppSpec;
use canary_rules::lane::Lane;
use serde_json::{Value, json};

use super::shop::{Shop, apps};
use crate::dashboard::Picture;
use crate::dashboard::picture::{About, LaneView};
use crate::dashboard::service_graph::{Call, Graph, Serves, id};

/// All of it but the flows. `lanes` are all there are; those of the shop are on.
pub(super) async fn picture(lanes: &[Lane], shop: &Shop, mesh: &Mesh) -> Picture {
    let apps = apps();
    let services = canary_localmesh::services(&apps);
    let on = shop.lanes().iter().map(|lane| &lane.metadata.name);
    let mut graph = Graph::new(&services, &mesh.plan().await, on);
    graph.calls = calls(&apps);
    graph.entries = [id(&canary_localmesh::demo::entry())].into();
    let proxies = mesh.proxies().count();
    let about = About {
        title: format!("demo: {} services and {proxies} Envoys on this machine", services.len()),
        gateway: Some(mesh.gateway_url()),
        sends_flows: true,
        watches_lanes: false,
        turns_lanes: true,
        shows_releases: false,
        trouble: mesh.check_running().err().map(|error| error.to_string()),
    };
    let lanes =
        lanes.iter().map(|lane| lane_view(lane, graph.paths.get(lane.metadata.name.as_str()), proxies));
    Picture { about, lanes: lanes.collect(), graph, ..Picture::default() }
}

fn calls(apps: &[AppSpec]) -> Vec<Call> {
    let calls = apps
        .iter()
        .flat_map(|app| app.behaviour.calls.iter().map(|to| Call { from: id(&app.service), to: id(to) }));
    let mut calls: Vec<Call> = calls.collect();
    calls.sort();
    calls.dedup();
    calls
}

/// A lane as a controller would report it; `path` is none where it is off.
fn lane_view(lane: &Lane, path: Option<&BTreeMap<String, Serves>>, proxies: usize) -> LaneView {
    let mut value = serde_json::to_value(lane).unwrap_or_default();
    let Some(path) = path else { return LaneView { state: "off".into(), ..LaneView::of(&value) } };
    let name = lane.metadata.name.as_str();
    let own = path.iter().filter_map(|(service, serves)| match serves {
        Serves::Lane { lane, workloads } if lane == name => Some((service, workloads)),
        _ => None,
    });
    let members: Vec<Value> = own
        .flat_map(|(service, workloads)| {
            workloads.iter().map(move |workload| json!({"service": service, "workload": workload, "pods": 1}))
        })
        .collect();
    value["status"] = json!({
        "members": members,
        "proxies": {"reached": proxies, "total": proxies},
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "Valid", "message": "its rules are sound"},
            {"type": "Programmed", "status": "True", "reason": "Programmed", "message": "every proxy has it"},
        ],
    });
    LaneView::of(&value)
}
