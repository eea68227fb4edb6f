//! A marked request is told of at every pass, and nobody else's.

#[cfg(feature = "edge")]
use canary_rules::trace::Sample;
use canary_rules::trace::line;
use canary_rules::trace::{Mark, TRACE_HEADER, TraceKey, Tracing};

use super::*;

const KEY: TraceKey = TraceKey::new(*b"a key for traces");
const EXPIRES_UNIX_S: u64 = 1_790_000_600;

fn traced(role: Role) -> FilterConfig {
    let tracing = Tracing { key: KEY, expires_unix_s: EXPIRES_UNIX_S, samples: vec![] };
    FilterConfig { trace: Some(tracing), ..gray(role) }
}

fn marked(trace: u64, span: u64) -> String {
    String::from_utf8(KEY.sign(Mark { trace, span }).to_vec()).expect("text")
}

fn tracing_pod() -> Pod {
    Pod::told(Worker::new(), traced)
}

impl Pod {
    /// A gray request of trace 1 that asks to be told of, with these carriers beside the tag.
    fn receives_marked(&self, carriers: &[(&str, &str)]) -> Passed {
        let mark = marked(1, 2);
        let lines = [(":path", "/cart?secret=1"), ("x-canary-lane", "gray"), (TRACE_HEADER, &mark)];
        self.receives(&[&lines[..], carriers].concat())
    }

    /// What has been told since the last time.
    fn take_told(&self) -> Vec<Told> {
        let log = std::mem::take(&mut self.worker.fake.world_mut().log);
        log.iter().map(|text| Told(line::read(text).expect("a line"))).collect()
    }
}

struct Told(Vec<(String, Vec<u8>)>);

impl Told {
    fn all(&self, key: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(known, _)| known == key);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    #[track_caller]
    fn says(&self, key: &str, values: &[&str]) {
        assert_eq!(self.all(key), values, "{key}");
    }
}

/// The mark that goes on.
fn mark_of(passed: &Passed) -> Option<Mark> {
    let lines = passed.lines(TRACE_HEADER);
    assert!(lines.len() <= 1);
    lines.first().map(|line| KEY.verify(line.as_bytes()).expect("our mark"))
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text, 16).expect("a number")
}

#[test]
fn an_inbound_pass_is_told_with_its_response() {
    let pod = tracing_pod();
    let mut passed = pod.receives_marked(&[("traceparent", TRACE), ("baggage", "user=1")]);
    assert_eq!(mark_of(&passed), None, "the application sees no mark");
    assert!(pod.take_told().is_empty());
    {
        let mut world = pod.worker.fake.world_mut();
        world.unix_s += 1;
        world.properties.insert("xds/cluster_name".to_owned(), b"inbound|80||".to_vec());
    }
    respond(&mut passed.stream, &pod.worker.fake, &[(":status", "200")]);
    let told = pod.take_told();
    let [told] = &told[..] else { panic!("{} lines", told.len()) };
    told.says(line::PLACE, &["inbound"]);
    told.says(line::TRACE, &["0000000000000001"]);
    told.says(line::SPAN, &["0000000000000002"]);
    told.says("path", &["/cart"]);
    told.says(line::TAG_IN, &["gray"]);
    told.says(line::TAG_OUT, &["gray"]);
    told.says(line::COUNTED, &["header"]);
    told.says("carrier.traceparent", &[TRACE]);
    told.says("carrier.baggage", &[""]);
    told.says("carrier.x-canary-lane", &["gray"]);
    told.says(line::STATUS, &["200"]);
    told.says(line::CLUSTER, &["inbound|80||"]);
    assert_eq!(number(&told.all(line::TOOK)[0]), 1_000_000);
    drop(passed);
    assert!(pod.take_told().is_empty(), "once");
}

#[test]
fn a_request_without_a_response_is_told_at_its_end() {
    let pod = tracing_pod();
    drop(pod.receives_marked(&[]));
    let told = pod.take_told();
    let [told] = &told[..] else { panic!("{} lines", told.len()) };
    told.says(line::STATUS, &[]);
}

#[test]
fn nobody_else_is_told_of() {
    let pod = tracing_pod();
    let _open = pod.receives(&[("x-canary-lane", "gray"), ("traceparent", TRACE)]);
    let mut forged = marked(1, 2);
    forged.replace_range(47.., if forged.ends_with('0') { "1" } else { "0" });
    let _forged = pod.receives(&[("x-canary-lane", "gray"), (TRACE_HEADER, &forged)]);
    let passed = pod.sends(&[("traceparent", TRACE)]);
    assert_eq!(mark_of(&passed), None);
    drop(passed);
    assert!(pod.take_told().is_empty());
}

#[test]
fn a_mark_is_worth_nothing_when_its_time_is_over() {
    let pod = tracing_pod();
    pod.worker.fake.world_mut().unix_s = EXPIRES_UNIX_S - 1;
    pod.inbound.on_tick();
    drop(pod.receives_marked(&[]));
    assert_eq!(pod.take_told().len(), 1);
    pod.worker.wait(&pod.inbound, 1);
    drop(pod.receives_marked(&[]));
    assert!(pod.take_told().is_empty());
}

