//! What can be asked of a release, and what it takes in its `spec`. Pure.

use canary_release::{Intent, Phase, Release};
use serde_json::{Value, json};

use super::{is_stopped, journal, phase_word};
use crate::failure::{Code, Failure};

/// Something to ask of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The next step, or, after the last, the new images for all; with `full` at once.
    Promote {
        /// Without the steps between.
        full: bool,
    },
    /// Stay where it is.
    Pause,
    /// Go on by itself.
    Resume,
    /// After its step stopped it: begin the step anew.
    Retry,
    /// Everybody back to the old versions.
    Abort,
    /// Once it is through: the images from before.
    Undo,
}

impl Turn {
    /// What it takes: a merge patch of the `spec`. `step` is where the release was when somebody decided on it:
    /// whoever promotes one step does not mean the next one too, but going back is meant from any.
    ///
    /// # Errors
    /// When the release is not where this can be asked of it.
    pub fn patch(self, release: &Release, step: Option<usize>) -> Result<Value, Failure> {
        let name = &release.metadata.name;
        let status = journal(release);
        let conflict = |what: &str| Failure::new(Code::Conflict, format!("release {name} {what}"));
        let is = phase_word(status.phase);
        match self {
            Self::Pause | Self::Resume if !status.phase.is_under_way() => {
                Err(conflict(&format!("is over: {is}")))
            }
            Self::Pause => Ok(json!({"paused": true})),
            Self::Resume => Ok(json!({"paused": null})),
            Self::Promote { .. }
                if !status.phase.is_under_way() || release.spec.intent != Intent::Forward =>
            {
                Err(conflict(&format!("cannot be promoted: it is {is}")))
            }
            Self::Promote { .. } if step.is_some_and(|seen| seen != status.step) => {
                Err(conflict(&format!("is at step {} by now", status.step + 1))
                    .help("look at it again, and then promote it"))
            }
            Self::Promote { full } => {
                let passed = if full { release.steps() } else { status.step.saturating_add(1) };
                let passed = passed.max(usize::try_from(release.spec.passed).unwrap_or(usize::MAX));
                Ok(json!({"passed": passed, "paused": null}))
            }
            Self::Retry if !is_stopped(&status) => {
                Err(conflict("was not stopped by its step: there is nothing to try anew")
                    .help(format!("canaryctl release status {name} says what it waits for")))
            }
            Self::Retry => Ok(json!({"retries": release.spec.retries.saturating_add(1)})),
            Self::Abort if !status.phase.is_under_way() => {
                let failure = conflict(&format!("cannot be aborted: it is {is}"));
                let help = format!("canaryctl release undo {name} sets the images back");
                Err(if status.phase.is_through() { failure.help(help) } else { failure })
            }
            Self::Abort => Ok(json!({"intent": Intent::Abort})),
            Self::Undo
                if status.phase.is_through() || matches!(status.phase, Phase::Returning | Phase::Undoing) =>
            {
                Ok(json!({"intent": Intent::Undo}))
            }
            Self::Undo => {
                let failure = conflict(&format!("cannot be undone: it is {is}"));
                let help = format!("canaryctl release abort {name} takes everybody back");
                Err(if status.phase.is_under_way() { failure.help(help) } else { failure })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(spec: &Value, phase: &str, step: usize) -> Release {
        let mut document = json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release", "metadata": {"name": "r-7"},
            "spec": {
                "workloads": [{"deployment": "shop/cart", "images": {"app": "shop/cart:2.4"}}],
                "steps": [{"share": 1}, {"share": 10}],
            },
            "status": {"phase": phase, "step": step},
        });
        for (key, value) in spec.as_object().expect("an object") {
            document["spec"][key] = value.clone();
        }
        serde_json::from_value(document).expect("a release")
    }

    #[track_caller]
    fn check(turn: Turn, release: &Release, want: Result<Value, &str>) {
        match (turn.patch(release, None), want) {
            (Ok(patch), Ok(want)) => assert_eq!(patch, want),
            (Err(failure), Err(part)) => assert!(failure.to_string().contains(part), "{failure}"),
            (got, want) => panic!("{got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn a_release_under_way_goes_on_stays_or_goes_back() {
        let running = release(&json!({}), "Stepping", 0);
        check(Turn::Promote { full: false }, &running, Ok(json!({"passed": 1, "paused": null})));
        check(Turn::Promote { full: true }, &running, Ok(json!({"passed": 2, "paused": null})));
        check(Turn::Pause, &running, Ok(json!({"paused": true})));
        check(Turn::Resume, &running, Ok(json!({"paused": null})));
        check(Turn::Abort, &running, Ok(json!({"intent": Intent::Abort})));
        check(Turn::Undo, &running, Err("cannot be undone: it is stepping"));
    }

    #[test]
    fn only_what_its_step_has_stopped_is_tried_anew() {
        let mut stopped = release(&json!({"retries": 1}), "Stepping", 0);
        check(Turn::Retry, &stopped, Err("was not stopped by its step"));
        stopped.status.as_mut().expect("a status").analysis = Some(
            serde_json::from_value(json!({
                "step": 0, "at": 0, "verdict": "Bad", "message": "", "failed": true, "quantile": 0.95,
            }))
            .expect("an analysis"),
        );
        check(Turn::Retry, &stopped, Ok(json!({"retries": 2})));
        let status = stopped.status.as_mut().expect("a status");
        status.analysis = None;
        status.errand = Some(
            serde_json::from_value(json!({"step": 0, "tries": 1, "outcome": "Failed"})).expect("an errand"),
        );
        check(Turn::Retry, &stopped, Ok(json!({"retries": 2})));
    }

    #[test]
    fn what_was_promoted_already_is_not_taken_back_by_promote() {
        let ahead = release(&json!({"passed": 2}), "Stepping", 0);
        check(Turn::Promote { full: false }, &ahead, Ok(json!({"passed": 2, "paused": null})));
    }

    #[test]
    fn a_step_is_promoted_once_and_going_back_is_meant_from_any() {
        let second = release(&json!({}), "Stepping", 1);
        let promote = Turn::Promote { full: false };
        assert_eq!(promote.patch(&second, Some(1)).expect("this step"), json!({"passed": 2, "paused": null}));
        let failure = promote.patch(&second, Some(0)).expect_err("promoted already");
        assert!(failure.to_string().contains("is at step 2 by now"), "{failure}");
        for turn in [Turn::Abort, Turn::Pause] {
            turn.patch(&second, Some(0)).expect("from any step");
        }
    }

    #[test]
    fn a_release_that_is_over_can_be_undone_at_most() {
        let done = release(&json!({}), "Completed", 2);
        check(Turn::Undo, &done, Ok(json!({"intent": Intent::Undo})));
        for turn in [Turn::Pause, Turn::Resume] {
            check(turn, &done, Err("is over: completed"));
        }
        check(Turn::Promote { full: false }, &done, Err("cannot be promoted"));
        check(Turn::Abort, &done, Err("cannot be aborted"));
        check(Turn::Undo, &release(&json!({}), "Aborted", 0), Err("cannot be undone"));
        let ending = release(&json!({"intent": Intent::Abort}), "Ending", 0);
        check(Turn::Promote { full: false }, &ending, Err("cannot be promoted"));
    }
}
