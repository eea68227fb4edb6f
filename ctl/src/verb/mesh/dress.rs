//! The Job of the agent that serves a Takeover, or that is all that a new Service has. Pure.

use std::collections::BTreeMap;

use canary_istio::observed::Speaks;
use serde_json::{Value, json};

use super::plan::{Taken, TakenPort, Target};
use crate::develop::offered::{POD_PORT, Protocol};
use crate::takeover::{self, By, Derived, Mode, Takeover, pod_port, selected};

/// The gate's ports for those of the Service that are known by name alone.
const NAMED_PORT_FIRST: u16 = 15_800;
/// Where the agent listens for the gate, on the pod's loopback.
pub(super) const LAPTOP_PORT: u16 = 15_790;
/// Below it only who may binds; a pod can lower that for itself.
const UNPRIVILEGED_PORT: u16 = 1024;
/// Labels of a Service's pods that say whether they get a sidecar.
const INJECTION_LABELS: [&str; 2] = ["sidecar.istio.io/inject", "istio.io/rev"];

/// What of the agent the Service does not say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agent<'a> {
    /// A pod of the Service as it is, if there is one: the agent's pod is governed by the same policies.
    pub(super) like: Option<&'a Value>,
    /// The header that carries the tag.
    pub(super) tag_header: &'a str,
}

impl Agent<'_> {
    fn like_at(&self, pointer: &str) -> Option<&Value> {
        self.like.and_then(|pod| pod.pointer(pointer))
    }

    /// Gives a pod what that pod's specification says in a field, if it says something.
    fn hand_on(&self, field: &str, pod: &mut Value) {
        if let Some(value) = self.like_at("/spec").map(|spec| &spec[field]).filter(|value| !value.is_null()) {
            pod[field] = value.clone();
        }
    }
}

/// An agent's Job, with a gate in front and an end that is the Takeover's. Its pod is one of the Service's for its lane
/// alone, with the Service's labels; who gets copies has a Service of their own, and to who has a Service by its selector
/// it leads without labels.
pub(super) fn dressed(job: Value, taken: &Taken, takeover: &Takeover, agent: &Agent<'_>) -> Value {
    match (takeover.spec.mode, takeover.spec.by) {
        (_, By::Selector) => before(owned(job, BTreeMap::new(), takeover, agent), taken, takeover, agent),
        (Mode::Mesh | Mode::Exchange, By::Routes) => {
            among(owned(job, taken.selector.clone(), takeover, agent), taken, takeover, agent)
        }
        (Mode::Mirror, By::Routes) => beside(owned(job, BTreeMap::new(), takeover, agent), takeover, agent),
    }
}

/// An agent's Job whose end is the Takeover's, and whose pods have these labels, too.
fn owned(
    mut job: Value,
    mut labels: BTreeMap<String, String>,
    takeover: &Takeover,
    agent: &Agent<'_>,
) -> Value {
    for label in INJECTION_LABELS {
        let value = agent.like_at("/metadata/labels").and_then(|labels| labels[label].as_str());
        labels.extend(value.map(|value| (label.to_owned(), value.to_owned())));
    }
    labels.extend(Derived::labels(takeover));
    job["metadata"]["labels"][takeover::LABEL] = takeover.metadata.name.as_str().into();
    job["metadata"]["ownerReferences"] = json!([takeover.owner_reference()]);
    job["spec"]["ttlSecondsAfterFinished"] = 0.into();
    let template = &mut job["spec"]["template"];
    for (key, value) in labels {
        template["metadata"]["labels"][key] = value.into();
    }
    agent.hand_on("imagePullSecrets", &mut template["spec"]);
    job
}

