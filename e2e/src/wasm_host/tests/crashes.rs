//! A trap takes its worker's VM with it; what becomes of streams depends on the failure policy.

use super::Wat;
use super::wat::{CONTINUE, LENGTH, POINTER, REQUEST};
use crate::wasm_host::{Callback, FailurePolicy, Module, Plugin, PluginSpec, Proxy, Stream, Thread};

/// Traps on a request with the header `x-trap`; marks every other request and every response as seen.
fn traps_on_demand() -> Module {
    let mut wat = Wat::new();
    let (trap, seen, yes) = (wat.text("x-trap"), wat.text("x-seen"), wat.text("yes"));
    let last_words = wat.log("panicked");
    wat.on_returning(
        "proxy_on_request_headers",
        3,
        &format!(
            "(if (i32.eqz (call $get {REQUEST} {trap} {POINTER} {LENGTH})) (then {last_words} unreachable))
             (drop (call $replace {REQUEST} {seen} {yes})) {CONTINUE}"
        ),
    )
    .on_returning("proxy_on_response_headers", 3, CONTINUE)
    .compile()
}

fn plugin(proxy: &Proxy, policy: FailurePolicy) -> Plugin {
    proxy.install(PluginSpec::new(b"").failure_policy(policy))
}

fn status(stream: &Stream) -> u32 {
    stream.local_response().map_or(200, |response| response.status)
}

/// The statuses of: the stream that traps, one in flight on the same worker, the next there, one elsewhere.
#[track_caller]
fn check(policy: FailurePolicy, expected: [u32; 4]) {
    let proxy = Proxy::load(&traps_on_demand(), 2);
    let plugin = plugin(&proxy, policy);
    let mut in_flight = plugin.request(0, [("a", "1")]);
    let trapping = plugin.request(0, [("x-trap", "1")]);
    in_flight.response([(":status", "200")]);
    let next = plugin.request(0, [("a", "1")]);
    let elsewhere = plugin.request(1, [("a", "1")]);
    assert_eq!([&trapping, &in_flight, &next, &elsewhere].map(status), expected);
    assert_eq!(next.headers().first("x-seen"), None, "the plugin is off on that worker");
    assert_eq!(elsewhere.headers().first("x-seen"), Some(&b"yes"[..]));
}

#[test]
fn closed_fails_the_worker_for_good() {
    check(FailurePolicy::Closed, [503, 503, 503, 200]);
}

#[test]
fn open_fails_what_is_in_flight_and_is_off_after() {
    check(FailurePolicy::Open, [503, 503, 200, 200]);
}

#[test]
fn the_old_open_fails_nothing() {
    check(FailurePolicy::LegacyOpen, [200, 200, 200, 200]);
}

#[test]
fn a_crash_is_reported_with_its_thread_callback_and_last_words() {
    let proxy = Proxy::load(&traps_on_demand(), 2);
    plugin(&proxy, FailurePolicy::Open).request(1, [("x-trap", "1")]).end();
    let crashes = proxy.crashes();
    let [crash] = crashes.as_slice() else { panic!("{crashes:?}") };
    assert_eq!((crash.thread, crash.callback), (Thread::Worker(1), Callback::RequestHeaders));
    assert!(crash.message.contains("unreachable") && crash.message.contains("panicked"), "{}", crash.message);
}

#[test]
fn an_exit_is_a_crash() {
    let module = Wat::new()
        .on_returning("proxy_on_request_headers", 3, &format!("(call $exit (i32.const 3)) {CONTINUE}"))
        .compile();
    let proxy = Proxy::load(&module, 1);
    proxy.plugin(b"").request(0, [("a", "1")]).end();
    assert!(proxy.crashes()[0].message.contains("exited with code 3"));
}

#[test]
fn a_call_that_no_envoy_offers_is_a_crash_when_it_is_made() {
    let module = Wat::new().on_returning("proxy_on_request_headers", 3, "(call $unheard_of)").compile();
    let proxy = Proxy::load(&module, 1);
    let plugin = proxy.plugin(b"");
    proxy.assert_sound();
    plugin.request(0, [("a", "1")]).end();
    assert!(proxy.crashes()[0].message.contains("proxy_from_the_future"));
}

#[test]
#[should_panic(expected = "the filter trapped")]
fn an_unsound_proxy_fails_the_test() {
    let module = Wat::new().on("_initialize", 0, "unreachable").compile();
    let proxy = Proxy::load(&module, 1);
    let _plugin = proxy.plugin(b"");
    proxy.assert_sound();
}
