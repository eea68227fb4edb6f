//! No input panics: configurations, documents and requests of any bytes.

use canary_rules::document::{Source, read};
use canary_rules::request::Headers;
use canary_rules::wire::{Filter, FilterConfig};
use proptest::collection::vec;
use proptest::prelude::*;

use super::generators::{borrowed, cases, edge, request};

/// Bytes that look like what names of headers and values are made of.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..64), "[ -~]{0,64}".prop_map(String::into_bytes)]
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec![
            ":path", ":method", ":authority", "cookie", "authorization", "x-forwarded-for", "baggage", "x-canary-lane",
            "x-request-id", "traceparent", "b3", "cache-control", "set-cookie", "vary", "x-a",
        ]).prop_map(|name| name.as_bytes().to_vec()),
        1 => bytes(),
    ]
}

/// Everything that a filter may do with lines.
fn use_up(filter: &Filter, lines: &[(Vec<u8>, Vec<u8>)], peer: &[u8], now_s: u64) {
    let lines: Vec<(&[u8], &[u8])> =
        lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let headers = Headers::new(&lines);
    match filter {
        Filter::Passthrough => {}
        Filter::EdgeGuard(edge) | Filter::Edge(edge) => {
            let _ = edge.guard(&headers, now_s);
            let _ = edge.decide(&headers, Some(peer), now_s, || [9; 16]).response.edits(&headers);
            edge.explain(&headers, None, now_s, || [9; 16]);
        }
        Filter::Inbound(hop) | Filter::Outbound(hop) => {
            hop.inbound(&headers, None, || peer.len().is_multiple_of(2));
            hop.outbound(&headers, None, |_| canary_rules::flows::Lookup::Unknown);
        }
    }
}

/// A configuration's JSON, damaged.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (
        edge(),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(config, flips, cut, cuts)| {
            let mut json = config.to_json().into_bytes();
            for (at, byte) in flips {
                let at = at.index(json.len());
                json[at] = byte;
            }
            if cuts {
                json.truncate(cut.index(json.len()));
            }
            json
        })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn no_request_panics(config in edge(), lines in vec((header(), bytes()), 0..12), peer in bytes(), now_s: u64) {
        let filter = Filter::try_from(config).expect("valid");
        use_up(&filter, &lines, &peer, now_s);
    }

    #[test]
    fn no_configuration_panics(json in prop_oneof![damaged(), vec(any::<u8>(), 0..200)], lines in request()) {
        if let Ok(filter) = FilterConfig::parse(&json).and_then(Filter::try_from) {
            use_up(&filter, &lines, b"", 0);
            prop_assert!(!borrowed(&lines).is_empty() || lines.is_empty());
        }
    }

    /// Lines of documents in any order, with any noise.
    #[test]
    fn no_document_panics(pieces in vec(piece(), 0..24)) {
        let text = pieces.concat();
        if let Err(faults) = read(&[Source { name: "x".into(), text: text.clone() }]) {
            prop_assert!(!faults.is_empty());
            let lines = u64::try_from(text.lines().count()).expect("few").max(1) + 1;
            for fault in faults {
                prop_assert!(fault.line <= lines && !fault.message.is_empty() && !fault.message.contains('\n'), "{fault}");
            }
        }
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "apiVersion: canaryctl.io/v1alpha1\n", "kind: Lane\n", "metadata: {name: gray}\n", "spec:\n", "  rules:\n",
            "    - when: {cookie: {name: a, exact: '1'}}\n", "    - percent: 5\n", "      percent: 7\n", "    - when:\n",
            "        not: {any: [{path: {glob: '/**'}}]}\n", "  key: [{header: x}, {claim: {name: sub}}]\n", "---\n",
            "  priority: ", "1.5\n", "-3\n", "null\n", "{", "}", "[", "]", ", ", "'", "\"", "&a ", "*a ", "? ", "!!str ",
            "<<: *a\n", "#", "\t", "\r\n", "\n", "|\n", ">-\n", "  mode: strict\n", "status: {epoch: 1, buckets: AAEAAg}\n",
        ]).prop_map(String::from),
        1 => "[ -~\\n]{0,12}",
        1 => any::<char>().prop_map(String::from),
    ]
}
