//! The input is a filter's configuration, an empty line, then header lines as `name value`.
#![no_main]

use canary_rules::flows::Lookup;
use canary_rules::request::Headers;
use canary_rules::wire::{Filter, FilterConfig, Peers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (json, rest) = input.split_at(end);
    let Ok(config) = FilterConfig::parse(json) else { return };
    // What was read is written so that it reads the same.
    let again = FilterConfig::parse(config.to_json().as_bytes()).expect("what was written is read");
    assert_eq!(again, config);
    let asks_who = config.peers == Peers::Mtls;
    let Ok(filter) = Filter::try_from(config) else { return };

    let lines: Vec<(&[u8], &[u8])> = rest
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b' ')?;
            Some((line.get(..at)?, line.get(at + 1..)?))
        })
        .collect();
    let headers = Headers::new(&lines);
    match filter {
        Filter::Passthrough => {}
        Filter::EdgeGuard(edge) | Filter::Edge(edge) => {
            let _ = edge.guard(&headers, 1_000);
            let decision = edge.decide(&headers, Some(b"10.0.0.1:1"), 1_000, || [7; 16]);
            assert_eq!(decision, edge.decide(&headers, Some(b"10.0.0.1:1"), 1_000, || [7; 16]));
            let _ = decision.response.edits(&headers);
        }
        Filter::Inbound(hop) | Filter::Outbound(hop) => {
            let inbound = hop.inbound(&headers, None, || false);
            assert!(!asks_who || inbound.tag.is_baseline(), "strangers are not believed");
            let _ = hop.outbound(&headers, None, |_| Lookup::Unknown);
        }
    }
});
