//! Traces of single requests by the built filter, from the gateway to a call of the first application.

use canary_e2e::wasm_host::{Plugin, PluginSpec, Property, Proxy};
use canary_rules::trace::{Mark, TRACE_HEADER, TraceKey};
use canary_trace::{Pod, Record, Trace, Why};
use serde_json::{Value, json};

use crate::support::{Build, REQUEST_ID, TRACEPARENT, configuration, lines_of, ordinary};

const KEY: TraceKey = TraceKey::new([7; 16]);
const FOREVER_UNIX_S: u64 = 4_102_444_800;

/// Header lines.
type Lines = Vec<(Vec<u8>, Vec<u8>)>;

fn traced(proxy: &Proxy, role: &str) -> Plugin {
    let mut configuration: Value = configuration(role);
    configuration["trace"] = json!({ "key": String::from(KEY), "expiresUnixS": FOREVER_UNIX_S });
    let spec = PluginSpec::new(configuration.to_string().as_bytes()).named(role);
    proxy.install(spec.property("connection.mtls", &Property::Bool(true)))
}

fn mark() -> String {
    String::from_utf8(KEY.sign(Mark { trace: 9, span: 0 }).to_vec()).expect("text")
}

/// Gateway and the first pod's proxy; what the pod's application sends is the caller's.
fn trace(build: Build, sends: &[&str]) -> (Trace, Lines) {
    let gateway = Proxy::load(Build::Whole.module(), 1);
    let edge = traced(&gateway, "edge");
    let mark = mark();
    let lines = [
        ("cookie", "gray=1"),
        ("x-request-id", REQUEST_ID),
        ("traceparent", TRACEPARENT),
        (TRACE_HEADER, &mark),
    ];
    let mut entered = edge.request(0, ordinary(lines));
    let pod = Proxy::load(build.module(), 1);
    let (inbound, outbound) = (traced(&pod, "inbound"), traced(&pod, "outbound"));
    let mut served = inbound.request(0, lines_of(entered.headers()));
    let arrived = lines_of(served.headers());
    assert!(served.headers().first(TRACE_HEADER).is_none(), "the application sees no mark");
    let kept = |(name, _): &&(Vec<u8>, Vec<u8>)| {
        name.starts_with(b":") || sends.iter().any(|n| n.as_bytes() == name)
    };
    let call: Vec<_> = arrived.iter().filter(kept).cloned().collect();
    let mut called = outbound.request(0, call);
    assert!(called.headers().first(TRACE_HEADER).is_some());
    for stream in [&mut called, &mut served, &mut entered] {
        stream.response([(":status", "200")]);
    }
    drop((called, served, entered));
    gateway.assert_sound();
    pod.assert_sound();
    let records = |name: &'static str, proxy: &Proxy| {
        proxy.log().into_iter().filter_map(move |line| Record::read(name, &line)).collect::<Vec<_>>()
    };
    let records = [records("gateway", &gateway), records("web", &pod)].concat();
    assert_eq!(records.len(), 3, "one line per pass");
    let pod = |name: &str| Some(Pod { name: name.into(), service: name.into(), ..Pod::default() });
    (Trace::new(&records, 9, pod), arrived)
}

#[test]
fn a_call_that_hands_on_an_id_is_traced_to_its_cause() {
    for build in Build::ALL {
        for id in ["traceparent", "x-request-id", "baggage", "x-canary-lane"] {
            let (trace, _) = trace(build, &[id]);
            let hops: Vec<_> = trace.walk().map(|hop| (&*hop.pod.service, hop.tag.as_deref())).collect();
            let gray = Some("gray");
            assert_eq!(hops, [("gateway", gray), ("web", gray), ("shop.test", gray)], "{build:?} {id}");
            assert_eq!(trace.culprits, [], "{build:?} {id}");
        }
    }
}

#[test]
fn a_call_that_hands_on_nothing_is_traced_and_its_application_named() {
    for build in Build::ALL {
        let (trace, arrived) = trace(build, &[]);
        let [culprit] = &trace.culprits[..] else { panic!("{:?}", trace.culprits) };
        assert_eq!((culprit.pod.as_str(), culprit.sure), ("web", true));
        let Why::Dropped { given, other_trace } = &culprit.loss.why else { panic!("{culprit:?}") };
        assert_eq!(other_trace, &[""; 0]);
        for name in given {
            assert!(arrived.iter().any(|(known, _)| known == name.as_bytes()), "{name}");
        }
        assert_eq!(given.len(), 4, "{given:?}");
    }
}

#[test]
fn without_a_key_a_marked_request_costs_what_any_other_does() {
    for build in Build::ALL {
        let proxy = Proxy::load(build.module(), 1);
        for role in ["inbound", "outbound"] {
            let plugin = crate::support::plugin(&proxy, &configuration(role));
            let mark = mark();
            let cost = |mark: &[(&'static str, &str)]| {
                let lines = ordinary([("x-canary-lane", "gray"), ("traceparent", TRACEPARENT)]);
                let mut stream = plugin.request(0, [&lines[..], mark].concat());
                stream.response([(":status", "200")]);
                stream.end()
            };
            let _ = cost(&[]);
            let ordinary = cost(&[]);
            assert_eq!(cost(&[(TRACE_HEADER, &mark)]).host_calls(), ordinary.host_calls(), "{role}");
        }
        assert_eq!(proxy.log(), [""; 0]);
    }
}

#[test]
fn no_bytes_in_a_mark_harm_anybody() {
    for build in Build::ALL {
        let proxy = Proxy::load(build.module(), 1);
        let plugin = traced(&proxy, "inbound");
        for length in 0..60 {
            for byte in [0, b'0', b'g', 0xff] {
                let mark = vec![byte; length];
                let lines = [(&b":path"[..], &b"/"[..]), (TRACE_HEADER.as_bytes(), &mark)];
                plugin.request(0, lines).end();
            }
        }
        proxy.assert_sound();
        assert_eq!(proxy.log(), [""; 0]);
    }
}