#[test]
fn a_call_is_told_with_what_the_application_handed_on_and_goes_on_marked() {
    for id in [("traceparent", TRACE), ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-1"), ("x-request-id", UUID)] {
        let pod = tracing_pod();
        let arrived = pod.receives_marked(&[("traceparent", TRACE), ("x-request-id", UUID)]);
        let forwarded = match id.0 {
            "x-request-id" => arrived.lines("x-request-id").remove(0),
            _ => id.1.to_owned(),
        };
        let passed = pod.sends(&[(":path", "/"), (id.0, &forwarded)]);
        let mark = mark_of(&passed).expect("a mark");
        assert_eq!(mark.trace, 1, "{id:?}");
        drop(passed);
        let told = pod.take_told();
        let [told] = &told[..] else { panic!("{id:?}: {} lines", told.len()) };
        told.says(line::PLACE, &["outbound"]);
        told.says(line::CAUSE, &["0000000000000002"]);
        told.says(line::OTHERS, &[]);
        told.says(line::TAG_IN, &[]);
        told.says(line::TAG_OUT, &["gray"]);
        told.says(line::COUNTED, &[if id.0 == "x-request-id" { "request_id" } else { "correlation" }]);
        told.says(&format!("carrier.{}", id.0), &[&forwarded]);
        assert_eq!(number(&told.all(line::SPAN)[0]), mark.span);
    }
}

#[test]
fn a_call_that_hands_on_nothing_is_told_as_a_guess_with_how_many_others_are_open() {
    let pod = tracing_pod();
    let _marked = pod.receives_marked(&[("traceparent", TRACE)]);
    assert!(mark_of(&pod.sends(&[(":path", "/"), ("x-request-id", UUID)])).is_some());
    pod.take_told()[0].says(line::OTHERS, &["0000000000000000"]);
    let other = pod.receives(&[("traceparent", OTHER_TRACE)]);
    drop(pod.sends(&[(":path", "/")]));
    pod.take_told()[0].says(line::OTHERS, &["0000000000000001"]);
    drop(other);
    drop(pod.sends(&[(":path", "/")]));
    pod.take_told()[0].says(line::OTHERS, &["0000000000000000"]);
}

#[test]
fn calls_that_are_somebody_elses_are_no_guess() {
    let pod = tracing_pod();
    let _marked = pod.receives_marked(&[("traceparent", TRACE)]);
    let other =
        pod.receives(&[("x-canary-lane", "gray"), ("traceparent", OTHER_TRACE), ("x-request-id", UUID)]);
    for mine in [
        ("traceparent", OTHER_TRACE.to_owned()),
        ("x-request-id", other.lines("x-request-id").remove(0)),
        ("x-canary-lane", "blue".to_owned()),
    ] {
        assert_eq!(mark_of(&pod.sends(&[(mine.0, &mine.1)])), None, "{mine:?}");
    }
    assert!(pod.take_told().is_empty());
}

#[test]
fn a_call_after_the_response_is_told_as_long_as_ids_linger() {
    let pod = tracing_pod();
    drop(pod.receives_marked(&[("traceparent", TRACE)]));
    pod.take_told();
    pod.worker.wait(&pod.inbound, 29);
    assert!(mark_of(&pod.sends(&[("traceparent", TRACE)])).is_some());
    assert!(mark_of(&pod.sends(&[(":path", "/late")])).is_some(), "and one without ids may be of it");
    pod.worker.wait(&pod.inbound, 1);
    assert_eq!(mark_of(&pod.sends(&[("traceparent", TRACE)])), None);
}

#[test]
fn a_refused_request_is_told() {
    let pod = tracing_pod();
    colour(&mut pod.worker.fake.world_mut(), "blue");
    let inbound = pod.worker.plugin(&traced(Role::Inbound));
    let mark = marked(1, 2);
    let mut passed = pass(&inbound, &pod.worker.fake, &[("x-canary-lane", "gray"), (TRACE_HEADER, &mark)]);
    assert_eq!(passed.next, Next::Stop);
    respond(&mut passed.stream, &pod.worker.fake, &[(":status", "503")]);
    let told = pod.take_told();
    told[0].says(line::COUNTED, &["canaryctl.refused_foreign", "header"]);
    told[0].says(line::TAG_OUT, &[]);
}

#[test]
fn requests_that_are_not_marked_cost_little_while_traces_may_be_taken_and_nothing_otherwise() {
    let pod = tracing_pod();
    let lines = [("x-canary-lane", "gray"), ("traceparent", TRACE)];
    let plain = Worker::new();
    mesh_peer(&mut plain.fake.world_mut());
    for (role, root) in [(Role::Inbound, &pod.inbound), (Role::Outbound, &pod.outbound)] {
        let ordinary = pass(&plain.plugin(&gray(role)), &plain.fake, &lines).calls;
        let calls = pass(root, &pod.worker.fake, &lines).calls;
        let extra = match role {
            Role::Inbound => &["count", "headers"][..],
            _ => &["shared"],
        };
        let calls: Vec<_> = calls.iter().copied().filter(|call| *call != "define_counter").collect();
        assert_eq!(calls, [extra, &ordinary].concat(), "{role:?}");
    }
}

