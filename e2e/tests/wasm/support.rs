//! A mesh node to test: its lanes, its plugins, and the headers that ordinary clients send.

use std::sync::OnceLock;

use canary_e2e::built;
use canary_e2e::wasm_host::{HeaderMap, Module, Plugin, PluginSpec, Property, Proxy, Stream};
use serde_json::{Value, json};

/// A trace id as an application forwards it.
pub(crate) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// As Envoy makes request ids.
pub(crate) const REQUEST_ID: &str = "2f9d8c1e-7b3a-4c5d-9e8f-0a1b2c3d4e5f";

/// Where a pod's label of its lane is found.
const LABEL: &str = "xds\0node\0metadata\0LABELS\0canaryctl.io/lane";

/// A build of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// With every role.
    Whole,
    /// With the roles of sidecars.
    ForSidecars,
}

impl Build {
    /// What a sidecar may be given.
    pub(crate) const ALL: [Self; 2] = [Self::Whole, Self::ForSidecars];

    /// Compiled once for all tests of this binary.
    pub(crate) fn module(self) -> &'static Module {
        static WHOLE: OnceLock<Module> = OnceLock::new();
        static FOR_SIDECARS: OnceLock<Module> = OnceLock::new();
        let (module, wasm): (_, fn() -> Vec<u8>) = match self {
            Self::Whole => (&WHOLE, built::filter),
            Self::ForSidecars => (&FOR_SIDECARS, built::sidecar_filter),
        };
        module.get_or_init(|| Module::compile(&wasm()).expect("the built filter compiles"))
    }
}

/// The filter with every role.
pub(crate) fn filter() -> &'static Module {
    Build::Whole.module()
}

/// A plugin configuration with two lanes, `gray` by the cookie `gray=1` and `blue` by the header `x-blue`.
pub(crate) fn configuration(role: &str) -> Value {
    let exists = |of: &str, name: &str| json!({"test": {"of": of, "name": name, "op": "exists"}});
    let cookie = json!({"test": {"of": "cookie", "name": "gray", "op": "in", "values": ["1"]}});
    json!({
        "version": 1,
        "role": role,
        "lanes": [
            {"name": "gray", "rules": [{"when": cookie, "sticky": true}], "cookieMaxAgeS": 1800},
            {"name": "blue", "rules": [{"when": exists("header", "x-blue")}]},
        ],
        "carriers": {"aliases": ["x-mse-tag"]},
        "keys": [{"id": "k1", "secret": "c2l4dGVlbiBieXRlcyBsb25n"}],
        "lingerS": 30,
    })
}

/// As [`configuration`], without lanes.
pub(crate) fn without_lanes(role: &str) -> Value {
    let mut configuration = configuration(role);
    configuration["lanes"] = json!([]);
    configuration
}

/// A plugin of the role, as the mesh has it.
pub(crate) fn plugin(proxy: &Proxy, configuration: &Value) -> Plugin {
    let name = configuration["role"].as_str().unwrap_or("none");
    let spec = PluginSpec::new(configuration.to_string().as_bytes()).named(name);
    proxy.install(spec.property("connection.mtls", &Property::Bool(true)))
}

/// A gateway: guard and edge, one behind the other.
pub(crate) struct Gateway {
    pub(crate) proxy: Proxy,
    pub(crate) guard: Plugin,
    pub(crate) edge: Plugin,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let proxy = Proxy::load(filter(), 1);
        let [guard, edge] = ["edgeGuard", "edge"].map(|role| plugin(&proxy, &configuration(role)));
        Self { proxy, guard, edge }
    }

    /// Sends a request through both; returns its stream in the edge.
    pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        lines: impl IntoIterator<Item = (N, V)>,
    ) -> Stream {
        let guarded = self.guard.request(0, lines);
        self.edge.request(0, lines_of(guarded.headers()))
    }
}

/// A pod's proxy: inbound and outbound.
pub(crate) struct Sidecar {
    pub(crate) proxy: Proxy,
    pub(crate) inbound: Plugin,
    pub(crate) outbound: Plugin,
}

impl Sidecar {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with(Build::ForSidecars, workers)
    }

    pub(crate) fn with(build: Build, workers: usize) -> Self {
        Self::of(Proxy::load(build.module(), workers))
    }

    /// In a pod with the label `canaryctl.io/lane`.
    pub(crate) fn coloured(lane: &str) -> Self {
        Self::of(Proxy::load(Build::ForSidecars.module(), 1).with_property(LABEL, &Property::text(lane)))
    }

    fn of(proxy: Proxy) -> Self {
        let [inbound, outbound] = ["inbound", "outbound"].map(|role| plugin(&proxy, &configuration(role)));
        Self { proxy, inbound, outbound }
    }

    /// What an outbound request with these lines is routed by.
    pub(crate) fn tag_of<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        worker: usize,
        lines: impl IntoIterator<Item = (N, V)>,
    ) -> Option<String> {
        tag(&self.outbound.request(worker, lines))
    }
}

/// The lane that a request is routed to, as its header says; none for the baseline.
///
/// # Panics
/// When the header is there twice: which one a route would match is anyone's guess.
#[track_caller]
pub(crate) fn tag(stream: &Stream) -> Option<String> {
    let lines = stream.headers().all("x-canary-lane");
    assert!(lines.len() <= 1, "the tag header is there {} times", lines.len());
    lines.first().map(|value| String::from_utf8_lossy(value).into_owned())
}

/// An ordinary request: what every client sends, and the lines given.
pub(crate) fn ordinary<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "shop.test"), (":path", "/cart")];
    let usual = [("user-agent", "curl/8.5"), ("accept", "*/*")];
    pseudo.into_iter().chain(usual).chain(lines).collect()
}

/// Headers in the form that requests are made of.
pub(crate) fn lines_of(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.lines().to_vec()
}
