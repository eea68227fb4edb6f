use canary_istio::{Observed, ObservedService, Workload};
use serde_json::{Value, json};

use super::*;
use crate::steer::{Member, OnLane};

fn labels(of: &[(&str, &str)]) -> Labels {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn stock(workloads: Vec<Workload>) -> ObservedService {
    ObservedService {
        host: "stock.shop".parse().expect("a host"),
        ports: Vec::new(),
        headless: false,
        selector: labels(&[("app", "stock")]),
        workloads,
        http_routes: canary_istio::observed::HttpRoutes::default(),
        distribution: None,
        exchanged: None,
        copies: Vec::new(),
    }
}

fn policy(kind: &'static str, namespace: &str, spec: &Value) -> Option<Policy> {
    Policy::read(kind, &json!({"metadata": {"namespace": namespace, "name": "p"}, "spec": spec}))
}

/// What is said of a policy where stock-v1 serves everybody and a workload with these labels lane gray.
fn judged(kind: &'static str, namespace: &str, spec: &Value, lane: &[(&str, &str)]) -> Vec<String> {
    let workload = |name: &str, of: &[(&str, &str)]| Workload { name: name.into(), labels: labels(of) };
    let v1 = workload("stock-v1", &[("app", "stock"), ("version", "v1")]);
    let services = vec![stock(vec![v1, workload("stock-gray", lane)])];
    let seen = Seen { observed: Observed { services, ..Observed::default() }, ..Seen::default() };
    let member = Member { service: "shop/stock".into(), workload: "stock-gray".into(), pods: 1 };
    let on = OnLane { epoch: 0, buckets: String::new(), members: vec![member], faults: Vec::new() };
    let course =
        Course { lanes: [("gray".to_owned(), Verdict::On(Box::new(on)))].into(), ..Course::default() };
    let policies: Vec<Policy> = policy(kind, namespace, spec).into_iter().collect();
    let mut report = Report::default();
    judge(&policies, &seen, &course, &mut report);
    report
        .issues
        .into_iter()
        .map(|issue| format!("{} {} → {}", issue.code, issue.message, issue.mend))
        .collect()
}

const COPY: &[(&str, &str)] = &[("app", "stock"), ("version", "v1"), (LANE_LABEL, "gray")];
const OTHER: &[(&str, &str)] = &[("app", "stock"), ("version", "v2"), (LANE_LABEL, "gray")];

#[track_caller]
fn check(kind: &'static str, namespace: &str, spec: Value, lane: &[(&str, &str)], found: bool) {
    let said = judged(kind, namespace, &spec, lane);
    assert_eq!(said.len(), usize::from(found), "{kind} {spec} {lane:?}: {said:?}");
}

#[test]
fn a_policy_that_leaves_a_lanes_pods_out_is_named() {
    let selector = json!({"selector": {"matchLabels": {"app": "stock", "version": "v1"}}});
    let want = "CC308 AuthorizationPolicy shop/p holds for pods of shop/stock, but not for those of stock-gray in lane \
                gray → let it select by labels that all of them have, or give those pods version=v1";
    assert_eq!(judged("AuthorizationPolicy", "shop", &selector, OTHER), [want]);
    check("RequestAuthentication", "shop", selector.clone(), OTHER, true);
    check("AuthorizationPolicy", "istio-system", selector.clone(), OTHER, true);
    check("AuthorizationPolicy", "pay", selector, OTHER, false);
    let pods = json!({"podSelector": {"matchLabels": {"version": "v1"}}});
    check("NetworkPolicy", "shop", pods.clone(), OTHER, true);
    check("NetworkPolicy", "istio-system", pods, OTHER, false);
    let expression = json!({"key": LANE_LABEL, "operator": "DoesNotExist"});
    check("NetworkPolicy", "shop", json!({"podSelector": {"matchExpressions": [expression]}}), COPY, true);
}

#[test]
fn a_policy_that_holds_for_all_or_for_neither_is_well() {
    for selector in [json!({"app": "stock"}), json!({"version": "v3"}), json!({})] {
        check("AuthorizationPolicy", "shop", json!({"selector": {"matchLabels": selector}}), OTHER, false);
        check("NetworkPolicy", "shop", json!({"podSelector": {"matchLabels": selector}}), OTHER, false);
    }
    check("AuthorizationPolicy", "shop", json!({}), OTHER, false);
    check("NetworkPolicy", "shop", json!({"podSelector": {}}), OTHER, false);
    let of_gateway =
        json!({"selector": {"matchLabels": {"version": "v1"}}, "targetRefs": [{"kind": "Gateway"}]});
    check("AuthorizationPolicy", "shop", of_gateway, OTHER, false);
}

#[test]
fn a_copy_is_under_what_its_original_is_under() {
    let selector = json!({"matchLabels": {"app": "stock", "version": "v1"}});
    check("AuthorizationPolicy", "shop", json!({"selector": selector}), COPY, false);
    check("NetworkPolicy", "shop", json!({"podSelector": selector}), COPY, false);
}
