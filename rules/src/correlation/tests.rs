use super::{FlowId, FlowIds, IdSource};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn id_of(header: &str, value: &[u8]) -> Option<FlowId> {
    FlowIds::new([9; 16]).id(&IdSource::new(header).expect("a header name"), value)
}

#[track_caller]
fn check_same(spellings: &[(&str, &str)]) {
    let ids: Vec<_> = spellings.iter().map(|(header, value)| id_of(header, value.as_bytes())).collect();
    for (id, spelling) in ids.iter().zip(spellings) {
        assert!(id.is_some(), "{spelling:?}");
        assert_eq!(*id, ids[0], "{spelling:?}");
    }
}

#[track_caller]
fn check_differ(one: (&str, &str), other: (&str, &str)) {
    let ids = [one, other].map(|(header, value)| id_of(header, value.as_bytes()).expect(value));
    assert_ne!(ids[0], ids[1]);
}

#[track_caller]
fn check_none(header: &str, values: &[&str]) {
    for value in values {
        assert_eq!(id_of(header, value.as_bytes()), None, "{header}: {value}");
    }
}

#[test]
fn one_trace_has_one_id_in_every_format() {
    check_same(&[
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-00"),
        ("traceparent", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01"),
        ("traceparent", " 01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more-fields\t"),
        ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
        ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-d"),
        ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1-05e3ac9a4f6e3b90"),
        ("x-b3-traceid", TRACE),
        ("X-B3-TraceId", "4BF92F3577B34DA6A3CE929D0E0E4736"),
        ("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1"),
        ("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736%3A00f067aa0ba902b7%3a0%3A1"),
    ]);
}

#[test]
fn a_64_bit_id_is_a_128_bit_id_that_starts_with_zeros() {
    check_same(&[
        ("x-b3-traceid", "a3ce929d0e0e4736"),
        ("x-b3-traceid", "0000000000000000a3ce929d0e0e4736"),
        ("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1"),
        ("uber-trace-id", "a3ce929d0e0e4736:1:0:1"),
        ("traceparent", "00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]);
    check_same(&[("uber-trace-id", "4736:1:0:1"), ("x-b3-traceid", "0000000000004736")]);
}

#[test]
fn different_traces_have_different_ids() {
    check_differ(("x-b3-traceid", TRACE), ("x-b3-traceid", "4bf92f3577b34da6a3ce929d0e0e4737"));
    check_differ(("x-b3-traceid", TRACE), ("x-b3-traceid", "a3ce929d0e0e4736"));
}

#[test]
fn a_malformed_traceparent_has_no_id() {
    check_none(
        "traceparent",
        &[
            "",
            "-",
            TRACE,
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "FF-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902bx-01",
        ],
    );
}

#[test]
fn a_sampling_decision_is_no_id() {
    check_none("b3", &["0", "1", "d", "", "-", "1-"]);
}

#[test]
fn a_malformed_b3_has_no_id() {
    check_none("b3", &[TRACE, "-00f067aa0ba902b7", "x-00f067aa0ba902b7", "a3ce929d0e0e4736-x-1", "0-1"]);
    check_none(
        "x-b3-traceid",
        &["", "0", "0000000000000000", "4bf92f3577b34da6a3ce929d0e0e47361", "+1", "a-b"],
    );
}

#[test]
fn a_malformed_uber_trace_id_has_no_id() {
    check_none(
        "uber-trace-id",
        &[
            "",
            ":::",
            "1",
            "1:2",
            "1:2:0",
            "1:2:0:1:1",
            "0:2:0:1",
            "x:2:0:1",
            "1::0:1",
            "1%3B2:0:1:1",
            "1%3",
            "1%",
        ],
    );
}

#[test]
fn skywalking_is_known_by_its_second_field() {
    check_same(&[
        ("sw8", "1-TRACEID0-SEGMENT1-3-c2VydmljZQ==-aW5z-L2Fw-MTI3"),
        ("sw8", "0-TRACEID0-SEGMENT2-0-b3RoZXI=-aW5z-L2Fw-MTI4"),
        ("sw8", "1-TRACEID0-a-b-c-d-e-f-g"),
    ]);
    check_same(&[("sw8", "1-QQ==-a-b-c-d-e-f"), ("sw8", "1-QQ-a-b-c-d-e-f")]);
    check_differ(("sw8", "1-AAAA-a-b-c-d-e-f"), ("sw8", "1-AAAB-a-b-c-d-e-f"));
    check_none(
        "sw8",
        &["", "1-AAAA", "1-AAAA-a-b-c-d-e", "2-AAAA-a-b-c-d-e-f", "1--a-b-c-d-e-f", "1-A*-a-b-c-d-e-f"],
    );
    check_none("sw8", &["1-==-a-b-c-d-e-f", "1-A===-a-b-c-d-e-f"]);
}

#[test]
fn any_other_header_is_its_whole_value() {
    check_same(&[("x-corr", "order 17/a"), ("X-Corr", "\torder 17/a ")]);
    check_differ(("x-corr", "order-17"), ("x-corr", "order-18"));
    check_differ(("x-corr", "abc"), ("x-corr", "ABC"));
    check_differ(("x-corr", "abc"), ("x-corr2", "abc"));
    check_differ(("x-a", "babc"), ("x-ab", "abc"));
    check_differ(("x-corr", TRACE), ("x-b3-traceid", TRACE));
    assert!(id_of("x-corr", b"\xff\xfe").is_some());
}

#[test]
fn a_uuid_is_the_same_whatever_envoy_writes_into_digit_14() {
    check_same(&[
        ("x-request-id", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("x-request-id", "3f2504e0-4f89-91d3-9a0c-0305e82c3301"),
        ("x-request-id", "3f2504e0-4f89-b1d3-9a0c-0305e82c3301"),
        ("x-request-id", "3F2504E0-4F89-A1D3-9A0C-0305E82C3301"),
    ]);
    check_differ(
        ("x-request-id", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"),
        ("x-request-id", "3f2504e0-4f89-42d3-9a0c-0305e82c3301"),
    );
}

#[test]
fn nothing_and_zeros_are_no_id() {
    check_none("x-corr", &["", " \t", "0", "0000", "-", "00000000-0000-0000-0000-000000000000"]);
}

#[test]
fn an_id_beyond_256_bytes_is_none() {
    assert!(id_of("x-corr", &[b'a'; 256]).is_some());
    assert_eq!(id_of("x-corr", &[b'a'; 257]), None);
    let sw8 = |bytes: usize| format!("1-{}-a-b-c-d-e-f", "A".repeat(bytes));
    assert!(id_of("sw8", sw8(256).as_bytes()).is_some());
    assert_eq!(id_of("sw8", sw8(257).as_bytes()), None);
}

#[test]
fn another_key_gives_another_id() {
    let value = TRACE.as_bytes();
    let id = |key: u8| FlowIds::new([key; 16]).id(&IdSource::XB3TraceId, value);
    assert_ne!(id(1), id(2));
}

#[test]
fn the_hash_is_fixed() {
    // Proxies of one pod may run two releases of the filter on one map.
    assert_eq!(id_of("x-b3-traceid", TRACE.as_bytes()), Some(FlowId(0xc706_51dd_5184_d2e0)));
}

#[test]
fn sources_are_written_as_header_names() {
    for name in ["traceparent", "b3", "x-b3-traceid", "sw8", "uber-trace-id", "x-corr"] {
        let text = format!("\"{name}\"");
        let source: IdSource = serde_json::from_str(&text).expect("a source");
        assert_eq!(source.header(), name);
        assert_eq!(matches!(source, IdSource::Header(_)), name == "x-corr");
        assert_eq!(serde_json::to_string(&source).expect("written"), text);
    }
    assert_eq!(IdSource::new("TraceParent"), Ok(IdSource::TraceParent));
    assert!(serde_json::from_str::<IdSource>("\"a b\"").is_err());
}
