//! What a step waits for elsewhere: begun once, found again by the journal, and left off with the step.

use serde_json::Value;

use super::{Stop, Turn, Turned, needs_help, waits};
use crate::action::Action;
use crate::document::{Step, WorkloadRef};
use crate::errand::{self, Errand, ErrandOutcome, ErrandStatus, JobSeen, JobSpec, JobState, Webhook};
use crate::journal::Phase;

/// How soon a Job that runs is looked at again, in seconds.
const LOOK_AT_JOB_EVERY_S: i64 = 2;

impl Turn<'_> {
    /// What can be said against it before anything is done.
    pub(super) fn judge_errand(&self, number: usize, step: &Step) -> Turned {
        if let Some(fault) = Errand::fault(step) {
            return Err(needs_help("Invalid", format!("step {}: {fault}", number.saturating_add(1))));
        }
        match step.job.as_ref().map(|job| self.template(job)) {
            Some(Err(Stop::Waits(trouble))) if trouble.needs_help => Err(Stop::Waits(trouble)),
            _ => Ok(()),
        }
    }

    /// Until what the step has done elsewhere is done.
    pub(super) fn run_errand(&mut self, number: usize, step: &Step) -> Turned {
        let Some(wanted) = Errand::of(step) else { return Ok(()) };
        let told = match self.next.status.errand.clone() {
            Some(told) if wanted.is_told_by(&told, self.release, number) => told,
            Some(ErrandStatus { outcome: None, job: Some(job), .. }) => {
                return Err(waits("Job", format!("Job {job} is left off first")));
            }
            _ => return self.begin_errand(number, wanted),
        };
        match (told.outcome, wanted) {
            (Some(ErrandOutcome::Passed), _) => Ok(()),
            (Some(ErrandOutcome::Failed), Errand::Job(job)) => {
                Err(self.fails(job.on_failure.unwrap_or_default(), "Job", &told.message))
            }
            (Some(ErrandOutcome::Failed), Errand::Webhook(webhook)) => {
                Err(self.fails(webhook.on_failure.unwrap_or_default(), "Webhook", &told.message))
            }
            (None, Errand::Job(job)) => self.watch_job(job, &told),
            (None, Errand::Webhook(webhook)) => self.hear(number, webhook),
        }
    }

    fn begin_errand(&mut self, number: usize, wanted: Errand<'_>) -> Turned {
        let (job, what) = match wanted {
            Errand::Job(spec) => {
                self.template(spec)?;
                let job = errand::name(self.release, number, spec);
                let what = format!("runs Job {job}");
                (Some(job), what)
            }
            Errand::Webhook(webhook) => (None, format!("calls {}", errand::origin(&webhook.url))),
        };
        let tries = self.release.spec.retries;
        self.next.status.errand = Some(ErrandStatus { step: number, tries, job, ..ErrandStatus::default() });
        self.next.status.note(self.now, what);
        Err(Stop::Acts)
    }

    /// What the Job is made from, in the form of a CronJob's template.
    fn template(&self, spec: &JobSpec) -> Result<Value, Stop> {
        let Some(cron_job) = &spec.cron_job else { return Ok(serde_json::json!({"spec": spec.spec})) };
        match self.world.cron_jobs.get(cron_job) {
            Some(Some(found)) => Ok(found["spec"]["jobTemplate"].clone()),
            Some(None) => Err(needs_help("Job", format!("there is no CronJob {cron_job}"))),
            None => Err(waits("Job", format!("CronJob {cron_job} is not read yet"))),
        }
    }

    fn watch_job(&mut self, spec: &JobSpec, told: &ErrandStatus) -> Turned {
        let Some(job) = &told.job else { return Ok(()) };
        self.look_again_in(LOOK_AT_JOB_EVERY_S);
        match &self.world.job {
            None => Err(waits("Job", format!("Job {job} is not read yet"))),
            Some(JobSeen::Absent) if told.seen => {
                self.ends(ErrandOutcome::Failed, format!("Job {job} was deleted before it ended"))
            }
            Some(JobSeen::Absent) => {
                let document = errand::document(self.release, told, &self.template(spec)?);
                self.acts(vec![Action::CreateJob { job: document }])
            }
            Some(JobSeen::There(found)) if !errand::is_of(found, self.release) => {
                self.ends(ErrandOutcome::Failed, format!("Job {job} is somebody else's"))
            }
            Some(JobSeen::There(found)) => match errand::state(found) {
                JobState::Succeeded => self.ends(ErrandOutcome::Passed, format!("Job {job} succeeded")),
                JobState::Failed(why) => {
                    let WorkloadRef { namespace, name } = job;
                    let message =
                        format!("Job {job} failed: {why}; kubectl -n {namespace} logs job/{name} says more");
                    self.ends(ErrandOutcome::Failed, message)
                }
                JobState::Runs => {
                    if let Some(errand) = &mut self.next.status.errand {
                        errand.seen = true;
                    }
                    Err(waits("Job", format!("Job {job} runs")))
                }
            },
        }
    }

    fn hear(&mut self, number: usize, webhook: &Webhook) -> Turned {
        let origin = errand::origin(&webhook.url);
        let id = errand::id(self.release, number);
        match self.world.called.as_ref().filter(|called| called.id == id) {
            None => Err(waits("Webhook", format!("{origin} is called"))),
            Some(called) => match &called.answer {
                Ok(()) => self.ends(ErrandOutcome::Passed, format!("{origin} gave leave")),
                Err(why) => self.ends(ErrandOutcome::Failed, format!("{origin} gave no leave: {why}")),
            },
        }
    }

    /// It is journalled before anything is made of it.
    fn ends(&mut self, outcome: ErrandOutcome, what: String) -> Turned {
        self.next.status.note(self.now, what.clone());
        if let Some(errand) = &mut self.next.status.errand {
            errand.outcome = Some(outcome);
            errand.message = what;
        }
        Err(Stop::Acts)
    }

    /// A Job that the release does not wait for any more is deleted, whatever else is done.
    pub(super) fn forsake(&mut self) {
        let status = &self.next.status;
        let Some(told) = status.errand.as_ref().filter(|told| told.outcome.is_none()) else { return };
        let step = self.release.step(status.step);
        let is_awaited = status.phase == Phase::Stepping
            && Errand::of(&step).is_some_and(|errand| errand.is_told_by(told, self.release, status.step));
        if is_awaited {
            return;
        }
        match (&told.job, &self.world.job) {
            // It is read first.
            (Some(_), None) => {}
            (Some(job), Some(JobSeen::There(found)))
                if errand::is_of(found, self.release) && found["metadata"]["deletionTimestamp"].is_null() =>
            {
                self.next.actions.push(Action::DeleteJob { job: job.clone() });
            }
            _ => self.next.status.errand = None,
        }
    }
}
