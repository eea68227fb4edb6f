use super::*;
use crate::plan::SubsetName;
use crate::testing::{child, compiled, lane, lane_name, service, strict};

/// Ranks the workloads as Istio does, by the leading keys they match: those given come first, in this order,
/// and every other one after them.
#[track_caller]
fn check_ranks(host: &HostPlan, lane: &str, want: &[(&str, usize)]) {
    let subset = host.subset(&SubsetName::of(&lane_name(lane))).expect("a subset");
    let keys = lane_keys(subset, &lanes_here(host)).expect("keys");
    let labels = pod_labels(host);
    let unmatched = |workload: &str| {
        let found = labels.iter().find(|pod| pod.workload == workload);
        let labels = found.map(|pod| pod.labels.clone()).unwrap_or_default();
        let matches = |key: &&String| {
            let (key, value) = key.split_once('=').expect("key=value");
            labels.get(key).map_or("", String::as_str) == value
        };
        keys.len() - keys.iter().take_while(matches).count()
    };
    for (workload, rank) in want {
        assert_eq!(unmatched(workload), *rank, "{workload} by {keys:?}");
    }
    for workload in ["v1", "v2", "v3", "v4", "v5"] {
        if !want.iter().any(|(wanted, _)| *wanted == workload) {
            assert!(unmatched(workload) >= want.len(), "{workload} ranks with {want:?}");
        }
    }
}

#[test]
fn lanes_rank_their_own_first_and_each_other_last() {
    let plan = compiled(
        &[lane("alice"), lane("gray"), child("gray.checkout", "gray")],
        &[service("web.shop", &["v1", "v2:gray", "v3:gray.checkout", "v4:alice", "v5:gone"])],
    );
    let web = &plan.hosts[0];
    check_ranks(web, "gray", &[("v2", 0), ("v1", 1)]);
    check_ranks(web, "gray.checkout", &[("v3", 0), ("v2", 1), ("v1", 2)]);
    check_ranks(web, "alice", &[("v4", 0), ("v1", 1)]);
}

#[test]
fn a_strict_lane_selects_its_own() {
    let plan = compiled(&[strict("only")], &[service("web.shop", &["v1", "v2:only"])]);
    let subset = &plan.hosts[0].subsets[0];
    assert_eq!(lane_keys(subset, &lanes_here(&plan.hosts[0])), None);
    assert_eq!(own_labels(&subset.lane), Labels::from([(LANE_LABEL.into(), "only".into())]));
}

#[test]
fn members_carry_their_ancestors_keys() {
    let plan = compiled(
        &[lane("gray"), child("gray.checkout", "gray")],
        &[service("web.shop", &["v1", "v2:gray", "v3:gray.checkout", "v5:gone"])],
    );
    let labels = pod_labels(&plan.hosts[0]);
    let texts: Vec<String> = labels.iter().map(|pod| format!("{}: {:?}", pod.workload, pod.labels)).collect();
    assert_eq!(
        texts,
        [
            r#"v2: {"canaryctl.io/lane": "gray", "lane.canaryctl.io/gray": "member"}"#,
            r#"v3: {"canaryctl.io/lane": "gray.checkout", "lane.canaryctl.io/gray": "member", "lane.canaryctl.io/gray.checkout": "member"}"#,
            r#"v5: {"lane.canaryctl.io/gone": "member"}"#,
        ]
    );
}

#[test]
fn our_keys_are_told_from_others() {
    for key in ["canaryctl.io/lane=", "lane.canaryctl.io/gray=", "lane.canaryctl.io/gray=member"] {
        assert!(is_ours(key), "{key}");
    }
    for key in ["canaryctl.io/lanes=", "topology.kubernetes.io/zone", "version=v1"] {
        assert!(!is_ours(key), "{key}");
    }
}
