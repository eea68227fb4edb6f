//! Releases whose steps are measured.

use super::*;
use crate::analysis::{About, Measured, Side, Verdict, questions};

/// A release of one workload whose first step goes on by itself after a minute, measured so.
fn measured(more: Value) -> Cluster {
    let mut wanted = release(&["cart"], &[10.0, 50.0]);
    wanted.spec.steps[0].hold_seconds = Some(60);
    let mut analysis = json!({"prometheus": {"url": "http://p:9090"}, "successRate": {"maxDrop": 1}});
    analysis.as_object_mut().expect("fields").extend(more.as_object().cloned().expect("fields"));
    wanted.spec.analysis = Some(serde_json::from_value(analysis).expect("an analysis"));
    let mut cluster = Cluster::new(wanted, 3);
    cluster.run();
    assert_eq!(cluster.share(), Some(10.0), "{}", cluster.trouble());
    cluster
}

impl Cluster {
    /// Half a minute passes, and what is asked then is answered so.
    fn hears(&mut self, answer: Result<f64, &str>) {
        self.now += 30;
        let asked = questions(&self.release, &self.world, self.now).expect("it is time");
        let numbers = |failures: f64| {
            [(Side::Lane, failures), (Side::Base, 0.0)]
                .into_iter()
                .flat_map(|(side, failed)| {
                    [(About::Requests(0, side), 1000.0), (About::Failures(0, side), failed)]
                })
                .collect()
        };
        let answers = answer.map(numbers).map_err(str::to_owned);
        self.world.measured = Some(Measured { at: asked.at, step: asked.step, answers });
        self.run();
    }

    fn verdict(&self) -> Option<Verdict> {
        Some(self.release.status.as_ref()?.analysis.as_ref()?.verdict)
    }
}

#[test]
fn a_step_goes_on_by_itself_once_its_time_is_over_and_all_is_good() {
    let mut cluster = measured(json!({}));
    cluster.hears(Ok(0.0));
    assert_eq!(
        (cluster.verdict(), cluster.share()),
        (Some(Verdict::Good), Some(10.0)),
        "its time is not over"
    );
    cluster.now += 30;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
    assert_eq!(cluster.verdict(), None, "what was said of another step is forgotten");
}

#[test]
fn a_step_is_held_while_nothing_or_too_little_is_known() {
    let mut cluster = measured(json!({"minSamples": 2000}));
    cluster.now += 100;
    cluster.run();
    assert_eq!(cluster.trouble(), "Measures: nothing is measured yet");
    cluster.hears(Ok(0.0));
    assert_eq!(
        cluster.trouble(),
        "Measures: too little to judge by: shop/cart: 1000 of 2000 requests in the lane"
    );
    cluster.hears(Err("http://p:9090 does not answer"));
    assert_eq!(cluster.trouble(), "Measures: nothing is measured: http://p:9090 does not answer");
    assert_eq!((cluster.phase(), cluster.share()), (Phase::Stepping, Some(10.0)));
    // Who promotes it knows better.
    cluster.release.spec.passed = 1;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
}

#[test]
fn good_measurements_are_wanted_as_often_as_is_said() {
    let mut cluster = measured(json!({"passes": 3}));
    cluster.hears(Ok(0.0));
    cluster.hears(Ok(0.0));
    assert_eq!(cluster.trouble(), "Measures: measurements are good, 2 of 3 times");
    cluster.hears(Ok(0.0));
    assert_eq!(cluster.share(), Some(50.0));
}

#[test]
fn bad_measurements_pause_it_until_somebody_retries_or_promotes() {
    let bad =
        "measurements are bad: shop/cart: 5.00 % of requests fail (base 0.00), more than 1 points above";
    let paused = || {
        let mut cluster = measured(json!({}));
        cluster.hears(Ok(50.0));
        assert_eq!(cluster.trouble(), format!("Analysis: {bad}"));
        cluster.now += 1000;
        cluster.run();
        assert_eq!((cluster.trouble(), cluster.share()), (format!("Analysis: {bad}"), Some(10.0)));
        cluster
    };
    let mut retried = paused();
    retried.release.spec.retries += 1;
    retried.run();
    assert_eq!((retried.trouble(), retried.verdict()), ("Holds: goes on by itself".into(), None));
    retried.hears(Ok(0.0));
    retried.hears(Ok(0.0));
    assert_eq!(retried.share(), Some(50.0));
    let mut promoted = paused();
    promoted.release.spec.passed = 1;
    promoted.run();
    assert_eq!(promoted.share(), Some(50.0));
}

