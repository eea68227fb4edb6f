use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::line::{self, Line};
use super::open::{Causes, GUESSES_MAX, OPEN_S_MAX, OpenSpans, SPANS_MAX};
use super::*;
use crate::correlation::FlowId;
use crate::name::LaneCode;

const GRAY: LaneCode = LaneCode(7);
const NOW_S: u32 = 1_000;

fn key() -> TraceKey {
    TraceKey::new(*b"0123456789abcdef")
}

fn mark(trace: u64, span: u64) -> Mark {
    Mark { trace, span }
}

#[test]
fn a_mark_is_believed_as_it_was_made_and_not_otherwise() {
    let made = mark(0x0123_4567_89ab_cdef, 0xfedc);
    let text = key().sign(made);
    assert_eq!(key().verify(&text), Some(made));
    for at in 0..MARK_BYTES {
        let mut other = text;
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(key().verify(&other), None, "digit {at}");
    }
    assert_eq!(key().verify(&text[1..]), None);
    assert_eq!(key().verify(b""), None);
    assert_eq!(key().verify(&[b'0'; MARK_BYTES]), None, "what has no MAC is no mark");
    assert_eq!(TraceKey::new([0; 16]).verify(&text), None, "another key");
}

#[test]
fn a_key_is_read_as_it_is_written_and_shown_to_nobody() {
    let written = String::from(key());
    assert_eq!(TraceKey::parse(&written), Ok(key()));
    for wrong in ["", "00", "0123456789abcdef0123456789abcdeg", "0123456789abcdef0123456789abcdef0"] {
        assert_eq!(TraceKey::parse(wrong), Err(TraceKeyError), "{wrong}");
    }
    assert_eq!(alloc::format!("{:?}", key()), "TraceKey");
}

fn causes(trace: u64, spans: &[u64], open: u64) -> Option<Causes> {
    Some(Causes { trace, spans: spans.to_vec(), open })
}

#[test]
fn a_call_is_caused_by_the_request_that_it_shares_an_id_with() {
    let mut open = OpenSpans::default();
    assert!(!open.any(NOW_S));
    open.begin(mark(1, 10), GRAY, &[FlowId(100), FlowId(101)], NOW_S);
    open.begin(mark(2, 20), GRAY, &[FlowId(200)], NOW_S);
    assert!(open.any(NOW_S));
    assert_eq!(open.causes(&[FlowId(5), FlowId(101)], NOW_S), causes(1, &[10], 2));
    assert_eq!(open.causes(&[FlowId(200)], NOW_S), causes(2, &[20], 2));
    assert_eq!(open.causes(&[FlowId(5)], NOW_S), None);
    assert_eq!(open.causes(&[], NOW_S), None);
    assert_eq!(OpenSpans::read(open.bytes()), open);
}

#[test]
fn no_id_is_no_id_that_a_request_without_ids_would_share() {
    let mut open = OpenSpans::default();
    open.begin(mark(1, 10), GRAY, &[], NOW_S);
    assert_eq!(open.causes(&[FlowId(1)], NOW_S), None);
}

#[test]
fn of_requests_that_share_an_id_those_count_that_are_open() {
    let mut open = OpenSpans::default();
    open.begin(mark(1, 10), GRAY, &[FlowId(100)], NOW_S);
    open.begin(mark(1, 11), GRAY, &[FlowId(100)], NOW_S);
    assert_eq!(open.causes(&[FlowId(100)], NOW_S), causes(1, &[10, 11], 2));
    open.end(mark(1, 10), NOW_S + 30);
    assert_eq!(open.causes(&[FlowId(100)], NOW_S), causes(1, &[11], 1));
    open.end(mark(1, 11), NOW_S + 30);
    assert_eq!(open.causes(&[FlowId(100)], NOW_S + 29), causes(1, &[10, 11], 0));
    assert_eq!(open.causes(&[FlowId(100)], NOW_S + 30), None);
}

#[test]
fn a_request_that_does_not_end_goes_by_itself() {
    let mut open = OpenSpans::default();
    open.begin(mark(1, 10), GRAY, &[FlowId(100)], NOW_S);
    assert!(open.any(NOW_S + OPEN_S_MAX - 1));
    assert!(!open.any(NOW_S + OPEN_S_MAX));
}

#[test]
fn a_call_without_ids_may_be_of_any_request_whose_lane_it_does_not_deny() {
    let mut open = OpenSpans::default();
    open.begin(mark(1, 10), GRAY, &[FlowId(100)], NOW_S);
    assert_eq!(open.guess(LaneCode::BASELINE, NOW_S), causes(1, &[10], 1));
    assert_eq!(open.guess(GRAY, NOW_S), causes(1, &[10], 1));
    assert_eq!(open.guess(LaneCode(8), NOW_S), None);
}

