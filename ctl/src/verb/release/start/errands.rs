//! What steps have done elsewhere, from flags.

use canary_release::{JobSpec, OnFailure, Step, Webhook, WorkloadRef};

use crate::failure::{Code, Failure};

/// What each step waits for.
#[derive(Debug, clap::Args)]
pub(super) struct ErrandArgs {
    /// Each step runs the Job of this CronJob, suspended or not, which has to succeed: a smoke test, say. A namespace is
    /// named as in shop/smoke. A step without --hold then goes on by itself.
    #[arg(long, value_name = "CRONJOB")]
    job: Option<String>,
    /// Each step asks this address for leave to go on, as the controller reaches it, after its Job if there is one.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
}

impl ErrandArgs {
    /// The same steps, each with what is asked for here; a CronJob without a namespace is in this one.
    ///
    /// # Errors
    /// When a CronJob's name is none.
    pub(super) fn given_to(
        &self,
        steps: Vec<Step>,
        namespace: &str,
        on_failure: Option<OnFailure>,
    ) -> Result<Vec<Step>, Failure> {
        let job = self.job.as_deref().map(|name| cron_job(name, namespace)).transpose()?;
        let job = job.map(|cron_job| JobSpec { cron_job: Some(cron_job), on_failure, ..JobSpec::default() });
        let webhook = self.webhook.clone().map(|url| Webhook { url, on_failure, ..Webhook::default() });
        if job.is_none() && webhook.is_none() {
            return Ok(steps);
        }
        let steps = match steps.is_empty() {
            // Chosen users alone are a step too, if something is done for it.
            true => vec![Step { share: Some(0.0), ..Step::default() }],
            false => steps,
        };
        let asking = |step: Step| match (&job, &webhook) {
            // A step has one of them.
            (Some(_), Some(_)) => {
                vec![Step { job: job.clone(), ..step }, Step { webhook: webhook.clone(), ..Step::default() }]
            }
            _ => vec![Step { job: job.clone(), webhook: webhook.clone(), ..step }],
        };
        Ok(steps.into_iter().flat_map(asking).collect())
    }
}

fn cron_job(text: &str, namespace: &str) -> Result<WorkloadRef, Failure> {
    let full = if text.contains('/') { text.to_owned() } else { format!("{namespace}/{text}") };
    WorkloadRef::try_from(full).map_err(|_| {
        Failure::new(Code::Usage, format!("--job {text}: wanted the name of a CronJob"))
            .help("as in --job smoke, or --job shop/smoke")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ErrandArgs,
    }

    fn steps(line: &str, shares: &[f64]) -> Result<Value, Failure> {
        let words = std::iter::once("start").chain(line.split_whitespace());
        let steps = shares.iter().map(|share| Step { share: Some(*share), ..Step::default() }).collect();
        let made = Line::parse_from(words).args.given_to(steps, "here", Some(OnFailure::Abort))?;
        Ok(json!(made))
    }

    #[track_caller]
    fn check(line: &str, shares: &[f64], want: &Value) {
        assert_eq!(steps(line, shares).as_ref().ok(), Some(want), "{line}");
    }

    #[test]
    fn each_step_has_its_errands() {
        let job = |name: &str| json!({"cronJob": name, "onFailure": "abort"});
        let webhook = json!({"url": "http://ci/", "onFailure": "abort"});
        check("", &[], &json!([]));
        check("", &[5.0], &json!([{"share": 5.0}]));
        check("--job smoke", &[], &json!([{"share": 0.0, "job": job("here/smoke")}]));
        check(
            "--job shop/smoke",
            &[5.0, 50.0],
            &json!([
                {"share": 5.0, "job": job("shop/smoke")}, {"share": 50.0, "job": job("shop/smoke")},
            ]),
        );
        check("--webhook http://ci/", &[5.0], &json!([{"share": 5.0, "webhook": webhook}]));
        check(
            "--job smoke --webhook http://ci/",
            &[5.0],
            &json!([{"share": 5.0, "job": job("here/smoke")}, {"webhook": webhook}]),
        );
    }

    #[test]
    fn what_is_no_name_of_a_cron_job_is_refused() {
        for wrong in ["/smoke", "shop/", "a/b/c"] {
            let error = steps(&format!("--job {wrong}"), &[]).expect_err(wrong);
            assert!(error.to_string().contains("wanted the name of a CronJob"), "{error}");
        }
    }
}
