use serde_json::{Value, json};

use super::*;

/// Requests, failures, latency of the lane and of the baseline.
type Numbers = [f64; 6];

fn release(analysis: Value) -> Release {
    let mut analysis = analysis;
    analysis["prometheus"] = json!({"url": "http://prometheus:9090"});
    let document = json!({
        "apiVersion": "", "kind": "", "metadata": {"name": "r"},
        "spec": {"workloads": [{"deployment": "shop/cart", "images": {"app": "cart:2"}}], "analysis": analysis},
    });
    serde_json::from_value(document).expect("a release")
}

fn answers(numbers: Numbers) -> BTreeMap<About, f64> {
    let of = |side, at: usize| {
        [About::Requests(0, side), About::Failures(0, side), About::Latency(0, side)]
            .into_iter()
            .zip(numbers.into_iter().skip(at))
    };
    // What has no latency is not answered.
    of(Side::Lane, 0).chain(of(Side::Base, 3)).filter(|(_, number)| *number >= 0.0).collect()
}

#[track_caller]
fn judged(
    analysis: Value,
    answers: Result<BTreeMap<About, f64>, String>,
    before: Option<&AnalysisStatus>,
) -> AnalysisStatus {
    let release = release(analysis);
    let checks = Checks::of(&release, 0).expect("it makes sense").expect("an analysis");
    judge(&release, &checks, &Measured { at: 1000, step: 0, answers }, before)
}

#[track_caller]
fn check(analysis: Value, numbers: Numbers, verdict: Verdict, message: &str) {
    let judged = judged(analysis, Ok(answers(numbers)), None);
    assert_eq!((judged.verdict, judged.message.as_str()), (verdict, message));
}

const FINE: &str = "all is within its bounds";

#[test]
fn failures_are_judged_by_the_baselines_over_the_same_time() {
    let drop = || json!({"successRate": {"maxDrop": 0.5}});
    check(drop(), [1000.0, 20.0, 5.0, 1000.0, 15.0, 5.0], Verdict::Good, FINE);
    let worse = "shop/cart: 2.10 % of requests fail (base 1.50), more than 0.5 points above";
    check(drop(), [1000.0, 21.0, 5.0, 1000.0, 15.0, 5.0], Verdict::Bad, worse);
    // An outage of both is nobody's fault.
    check(drop(), [1000.0, 900.0, 5.0, 1000.0, 900.0, 5.0], Verdict::Good, FINE);
    let floor = || json!({"successRate": {"min": 99.0}});
    let below = "shop/cart: 98.00 % of requests succeed, less than 99";
    check(floor(), [1000.0, 20.0, 5.0, 0.0, 0.0, -1.0], Verdict::Bad, below);
}

#[test]
fn latency_is_judged_by_the_baselines_and_by_a_bound_of_its_own() {
    let rise = || json!({"latency": {"maxRise": 20}});
    check(rise(), [1000.0, 0.0, 48.0, 1000.0, 0.0, 40.0], Verdict::Good, FINE);
    let slower = "shop/cart: p95 is 49 ms (base 40), more than 20 % above";
    check(rise(), [1000.0, 0.0, 49.0, 1000.0, 0.0, 40.0], Verdict::Bad, slower);
    let slow = "shop/cart: p99.5 is 600 ms, more than 500";
    check(
        json!({"latency": {"quantile": 0.995, "maxMs": 500}}),
        [1000.0, 0.0, 600.0, 0.0, 0.0, -1.0],
        Verdict::Bad,
        slow,
    );
    check(
        rise(),
        [1000.0, 0.0, -1.0, 1000.0, 0.0, 40.0],
        Verdict::TooFew,
        "shop/cart: no latencies of the lane",
    );
}

#[test]
fn too_few_requests_say_nothing_on_either_side() {
    let both = || json!({"successRate": {"maxDrop": 0.5}, "latency": {"maxRise": 20}, "minSamples": 50});
    let few = "shop/cart: 49 of 50 requests in the lane";
    check(both(), [49.0, 49.0, 900.0, 1000.0, 0.0, 5.0], Verdict::TooFew, few);
    let alone = "shop/cart: 3 of 50 requests in the baseline";
    check(both(), [1000.0, 999.0, 5.0, 3.0, 0.0, 5.0], Verdict::TooFew, alone);
    // A bound of its own needs no baseline.
    let own = json!({"successRate": {"min": 99, "maxDrop": 0.5}, "minSamples": 50});
    let bad = "shop/cart: 0.10 % of requests succeed, less than 99";
    check(own, [1000.0, 999.0, 5.0, 3.0, 0.0, 5.0], Verdict::Bad, bad);
    check(
        json!({"successRate": {"maxDrop": 1}, "minSamples": 0}),
        [0.0, 0.0, -1.0, 0.0, 0.0, -1.0],
        Verdict::Good,
        FINE,
    );
}

#[test]
fn a_query_of_ones_own_has_its_bounds() {
    let own = |value: Option<f64>| {
        let analysis = json!({"promql": [{"name": "queue", "query": "q", "min": 1, "max": 10}]});
        let answers = value.map(|value| (About::Own(0), value)).into_iter().collect();
        let judged = judged(analysis, Ok(answers), None);
        (judged.verdict, judged.message)
    };
    assert_eq!(own(Some(10.0)).0, Verdict::Good);
    assert_eq!(own(Some(10.5)), (Verdict::Bad, "queue is 10.5, more than 10".into()));
    assert_eq!(own(Some(0.5)), (Verdict::Bad, "queue is 0.5, less than 1".into()));
    assert_eq!(own(None), (Verdict::TooFew, "queue: the query gives no number".into()));
}

#[test]
fn what_is_bad_is_bad_whatever_else_is_not_known() {
    let analysis = json!({
        "successRate": {"maxDrop": 1}, "promql": [{"name": "queue", "query": "q", "max": 10}],
    });
    let judged = judged(analysis, Ok([(About::Own(0), 11.0)].into()), None);
    assert_eq!((judged.verdict, judged.message.as_str()), (Verdict::Bad, "queue is 11, more than 10"));
}

#[test]
fn only_what_comes_in_a_row_counts() {
    let analysis = || json!({"successRate": {"maxDrop": 1}, "failures": 2});
    let good = || Ok(answers([1000.0, 0.0, 5.0, 1000.0, 0.0, 5.0]));
    let bad = || Ok(answers([1000.0, 500.0, 5.0, 1000.0, 0.0, 5.0]));
    let counts = |status: &AnalysisStatus| (status.passes, status.failures, status.failed);
    let first = judged(analysis(), bad(), None);
    assert_eq!(counts(&first), (0, 1, false));
    let mended = judged(analysis(), good(), Some(&first));
    assert_eq!(counts(&mended), (1, 0, false));
    let silent = judged(analysis(), Err("prometheus is down".into()), Some(&mended));
    assert_eq!((silent.verdict, counts(&silent)), (Verdict::Unknown, (0, 0, false)));
    assert_eq!(silent.message, "prometheus is down");
    let again = judged(analysis(), bad(), Some(&judged(analysis(), bad(), Some(&silent))));
    assert_eq!(counts(&again), (0, 2, true));
    let mut told = analysis();
    told["dryRun"] = true.into();
    assert_eq!(counts(&judged(told, bad(), Some(&first))), (0, 2, false));
}
