//! Shared data: who shares it, what a compare-and-swap means, that nothing is ever removed.

use super::Wat;
use super::wat::{CONTINUE, LENGTH, NUMBER, POINTER, REQUEST, RETURNED};
use crate::wasm_host::abi::Status;
use crate::wasm_host::{Module, PluginSpec, Proxy, SharedData};

const VM: &[u8] = b"";

#[test]
fn a_key_never_set_is_not_found() {
    assert_eq!(SharedData::default().get(VM, b"k"), Err(Status::NotFound));
}

#[test]
fn a_removed_value_leaves_a_tombstone() {
    let mut shared = SharedData::default();
    shared.set(VM, b"k", b"v", 0).unwrap();
    shared.set(VM, b"k", b"", 0).unwrap();
    let (value, cas) = shared.get(VM, b"k").unwrap();
    assert_eq!(value, b"");
    assert_ne!(cas, 0);
    assert_eq!(shared.keys(), 1);
}

#[test]
fn a_stale_number_is_a_mismatch() {
    let mut shared = SharedData::default();
    shared.set(VM, b"k", b"1", 0).unwrap();
    let (_, cas) = shared.get(VM, b"k").unwrap();
    shared.set(VM, b"k", b"2", cas).unwrap();
    assert_eq!(shared.set(VM, b"k", b"3", cas), Err(Status::CasMismatch));
    assert_eq!(shared.value("", b"k"), Some(&b"2"[..]));
}

#[test]
fn a_number_for_a_missing_key_is_ignored() {
    let mut shared = SharedData::default();
    assert_eq!(shared.set(VM, b"k", b"v", 77), Ok(()));
}

#[test]
fn a_write_without_number_wins() {
    let mut shared = SharedData::default();
    shared.set(VM, b"k", b"1", 0).unwrap();
    assert_eq!(shared.set(VM, b"k", b"2", 0), Ok(()));
}

#[test]
fn contention_fails_as_many_writes_as_asked() {
    let mut shared = SharedData::default();
    shared.set(VM, b"k", b"1", 0).unwrap();
    shared.contend(1);
    let (_, cas) = shared.get(VM, b"k").unwrap();
    assert_eq!(shared.set(VM, b"k", b"2", cas), Err(Status::CasMismatch));
    let (value, cas) = shared.get(VM, b"k").unwrap();
    assert_eq!(value, b"1");
    assert_eq!(shared.set(VM, b"k", b"2", cas), Ok(()));
}

#[test]
fn a_key_costs_what_was_measured() {
    let mut shared = SharedData::default();
    shared.set(VM, &[b'k'; 32], &[b'v'; 9], 0).unwrap();
    assert_eq!(shared.allocated_bytes(), 158);
}

/// On a request with `x-put`, stores it; then reports what is stored in `x-got`, and the status.
fn put_and_get() -> Module {
    let mut wat = Wat::new();
    let (put, got, key) = (wat.text("x-put"), wat.text("x-got"), wat.text("k"));
    let status =
        wat.report(REQUEST, "x-status", &format!("(call $shared_get {key} {POINTER} {LENGTH} {NUMBER})"));
    wat.on_returning(
        "proxy_on_request_headers",
        3,
        &format!(
            "(if (i32.eqz (call $get {REQUEST} {put} {POINTER} {LENGTH}))
               (then (drop (call $shared_set {key} {RETURNED} (i32.const 0)))))
             {status}
             (drop (call $replace {REQUEST} {got} {RETURNED}))
             {CONTINUE}"
        ),
    )
    .compile()
}

#[test]
fn all_workers_and_all_plugins_of_a_vm_id_share() {
    let proxy = Proxy::load(&put_and_get(), 2);
    let inbound = proxy.install(PluginSpec::new(b"in").named("in"));
    let outbound = proxy.install(PluginSpec::new(b"out").named("out").env("POD", "web"));
    inbound.request(0, [("x-put", "gray")]).end();
    for (plugin, worker) in [(&inbound, 1), (&outbound, 0), (&outbound, 1)] {
        assert_eq!(plugin.request(worker, [("a", "1")]).headers().first("x-got"), Some(&b"gray"[..]));
    }
}

#[test]
fn another_vm_id_sees_nothing() {
    let proxy = Proxy::load(&put_and_get(), 1);
    proxy.plugin(b"").request(0, [("x-put", "gray")]).end();
    let other = proxy.install(PluginSpec::new(b"").vm_id("other"));
    assert_eq!(other.request(0, [("a", "1")]).headers().first("x-status"), Some(&b"1"[..]));
}

#[test]
fn new_code_of_the_same_vm_id_finds_what_was_stored() {
    let proxy = Proxy::load(&put_and_get(), 1);
    proxy.plugin(b"").request(0, [("x-put", "gray")]).end();
    let other_code = {
        let mut wat = Wat::new();
        let (key, got) = (wat.text("k"), wat.text("x-got"));
        let body = format!(
            "(drop (call $shared_get {key} {POINTER} {LENGTH} {NUMBER}))
             (drop (call $replace {REQUEST} {got} {RETURNED})) {CONTINUE}"
        );
        wat.on_returning("proxy_on_request_headers", 3, &body).compile()
    };
    let plugin = proxy.install(PluginSpec::new(b"").module(&other_code));
    assert_eq!(plugin.request(0, [("a", "1")]).headers().first("x-got"), Some(&b"gray"[..]));
}
