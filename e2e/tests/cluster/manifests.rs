//! The shop as its owners write it: Services, Deployments, a Gateway. None of it knows of canaryctl but for
//! the label of lane pods.

use serde_json::{Value, json};

/// The image of the app.
const IMAGE: &str = "canary-lab.test/app:1";
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
}

/// The chain. Each app hands on fewer ids than the one before, and none the lane's header.
pub(crate) const CHAIN: [Service; 4] = [
    Service { name: "web", calls: &["cart"], forward: &["baggage", "traceparent", "x-request-id"] },
    Service { name: "cart", calls: &["stock"], forward: &["traceparent", "x-request-id"] },
    Service { name: "stock", calls: &["price"], forward: &["x-request-id"] },
    Service { name: "price", calls: &[], forward: &[] },
];

/// The namespace, its Services, Gateway, and mutual TLS for all.
pub(crate) fn shop(namespace: &str) -> Vec<Value> {
    let mut objects = vec![
        mutual_tls(namespace, "STRICT"),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "entry", "namespace": namespace},
            "spec": {
                "selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host(namespace)]}],
            },
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "entry", "namespace": namespace},
            "spec": {
                "hosts": [host(namespace)], "gateways": ["entry"],
                "http": [{"route": [{"destination": {"host": "web"}}]}],
            },
        }),
    ];
    for service in &CHAIN {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": service.name, "namespace": namespace},
            "spec": {"selector": {"app": service.name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        }));
        objects.push(deployment(namespace, service, "v1", None, 1));
    }
    objects
}

/// Whether the shop's pods take what comes without mutual TLS.
pub(crate) fn mutual_tls(namespace: &str, mode: &str) -> Value {
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
    let full = |called: &&str| format!("{called}.{namespace}");
    let config = json!({
        "service": format!("{}.{namespace}", service.name),
        "version": version,
        "listen": "0.0.0.0:8080",
        "behaviour": {
            "calls": service.calls.iter().map(full).collect::<Vec<_>>(),
            "forward": service.forward,
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
