//! Correlation ids: one trace is one flow in every format.

use canary_rules::correlation::{FlowId, FlowIds, IdSource};
use proptest::prelude::*;

fn id_of(header: &str, value: &[u8]) -> Option<FlowId> {
    FlowIds::new([9; 16]).id(&IdSource::new(header).expect("a header name"), value)
}

/// A trace id, half of them of 64 bits.
fn trace() -> impl Strategy<Value = u128> {
    prop_oneof![1..=u128::MAX, 1..=u128::from(u64::MAX)]
}

/// One of the spellings of a trace that applications and proxies use.
fn spelling(trace: u128) -> impl Strategy<Value = (&'static str, String)> {
    let short = u64::try_from(trace).is_ok();
    (0..9_u8, any::<u64>(), any::<bool>()).prop_map(move |(form, span, upper)| {
        let id = if short && upper { format!("{trace:016x}") } else { format!("{trace:032x}") };
        let (header, value) = match form {
            0 => ("traceparent", format!("00-{trace:032x}-{span:016x}-01")),
            1 => ("traceparent", format!("cc-{trace:032x}-{span:016x}-01-what-the-future")),
            2 => ("b3", format!("{id}-{span:016x}")),
            3 => ("b3", format!("{id}-{span:016x}-1-{span:016x}")),
            4 => ("x-b3-traceid", id),
            5 => ("uber-trace-id", format!("{id}:{span:x}:0:1")),
            6 => ("uber-trace-id", format!("{trace:x}:{span:016x}:{span:016x}:3")),
            7 => ("uber-trace-id", format!("{trace:x}%3A{span:x}%3A0%3A1")),
            _ => ("uber-trace-id", format!("{id}%3a{span:x}%3a0%3a1")),
        };
        (header, if upper && form < 7 { value.to_ascii_uppercase() } else { value })
    })
}

proptest! {
    #[test]
    fn one_trace_is_one_flow_in_every_format(
        (trace, one, other) in trace().prop_flat_map(|trace| (Just(trace), spelling(trace), spelling(trace)))
    ) {
        let expected = id_of("x-b3-traceid", format!("{trace:032x}").as_bytes());
        prop_assert!(expected.is_some());
        prop_assert_eq!(id_of(one.0, one.1.as_bytes()), expected, "{:?}", one);
        prop_assert_eq!(id_of(other.0, other.1.as_bytes()), expected, "{:?}", other);
    }

    #[test]
    fn two_traces_are_two_flows(
        (one, other) in (trace(), trace()).prop_filter("two", |(one, other)| one != other)
            .prop_flat_map(|(one, other)| (spelling(one), spelling(other)))
    ) {
        prop_assert_ne!(id_of(one.0, one.1.as_bytes()), id_of(other.0, other.1.as_bytes()));
    }

    #[test]
    fn a_changed_character_never_gives_the_same_flow_by_another_id(
        (trace, spelled) in trace().prop_flat_map(|trace| (Just(trace), spelling(trace))),
        at: prop::sample::Index,
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"0123456789abcdefABCDEF-:%".to_vec())],
    ) {
        let mut value = spelled.1.clone().into_bytes();
        let at = at.index(value.len());
        value[at] = byte;
        // Whatever is still read is one number of hex digits: find it by brute force.
        let digits: String = value.iter().map(|byte| char::from(*byte)).collect();
        let numbers: Vec<u128> = digits
            .split(|digit: char| !digit.is_ascii_hexdigit())
            .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
            .collect();
        if let Some(id) = id_of(spelled.0, &value) {
            let known = numbers.iter().any(|number| id_of("x-b3-traceid", format!("{number:032x}").as_bytes()) == Some(id));
            prop_assert!(known, "{} {:?} of {:x}", spelled.0, digits, trace);
        }
    }

    #[test]
    fn garbage_has_no_trace(value: Vec<u8>) {
        for header in ["traceparent", "b3", "uber-trace-id", "sw8"] {
            prop_assert_eq!(id_of(header, &value), None);
        }
    }

    #[test]
    fn space_around_never_counts(value in "[!-~]{1,40}", before in "[ \t]{0,3}", after in "[ \t]{0,3}") {
        for header in ["traceparent", "b3", "x-b3-traceid", "uber-trace-id", "sw8", "x-corr"] {
            let padded = format!("{before}{value}{after}");
            prop_assert_eq!(id_of(header, padded.as_bytes()), id_of(header, value.as_bytes()));
        }
    }

    #[test]
    fn a_skywalking_id_does_not_depend_on_the_hop(
        id in "[A-Za-z0-9+/]{1,40}={0,2}",
        hop in "[A-Za-z0-9+/=]{1,9}(-[A-Za-z0-9+/=]{1,9}){5}",
        other in "[A-Za-z0-9+/=]{1,9}(-[A-Za-z0-9+/=]{1,9}){5}",
    ) {
        prop_assume!(!id.bytes().all(|byte| matches!(byte, b'0' | b'=')));
        let one = id_of("sw8", format!("1-{id}-{hop}").as_bytes());
        prop_assert!(one.is_some());
        prop_assert_eq!(one, id_of("sw8", format!("0-{id}-{other}").as_bytes()));
    }

    #[test]
    fn other_headers_meet_neither_each_other_nor_a_trace(one in "[a-z0-9]{1,40}", other in "[a-z0-9]{1,40}") {
        prop_assume!(one.bytes().any(|byte| byte != b'0') && other.bytes().any(|byte| byte != b'0'));
        prop_assert_eq!(one == other, id_of("x-a", one.as_bytes()) == id_of("x-a", other.as_bytes()));
        prop_assert_ne!(id_of("x-a", one.as_bytes()), id_of("x-b", one.as_bytes()));
        prop_assert_ne!(id_of("x-a", one.as_bytes()), id_of("x-b3-traceid", one.as_bytes()));
    }
}