#[test]
fn bad_measurements_take_everybody_back_if_that_is_wanted() {
    let mut cluster = measured(json!({"onFailure": "abort", "failures": 2}));
    cluster.hears(Ok(50.0));
    assert_eq!((cluster.phase(), cluster.verdict()), (Phase::Stepping, Some(Verdict::Bad)));
    cluster.hears(Ok(50.0));
    assert_eq!(cluster.phase(), Phase::Aborted, "{}", cluster.trouble());
    cluster.is_over(1);
    let history = cluster.release.status.clone().expect("a journal").history;
    assert!(
        history.iter().any(|entry| entry.what.starts_with("aborts: measurements are bad")),
        "{history:?}"
    );
}

#[test]
fn bad_measurements_of_a_step_that_is_to_be_promoted_stop_it_too() {
    let mut cluster = measured(json!({"onFailure": "abort"}));
    cluster.release.spec.steps[0].hold_seconds = None;
    cluster.run();
    assert_eq!(cluster.trouble(), "Promote: waits to be promoted");
    cluster.hears(Ok(50.0));
    assert_eq!(cluster.phase(), Phase::Aborted);
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let mut cluster = measured(json!({"onFailure": "abort", "dryRun": true}));
    cluster.hears(Ok(50.0));
    assert_eq!((cluster.verdict(), cluster.phase()), (Some(Verdict::Bad), Phase::Stepping));
    cluster.now += 30;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
}

#[test]
fn an_answer_about_an_earlier_step_or_try_is_not_believed() {
    let mut cluster = measured(json!({"onFailure": "abort"}));
    let all_failed = [(About::Requests(0, Side::Lane), 1000.0), (About::Failures(0, Side::Lane), 1000.0)];
    let base = (About::Requests(0, Side::Base), 1000.0);
    let answers: BTreeMap<About, f64> = all_failed.into_iter().chain([base]).collect();
    for (step, at) in [(1, cluster.now + 40), (0, cluster.now), (0, cluster.now - 500)] {
        cluster.world.measured = Some(Measured { at, step, answers: Ok(answers.clone()) });
        cluster.run();
        assert_eq!((cluster.phase(), cluster.verdict()), (Phase::Stepping, None), "step {step} at {at}");
    }
}

#[test]
fn an_analysis_that_makes_no_sense_is_refused_before_anything_is_done() {
    check_trouble(
        |cluster| {
            let faulty = json!({"prometheus": {"url": "p:9090"}, "successRate": {"maxDrop": 1}});
            cluster.release.spec.steps[0].analysis =
                Some(serde_json::from_value(faulty).expect("an analysis"));
        },
        "prometheus.url is `p:9090`",
    );
}

#[test]
fn a_pause_makes_a_step_as_much_longer() {
    let mut wanted = release(&["cart"], &[10.0, 50.0]);
    wanted.spec.steps[0].hold_seconds = Some(60);
    let mut cluster = Cluster::new(wanted, 3);
    cluster.run();
    cluster.now += 20;
    cluster.release.spec.paused = true;
    cluster.run();
    cluster.now += 1000;
    cluster.run();
    cluster.release.spec.paused = false;
    cluster.run();
    assert_eq!((cluster.trouble().as_str(), cluster.share()), ("Holds: goes on by itself", Some(10.0)));
    assert_eq!(cluster.release.status.as_ref().and_then(|status| status.held_for(cluster.now)), Some(20));
    let history = cluster.release.status.as_ref().map(|status| status.history.clone()).unwrap_or_default();
    let told: Vec<&str> = history.iter().rev().take(2).map(|entry| entry.what.as_str()).collect();
    assert_eq!(told, ["goes on after a pause", "is paused"]);
    cluster.now += 40;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
}
