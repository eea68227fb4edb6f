//! What measurements make of a release while a step is held.

use super::{Stop, Turn, Turned, needs_help, waits};
use crate::analysis::{AnalysisStatus, Checks, OnFailure, Verdict, due, judge};
use crate::journal::{Outcome, Phase};

impl Turn<'_> {
    /// Takes in what was measured. Says whether a step whose time is over may go on by itself, and if not, what it
    /// waits for.
    ///
    /// # Errors
    /// When measurements were bad too often: the release stays, or goes back.
    pub(super) fn analyse(&mut self, number: usize) -> Result<Turned, Stop> {
        let checks = Checks::of(self.release, number).map_err(|error| needs_help("Invalid", error))?;
        self.heed_retry();
        let before = self.next.status.analysis.take().filter(|before| before.step == number);
        let Some(checks) = checks else { return Ok(Ok(())) };
        let held_since = self.next.status.held_since.unwrap_or(self.now);
        let measured = self.world.measured.as_ref().filter(|measured| {
            // An answer that is late may be about another step, or the same in another try.
            measured.step == number
                && measured.at >= due(held_since, before.as_ref().map(|before| before.at), &checks)
        });
        let has_failed = before.as_ref().is_some_and(|before| before.failed);
        let judged = match measured.filter(|_| !has_failed) {
            Some(measured) => Some(judge(self.release, &checks, measured, before.as_ref())),
            None => before.clone(),
        };
        self.note_change(before.as_ref(), judged.as_ref());
        self.next.status.analysis.clone_from(&judged);
        if let Some(failed) = judged.as_ref().filter(|judged| judged.failed && !checks.dry_run) {
            let why = format!("measurements are bad: {}", failed.message);
            return Err(self.fails(checks.on_failure, "Analysis", &why));
        }
        let next = due(held_since, judged.as_ref().map(|judged| judged.at), &checks);
        // It is being asked, if it is late.
        self.look_again_in(next.saturating_sub(self.now).max(1));
        Ok(if checks.dry_run { Ok(()) } else { may_go_on(&checks, judged.as_ref()) })
    }

    /// Who tries again wants to know how it is from now on: the step begins anew.
    fn heed_retry(&mut self) {
        let status = &mut self.next.status;
        if self.release.spec.retries == status.retried {
            return;
        }
        status.retried = self.release.spec.retries;
        status.analysis = None;
        status.held_since = Some(self.now);
        status.note(self.now, "begins the step anew");
    }

    fn note_change(&mut self, before: Option<&AnalysisStatus>, now: Option<&AnalysisStatus>) {
        let Some(now) = now else { return };
        if before.is_some_and(|before| before.verdict == now.verdict) {
            return;
        }
        let what = match now.verdict {
            Verdict::Good => "measured: good".to_owned(),
            Verdict::Bad => format!("measured: bad: {}", now.message),
            Verdict::TooFew => format!("measured: too little to judge by: {}", now.message),
            Verdict::Unknown => format!("not measured: {}", now.message),
        };
        self.next.status.note(self.now, what);
    }

    pub(super) fn fails(&mut self, on_failure: OnFailure, reason: &str, why: &str) -> Stop {
        match on_failure {
            OnFailure::Pause => needs_help(reason, why),
            OnFailure::Abort => {
                self.next.status.outcome = Some(Outcome::Aborted);
                match self.goes_to(Phase::Ending, &format!("aborts: {why}")) {
                    Err(stop) => stop,
                    Ok(()) => Stop::Acts,
                }
            }
        }
    }
}

fn may_go_on(checks: &Checks, judged: Option<&AnalysisStatus>) -> Turned {
    let Some(judged) = judged else { return Err(waits("Measures", "nothing is measured yet")) };
    match judged.verdict {
        Verdict::Good if judged.passes >= checks.passes => Ok(()),
        Verdict::Good => {
            let (passes, wanted) = (judged.passes, checks.passes);
            Err(waits("Measures", format!("measurements are good, {passes} of {wanted} times")))
        }
        Verdict::Bad => Err(waits("Measures", format!("measurements are bad: {}", judged.message))),
        Verdict::TooFew => Err(waits("Measures", format!("too little to judge by: {}", judged.message))),
        Verdict::Unknown => Err(needs_help("Measures", format!("nothing is measured: {}", judged.message))),
    }
}
