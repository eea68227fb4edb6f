//! Random meshes of applications that hand on something or nothing; what their proxies would tell.

use proptest::prelude::*;

use super::{Place, Pod, Record, Trace, carriers, pods, record};

/// An application's part in a request: what it hands on, and whom it calls.
#[derive(Debug, Clone)]
struct App {
    hands_on: HandsOn,
    /// Whether the calls are made after the response.
    late: bool,
    calls: Vec<App>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandsOn {
    Header,
    Baggage,
    RequestId,
    Trace,
    OwnTrace,
    Nothing,
}

fn app() -> impl Strategy<Value = App> {
    use HandsOn::*;
    let hands_on = || prop::sample::select(vec![Header, Baggage, RequestId, Trace, OwnTrace, Nothing]);
    let leaf =
        (hands_on(), any::<bool>()).prop_map(|(hands_on, late)| App { hands_on, late, calls: Vec::new() });
    leaf.prop_recursive(4, 14, 3, move |inner| {
        (hands_on(), any::<bool>(), prop::collection::vec(inner, 1..4))
            .prop_map(|(hands_on, late, calls)| App { hands_on, late, calls })
    })
}

/// What a mesh did, and what it told.
#[derive(Default)]
struct Run {
    records: Vec<Record>,
    /// Who called whom, with the tag that arrived.
    edges: Vec<(String, String, bool)>,
    culprits: Vec<String>,
    clock_us: u64,
    pods: usize,
}

impl Run {
    fn tick(&mut self) -> u64 {
        self.clock_us += 10;
        self.clock_us
    }

    /// A pod serves a call of this span.
    fn serve(&mut self, app: &App, caller: &str, span: u64, tagged: bool) {
        let pod = format!("s{}-v1", self.pods);
        self.pods += 1;
        self.edges.push((caller.into(), pod.clone(), tagged));
        let at_us = self.tick();
        let tag = tagged.then(|| "gray".to_owned());
        let (trace, id) = (trace_of(1), uuid_of(1));
        let mut given = vec![("traceparent", trace.as_str()), ("x-request-id", id.as_str())];
        if tagged {
            given.extend([("x-canary-lane", "gray"), ("baggage", "")]);
        }
        let place = self.records.len();
        self.records.push(Record {
            at_us,
            tag_in: tag.clone(),
            tag_out: tag,
            carriers: carriers(&given),
            ..record(&pod, Place::Inbound, span, &[])
        });
        if app.late {
            self.records[place].took_us = 1;
        }
        for called in &app.calls {
            self.call(app, called, &pod, span, tagged);
        }
        if !app.late {
            self.records[place].took_us = self.tick() - at_us;
        }
    }

    fn call(&mut self, app: &App, called: &App, pod: &str, cause: u64, tagged: bool) {
        let at_us = self.tick();
        let span = at_us;
        let kept = tagged && !matches!(app.hands_on, HandsOn::Nothing | HandsOn::OwnTrace);
        let by_id = matches!(app.hands_on, HandsOn::RequestId | HandsOn::Trace);
        let own = (trace_of(span + 7), uuid_of(span + 7));
        let (trace, id) = (trace_of(1), uuid_of(1));
        let handed_on = match app.hands_on {
            HandsOn::Header => vec![("x-canary-lane", "gray"), ("x-request-id", &*own.1)],
            HandsOn::Baggage => vec![("baggage", ""), ("x-request-id", &*own.1)],
            HandsOn::RequestId => vec![("x-request-id", &*id)],
            HandsOn::Trace => vec![("traceparent", &*trace), ("x-request-id", &*own.1)],
            HandsOn::OwnTrace => vec![("traceparent", &*own.0), ("x-request-id", &*own.1)],
            HandsOn::Nothing => vec![("x-request-id", &*own.1)],
        };
        if tagged && !kept && !self.culprits.iter().any(|known| known == pod) {
            self.culprits.push(pod.into());
        }
        self.records.push(Record {
            at_us,
            others: (!by_id).then_some(0),
            tag_in: (tagged && app.hands_on == HandsOn::Header).then(|| "gray".into()),
            tag_out: kept.then(|| "gray".into()),
            carriers: carriers(&handed_on),
            ..record(pod, Place::Outbound, span, &[cause])
        });
        self.serve(called, pod, span, kept);
    }
}

fn trace_of(number: u64) -> String {
    format!("00-{number:032x}-00f067aa0ba902b7-01")
}

fn uuid_of(number: u64) -> String {
    format!("7f2d8f4e-93ab-4c11-8d3e-{number:012x}")
}

fn edges(trace: &Trace) -> Vec<(String, String, bool)> {
    fn below(hop: &super::Hop, edges: &mut Vec<(String, String, bool)>) {
        for call in &hop.calls {
            edges.push((hop.pod.name.clone(), call.pod.name.clone(), call.tag.is_some()));
            below(call, edges);
        }
    }
    let mut edges = Vec::new();
    trace.hops.iter().for_each(|hop| below(hop, &mut edges));
    edges
}

proptest! {
    #[test]
    fn the_tree_is_what_was_done_and_the_culprits_are_those_who_lost_the_tag(app in app(), shuffled in any::<u64>()) {
        let mut run = Run::default();
        run.records.push(record("gateway", Place::Edge, 1, &[0]));
        run.serve(&app, "gateway", 1, true);
        // In any order, as logs of many pods come.
        run.records.sort_by_key(|record| record.at_us.wrapping_mul(shuffled | 1));
        let trace = Trace::new(&run.records, 1, |name| match name {
            "gateway" => Some(Pod { name: name.into(), ..Pod::default() }),
            name => pods(name),
        });
        prop_assert_eq!(edges(&trace), run.edges);
        prop_assert!(trace.is_whole());
        prop_assert!(trace.culprits.iter().all(|culprit| culprit.sure));
        let culprits: Vec<_> = trace.culprits.iter().map(|culprit| culprit.pod.clone()).collect();
        prop_assert_eq!(culprits, run.culprits);
    }
}