#[cfg(feature = "edge")]
#[test]
fn an_edge_tells_its_decision_and_marks_the_call_behind_it() {
    let worker = Worker::new();
    let edge = worker.plugin(&traced(Role::Edge));
    let mark = marked(7, 0);
    let mut passed =
        pass(&edge, &worker.fake, &[(":path", "/"), (":authority", "shop"), (TRACE_HEADER, &mark)]);
    let goes_on = mark_of(&passed).expect("a mark");
    assert_eq!(goes_on.trace, 7);
    assert_ne!(goes_on.span, 0);
    respond(&mut passed.stream, &worker.fake, &[(":status", "404")]);
    let log = worker.fake.world().log.clone();
    let told = Told(line::read(&log[0]).expect("a line"));
    told.says(line::PLACE, &["edge"]);
    told.says(line::CAUSE, &["0000000000000000"]);
    told.says("authority", &["shop"]);
    told.says(line::STATUS, &["404"]);
}

/// An edge where this cookie chooses lane gray, of whose requests somebody watches one in five seconds.
#[cfg(feature = "edge")]
fn watched_edge(worker: &Worker) -> Root<Fake> {
    let json = br#"{"version":1,"role":"edge","keys":[{"id":"k1","secret":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}],
        "lanes":[{"name":"gray","rules":[{"when":{"test":{"of":"cookie","name":"gray","op":"in","values":["1"]}}}]}]}"#;
    let mut config = FilterConfig::parse(json).expect("a configuration");
    let samples = vec!["gray soon 3".into(), "gray 5 3".into()];
    config.trace = Some(Tracing { key: KEY, expires_unix_s: EXPIRES_UNIX_S, samples });
    worker.plugin(&config)
}

#[cfg(feature = "edge")]
#[test]
fn an_edge_marks_some_requests_of_a_lane_that_is_watched() {
    let worker = Worker::new();
    let edge = watched_edge(&worker);
    let send = |cookie: &str| pass(&edge, &worker.fake, &[(":path", "/"), ("cookie", cookie)]);
    let pod = tracing_pod();
    assert_eq!(mark_of(&send("gray=0")), None, "of another lane");
    assert!(worker.fake.world().log.is_empty(), "and nothing is told of it");
    let mut first = send("gray=1");
    let mark = mark_of(&first).expect("a mark");
    assert_eq!(Sample::watcher_of(mark.trace), 3);
    assert_eq!(mark_of(&send("gray=1")), None, "no other one in the same five seconds");
    respond(&mut first.stream, &worker.fake, &[(":status", "200")]);
    let log = worker.fake.world().log.clone();
    assert_eq!(log.len(), 1);
    let told = Told(line::read(&log[0]).expect("a line"));
    assert_eq!(number(&told.all(line::TRACE)[0]), mark.trace);
    assert_eq!(number(&told.all(line::SPAN)[0]), mark.span);
    told.says(line::TAG_OUT, &["gray"]);
    let value = first.lines(TRACE_HEADER).remove(0);
    drop(pod.receives(&[("x-canary-lane", "gray"), (TRACE_HEADER, &value)]));
    assert_eq!(pod.take_told().len(), 1, "the next proxy believes it");

    worker.wait(&edge, 4);
    assert_eq!(mark_of(&send("gray=1")), None);
    worker.wait(&edge, 1);
    let next = mark_of(&send("gray=1")).expect("a mark");
    assert_ne!(next.trace, mark.trace);
}

#[cfg(feature = "edge")]
#[test]
fn nobody_watches_with_a_key_that_has_ended() {
    let worker = Worker::new();
    worker.fake.world_mut().unix_s = EXPIRES_UNIX_S - 1;
    let edge = watched_edge(&worker);
    let send = || mark_of(&pass(&edge, &worker.fake, &[(":path", "/"), ("cookie", "gray=1")]));
    assert!(send().is_some());
    worker.wait(&edge, 10);
    assert_eq!(send(), None);
}

#[cfg(feature = "edge")]
#[test]
fn an_edge_pays_for_a_watcher_while_it_waits_for_a_request_of_the_lane() {
    let worker = Worker::new();
    let watched = watched_edge(&worker);
    let calls = |edge: &Root<Fake>, cookie: &str| {
        pass(edge, &worker.fake, &[(":path", "/"), ("cookie", cookie)]).calls.len()
    };
    let waiting = calls(&watched, "gray=0");
    assert!(mark_of(&pass(&watched, &worker.fake, &[(":path", "/"), ("cookie", "gray=1")])).is_some());
    assert_eq!(waiting, calls(&watched, "gray=0") + 3);
    let plain = worker.plugin(&traced(Role::Edge));
    assert_eq!(calls(&watched, "gray=0"), calls(&plain, "gray=0"));
}
