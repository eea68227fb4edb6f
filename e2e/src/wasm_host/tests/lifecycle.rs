//! Which callbacks come when, and what a change of configuration does.

use std::time::Duration;

use super::Wat;
use super::wat::{CONTINUE, LENGTH, POINTER, REQUEST, RETURNED};
use crate::wasm_host::{Action, Module, PluginSpec, Proxy};

const PLUGIN_CONFIGURATION: &str = "(i32.const 7) (i32.const 0) (i32.const 1000)";

/// Logs every callback by name.
fn logs_everything() -> Module {
    let mut wat = Wat::new();
    let [create, start, configure, tick, request, response, done, log, delete] =
        ["create", "start", "configure", "tick", "request", "response", "done", "log", "delete"]
            .map(|name| wat.log(name));
    wat.on("proxy_on_context_create", 2, &create)
        .on_returning("proxy_on_vm_start", 2, &format!("{start} (i32.const 1)"))
        .on_returning(
            "proxy_on_configure",
            2,
            &format!("{configure} (drop (call $tick_every (i32.const 1000))) (i32.const 1)"),
        )
        .on("proxy_on_tick", 1, &tick)
        .on_returning("proxy_on_request_headers", 3, &format!("{request} {CONTINUE}"))
        .on_returning("proxy_on_response_headers", 3, &format!("{response} {CONTINUE}"))
        .on_returning("proxy_on_done", 1, &format!("{done} (i32.const 1)"))
        .on("proxy_on_log", 1, &log)
        .on("proxy_on_delete", 1, &delete)
        .compile()
}

/// What was logged since `before` lines.
fn since(proxy: &Proxy, before: usize) -> Vec<String> {
    proxy.log().split_off(before)
}

#[test]
fn a_plugin_starts_on_the_main_thread_and_on_every_worker() {
    let proxy = Proxy::load(&logs_everything(), 1);
    let plugin = proxy.plugin(b"");
    assert!(plugin.is_configured());
    assert_eq!(proxy.vms(), 2);
    assert_eq!(proxy.log(), ["create", "start", "configure", "create", "start", "configure"]);
}

#[test]
fn a_stream_passes_through_its_callbacks_in_order() {
    let proxy = Proxy::load(&logs_everything(), 1);
    let plugin = proxy.plugin(b"");
    let before = proxy.log().len();
    let mut stream = plugin.request(0, [(":path", "/")]);
    assert_eq!(stream.action(), Action::Continue);
    stream.response([(":status", "200")]);
    stream.end();
    assert_eq!(since(&proxy, before), ["create", "request", "response", "done", "log", "delete"]);
}

#[test]
fn a_dropped_stream_ends_too() {
    let proxy = Proxy::load(&logs_everything(), 1);
    drop(proxy.plugin(b"").request(0, [(":path", "/")]));
    assert_eq!(proxy.log().iter().filter(|line| *line == "request").count(), 1);
    assert!(proxy.log().contains(&"delete".to_owned()));
}

#[test]
fn callbacks_that_are_not_exported_are_passed_over() {
    let proxy = Proxy::load(&Wat::new().compile(), 1);
    let mut stream = proxy.plugin(b"").request(0, [("a", "1")]);
    assert_eq!(stream.response([(":status", "200")]).first(":status"), Some(&b"200"[..]));
    assert_eq!(stream.headers().first("a"), Some(&b"1"[..]));
    assert_eq!(stream.end().host_calls(), 0);
}

#[test]
fn plugins_with_the_same_name_and_configuration_are_one() {
    let proxy = Proxy::load(&logs_everything(), 1);
    let inbound = proxy.plugin(b"same");
    let before = proxy.log().len();
    let outbound = proxy.plugin(b"same");
    assert!(since(&proxy, before).is_empty());
    drop(inbound);
    assert!(outbound.is_configured());
    assert!(since(&proxy, before).is_empty());
}

#[test]
fn ticks_come_when_due_on_every_thread() {
    let proxy = Proxy::load(&logs_everything(), 2);
    let _plugin = proxy.plugin(b"");
    let ticks = || proxy.log().iter().filter(|line| *line == "tick").count();
    proxy.advance(Duration::from_millis(999));
    assert_eq!(ticks(), 0);
    proxy.advance(Duration::from_millis(1));
    assert_eq!(ticks(), 3);
    proxy.advance(Duration::from_secs(2));
    assert_eq!(ticks(), 9);
    proxy.tick();
    assert_eq!(ticks(), 12);
}

