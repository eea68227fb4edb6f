use canary_rules::lane;
use canary_rules::signing::{Key, KeyId, KeyRing};

use super::*;
use crate::change::Phase;
use crate::observed::Observed;
use crate::planner::{self, Desired};

fn settings() -> MeshSettings {
    let key = Key::new(KeyId::new("k1").expect("id"), vec![7; 32]).expect("key");
    MeshSettings::new(KeyRing::new([key]).expect("ring"))
}

fn presence() -> Presence {
    let source = |build: &str| FilterSource {
        url: format!("http://f/{build}"),
        sha256: "00".into(),
        pull_secret: None,
    };
    Presence {
        root_namespace: "istio-system".into(),
        edges: vec![EdgeGateway {
            namespace: "istio-system".into(),
            labels: Labels::from([("istio".into(), "ingressgateway".into())]),
        }],
        namespaces: Vec::new(),
        gateway_filter: source("gateway"),
        sidecar_filter: source("sidecar"),
    }
}

fn lanes(names: &[&str]) -> Compiled {
    let document = |name: &&str| lane::Lane {
        api_version: lane::API_VERSION.into(),
        kind: lane::KIND.into(),
        metadata: lane::Metadata { name: LaneName::new(name).expect("lane name") },
        spec: lane::LaneSpec {
            rules: vec![lane::Rule { percent: Some(5.0), ..lane::Rule::default() }],
            ..lane::LaneSpec::default()
        },
        status: None,
    };
    let documents: Vec<lane::Lane> = names.iter().map(document).collect();
    lane::compile(&documents).expect("lanes")
}

/// Lanes named in the configuration after each phase, by role, along the way between two sets.
fn way(from: &[&str], to: &[&str]) -> Vec<String> {
    let settings = settings();
    let mut observed = Observed::default();
    let objects = presence().objects(&settings);
    observed.edge = objects.into_iter().map(|value| Object::new(value).expect("object")).collect();
    for object in &mut observed.edge {
        let role = role_of(object).expect("role");
        let mut value = object.value().clone();
        value["spec"]["pluginConfig"] = config(&settings, role, &lanes(from));
        *object = Object::new(value).expect("object");
    }
    let goals = goals(&observed.edge, &settings, &lanes(to));
    let desired = Desired {
        lanes: &[],
        tag_header: &settings.carriers.header,
        owners: &Default::default(),
        edge: &goals.edges,
        hops: &goals.hops,
    };
    let plan = planner::plan(&desired, &observed).expect("a plan");
    let mut lines = Vec::new();
    for phase in [Phase::EdgeOff, Phase::Subsets, Phase::Routes, Phase::EdgeOn, Phase::Collect] {
        for change in plan.changes.iter().filter(|change| change.phase == phase) {
            crate::simulate::apply(&mut observed, change).expect("applies");
            let object = observed.edge.iter().find(|object| *object.reference() == change.object);
            let names: Vec<String> =
                lanes_in(object.expect("there")).iter().map(|lane| lane.name.to_string()).collect();
            lines.push(format!("{phase}: {} {}", change.object.name, names.join(",")));
        }
    }
    lines
}

#[test]
fn sidecars_know_a_lane_before_any_edge_puts_requests_in_it() {
    assert_eq!(
        way(&[], &["gray"]),
        [
            "subsets: canaryctl-edge-guard-0 gray",
            "subsets: canaryctl-inbound gray",
            "subsets: canaryctl-outbound gray",
            "edge on: canaryctl-edge-0 gray",
        ]
    );
}

#[test]
fn sidecars_carry_a_lane_until_its_last_requests_are_through() {
    assert_eq!(
        way(&["gray"], &[]),
        [
            "edge off: canaryctl-edge-0 ",
            "collect: canaryctl-edge-guard-0 ",
            "collect: canaryctl-inbound ",
            "collect: canaryctl-outbound ",
        ]
    );
}

#[test]
fn a_lane_that_comes_while_another_goes_is_on_only_at_the_end() {
    assert_eq!(
        way(&["gray", "stays"], &["blue", "stays"]),
        [
            "edge off: canaryctl-edge-0 stays",
            "subsets: canaryctl-edge-guard-0 blue,stays,gray",
            "subsets: canaryctl-inbound blue,stays,gray",
            "subsets: canaryctl-outbound blue,stays,gray",
            "edge on: canaryctl-edge-0 blue,stays",
            "collect: canaryctl-edge-guard-0 blue,stays",
            "collect: canaryctl-inbound blue,stays",
            "collect: canaryctl-outbound blue,stays",
        ]
    );
}

#[test]
fn nothing_is_written_where_all_is_as_wanted() {
    assert_eq!(way(&["gray"], &["gray"]), Vec::<String>::new());
}

#[test]
fn each_role_gets_the_build_that_has_it_and_its_place_in_the_chain() {
    let lines = presence().objects(&settings()).into_iter().map(|object| {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        [&object["metadata"]["name"], &spec["phase"], &spec["match"][0]["mode"], &spec["url"]]
            .map(text)
            .join(" ")
    });
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "canaryctl-edge-guard-0 AUTHN CLIENT http://f/gateway",
            "canaryctl-edge-0 AUTHZ CLIENT http://f/gateway",
            "canaryctl-inbound AUTHN SERVER http://f/sidecar",
            "canaryctl-outbound AUTHN CLIENT http://f/sidecar",
        ]
    );
}

#[test]
fn a_plugin_that_helm_brought_without_a_configuration_gets_one() {
    let settings = settings();
    let mut observed = Observed::default();
    for (_, mut value) in presence().unconfigured() {
        value["metadata"]["labels"][MANAGED_BY_LABEL] = "Helm".into();
        observed.edge.push(Object::new(value).expect("object"));
    }
    let goals = goals(&observed.edge, &settings, &lanes(&["gray"]));
    let wanted = goals.edges.iter().map(|edge| &edge.wanted);
    let wanted = wanted.chain(goals.hops.iter().map(|hop| &hop.wanted));
    let lanes: Vec<&Value> =
        wanted.map(|plugin| &plugin["spec"]["pluginConfig"]["lanes"][0]["name"]).collect();
    assert_eq!(lanes, ["gray"; 4]);
}
