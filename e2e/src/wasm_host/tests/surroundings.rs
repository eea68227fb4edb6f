//! Metrics, properties, environment, route cache, local responses.

use super::Wat;
use super::wat::{CONTINUE, LENGTH, NUMBER, POINTER, REQUEST, RETURNED};
use crate::wasm_host::{Action, PluginSpec, Property, Proxy};

#[test]
fn a_metric_is_one_for_all_workers_and_a_counter_only_grows() {
    let mut wat = Wat::new();
    let name = wat.text("canary_requests");
    let in_vain =
        wat.report(REQUEST, "x-status", &format!("(call $increment (i32.load {NUMBER}) (i64.const 0))"));
    let module = wat
        .on_returning(
            "proxy_on_request_headers",
            3,
            &format!(
                "(drop (call $define (i32.const 0) {name} {NUMBER}))
                 (drop (call $increment (i32.load {NUMBER}) (i64.const 2))) {in_vain} {CONTINUE}"
            ),
        )
        .compile();
    let proxy = Proxy::load(&module, 2);
    let plugin = proxy.plugin(b"");
    assert_eq!(proxy.metric("canary_requests"), None);
    let stream = plugin.request(0, [("a", "1")]);
    plugin.request(1, [("a", "1")]).end();
    assert_eq!(proxy.metric("canary_requests"), Some(4));
    assert_eq!(stream.headers().first("x-status"), Some(&b"2"[..]), "BadArgument");
}

/// Puts a property into `x-value`, and the call's status into `x-status`.
fn shows_property(path: &str) -> Proxy {
    let mut wat = Wat::new();
    let (path, shown) = (wat.text(path.replace('.', "\0")), wat.text("x-value"));
    let status = wat.report(REQUEST, "x-status", &format!("(call $property {path} {POINTER} {LENGTH})"));
    let body = format!("{status} (drop (call $replace {REQUEST} {shown} {RETURNED})) {CONTINUE}");
    Proxy::load(&wat.on_returning("proxy_on_request_headers", 3, &body).compile(), 1)
}

#[test]
fn a_property_comes_from_the_stream_then_from_the_node() {
    let proxy = shows_property("source.address").with_property("source.address", &Property::text("node"));
    let plugin = proxy.plugin(b"");
    let shown = |properties: Option<(&str, Property)>| {
        let stream = plugin.request_with(0, [("a", "1")], properties);
        stream.headers().first("x-value").map(<[u8]>::to_vec)
    };
    assert_eq!(shown(None), Some(b"node".to_vec()));
    assert_eq!(shown(Some(("source.address", Property::text("10.0.0.1:5")))), Some(b"10.0.0.1:5".to_vec()));
}

#[test]
fn a_plugin_knows_its_own_name() {
    let plugin = shows_property("plugin_name").install(PluginSpec::new(b"").named("canaryctl.edge"));
    assert_eq!(plugin.request(0, [("a", "1")]).headers().first("x-value"), Some(&b"canaryctl.edge"[..]));
}

#[test]
fn a_path_with_a_dot_in_a_segment_is_given_by_its_segments() {
    let label = "xds\0node\0metadata\0LABELS\0canaryctl.io/lane";
    let mut wat = Wat::new();
    let (path, shown) = (wat.text(label), wat.text("x-value"));
    let body = format!(
        "(drop (call $property {path} {POINTER} {LENGTH}))
         (drop (call $replace {REQUEST} {shown} {RETURNED})) {CONTINUE}"
    );
    let module = wat.on_returning("proxy_on_request_headers", 3, &body).compile();
    let proxy = Proxy::load(&module, 1).with_property(label, &Property::text("gray"));
    assert_eq!(proxy.plugin(b"").request(0, [("a", "1")]).headers().first("x-value"), Some(&b"gray"[..]));
}

#[test]
fn an_unknown_property_is_not_found() {
    let stream = shows_property("listener_direction").plugin(b"").request(0, [("a", "1")]);
    assert_eq!(stream.headers().first("x-status"), Some(&b"1"[..]));
}

#[test]
fn the_environment_is_the_plugins() {
    let mut wat = Wat::new();
    let shown = wat.text("x-environment");
    let body = format!(
        "(drop (call $environ_sizes {POINTER} {LENGTH}))
         (drop (call $environ {NUMBER} (i32.const 61000)))
         (drop (call $replace {REQUEST} {shown} (i32.const 61000) (i32.sub (i32.load {LENGTH}) (i32.const 1))))
         {CONTINUE}"
    );
    let proxy = Proxy::load(&wat.on_returning("proxy_on_request_headers", 3, &body).compile(), 1);
    let stream = proxy.install(PluginSpec::new(b"").env("POD_NAME", "web-1")).request(0, [("a", "1")]);
    assert_eq!(stream.headers().first("x-environment"), Some(&b"POD_NAME=web-1"[..]));
}

#[test]
fn a_filter_can_answer_itself() {
    let mut wat = Wat::new();
    let (details, body) = (wat.text("strict_lane"), wat.text("no member"));
    let nothing = "(i32.const 0) (i32.const 0)";
    let reply = format!("(drop (call $reply (i32.const 503) {details} {body} {nothing} (i32.const -1)))");
    let module = wat.on_returning("proxy_on_request_headers", 3, &format!("{reply} {CONTINUE}")).compile();
    let stream = Proxy::load(&module, 1).plugin(b"").request(0, [("a", "1")]);
    let response = stream.local_response().unwrap();
    assert_eq!((response.status, response.body.as_slice()), (503, &b"no member"[..]));
    assert_eq!((response.details.as_str(), response.grpc_status), ("strict_lane", -1));
    assert_eq!(stream.action(), Action::Pause);
}