#[test]
fn a_call_without_ids_is_of_the_trace_that_is_open_or_ended_last() {
    let mut open = OpenSpans::default();
    for trace in 1..=3 {
        open.begin(mark(trace, 10), GRAY, &[], NOW_S);
    }
    open.end(mark(1, 10), NOW_S + 30);
    open.end(mark(3, 10), NOW_S + 31);
    assert_eq!(open.guess(GRAY, NOW_S), causes(2, &[10], 1));
    open.end(mark(2, 10), NOW_S + 29);
    assert_eq!(open.guess(GRAY, NOW_S), causes(3, &[10], 0));
}

#[test]
fn guesses_have_an_end() {
    let mut open = OpenSpans::default();
    open.begin(mark(1, 10), GRAY, &[FlowId(100)], NOW_S);
    for _ in 0..GUESSES_MAX {
        assert!(open.guess(GRAY, NOW_S).is_some());
    }
    assert_eq!(open.guess(GRAY, NOW_S), None);
    assert!(open.causes(&[FlowId(100)], NOW_S).is_some(), "what is known is no guess");
}

#[test]
fn one_request_too_many_takes_the_place_of_the_first_to_go() {
    let mut open = OpenSpans::default();
    for number in 0..SPANS_MAX as u64 {
        open.begin(mark(number, 1), GRAY, &[FlowId(number + 1)], NOW_S + number as u32);
    }
    open.begin(mark(99, 1), GRAY, &[FlowId(99)], NOW_S + 50);
    assert_eq!(open.causes(&[FlowId(1)], NOW_S + 50), None);
    assert!(open.causes(&[FlowId(2)], NOW_S + 50).is_some());
    assert!(open.causes(&[FlowId(99)], NOW_S + 50).is_some());
}

#[test]
fn bytes_of_another_version_are_no_requests() {
    let mut open = OpenSpans::default();
    open.begin(mark(1, 10), GRAY, &[FlowId(100)], NOW_S);
    let mut bytes = open.bytes().to_vec();
    bytes[0] += 1;
    assert_eq!(OpenSpans::read(&bytes), OpenSpans::default());
    assert_eq!(OpenSpans::read(&bytes[1..]), OpenSpans::default());
}

#[test]
fn a_line_is_plain_whatever_it_says() {
    let mut line = Line::default();
    line.field("path", b"/caf\xe9 ;\t\"\n");
    line.carrier(line::CARRIER, "b3", b"1-2");
    line.number("at", 255);
    let text = line.end();
    assert_eq!(text, "canaryctl.trace/1 path=/caf%e9%20%3b%09%22%0a carrier.b3=1-2 at=00000000000000ff ;");
}

#[test]
fn a_log_s_line_holds_a_line_or_none() {
    let log =
        "[2026-11-01][12][warning][wasm] [x.cc:1] wasm log a b: canaryctl.trace/1 a=1 b=%20 ;\tthread=9";
    let read = line::read(log).expect("a line");
    assert_eq!(read, vec![("a".to_string(), b"1".to_vec()), ("b".to_string(), b" ".to_vec())]);
    for none in ["", "canaryctl.trace/1 a=1", "canaryctl.trace/1 a ;", "canaryctl.trace/1 a=%2 ;"] {
        assert_eq!(line::read(none), None, "{none}");
    }
}

proptest! {
    #[test]
    fn what_is_said_is_read(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5)) {
        let mut line = Line::default();
        values.iter().for_each(|value| line.field("key", value));
        let read = line::read(&line.end()).expect("a line");
        let expected: Vec<_> = values
            .iter()
            .map(|value| ("key".to_string(), value[..value.len().min(line::VALUE_BYTES_MAX)].to_vec()))
            .collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn any_text_can_be_read(text in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = line::read(&alloc::format!("{}{text}", line::PREFIX));
        let _ = key().verify(&bytes);
        let _ = OpenSpans::read(&bytes);
    }
}

#[test]
fn a_sample_is_read_as_it_is_written() {
    let sample = Sample::read("gray 5 9").expect("a sample");
    assert_eq!((sample.lane.as_str(), sample.every_s, sample.watcher), ("gray", 5, 9));
    assert_eq!(sample.to_string(), "gray 5 9");
    for text in ["", "gray", "gray 5", "gray 5 0", "gray 5 9 1", "Gray 5 9", "gray -1 9", "gray  5 9"] {
        assert_eq!(Sample::read(text), None, "{text}");
    }
    assert_eq!(Sample::watcher_of(sample.trace(u32::MAX)), 9);
}
