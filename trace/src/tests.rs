//! Traces of random meshes against what was done in them, and each reason for a loss.

mod model;

use super::*;

fn pods(name: &str) -> Option<Pod> {
    let (service, version) = name.split_once('-')?;
    let lane = (version == "v2").then(|| "gray".to_owned());
    Some(Pod { name: name.into(), service: service.into(), version: version.into(), lane })
}

/// A pass, by default a gray one.
fn record(pod: &str, place: Place, span: u64, causes: &[u64]) -> Record {
    Record {
        pod: pod.into(),
        place,
        trace: 1,
        span,
        causes: causes.to_vec(),
        others: None,
        at_us: span,
        took_us: 1_500,
        method: "GET".into(),
        authority: "stock.shop:80".into(),
        path: "/".into(),
        tag_in: Some("gray".into()),
        tag_out: Some("gray".into()),
        counted: vec!["header".into()],
        carriers: Vec::new(),
        status: Some(200),
        cluster: None,
        route: None,
        upstream: None,
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER_TRACE: &str = "00-00000000000000000000000000000001-00f067aa0ba902b7-01";
const UUID: &str = "7f2d8f4e-93ab-4c11-8d3e-0123456789ab";
const OTHER_UUID: &str = "7f2d8f4e-93ab-4c11-8d3e-0123456789ac";

fn carriers(carriers: &[(&str, &str)]) -> Vec<(String, String)> {
    carriers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

/// gateway → cart → stock, where cart's call is made of what it was given.
fn cart_calls_stock(change: impl FnOnce(&mut Record)) -> Trace {
    let given = carriers(&[("x-canary-lane", "gray"), ("traceparent", TRACE), ("x-request-id", UUID)]);
    let cart = Record { carriers: given, ..record("cart-v1", Place::Inbound, 2, &[]) };
    let mut call = Record {
        tag_in: None,
        tag_out: None,
        counted: vec!["none".into()],
        ..record("cart-v1", Place::Outbound, 3, &[2])
    };
    change(&mut call);
    let stock = Record {
        tag_in: call.tag_out.clone(),
        tag_out: call.tag_out.clone(),
        ..record("stock-v1", Place::Inbound, 3, &[])
    };
    let edge = Record { authority: "cart".into(), ..record("gateway", Place::Edge, 2, &[0]) };
    Trace::new(&[stock, call, cart, edge], 1, pods)
}

#[track_caller]
fn check_why(change: impl FnOnce(&mut Record), expected: Option<Why>) {
    let trace = cart_calls_stock(change);
    assert_eq!(
        trace.walk().map(|hop| hop.pod.name.as_str()).collect::<Vec<_>>(),
        ["gateway", "cart-v1", "stock-v1"]
    );
    let culprits: Vec<_> =
        trace.culprits.iter().map(|culprit| (&*culprit.pod, culprit.loss.why.clone())).collect();
    assert_eq!(culprits, expected.map(|why| ("cart-v1", why)).into_iter().collect::<Vec<_>>());
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).into()).collect()
}

fn dropped(other_trace: &[&str]) -> Option<Why> {
    let given = strings(&["x-canary-lane", "traceparent", "x-request-id"]);
    Some(Why::Dropped { given, other_trace: strings(other_trace) })
}

#[test]
fn an_application_that_hands_on_nothing_drops_the_tag() {
    check_why(|_| (), dropped(&[]));
}

#[test]
fn the_request_id_that_its_proxy_gave_a_call_is_not_the_applications() {
    check_why(|call| call.carriers = carriers(&[("x-request-id", OTHER_UUID)]), dropped(&[]));
}

#[test]
fn a_trace_of_its_own_is_said() {
    check_why(|call| call.carriers = carriers(&[("traceparent", OTHER_TRACE)]), dropped(&["traceparent"]));
}

#[test]
fn an_id_that_is_not_known_any_more_is_no_fault_in_handing_on() {
    let forgotten = Why::Forgotten { ids: strings(&["traceparent"]) };
    check_why(|call| call.carriers = carriers(&[("traceparent", TRACE)]), Some(forgotten));
}

#[test]
fn an_id_that_flows_share_is_said() {
    let ambiguous = Why::Ambiguous { shared: strings(&["traceparent"]) };
    check_why(
        |call| {
            call.carriers = carriers(&[("traceparent", TRACE)]);
            call.counted.push("canaryctl.ambiguous".into());
        },
        Some(ambiguous),
    );
}

#[test]
fn who_asks_for_the_baseline_loses_nothing() {
    check_why(|call| call.tag_in = Some("baseline".into()), None);
}

#[test]
fn another_lane_is_a_change() {
    check_why(|call| call.tag_out = Some("blue".into()), Some(Why::Changed { to: "blue".into() }));
}

#[test]
fn a_tag_that_goes_on_is_no_loss_whatever_carried_it() {
    let restored = |call: &mut Record| {
        call.tag_out = Some("gray".into());
        call.counted = vec!["correlation".into()];
        call.carriers = carriers(&[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-1")]);
    };
    check_why(restored, None);
    let trace = cart_calls_stock(restored);
    assert_eq!(trace.walk().last().and_then(|hop| hop.from.as_deref()), Some("b3"));
}

#[test]
fn a_call_that_may_be_anothers_makes_its_culprit_unsure() {
    assert!(cart_calls_stock(|call| call.others = Some(0)).culprits[0].sure);
    let trace = cart_calls_stock(|call| call.others = Some(2));
    assert!(!trace.culprits[0].sure);
    assert!(trace.to_string().contains("perhaps another request's"), "{trace}");
}

#[test]
fn a_tag_of_a_peer_outside_the_mesh_is_the_serving_sides_doing() {
    let call = Record { authority: "stock".into(), ..record("gateway", Place::Edge, 2, &[0]) };
    let mut stock = Record { tag_out: None, ..record("stock-v1", Place::Inbound, 2, &[]) };
    stock.counted.push("canaryctl.stripped".into());
    let trace = Trace::new(&[call.clone(), stock.clone()], 1, pods);
    assert_eq!(trace.culprits[0].loss.why, Why::Stripped);
    assert_eq!(trace.culprits[0].pod, "stock-v1");
    stock.counted.clear();
    let trace = Trace::new(&[call, stock], 1, pods);
    assert_eq!(trace.culprits[0].loss.why, Why::Removed);
}

#[test]
fn a_call_that_nobody_answers_for_is_named_by_its_host() {
    let call = record("gateway", Place::Edge, 2, &[0]);
    let trace = Trace::new(&[call], 1, pods);
    let last = trace.walk().last().expect("a hop");
    assert_eq!((last.pod.service.as_str(), last.seen), ("stock.shop", false));
    assert!(!trace.is_whole());
}

#[test]
fn attempts_of_one_call_are_hops_beside_each_other() {
    let call = record("gateway", Place::Edge, 2, &[0]);
    let failed = Record { status: Some(503), ..record("stock-v1", Place::Inbound, 2, &[]) };
    let served = Record { at_us: 9, ..record("stock-v2", Place::Inbound, 2, &[]) };
    let trace = Trace::new(&[served, call, failed], 1, pods);
    let attempts: Vec<_> = trace.hops[0].calls.iter().map(|hop| (&*hop.pod.name, hop.attempt)).collect();
    assert_eq!(attempts, [("stock-v1", Some(1)), ("stock-v2", Some(2))]);
}

#[test]
fn what_is_told_twice_or_of_others_is_in_it_once_or_not_at_all() {
    let call = record("gateway", Place::Edge, 2, &[0]);
    let stock = record("stock-v1", Place::Inbound, 2, &[]);
    let other = Record { trace: 2, ..record("gateway", Place::Edge, 3, &[0]) };
    let trace = Trace::new(&[call.clone(), call.clone(), stock.clone(), other, stock.clone()], 1, pods);
    assert_eq!(trace, Trace::new(&[call, stock], 1, pods));
    assert_eq!(trace.walk().count(), 2);
}

#[test]
fn a_line_of_the_filter_is_read() {
    let line = "x canaryctl.trace/1 counted=none cause=0000000000000002 place=outbound trace=0000000000000001 \
                span=00000000000000ff at=0000000000000010 method=GET authority=a:80 path=/x in=gray out=gray \
                carrier.b3=1-2 counted=canaryctl.lost status=204 upstream=127.0.0.1:1 cluster=c route=r \
                others=0000000000000003 took=000000000000000a ;\tthread=1";
    let read = Record::read("cart-v1", line).expect("a record");
    let expected = Record {
        causes: vec![2],
        others: Some(3),
        at_us: 16,
        took_us: 10,
        authority: "a:80".into(),
        path: "/x".into(),
        counted: strings(&["none", "canaryctl.lost"]),
        carriers: carriers(&[("b3", "1-2")]),
        status: Some(204),
        upstream: Some("127.0.0.1:1".into()),
        cluster: Some("c".into()),
        route: Some("r".into()),
        ..record("cart-v1", Place::Outbound, 255, &[])
    };
    assert_eq!(read, expected);
    assert_eq!(Record::read("cart-v1", "x canaryctl.trace/1 place=outbound ;"), None);
}

#[test]
fn guesses_after_the_response_are_left_out_where_one_wants_that() {
    let request = record("cart-v1", Place::Inbound, 2, &[]);
    let call = |at_us: u64, others: Option<u64>| Record {
        at_us,
        others,
        ..record("cart-v1", Place::Outbound, 100 + at_us, &[2])
    };
    let [before, after] = [request.at_us + request.took_us, request.at_us + request.took_us + 1];
    let made = [call(before, Some(3)), call(after, Some(0)), call(after, None)];
    let kept = without_late_guesses([vec![request.clone()], made.to_vec()].concat());
    assert_eq!(kept, [request, made[0].clone(), made[2].clone()]);
}
