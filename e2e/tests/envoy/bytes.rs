//! Bytes that are no text, everywhere: a filter that stumbles over them is gone from its worker for good.

use std::net::SocketAddr;

use canary_e2e::carrier::Carrier;
use canary_localmesh::GATEWAY;

use crate::raw;
use crate::shop::{ALIAS, FLOWS};
use crate::stage::{HOST, Stage};

/// What travels in headers: none is UTF-8.
const VALUES: [&[u8]; 7] = [
    b"\xff",
    b"caf\xe9",
    b"\xc0\xaf\x80",
    b"canary-lane=\xff; gray=1; =; ;;\xfe=\xfd",
    b"canary-lane=gray\xff,a=\x80;p=\xff,,=,canary-lane",
    b"00-\xff\xff7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"7d4f8c1e-5b6a-4c3d-9e2f-1a2b3c4d5e\xff\xfe",
];

/// Headers that the filter reads, and some that rules read.
const HEADERS: [&str; 16] = [
    "x-canary-lane",
    "baggage",
    "x-request-id",
    "traceparent",
    "b3",
    "x-b3-traceid",
    "sw8",
    "uber-trace-id",
    "x-flow",
    "cookie",
    "x-user",
    "authorization",
    "x-forwarded-for",
    "tracestate",
    "user-agent",
    ALIAS,
];

/// Parts of the request line and the host.
const PATHS: [&[u8]; 5] = [
    b"/caf\xe9",
    b"/?lane=\xff&canary-lane=\xfe",
    b"/blue/\xff/\xc0\xaf",
    b"/%ff%fe?lane=%ff&%ff=%00",
    b"/\xf0\x9f",
];

/// Requests after which everything must still be right.
const REQUESTS_AFTER: usize = 200;

pub(crate) async fn everywhere(stage: &Stage) {
    let mesh = &stage.mesh;
    let before = stage.flushed(GATEWAY).await;
    let gateway = mesh.gateway();
    let inbound = mesh.inbound_address("cart-v1").expect("known");
    let outbound = mesh.outbound_address("cart-v1").expect("known");
    let mut sent = 0;
    for (address, host) in [(gateway, HOST), (inbound, "cart.shop"), (outbound, "stock.shop")] {
        sent += hostile(address, host).await;
    }
    assert!(sent > 1000, "{sent}");
    still_right(stage).await;
    let after = stage.flushed(GATEWAY).await;
    assert!(after.since(&before, "lane.baseline.edge") > 0);
    assert_eq!(after.since(&before, "host_refused"), 0);
    for proxy in [GATEWAY, "cart-v1"] {
        assert_eq!(stage.vms(proxy).await, 3, "{proxy}: two workers and the main thread");
        let log = mesh.run_dir().join(format!("{proxy}.envoy.log"));
        let log = std::fs::read_to_string(log).expect("a log");
        assert!(!log.contains("[critical]"), "{log}");
    }
}

/// Sends every value in every header, alone and beside what puts a request in a lane, and every path.
async fn hostile(address: SocketAddr, host: &str) -> usize {
    let mut sent = 0;
    for name in HEADERS {
        for value in VALUES {
            for lane in [&b"none=1"[..], b"gray=1"] {
                let twice = [(name.as_bytes(), value), (&b"cookie"[..], lane), (name.as_bytes(), value)];
                for headers in [&twice[..2], &twice[..]] {
                    sent += 1;
                    // Refused or served: what matters is who still serves afterwards.
                    raw::send(address, &raw::get(host, b"/_plain", headers)).await;
                }
            }
        }
    }
    for path in PATHS {
        sent += 1;
        raw::send(address, &raw::get(host, path, &[(b"cookie", b"gray=1")])).await;
    }
    for host in ["caf\u{e9}", "x.blue.test:\u{ff}"] {
        sent += 1;
        raw::send(address, &raw::get(host, b"/", &[])).await;
    }
    sent
}

/// Every worker of every proxy still knows every lane: each request comes on a connection of its own.
pub(crate) async fn still_right(stage: &Stage) {
    let carriers = [Carrier::TraceParent, Carrier::RequestId, Carrier::Baggage];
    for number in 0..REQUESTS_AFTER {
        let (cookie, path) = FLOWS[number % FLOWS.len()];
        let carrier = carriers[number / FLOWS.len() % carriers.len()];
        let id = carrier.id(500_000 + number as u64);
        let mut headers = vec![("cookie", cookie)];
        headers.extend(id.as_deref().map(|id| (carrier.header(), id)));
        let target = format!("/cart?forward={}", carrier.header());
        let answer = stage.get(&stage.client(), &target, &headers).await;
        assert_eq!(answer.path(), path, "request {number}, {carrier:?}");
    }
}
