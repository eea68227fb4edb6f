//! What must hold for any mesh and any lanes: plans end, each step of them is safe, and nothing of us stays.

use proptest::prelude::*;

use super::*;
use crate::hosts::{HostName, service_named};
use crate::plan::SubsetName;
use crate::testing::effective::effective;
use crate::testing::lanes_of_every_sort;
use crate::testing::meshes::{mesh, some_lanes};

const NAMESPACES: [&str; 4] = ["back", "front", "istio-system", "shop"];

/// A route's destination that names a subset, as one client sees it.
pub(super) type Lead = (String, String, String, String);

/// Destinations with a subset, by client namespace: those that are there, and those that are not.
pub(super) fn leads(observed: &Observed) -> (Vec<Lead>, Vec<Lead>) {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for object in &observed.virtual_services {
        let seen_by = Exported::of(&object.spec()["exportTo"], object.namespace());
        let is_delegate = object.spec()["hosts"].as_array().is_none_or(Vec::is_empty);
        let routes = object.spec()["http"].as_array().into_iter().flatten();
        for (client, route) in
            NAMESPACES.iter().flat_map(|client| routes.clone().map(move |route| (*client, route)))
        {
            let sees = is_delegate || seen_by.meets(&Exported::To([client.to_owned()].into()));
            let lists =
                ["route", "mirrors"].iter().flat_map(|list| route[*list].as_array().into_iter().flatten());
            for weighted in lists.filter(|_| sees) {
                let destination = &weighted["destination"];
                let host =
                    destination["host"].as_str().and_then(|host| service_named(host, object.namespace()));
                let subset = destination["subset"].as_str().filter(|subset| !subset.is_empty());
                let (Some(host), Some(subset)) = (host, subset) else { continue };
                let lead =
                    (client.to_owned(), host.namespace.to_owned(), host.name.to_owned(), subset.to_owned());
                match effective(observed, client, host).has(subset) {
                    true => there.push(lead),
                    false => missing.push(lead),
                }
            }
        }
    }
    (there, missing)
}

/// Nothing may lead nowhere that did not lead nowhere without us.
fn check_safe(observed: &Observed, original: &Observed, step: &str) -> Result<(), TestCaseError> {
    let (there_before, _) = leads(original);
    for lead in leads(observed).1 {
        prop_assert!(
            !lead.3.starts_with("canary-"),
            "{} leads to a subset that is not there: {:?}",
            step,
            lead
        );
        prop_assert!(!there_before.contains(&lead), "{} took a subset away: {:?}", step, lead);
    }
    Ok(())
}

/// Carries a plan out step by step.
pub(super) fn walk(
    observed: &mut Observed,
    original: &Observed,
    lanes: &[LaneRouting],
) -> Result<ClusterPlan, TestCaseError> {
    let plan = planned(lanes, observed);
    label_pods(observed, &plan);
    check_safe(observed, original, "the start")?;
    check_mirrors(observed)?;
    for change in &plan.changes {
        let applied = apply(observed, change);
        prop_assert!(applied.is_ok(), "{change}: {:?}", applied);
        check_safe(observed, original, &change.to_string())?;
        check_mirrors(observed)?;
    }
    let again = planned(lanes, observed);
    prop_assert_eq!(again.changes, vec![]);
    prop_assert_eq!(again.pod_labels, vec![]);
    Ok(plan)
}

/// Every client of a service with lane pods puts the baseline first, unless a finding says why not.
fn check_pinned(observed: &Observed, plan: &ClusterPlan) -> Result<(), TestCaseError> {
    for service in &observed.services {
        let has_lane_pods =
            service.workloads.iter().any(|one| one.labels.contains_key(crate::lane::LANE_LABEL));
        let mut refused = plan.findings.iter().filter_map(Finding::refused);
        if !has_lane_pods || refused.clone().any(|refused| refused == Refused::Everybody(&service.host)) {
            continue;
        }
        let mut service = service.clone();
        if refused.any(|refused| refused == Refused::Exchange(&service.host)) {
            service.exchanged = None;
        }
        let service = &service;
        for client in NAMESPACES {
            let policy = effective(observed, client, HostName::from(&service.host)).policy;
            let ports = policy["portLevelSettings"].as_array().into_iter().flatten();
            check_connections(service, &policy)?;
            let is_theirs = |entry: &Value| theirs(service).any(|port| entry["port"]["number"] == port);
            let ports = ports.filter(|entry| entry["port"].is_object() && !is_theirs(entry));
            for policy in ports.chain([&policy]) {
                let balancer = &policy["loadBalancer"];
                let mut settings =
                    ["localityLbSetting", "zoneAwareLbSetting"].iter().map(|key| &balancer[*key]);
                let pinned = settings.any(|setting| {
                    setting["failoverPriority"][0] == "canaryctl.io/lane=" && setting["enabled"] != false
                });
                prop_assert!(pinned, "{} at {}: {}", client, service.host, policy);
                prop_assert!(policy["outlierDetection"].is_object(), "{}", policy);
            }
        }
    }
    Ok(())
}

/// The ports of a service whose connections somebody has.
fn theirs(service: &ObservedService) -> impl Iterator<Item = u16> {
    let has = service.workloads.iter().any(|one| one.name == "agent");
    service.exchanged.iter().filter(move |_| has).flat_map(|exchanged| exchanged.ports.iter().copied())
}