/// Answers requests with the configuration in force when their plugin was configured. Refuses `bad`.
fn shows_configuration() -> Module {
    let mut wat = Wat::new();
    let shown = wat.text("x-configuration");
    // Each root context stores its configuration's address and length at 1000 + 8 × its id; a stream stores
    // its root's id at 2000 + 4 × its own.
    wat.on(
        "proxy_on_context_create",
        2,
        "(i32.store (i32.add (i32.const 2000) (i32.mul (local.get 0) (i32.const 4))) (local.get 1))",
    )
    .on_returning(
        "proxy_on_configure",
        2,
        &format!(
            "(drop (call $buffer {PLUGIN_CONFIGURATION} {POINTER} {LENGTH}))
             (i64.store (i32.add (i32.const 1000) (i32.mul (local.get 0) (i32.const 8)))
                        (i64.load {POINTER}))
             (i32.ne (local.get 1) (i32.const 3))"
        ),
    )
    .on_returning(
        "proxy_on_response_headers",
        3,
        &format!(
            "(i64.store {POINTER} (i64.load (i32.add (i32.const 1000) (i32.mul (i32.const 8)
                 (i32.load (i32.add (i32.const 2000) (i32.mul (local.get 0) (i32.const 4))))))))
             (drop (call $replace (i32.const 2) {shown} {RETURNED})) {CONTINUE}"
        ),
    )
    .compile()
}

fn shown(stream: &mut crate::wasm_host::Stream) -> Vec<u8> {
    stream.response([(":status", "200")]).first("x-configuration").unwrap_or_default().to_vec()
}

#[test]
fn a_stream_keeps_the_configuration_that_it_began_under() {
    let proxy = Proxy::load(&shows_configuration(), 1);
    let plugin = proxy.plugin(b"first");
    let mut early = plugin.request(0, [(":path", "/")]);
    assert!(plugin.update(b"second"));
    let mut late = plugin.request(0, [(":path", "/")]);
    assert_eq!(shown(&mut early), b"first");
    assert_eq!(shown(&mut late), b"second");
}

#[test]
fn a_refused_change_leaves_the_old_configuration_in_force() {
    let proxy = Proxy::load(&shows_configuration(), 1);
    let plugin = proxy.plugin(b"first");
    assert!(!plugin.update(b"bad"));
    assert_eq!(shown(&mut plugin.request(0, [(":path", "/")])), b"first");
}

#[test]
fn a_configuration_refused_at_the_start_means_500_for_all() {
    let plugin = Proxy::load(&shows_configuration(), 1).plugin(b"bad");
    assert!(!plugin.is_configured());
    let stream = plugin.request(0, [(":path", "/")]);
    assert_eq!(stream.local_response().map(|response| response.status), Some(500));
}

#[test]
fn the_old_configuration_ends_with_its_last_stream() {
    let proxy = Proxy::load(&logs_everything(), 1);
    let plugin = proxy.install(PluginSpec::new(b"first").named("p"));
    let stream = plugin.request(0, [(":path", "/")]);
    assert!(plugin.update(b"second"));
    let before = proxy.log().len();
    stream.end();
    let ending = ["done", "log", "delete"];
    // The stream on its worker, then the plugin on the main thread and on the worker.
    assert_eq!(since(&proxy, before), [ending, ending, ending].concat());
}

#[test]
fn the_configuration_is_out_of_reach_once_configured() {
    let mut wat = Wat::new();
    let status =
        wat.report(REQUEST, "x-status", &format!("(call $buffer {PLUGIN_CONFIGURATION} {POINTER} {LENGTH})"));
    let module = wat.on_returning("proxy_on_request_headers", 3, &format!("{status} {CONTINUE}")).compile();
    let stream = Proxy::load(&module, 1).plugin(b"config").request(0, [(":path", "/")]);
    assert_eq!(stream.headers().first("x-status"), Some(&b"1"[..]));
}
