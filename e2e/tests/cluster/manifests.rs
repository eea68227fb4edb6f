//! The shop as its owners write it: Services, Deployments, a Gateway. None of it knows of canaryctl but for
//! the label of lane pods.

use serde_json::{Value, json};

/// The image of the app.
pub(crate) const IMAGE: &str = "canary-lab.test/app:1";
/// The same as a release brings it.
pub(crate) const NEXT_IMAGE: &str = "canary-lab.test/app:2";
/// The same again, but every tenth request fails.
pub(crate) const FAULTY_IMAGE: &str = "canary-lab.test/app:faulty";
/// What pods tell their proxies: they serve as long as the apps do, and count per cluster.
const PROXY_CONFIG: &str = r#"{"terminationDrainDuration": "6s",
    "proxyStatsMatcher": {"inclusionRegexps": ["cluster\\.outbound.*upstream_rq.*"]}}"#;
/// How long an app goes on serving once its pod ends, in milliseconds: until every proxy knows.
const DRAIN_MS: u64 = 4000;

/// A service of the shop: whom it calls, and which headers it hands on.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) calls: &'static [&'static str],
    pub(crate) forward: &'static [&'static str],
    /// Whether it calls by gRPC.
    pub(crate) grpc: bool,
}

/// The chain. Each app hands on fewer ids than the one before, and none the lane's header.
pub(crate) const CHAIN: [Service; 4] = [
    Service {
        name: "web",
        calls: &["cart"],
        forward: &["baggage", "traceparent", "x-request-id"],
        grpc: false,
    },
    Service { name: "cart", calls: &["stock"], forward: &["traceparent", "x-request-id"], grpc: false },
    Service { name: "stock", calls: &["price"], forward: &["x-request-id"], grpc: false },
    Service { name: "price", calls: &[], forward: &[], grpc: false },
];

/// The namespace, its Services, Gateway, and mutual TLS for all.
pub(crate) fn shop(namespace: &str, mode: &str) -> Vec<Value> {
    let mut objects = vec![mutual_tls(namespace, mode)];
    objects.extend(entry(namespace, "entry", &host(namespace), "web"));
    for service in &CHAIN {
        objects.push(http_service(namespace, service.name));
        objects.push(deployment(namespace, service, "v1", None, 1));
    }
    objects
}

/// The way in from outside, by a host, to a service.
pub(crate) fn entry(namespace: &str, name: &str, host: &str, service: &str) -> [Value; 2] {
    let named = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        })
    };
    let port = json!({"number": 80, "name": "http", "protocol": "HTTP"});
    [
        named(
            "Gateway",
            json!({"selector": {"istio": "ingressgateway"}, "servers": [{"port": port, "hosts": [host]}]}),
        ),
        named(
            "VirtualService",
            json!({
                "hosts": [host], "gateways": [name],
                "http": [{"route": [{"destination": {"host": service}}]}],
            }),
        ),
    ]
}

/// The Service of a service that is called by plain HTTP.
pub(crate) fn http_service(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    })
}

/// Whether the shop's pods take what comes without mutual TLS.
fn mutual_tls(namespace: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"mtls": {"mode": mode}},
    })
}

/// The host by which the shop is called from outside.
pub(crate) fn host(namespace: &str) -> String {
    format!("{namespace}.test")
}

/// A version of a service, in a lane or none.
pub(crate) fn deployment(
    namespace: &str,
    service: &Service,
    version: &str,
    lane: Option<&str>,
    replicas: u32,
) -> Value {
    let name = format!("{}-{version}", service.name);
    // A name with a dot is one of another place.
    let full = |called: &&str| match called.contains('.') {
        true => (*called).to_owned(),
        false => format!("{called}.{namespace}"),
    };
    let config = json!({
        "service": format!("{}.{namespace}", service.name),
        "version": version,
        "listen": "0.0.0.0:8080",
        "behaviour": {
            "calls": service.calls.iter().map(full).collect::<Vec<_>>(),
            "forward": service.forward,
            "grpc": service.grpc,
            "accessLog": ["x-canary-lane"],
            "drainMs": DRAIN_MS,
        },
    });
    let mut labels = json!({"app": service.name, "version": version, "shop": "yes"});
    if let Some(lane) = lane {
        labels["canaryctl.io/lane"] = lane.into();
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": service.name, "version": version}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"proxy.istio.io/config": PROXY_CONFIG},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 12,
                    "containers": [{
                        "name": "app", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                        "args": ["--config-json", config.to_string()],
                        "ports": [{"containerPort": 8080}],
                        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    }],
                },
            },
        },
    })
}