/// Who has connections comes first at their ports, the baseline then, and lanes last.
fn check_connections(service: &ObservedService, policy: &Value) -> Result<(), TestCaseError> {
    for port in theirs(service) {
        let mut ports = policy["portLevelSettings"].as_array().into_iter().flatten();
        let entry = ports.find(|entry| entry["port"]["number"] == port);
        prop_assert!(entry.is_some(), "{} of {}: {}", port, service.host, policy);
        let entry = entry.unwrap_or(&Value::Null);
        let keys = ["localityLbSetting", "zoneAwareLbSetting"].map(|key| &entry["loadBalancer"][key]);
        let keys = keys.iter().find_map(|setting| setting["failoverPriority"].as_array());
        let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
        // Those of others tell pods of one tier apart.
        let ours = keys.iter().take_while(|key| key.starts_with(failover::LANE_KEY_PREFIX));
        let rank = |one: &crate::service::Workload| {
            let holds = |key: &&&str| {
                let (key, value) = key.split_once('=').unwrap_or_default();
                one.labels.get(key).map_or("", String::as_str) == value
            };
            ours.clone().take_while(holds).count()
        };
        let ranks = |is_one: fn(Option<&str>) -> bool| {
            let lane = |one: &&crate::service::Workload| {
                is_one(one.labels.get(crate::lane::LANE_LABEL).map(String::as_str))
            };
            service.workloads.iter().filter(lane).map(rank).collect::<Vec<_>>()
        };
        let agents = ranks(|lane| lane == Some(crate::lane::EXCHANGE));
        let baseline = ranks(|lane| lane.is_none());
        let lanes = ranks(|lane| lane.is_some_and(|lane| lane != crate::lane::EXCHANGE));
        let before =
            |first: &[usize], then: &[usize]| first.iter().min() > then.iter().max() || first.is_empty();
        prop_assert!(before(&agents, &baseline), "{:?} {:?} {:?}", keys, agents, baseline);
        prop_assert!(before(&baseline, &lanes), "{:?} {:?} {:?}", keys, baseline, lanes);
        prop_assert!(entry["outlierDetection"].is_object(), "{}", entry);
    }
    Ok(())
}

/// Copies go to a lane's own pods, or to nobody.
fn check_mirrors(observed: &Observed) -> Result<(), TestCaseError> {
    for (client, namespace, name, subset) in leads(observed).0 {
        let lanes = lanes_of_every_sort();
        let lane = lanes.iter().find(|lane| SubsetName::of_mirror(&lane.name).as_str() == subset);
        let Some(lane) = lane.map(|lane| lane.name.as_str()) else { continue };
        let host = HostName { namespace: &namespace, name: &name };
        let subsets = effective(observed, &client, host).subsets;
        let found = subsets.iter().find(|one| one["name"] == subset.as_str()).expect("it is there");
        prop_assert_eq!(&found["labels"], &serde_json::json!({"canaryctl.io/lane": lane}));
        prop_assert!(found["trafficPolicy"].is_null(), "{} prefers instead of selecting", found);
    }
    Ok(())
}

/// The objects as text, without the version that each write changes.
fn texts(objects: &[Object]) -> Vec<String> {
    let text = |object: &Object| {
        let mut value = object.value().clone();
        value["metadata"]["resourceVersion"] = Value::Null;
        value.to_string()
    };
    objects.iter().map(text).collect()
}

proptest! {
    #[test]
    fn lanes_and_exchanges_come_change_and_go(
        original in mesh(),
        steps in proptest::collection::vec((some_lanes(), any::<bool>()), 1..4),
    ) {
        let mut observed = original.clone();
        for (lanes, exchanges) in &steps {
            for (service, original) in observed.services.iter_mut().zip(&original.services) {
                service.exchanged = original.exchanged.clone().filter(|_| *exchanges);
            }
            let plan = walk(&mut observed, &original, lanes)?;
            check_pinned(&observed, &plan)?;
        }
        for service in &mut observed.services {
            service.workloads.retain(|one| !one.labels.contains_key(crate::lane::LANE_LABEL));
            service.copies.clear();
            service.exchanged = None;
        }
        walk(&mut observed, &original, &[])?;
        prop_assert_eq!(texts(&observed.virtual_services), texts(&original.virtual_services));
        prop_assert_eq!(texts(&observed.destination_rules), texts(&original.destination_rules));
    }

    /// The order in which objects are read makes no difference.
    #[test]
    fn plans_do_not_depend_on_order(mut observed in mesh(), mut lanes in some_lanes()) {
        let plan = planned(&lanes, &observed);
        observed.services.reverse();
        observed.virtual_services.reverse();
        observed.destination_rules.reverse();
        lanes.reverse();
        prop_assert_eq!(planned(&lanes, &observed), plan);
    }

    /// A GitOps tool that puts the base back is answered by the same edit again.
    #[test]
    fn a_base_applied_again_is_edited_again(original in mesh(), lanes in some_lanes()) {
        let mut observed = original.clone();
        carry_out(&mut observed, &planned(&lanes, &original));
        let live = observed.clone();
        for object in &mut observed.virtual_services {
            let Some(base) = original.virtual_services.iter().find(|base| base.reference() == object.reference()) else { continue };
            let mut value = object.value().clone();
            value["spec"] = base.spec().clone();
            *object = Object::new(value).expect("an object");
        }
        for object in &mut observed.destination_rules {
            let Some(base) = original.destination_rules.iter().find(|base| base.reference() == object.reference()) else { continue };
            let mut value = object.value().clone();
            value["spec"] = base.spec().clone();
            *object = Object::new(value).expect("an object");
        }
        let plan = planned(&lanes, &observed);
        carry_out(&mut observed, &plan);
        prop_assert_eq!(texts(&observed.virtual_services), texts(&live.virtual_services));
        prop_assert_eq!(texts(&observed.destination_rules), texts(&live.destination_rules));
    }
}