/// Makes an agent's pod one of the Service's.
fn among(mut job: Value, taken: &Taken, takeover: &Takeover, agent: &Agent<'_>) -> Value {
    let pod = &mut job["spec"]["template"]["spec"];
    agent.hand_on("serviceAccountName", pod);
    let is_low =
        |port: &TakenPort| matches!(port.target, Target::Number(number) if number < UNPRIVILEGED_PORT);
    if taken.ports.iter().any(is_low) {
        pod["securityContext"]["sysctls"] =
            json!([{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]);
    }
    let gate = gate(&pod["containers"][0], taken, takeover, agent);
    put_before(pod, gate);
    job
}

/// Has an agent's pod take copies of requests, at ports of its own.
fn beside(mut job: Value, takeover: &Takeover, agent: &Agent<'_>) -> Value {
    let pod = &mut job["spec"]["template"]["spec"];
    let ports: Vec<u16> = takeover.spec.ports.iter().map(|port| pod_port(takeover, *port)).collect();
    let mut args = gate_args(agent.tag_header);
    args.extend(ports.iter().map(|port| format!("--port={port}==127.0.0.1:{LAPTOP_PORT}")));
    let ports = ports.iter().map(|port| json!({"containerPort": port})).collect();
    let gate = gate_container(&pod["containers"][0], args, ports);
    put_before(pod, gate);
    job
}

/// Has an agent's pod stand before those of the Service, at a port of its own for each of the Service's.
fn before(mut job: Value, taken: &Taken, takeover: &Takeover, agent: &Agent<'_>) -> Value {
    let pod = &mut job["spec"]["template"]["spec"];
    let mut args = gate_args(agent.tag_header);
    args.push("--as-it-came".into());
    let mut ports = Vec::with_capacity(taken.ports.len());
    for (index, port) in (0_u16..).zip(&taken.ports) {
        let kind = match port.speaks {
            Speaks::Http => "port",
            Speaks::Guessed => "guessed-port",
            Speaks::Other => "tcp-port",
        };
        let (name, number) = selected::pod_port(index, port.number);
        let host = format!("{}.{}.svc.cluster.local", takeover.metadata.name, taken.namespace);
        args.push(format!("--{kind}={number}={host}:{}{}", port.number, laptop(port)));
        ports.push(json!({"name": name, "containerPort": number}));
    }
    let gate = gate_container(&pod["containers"][0], args, ports);
    put_before(pod, gate);
    job
}

/// Where the gate finds the laptop, for a port that is taken.
fn laptop(port: &TakenPort) -> String {
    if port.is_taken { format!("=127.0.0.1:{LAPTOP_PORT}") } else { String::new() }
}

fn gate_args(tag_header: &str) -> Vec<String> {
    vec!["gate".into(), "--agent".into(), format!("--tag-header={tag_header}")]
}

/// Puts a gate before an agent, for as long as that is there.
fn put_before(pod: &mut Value, gate: Value) {
    // Nobody but the gate is to come to the tunnel.
    if let Some(args) = pod["containers"][0]["args"].as_array_mut() {
        args.push("--expose-on=127.0.0.1".into());
    }
    // It serves as long as the agent does, and keeps the pod from no end.
    pod["initContainers"] = json!([gate]);
}

/// An agent's Job, made all that a Service has: whoever calls comes to the laptop.
pub(in crate::verb) fn alone(mut job: Value, protocol: Protocol) -> Value {
    let pod = &mut job["spec"]["template"]["spec"];
    if protocol.is_http() {
        // Its requests are everybody's, whatever their tag.
        let mut args = gate_args("x-canary-lane");
        args.push(format!("--port={POD_PORT}==127.0.0.1:{LAPTOP_PORT}"));
        let gate = gate_container(&pod["containers"][0], args, vec![json!({"containerPort": POD_PORT})]);
        put_before(pod, gate);
    } else if let Some(args) = pod["containers"][0]["args"].as_array_mut() {
        args.push("--bare".into());
    }
    job
}

/// The port that such an agent exposes.
pub(in crate::verb) fn exposed(protocol: Protocol) -> u16 {
    if protocol.is_http() { LAPTOP_PORT } else { POD_PORT }
}

/// The gate's container: as the agent's, which it stands in front of.
fn gate(beside: &Value, taken: &Taken, takeover: &Takeover, agent: &Agent<'_>) -> Value {
    let mut args = gate_args(agent.tag_header);
    args.extend(takeover.spec.lane.as_ref().map(|lane| format!("--lane={lane}")));
    let mut ports = Vec::with_capacity(taken.ports.len());
    for (index, port) in (0_u16..).zip(taken.by_target()) {
        let (number, named) = match &port.target {
            Target::Number(number) => (*number, None),
            Target::Name(name) => (NAMED_PORT_FIRST.saturating_add(index), Some(name)),
        };
        let (kind, baseline) = match port.speaks {
            Speaks::Http | Speaks::Guessed => ("port", &taken.name),
            Speaks::Other => ("tcp-port", &takeover.metadata.name),
        };
        let host = format!("{baseline}.{}.svc.cluster.local", taken.namespace);
        args.push(format!("--{kind}={number}={host}:{}{}", port.number, laptop(port)));
        let mut declared = json!({"containerPort": number});
        if let Some(name) = named {
            declared["name"] = name.as_str().into();
        }
        ports.push(declared);
    }
    gate_container(beside, args, ports)
}

/// The container of a gate that is told this.
fn gate_container(beside: &Value, args: Vec<String>, ports: Vec<Value>) -> Value {
    json!({
        "name": "gate",
        "image": beside["image"],
        "args": args,
        "restartPolicy": "Always",
        "ports": ports,
        "resources": beside["resources"],
        "securityContext": beside["securityContext"],
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::super::plan::tests::service;
    use super::super::plan::{Ports, What};
    use super::*;

    #[test]
    fn an_agent_is_one_of_the_services_pods_for_its_lane_alone() {
        let service = service(json!([
            {"name": "http", "port": 80, "targetPort": 8080}, {"name": "http-b", "port": 81, "targetPort": "admin"},
        ]));
        let taken = Taken::read(&service, Ports::One(Some(80))).expect("a service");
        let rules = [json!({"when": {"header": {"name": "x-dev", "exact": "alice"}}, "sticky": false})];
        let mut document =
            taken.takeover(What::Matched { lane: "dev-alice", rules: &rules }, "alice", "laptop");
        document["metadata"]["uid"] = "u-1".into();
        let takeover = Takeover::deserialize(&document).expect("a takeover");
        let like = json!({
            "metadata": {"labels": {"sidecar.istio.io/inject": "true", "version": "v1"}},
            "spec": {"serviceAccountName": "cart"},
        });
        let agent = Agent { like: Some(&like), tag_header: "x-canary-lane" };
        let container = json!({"name": "agent", "image": "canaryctl:1", "securityContext": {"readOnlyRootFilesystem": true}});
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "canaryctl-mesh-1", "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}},
        });
        insta::assert_yaml_snapshot!(dressed(job, &taken, &takeover, &agent));
    }

    #[test]
    fn an_agent_that_gets_copies_is_none_of_the_services_pods() {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-raw", "port": 9000}, {"name": "rpc", "port": 81},
        ]);
        let service = service(ports);
        let taken = Taken::read(&service, Ports::Copied(&[])).expect("a service");
        let document = taken.takeover(What::Copies(Some(5.0)), "Alice@corp.example", "laptop");
        assert_eq!(document["metadata"]["name"], "cart-mirror-alice");
        assert_eq!(
            (&document["spec"]["ports"], &document["spec"]["percent"]),
            (&json!([80, 81]), &json!(5.0))
        );
        let takeover = Takeover::deserialize(&document).expect("a takeover");
        let like = json!({
            "metadata": {"labels": {"sidecar.istio.io/inject": "true", "version": "v1"}},
            "spec": {"serviceAccountName": "cart", "imagePullSecrets": [{"name": "regcred"}]},
        });
        let agent = Agent { like: Some(&like), tag_header: "x-canary-lane" };
        let container = json!({"name": "agent", "image": "canaryctl:1", "args": ["agent"]});
        let job = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let job = dressed(job, &taken, &takeover, &agent);
        let template = &job["spec"]["template"];
        let labels = json!({"sidecar.istio.io/inject": "true", "canaryctl.io/takeover": "cart-mirror-alice"});
        assert_eq!(template["metadata"]["labels"], labels);
        let pod = &template["spec"];
        assert_eq!(
            (&pod["serviceAccountName"], &pod["imagePullSecrets"][0]["name"]),
            (&Value::Null, &json!("regcred"))
        );
        let args = json!([
            "gate",
            "--agent",
            "--tag-header=x-canary-lane",
            "--port=15800==127.0.0.1:15790",
            "--port=15801==127.0.0.1:15790",
        ]);
        assert_eq!(pod["initContainers"][0]["args"], args);
        Taken::read(&service, Ports::Copied(&[9000])).expect_err("there are no requests to copy");
    }

    /// The agent's Job of who exchanges these ports of a Service.
    fn exchanged(ports: Value, wanted: Ports<'_>) -> Value {
        let taken = Taken::read(&service(ports), wanted).expect("a service");
        let document = taken.takeover(What::Everything, "alice", "laptop");
        let takeover = Takeover::deserialize(&document).expect("a takeover");
        let agent = Agent { like: None, tag_header: "x-canary-lane" };
        let container = json!({"name": "agent", "image": "canaryctl:1", "args": ["agent"]});
        let job = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        dressed(job, &taken, &takeover, &agent)
    }

    #[test]
    fn an_agent_among_a_services_pods_passes_connections_on_to_the_others() {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-db", "port": 5432, "targetPort": "db"},
            {"name": "tls", "port": 443},
        ]);
        let job = exchanged(ports, Ports::Several(&[80, 5432]));
        let gate = &job["spec"]["template"]["spec"]["initContainers"][0];
        let args = json!([
            "gate",
            "--agent",
            "--tag-header=x-canary-lane",
            "--port=8080=cart.shop.svc.cluster.local:80=127.0.0.1:15790",
            "--tcp-port=15801=cart-exchange.shop.svc.cluster.local:5432=127.0.0.1:15790",
            "--tcp-port=443=cart-exchange.shop.svc.cluster.local:443",
        ]);
        assert_eq!(gate["args"], args);
        assert_eq!(gate["ports"][1], json!({"containerPort": 15801, "name": "db"}));
    }

    #[test]
    fn an_agent_before_a_services_pods_has_a_port_for_each_of_its_ports() {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": "web"}, {"port": 81, "targetPort": 80},
            {"name": "tcp-db", "port": 5432},
        ]);
        let job = exchanged(ports, Ports::Whole(&[80, 5432]));
        let template = &job["spec"]["template"];
        assert_eq!(template["metadata"]["labels"], json!({"canaryctl.io/takeover": "cart-exchange"}));
        let gate = &template["spec"]["initContainers"][0];
        let args = json!([
            "gate",
            "--agent",
            "--tag-header=x-canary-lane",
            "--as-it-came",
            "--port=15800=cart-exchange.shop.svc.cluster.local:80=127.0.0.1:15790",
            "--guessed-port=15801=cart-exchange.shop.svc.cluster.local:81",
            "--tcp-port=15802=cart-exchange.shop.svc.cluster.local:5432=127.0.0.1:15790",
        ]);
        assert_eq!(gate["args"], args);
        let names: Vec<&str> = gate["ports"]
            .as_array()
            .expect("ports")
            .iter()
            .filter_map(|port| port["name"].as_str())
            .collect();
        assert_eq!(names, ["port-80", "port-81", "port-5432"]);
    }

    #[test]
    fn an_agent_that_is_all_of_a_service_has_a_gate_only_where_requests_can_be_told_apart() {
        let container = json!({"name": "agent", "image": "canaryctl:1", "args": ["agent"]});
        let job = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        for protocol in [Protocol::Http, Protocol::Http2, Protocol::Grpc] {
            let job = alone(job.clone(), protocol);
            let pod = &job["spec"]["template"]["spec"];
            assert_eq!(pod["initContainers"][0]["args"][3], "--port=15800==127.0.0.1:15790");
            assert_eq!(pod["containers"][0]["args"], json!(["agent", "--expose-on=127.0.0.1"]));
            assert_eq!(exposed(protocol), LAPTOP_PORT);
        }
        let job = alone(job, Protocol::Tcp);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["initContainers"], Value::Null);
        assert_eq!(pod["containers"][0]["args"], json!(["agent", "--bare"]));
        assert_eq!(exposed(Protocol::Tcp), POD_PORT);
    }
}
