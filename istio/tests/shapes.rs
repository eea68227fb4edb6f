//! VirtualServices as people write them: what lanes make of each, and that nothing of it stays.
//!
//! `shapes/NAME.yaml` goes in: a mesh and its Lanes. The snapshot of that name holds what comes out: the plan as
//! people read it, and the objects after it.

use std::fmt::Write as _;
use std::path::PathBuf;

use canary_istio::lane::LANE_LABEL;
use canary_istio::observed::manifests;
use canary_istio::own::Owners;
use canary_istio::{ClusterPlan, Desired, LaneRouting, Object, Observed, plan_cluster, simulate};
use canary_rules::lane::Lane;
use canary_rules::name::HeaderName;
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/shapes")
}

fn read(name: &str) -> (Observed, Vec<LaneRouting>) {
    let path = folder().join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let manifests = manifests::read(documents).expect("manifests");
    let lane = |object: Object| {
        let lane: Lane = serde_json::from_value(object.into_value()).expect("a Lane");
        LaneRouting::try_from(&lane).expect("a lane")
    };
    (manifests.observed, manifests.rest.into_iter().map(lane).collect())
}

fn plan(lanes: &[LaneRouting], observed: &Observed) -> ClusterPlan {
    let tag_header = HeaderName::new("x-canary-lane").expect("a header");
    let desired = Desired { lanes, tag_header: &tag_header, owners: &Owners::new(), edge: &[], hops: &[] };
    plan_cluster(&desired, observed).expect("a plan")
}

fn carry_out(observed: &mut Observed, plan: &ClusterPlan) {
    for pod in &plan.pod_labels {
        let mut services = observed.services.iter_mut().filter(|service| service.host == pod.host);
        let workloads = services.next().expect("the service").workloads.iter_mut();
        let workload = workloads.into_iter().find(|workload| workload.name == pod.workload);
        workload.expect("the workload").labels.extend(pod.labels.clone());
    }
    for change in &plan.changes {
        simulate::apply(observed, change).expect("no conflict");
    }
}

fn objects(observed: &Observed) -> Vec<&Object> {
    observed.virtual_services.iter().chain(&observed.destination_rules).collect()
}

/// The objects as text, without the version that each write changes.
fn texts(observed: &Observed) -> Vec<String> {
    let text = |object: &Object| {
        let mut value = object.value().clone();
        value["metadata"]["resourceVersion"] = Value::Null;
        value.to_string()
    };
    objects(observed).into_iter().map(text).collect()
}

#[track_caller]
fn check(name: &str) {
    let (original, lanes) = read(name);
    let mut observed = original.clone();
    let up = plan(&lanes, &observed);
    carry_out(&mut observed, &up);
    assert_eq!(plan(&lanes, &observed).changes, [], "a second plan has nothing to do");

    let mut out = String::new();
    for pod in &up.pod_labels {
        writeln!(out, "# label     {} {}: {:?}", pod.host, pod.workload, pod.labels).expect("text");
    }
    for line in
        up.changes.iter().flat_map(|change| change.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        writeln!(out, "# {line}").expect("text");
    }
    for finding in &up.findings {
        writeln!(out, "# {} {}: {finding}", finding.code(), finding.severity()).expect("text");
    }
    for object in objects(&observed).into_iter().filter(|object| !original_has(&original, object)) {
        let yaml = serde_saphyr::to_string(object.value()).expect("YAML");
        writeln!(out, "---\n{}", yaml.trim_end()).expect("text");
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, out);
    });

    for service in &mut observed.services {
        service.workloads.retain(|workload| !workload.labels.contains_key(LANE_LABEL));
    }
    let down = plan(&[], &observed);
    carry_out(&mut observed, &down);
    assert_eq!(texts(&observed), texts(&original), "nothing of ours stays");
}

fn original_has(original: &Observed, object: &Object) -> bool {
    objects(original).contains(&object)
}

macro_rules! shapes {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn every_shape_is_checked() {
            let entries = std::fs::read_dir(folder()).expect("the folder");
            let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().replace(".yaml", "");
            let mut found: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
            found.sort();
            let mut checked = vec![$($name.to_owned()),*];
            checked.sort();
            assert_eq!(found, checked);
        }
    };
}

shapes! {
    a_user_by_header: "bookinfo-users",
    a_gateway_and_the_mesh: "gateway-and-mesh",
    weights_and_a_mirror: "weights-and-mirror",
    delegates: "delegates",
    two_lanes_and_a_child: "two-lanes-and-a-child",
    a_strict_lane: "strict-lane",
    tcp_and_tls_beside: "tcp-and-tls-beside",
    no_object_of_its_own: "none-of-its-own",
    exported_to_some: "exported-to-some",
    several_namespaces: "several-namespaces",
}
