//! Header values are bytes: none that a client can send kills a VM or changes a header that is not ours.

use canary_e2e::wasm_host::Stream;

use crate::support::{Gateway, Sidecar, ordinary};

/// Everything that some role reads.
const READ: [&str; 14] = [
    ":path",
    ":authority",
    "cookie",
    "x-canary-lane",
    "x-mse-tag",
    "baggage",
    "x-request-id",
    "traceparent",
    "b3",
    "x-b3-traceid",
    "sw8",
    "uber-trace-id",
    "x-blue",
    "x-not-ours",
];

/// What a header may hold, by RFC 9110 and by Envoy: anything but line ends and zero.
fn sendable() -> impl Iterator<Item = u8> {
    (1..=u8::MAX).filter(|byte| !matches!(byte, b'\r' | b'\n'))
}

/// The shapes a byte is put in: alone, and where parsers look for structure.
fn shapes(name: &str, byte: u8) -> [Vec<u8>; 4] {
    let meant: &[u8] = match name {
        "cookie" => b"gray=1; canary-lane=gray~0~r~1~k1~AAAAAAAAAAAAAAAAAAAAAA",
        "baggage" => b"a=1,canary-lane=gray;p=1",
        "x-request-id" => b"2f9d8c1e-7b3a-4c5d-9e8f-0a1b2c3d4e5f",
        "traceparent" => b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "sw8" => b"1-MTIzNDU2-c2Vn-3-c2Vn-c2Vn-c2Vn-c2Vn",
        ":path" => b"/a?canary-lane=gray~0~r~1~k1~A",
        _ => b"463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1",
    };
    let middle = meant.len() / 2;
    let replaced = [&meant[..middle], &[byte], &meant[middle + 1..]].concat();
    [vec![byte], [&[byte], meant].concat(), [meant, &[byte]].concat(), replaced]
}

/// Sends every shape of every byte in every header that is read.
fn send_all(mut request: impl FnMut(Vec<(Vec<u8>, Vec<u8>)>) -> Stream) {
    for name in READ {
        for value in sendable().flat_map(|byte| shapes(name, byte)) {
            let mut lines: Vec<(Vec<u8>, Vec<u8>)> = ordinary([("x-kept", "caf\u{e9}")])
                .into_iter()
                .filter(|(line, _)| *line != name)
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            lines.push((name.into(), value));
            let mut stream = request(lines);
            stream.response([(":status", "200")]);
            assert_eq!(stream.headers().first("x-kept"), Some("caf\u{e9}".as_bytes()));
        }
    }
}

#[test]
fn at_an_edge() {
    let gateway = Gateway::new();
    send_all(|lines| gateway.request(lines));
    gateway.proxy.assert_sound();
}

#[test]
fn in_a_sidecar() {
    let sidecar = Sidecar::new(1);
    send_all(|lines| {
        let _inbound = sidecar.inbound.request(0, lines.clone());
        sidecar.outbound.request(0, lines)
    });
    sidecar.proxy.assert_sound();
}

#[test]
fn in_a_response() {
    let gateway = Gateway::new();
    for byte in sendable() {
        let mut stream = gateway.request(ordinary([("cookie", "gray=1")]));
        let value = [b"private", &[byte][..], b"public"].concat();
        let response = stream.response([
            (&b":status"[..], &b"200"[..]),
            (b"cache-control", &value),
            (b"vary", &value),
            (b"set-cookie", &value),
        ]);
        assert_eq!(response.first("set-cookie"), Some(value.as_slice()));
    }
    gateway.proxy.assert_sound();
}

#[test]
fn long_and_many() {
    let (gateway, sidecar) = (Gateway::new(), Sidecar::new(1));
    let long = "gray=1,;=%".repeat(6_000);
    for name in READ {
        let lines = ordinary([]).into_iter().filter(|(line, _)| *line != name).chain([(name, long.as_str())]);
        let lines: Vec<_> = lines.collect();
        gateway.request(lines.clone()).response([(":status", "200")]);
        let _inbound = sidecar.inbound.request(0, lines.clone());
        sidecar.outbound.request(0, lines).end();
        let many = ordinary(std::iter::repeat_n((name, "gray=1"), 1_000));
        gateway.request(many.clone()).response([(":status", "200")]);
        let _inbound = sidecar.inbound.request(0, many.clone());
        sidecar.outbound.request(0, many).end();
    }
    gateway.proxy.assert_sound();
    sidecar.proxy.assert_sound();
}
