//! A release as the page shows it: what `release status` says, and what can be asked of it.

use canary_release::Release;
use serde::Serialize;

use crate::releases::{Turn, journal, phase_word, waits_for};
use crate::verb::enable::document::who_of_rules;
use crate::verb::release::show::{change, place};

/// Most entries of a history that are shown.
const HISTORY_MAX: usize = 20;

/// What can be asked for on the page, by name.
pub(super) const TURNS: [(&str, Turn); 6] = [
    ("promote", Turn::Promote { full: false }),
    ("pause", Turn::Pause),
    ("resume", Turn::Resume),
    ("retry", Turn::Retry),
    ("abort", Turn::Abort),
    ("undo", Turn::Undo),
];

/// A release as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReleaseView {
    /// Its name.
    pub name: String,
    /// The lane that carries it.
    pub lane: String,
    /// Whom its rules are for, in words.
    pub who: String,
    /// Where it is, in words.
    pub place: String,
    /// Its phase in a word.
    pub phase: String,
    /// What it waits for, in words; none once it is over.
    pub waits_for: Option<String>,
    /// Whether somebody has to do something.
    pub needs_help: bool,
    /// Since when its step is held, Unix, in seconds.
    pub held_since_unix_s: Option<i64>,
    /// The shares of its steps, in percent.
    pub steps: Vec<f64>,
    /// The step that it is at, from 0.
    pub step: usize,
    /// Its workloads.
    pub workloads: Vec<WorkloadView>,
    /// What can be asked of it now.
    pub turns: Vec<&'static str>,
    /// What happened, the latest first: when (Unix, in seconds) and what.
    pub history: Vec<(i64, String)>,
}

/// A workload of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkloadView {
    /// The Deployment.
    pub deployment: String,
    /// From which images to which.
    pub images: Vec<String>,
    /// Pods of the lane that are available, of how many.
    pub pods: Option<(u32, u32)>,
}

impl ReleaseView {
    /// Of a release.
    #[must_use]
    pub fn of(release: &Release) -> Self {
        let status = journal(release);
        let is_over = status.phase.is_final();
        let workloads = release.spec.workloads.iter().map(|workload| {
            let journal = status.workloads.iter().find(|one| one.deployment == workload.deployment);
            WorkloadView {
                deployment: workload.deployment.to_string(),
                images: workload.images.iter().map(|(name, image)| change(journal, name, image)).collect(),
                pods: journal.filter(|_| !is_over).map(|one| (one.available, one.replicas)),
            }
        });
        let can = |turn: &Turn| match turn {
            Turn::Pause if release.spec.paused => false,
            Turn::Resume if !release.spec.paused => false,
            turn => turn.patch(release, None).is_ok(),
        };
        let name = release.metadata.name.to_string();
        Self {
            lane: release.spec.lane.as_ref().map_or_else(|| name.clone(), ToString::to_string),
            name,
            who: who_of_rules(&release.spec.rules),
            place: place(release),
            phase: phase_word(status.phase),
            waits_for: (!is_over).then(|| waits_for(release)),
            needs_help: status.trouble.as_ref().is_some_and(|trouble| trouble.needs_help),
            held_since_unix_s: status.held_since,
            steps: (0..release.spec.steps.len()).map(|number| release.share(number)).collect(),
            step: status.step,
            workloads: workloads.collect(),
            turns: TURNS.iter().filter(|(_, turn)| can(turn)).map(|(name, _)| *name).collect(),
            history: status
                .history
                .into_iter()
                .rev()
                .take(HISTORY_MAX)
                .map(|one| (one.at, one.what))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn view(spec: &Value, status: &Value) -> Value {
        let mut document = json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release", "metadata": {"name": "r-7"},
            "spec": {
                "workloads": [{"deployment": "shop/cart", "images": {"app": "shop/cart:2.4"}}],
                "rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}],
                "steps": [{"share": 1}, {"share": 10}],
            },
            "status": status,
        });
        for (key, value) in spec.as_object().expect("an object") {
            document["spec"][key] = value.clone();
        }
        let release: Release = serde_json::from_value(document).expect("a release");
        serde_json::to_value(ReleaseView::of(&release)).expect("JSON")
    }

    #[test]
    fn a_release_is_shown_in_the_words_of_release_status() {
        let running = json!({
            "phase": "Stepping", "step": 1, "heldSince": 1000,
            "workloads": [{
                "deployment": "shop/cart", "before": {"app": "shop/cart:2.3"}, "replicas": 2, "available": 1,
            }],
            "trouble": {"reason": "Promote", "message": "waits to be promoted"},
            "history": [{"at": 900, "what": "begun"}, {"at": 1000, "what": "at 10 %"}],
        });
        let want = json!({
            "name": "r-7", "lane": "r-7", "who": "cookie gray = 1", "place": "step 2 of 2: 10 % of users",
            "phase": "stepping", "waits_for": "waits to be promoted", "needs_help": false,
            "held_since_unix_s": 1000, "steps": [1.0, 10.0], "step": 1,
            "workloads": [{"deployment": "shop/cart", "images": ["2.3 → 2.4"], "pods": [1, 2]}],
            "turns": ["promote", "pause", "abort"],
            "history": [[1000, "at 10 %"], [900, "begun"]],
        });
        assert_eq!(view(&json!({}), &running), want);
    }

    #[test]
    fn only_what_makes_sense_can_be_asked_for() {
        let paused = view(&json!({"paused": true}), &json!({"phase": "Stepping"}));
        assert_eq!(paused["turns"], json!(["promote", "resume", "abort"]));
        let done = view(&json!({}), &json!({"phase": "Completed"}));
        assert_eq!((&done["turns"], &done["waits_for"]), (&json!(["undo"]), &Value::Null));
    }
}
