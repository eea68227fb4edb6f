//! Steps that run a Job or call a webhook.

use super::*;
use crate::errand::{Called, ErrandOutcome, call};

/// A release of a share, of what a step does elsewhere, and of another share.
fn with(errand: Value) -> Cluster {
    let mut wanted = release(&["cart"], &[10.0, 50.0]);
    wanted.metadata.uid = Some("u-1".into());
    wanted.spec.steps[0].hold_seconds = Some(0);
    wanted.spec.steps.insert(1, serde_json::from_value(errand).expect("a step"));
    Cluster::new(wanted, 3)
}

fn job(more: Value) -> Cluster {
    let mut job = json!({"spec": {"template": {"spec": {"containers": [{"name": "smoke"}]}}}});
    job.as_object_mut().expect("fields").extend(more.as_object().cloned().expect("fields"));
    with(json!({"job": job}))
}

impl Cluster {
    fn step(&self) -> usize {
        self.release.status.as_ref().map_or(0, |status| status.step)
    }

    fn failed(&self) -> bool {
        let errand = self.release.status.as_ref().and_then(|status| status.errand.as_ref());
        errand.is_some_and(|errand| errand.outcome == Some(ErrandOutcome::Failed))
    }

    /// The webhook is called, if it is due, and answers so.
    fn answers(&mut self, answer: Result<(), &str>) {
        let call = call(&self.release).expect("it is called");
        self.world.called = Some(Called { id: call.id, answer: answer.map_err(str::to_owned) });
        self.run();
    }
}

#[test]
fn a_step_goes_on_once_its_job_has_succeeded() {
    let mut cluster = job(json!({}));
    cluster.run();
    assert_eq!((cluster.step(), cluster.share(), cluster.jobs.len()), (1, Some(10.0), 1));
    assert!(cluster.trouble().starts_with("Job: Job shop/r-1-step-2-"), "{}", cluster.trouble());
    let next = next(&cluster.release, &cluster.world, None, cluster.now);
    assert_eq!(next.again_in_s, Some(2));
    cluster.jobs_end = Some("Complete");
    cluster.run();
    assert_eq!((cluster.step(), cluster.share()), (2, Some(50.0)), "{}", cluster.trouble());
}

#[test]
fn a_job_that_fails_stops_the_release_until_somebody_decides() {
    let mut cluster = job(json!({}));
    cluster.jobs_end = Some("Failed");
    cluster.run();
    assert_eq!((cluster.phase(), cluster.step(), cluster.failed()), (Phase::Stepping, 1, true));
    assert!(cluster.trouble().contains("failed: Tested: so; kubectl -n shop logs job/r-1-step-2-"));
    // Another try is another Job.
    cluster.jobs_end = None;
    cluster.release.spec.retries = 1;
    cluster.run();
    assert_eq!((cluster.jobs.len(), cluster.failed()), (2, false), "{}", cluster.trouble());
    cluster.release.spec.passed = 2;
    cluster.run();
    assert_eq!((cluster.step(), cluster.jobs.len()), (2, 1), "whose end nobody awaits is deleted");
}

#[test]
fn a_job_that_fails_takes_everybody_back_where_that_is_said() {
    let mut cluster = job(json!({"onFailure": "abort"}));
    cluster.jobs_end = Some("Failed");
    cluster.run();
    assert_eq!(cluster.phase(), Phase::Aborted);
    cluster.is_over(1);
}

#[test]
fn a_job_that_is_deleted_before_it_ends_has_failed() {
    let mut cluster = job(json!({}));
    cluster.run();
    cluster.jobs.clear();
    cluster.run();
    assert!(cluster.trouble().contains("was deleted before it ended"), "{}", cluster.trouble());
    assert!(cluster.jobs.is_empty(), "it is not made again by itself");
}

#[test]
fn a_job_that_runs_is_deleted_when_its_release_is_aborted() {
    let mut cluster = job(json!({}));
    cluster.run();
    cluster.release.spec.intent = Intent::Abort;
    cluster.run();
    assert_eq!((cluster.phase(), cluster.jobs.len()), (Phase::Aborted, 0));
}

#[test]
fn a_job_that_runs_is_deleted_before_its_step_begins_anew() {
    let mut cluster = job(json!({}));
    cluster.run();
    let first = cluster.jobs.keys().next().cloned();
    cluster.release.spec.retries = 1;
    cluster.run();
    assert_eq!((cluster.step(), cluster.jobs.len()), (1, 1), "{}", cluster.trouble());
    assert_ne!(cluster.jobs.keys().next().cloned(), first);
}

