//! Memory is bounded whatever the traffic: Envoy's shared data knows no delete, and a VM no smaller size.

use canary_e2e::wasm_host::Proxy;

use crate::support::{Gateway, Sidecar, configuration, filter, ordinary, plugin};

/// What the map may cost a proxy, at its default size.
const MAP_BYTES_MAX: usize = 8_000_000;

/// Requests with five ids of their own each: enough to touch every part of the map several times.
const REQUESTS: u64 = 40_000;

/// Five ids that no other number gives.
fn ids(number: u64) -> [(&'static str, String); 5] {
    let id = |salt: u64| format!("{:016x}{:016x}", salt + 1, number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let base64_of_digits = format!("AAAA{:012x}", number);
    [
        ("traceparent", format!("00-{}-00f067aa0ba902b7-01", id(1))),
        ("b3", format!("{}-a2fb4a1d1a96d312-1", id(2))),
        ("x-b3-traceid", id(3)),
        ("sw8", format!("1-{base64_of_digits}-c2Vn-3-c2Vn-c2Vn-c2Vn-c2Vn")),
        ("uber-trace-id", format!("{}:a2fb4a1d1a96d312:0:1", id(4))),
    ]
}

fn arrive(sidecar: &Sidecar, number: u64) {
    let ids = ids(number);
    let lane = number.is_multiple_of(2).then_some(("x-canary-lane", "gray"));
    let lines = ids.iter().map(|(name, value)| (*name, value.as_str())).chain(lane);
    sidecar.inbound.request(0, lines).end();
}

#[test]
fn the_map_fills_up_to_its_bound_and_no_further() {
    let sidecar = Sidecar::new(1);
    (0..REQUESTS).for_each(|number| arrive(&sidecar, number));
    let full = sidecar.proxy.shared_data().allocated_bytes();
    let keys = sidecar.proxy.shared_data().keys();
    assert!(full <= MAP_BYTES_MAX, "{full} bytes under {keys} keys");
    let vm = sidecar.proxy.vm_memory_bytes();
    (REQUESTS..REQUESTS + REQUESTS / 2).for_each(|number| arrive(&sidecar, number));
    // A key more here or there is luck; what would grow with traffic would have grown by half.
    let grown = sidecar.proxy.shared_data().keys() - keys;
    assert!(grown <= keys / 1_000, "{grown} keys more than {keys}");
    assert_eq!(sidecar.proxy.vm_memory_bytes(), vm);
    sidecar.proxy.assert_sound();
}

#[test]
fn a_vm_does_not_grow_with_the_requests_it_has_seen() {
    let (gateway, sidecar) = (Gateway::new(), Sidecar::new(1));
    let round = || {
        for _ in 0..2_000 {
            let mut stream =
                gateway.request(ordinary([("cookie", "gray=1"), ("x-request-id", "not-a-uuid")]));
            stream.response([(":status", "200")]);
            sidecar.inbound.request(0, ordinary([("x-canary-lane", "gray")])).end();
            sidecar.outbound.request(0, ordinary([("x-canary-lane", "gray")])).end();
        }
        (gateway.proxy.vm_memory_bytes(), sidecar.proxy.vm_memory_bytes())
    };
    let first = round();
    assert_eq!(round(), first);
}

#[test]
fn streams_that_were_open_at_once_leave_nothing_behind() {
    let sidecar = Sidecar::new(1);
    let flood = |from: u64| {
        let ids: Vec<_> = (from..from + 3_000).map(ids).collect();
        let open: Vec<_> = ids
            .iter()
            .map(|ids| sidecar.inbound.request(0, ids.iter().map(|(name, value)| (*name, value.as_str()))))
            .collect();
        drop(open);
        sidecar.proxy.vm_memory_bytes()
    };
    // The allocator needs a few floods until freed pieces fit what comes next; then nothing more.
    let mut floods = (0_u64..).step_by(3_000).map(flood);
    let settled = floods.nth(5);
    for _ in 0..4 {
        assert_eq!(floods.next(), settled);
    }
}

#[test]
fn a_vm_does_not_grow_with_the_configurations_it_has_seen() {
    let proxy = Proxy::load(filter(), 1);
    let edge = plugin(&proxy, &configuration("edge"));
    let round = |round: u32| {
        for change in 0..300 {
            let mut changed = configuration("edge");
            changed["lanes"][0]["epoch"] = (round * 1_000 + change).into();
            assert!(edge.update(changed.to_string().as_bytes()));
            edge.request(0, ordinary([("cookie", "gray=1")])).end();
        }
        proxy.vm_memory_bytes()
    };
    let first = round(0);
    assert_eq!(round(1), first);
    assert_eq!(round(2), first);
}
