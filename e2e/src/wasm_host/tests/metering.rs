//! Counting: host calls by name, instructions, and that both are the same in every run.

use super::Wat;
use super::wat::{CONTINUE, LENGTH, POINTER, REQUEST};
use crate::wasm_host::{Cost, HostCall, Proxy};

/// Reads a header twice on request, sets one on delete (in vain: no map is in reach then).
fn three_calls() -> Wat {
    let mut wat = Wat::new();
    let name = wat.text("a");
    let get = format!("(drop (call $get {REQUEST} {name} {POINTER} {LENGTH}))");
    wat.on_returning("proxy_on_request_headers", 3, &format!("{get} {get} {CONTINUE}")).on(
        "proxy_on_delete",
        1,
        &format!("(drop (call $replace {REQUEST} {name} {name}))"),
    )
}

fn cost_of_a_pass(proxy: &Proxy) -> Cost {
    proxy.plugin(b"").request(0, [("a", "1")]).end()
}

#[test]
fn host_calls_are_counted_by_name_over_all_callbacks() {
    let cost = cost_of_a_pass(&Proxy::load(&three_calls().compile(), 1));
    assert_eq!(cost.host_calls(), 3);
    assert_eq!(cost.calls_of(HostCall::GetHeaderMapValue), 2);
    assert_eq!(cost.to_string(), "3 host calls (2 get_header_map_value, 1 replace_header_map_value)");
}

#[test]
fn instructions_are_counted_on_request_and_are_the_same_in_every_run() {
    let module = three_calls().compile_metered();
    let [first, second] = [1, 2].map(|_| cost_of_a_pass(&Proxy::load(&module, 1)));
    assert!(first.instructions > 0);
    assert_eq!(first, second);
    assert_eq!(cost_of_a_pass(&Proxy::load(&three_calls().compile(), 1)).instructions, 0);
}

#[test]
fn memory_that_the_filter_allocates_for_an_answer_is_counted_as_its_instructions() {
    let proxy = Proxy::load(&three_calls().compile_metered(), 1);
    let found = proxy.plugin(b"").request(0, [("a", "1")]).end();
    let missed = proxy.plugin(b"").request(0, [("b", "1")]).end();
    assert!(found.instructions > missed.instructions);
}

#[test]
fn the_proxy_sums_up_its_workers() {
    let proxy = Proxy::load(&three_calls().compile(), 2);
    let plugin = proxy.plugin(b"");
    plugin.request(0, [("a", "1")]).end();
    plugin.request(1, [("a", "1")]).end();
    assert_eq!(proxy.counters().host_calls(), 6);
}
