use std::collections::BTreeMap;

use canary_rules::name::LaneName;

use super::*;
use crate::compile::compile;
use crate::lane::{LaneRouting, Mode, RefusalStatus};
use crate::service::{Service, Workload};

fn lane(name: &str, parent: Option<&str>, mode: Mode) -> LaneRouting {
    let name_of = |name: &str| LaneName::new(name).expect("lane name");
    LaneRouting { name: name_of(name), parent: parent.map(name_of), mode, members: BTreeMap::new() }
}

fn service(host: &str, lanes: &[Option<&str>]) -> Service {
    let workload = |(index, lane): (usize, &Option<&str>)| Workload {
        name: format!("v{}", index + 1),
        labels: lane.iter().map(|lane| (LANE_LABEL.into(), (*lane).into())).collect(),
    };
    Service {
        host: host.parse().expect("host"),
        port: 80,
        workloads: lanes.iter().enumerate().map(workload).collect(),
    }
}

fn rendered(lanes: &[LaneRouting], services: &[Service]) -> Objects {
    let header = HeaderName::new("x-canary-lane").expect("header");
    render(&compile(lanes, services, &header).expect("a plan"))
}

#[test]
fn a_host_that_no_lane_touches_gets_no_objects() {
    let objects = rendered(
        &[lane("gray", None, Mode::Permissive)],
        &[service("cart.shop", &[None]), service("web.shop", &[None, Some("gray")])],
    );
    assert_eq!(objects.virtual_services.len(), 1);
    insta::assert_yaml_snapshot!(objects);
}

#[test]
fn lanes_rank_their_own_first_and_each_other_last() {
    let objects = rendered(
        &[
            lane("alice", None, Mode::Permissive),
            lane("gray", None, Mode::Permissive),
            lane("gray.checkout", Some("gray"), Mode::Permissive),
        ],
        &[service("web.shop", &[None, Some("gray"), Some("gray.checkout"), Some("alice"), Some("gone")])],
    );
    insta::assert_yaml_snapshot!(objects);
    check_ranks(&objects, "canary-gray", &[("v2", 0), ("v1", 1)]);
    check_ranks(&objects, &subset_of("gray.checkout"), &[("v3", 0), ("v2", 1), ("v1", 2)]);
    check_ranks(&objects, "canary-alice", &[("v4", 0), ("v1", 1)]);
}

#[test]
fn a_strict_lane_selects_its_own_and_refuses_where_it_has_none() {
    let objects = rendered(
        &[lane("gray", None, Mode::Strict(RefusalStatus::default()))],
        &[service("cart.shop", &[None]), service("web.shop", &[None, Some("gray")])],
    );
    insta::assert_yaml_snapshot!(objects);
}

fn subset_of(lane: &str) -> String {
    crate::plan::SubsetName::of(&LaneName::new(lane).expect("lane name")).as_str().into()
}

/// Ranks the workloads as Istio does, by the leading keys they match: those given come first, in this order.
#[track_caller]
fn check_ranks(objects: &Objects, subset: &str, want: &[(&str, usize)]) {
    let rule = &objects.destination_rules[0].spec;
    let subset = rule.subsets.iter().find(|s| s.name == subset).expect("subset");
    let policy = subset.traffic_policy.as_ref().expect("a policy");
    let keys = &policy.load_balancer.locality_lb_setting.failover_priority;
    let labels_of = |workload: &str| {
        let found = objects.pod_labels.iter().find(|pod| pod.workload == workload);
        found.map(|pod| pod.labels.clone()).unwrap_or_default()
    };
    let unmatched = |workload: &str| {
        let labels = labels_of(workload);
        let matches = |key: &&String| {
            let (key, value) = key.split_once('=').expect("key=value");
            labels.get(key).map_or("", String::as_str) == value
        };
        keys.len() - keys.iter().take_while(matches).count()
    };
    let last = want.len() - 1;
    for (workload, rank) in want {
        assert_eq!(unmatched(workload), *rank, "{workload}");
    }
    for workload in ["v1", "v2", "v3", "v4", "v5"] {
        if !want.iter().any(|(wanted, _)| *wanted == workload) {
            assert!(unmatched(workload) > last, "{workload} ranks with {want:?}");
        }
    }
}