#[test]
fn a_job_is_run_once_whichever_write_the_controller_dies_before() {
    for cut in 0..20 {
        let mut cluster = job(json!({}));
        for writes in 0..20 {
            cluster.turn(if writes == cut { 0 } else { 1 });
            cluster.others(0);
            cluster.others(1);
            cluster.others(2);
        }
        cluster.run();
        assert_eq!((cluster.step(), cluster.jobs.len()), (1, 1), "{}", cluster.trouble());
    }
}

#[test]
fn a_job_is_made_from_a_cron_job_as_it_is_then() {
    let mut cluster = with(json!({"job": {"cronJob": "shop/smoke"}}));
    cluster.world.cron_jobs.insert(of("smoke"), None);
    cluster.run();
    assert_eq!(cluster.trouble(), "Job: there is no CronJob shop/smoke");
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"parallelism": 3}});
    let cron_job = json!({"spec": {"suspend": true, "jobTemplate": template}});
    cluster.world.cron_jobs.insert(of("smoke"), Some(cron_job));
    cluster.run();
    let made = cluster.jobs.values().next().expect("a Job");
    assert_eq!((&made["spec"]["parallelism"], &made["metadata"]["labels"]["a"]), (&3.into(), &"b".into()));
}

#[test]
fn a_step_goes_on_once_its_webhook_gives_leave() {
    let mut cluster =
        with(json!({"webhook": {"url": "https://ci.test/leave?token=secret", "timeoutSeconds": 5}}));
    cluster.run();
    assert_eq!(cluster.trouble(), "Webhook: https://ci.test is called");
    let asked = call(&cluster.release).expect("it is called");
    assert_eq!((asked.id.as_str(), asked.timeout_s), ("u-1-2-0", 5));
    assert_eq!((&asked.body["step"], &asked.body["share"]), (&2.into(), &10.0.into()));
    cluster.answers(Ok(()));
    assert_eq!(cluster.step(), 2, "{}", cluster.trouble());
    assert_eq!(call(&cluster.release), None);
    let history = serde_json::to_string(&cluster.release.status).expect("JSON");
    assert!(!history.contains("secret"), "{history}");
}

#[test]
fn a_webhook_that_refuses_stops_the_release_and_is_asked_anew_by_retry() {
    let mut cluster = with(json!({"webhook": {"url": "http://ci.test"}}));
    cluster.run();
    cluster.answers(Err("403: the audit is not done"));
    assert_eq!(cluster.trouble(), "Webhook: http://ci.test gave no leave: 403: the audit is not done");
    assert_eq!(call(&cluster.release), None, "it is not called again by itself");
    cluster.release.spec.retries = 1;
    cluster.run();
    assert_eq!(call(&cluster.release).expect("it is called").id, "u-1-2-1");
    // What is still said of the try before is not heard.
    cluster.run();
    assert_eq!(cluster.step(), 1);
    cluster.answers(Ok(()));
    assert_eq!(cluster.step(), 2);
}

#[test]
fn a_release_that_is_paused_asks_nobody() {
    let mut cluster = with(json!({"webhook": {"url": "http://ci.test"}}));
    cluster.run();
    cluster.release.spec.paused = true;
    assert_eq!(call(&cluster.release), None);
}

#[test]
fn a_step_that_has_something_done_is_held_for_its_time_too() {
    let mut cluster = with(json!({"webhook": {"url": "http://ci.test"}, "share": 20, "holdSeconds": 60}));
    cluster.run();
    cluster.answers(Ok(()));
    assert_eq!((cluster.trouble().as_str(), cluster.share()), ("Holds: goes on by itself", Some(20.0)));
    cluster.now += 60;
    cluster.run();
    assert_eq!(cluster.share(), Some(50.0));
}

#[test]
fn an_errand_that_makes_no_sense_is_refused_before_anything_is_done() {
    for (errand, want) in [
        (json!({"job": {}}), "step 2: a job has a cronJob or a spec"),
        (json!({"webhook": {"url": "ci.test"}}), "step 2: webhook.url is no address"),
        (
            json!({"job": {"spec": {}}, "webhook": {"url": "http://ci.test"}}),
            "step 2: a step has a job or a webhook",
        ),
    ] {
        let mut cluster = with(errand);
        cluster.run();
        assert_eq!(cluster.phase(), Phase::Pending);
        assert!(cluster.trouble().contains(want), "{}", cluster.trouble());
    }
}
