//! What became of each Lane, in its status; and the finalizer that lets it end in order.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use canary_istio::{Finding, Object};
use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::events::{self, Events};
use super::finalizers;
use super::run::RunError;
use crate::lanes::KEPT;
use crate::names::{FIELD_MANAGER, FINALIZER};
use crate::steer::{Course, Going, OnLane, Verdict, findings_of};
use crate::world::{self, Seen};

/// Most findings in a status.
const FINDINGS_MAX: usize = 32;

/// The reason of a condition that waits for something.
const STUCK: &str = "Stuck";
/// The reason of one that is being seen to.
const WORKING: &str = "Working";

/// Longest form of a Lane, as JSON, that is kept for the time that it is changed into what cannot be, in bytes: what an
/// API server stores of an object has a limit, and the form is in it twice then.
const IN_FORCE_BYTES_MAX: usize = 256 * 1024;

/// How a run ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// It has just begun.
    Working,
    /// It has begun a while ago, and waits for this.
    Waiting(String),
    /// So many proxies have all of it.
    Done(usize),
    /// It could not go on.
    Stuck(String),
}

/// Writes to Lanes.
pub(super) struct Reporter {
    client: Client,
    events: Events,
    /// Lanes as this run's writes left them: what was seen before is older.
    latest: Mutex<HashMap<String, Object>>,
}

impl Reporter {
    pub(super) fn new(client: Client, events: Events) -> Self {
        Self { client, events, latest: Mutex::default() }
    }

    /// Forgets what earlier runs wrote: by now it is seen.
    pub(super) fn begin(&self) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A Lane as it is now, as far as that is known.
    fn now(&self, lane: &Object) -> Object {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.get(lane.name()).unwrap_or(lane).clone()
    }

    fn lanes(&self) -> Api<DynamicObject> {
        let resource = world::resource(canary_rules::lane::API_VERSION, canary_rules::lane::KIND);
        Api::all_with(self.client.clone(), &resource)
    }

    /// Puts the finalizer on Lanes that are on, before anything is made for them.
    pub(super) async fn hold(&self, seen: &Seen, course: &Course) -> Result<(), RunError> {
        for lane in &seen.lanes {
            let is_on = matches!(course.lanes.get(lane.name()), Some(Verdict::On(_)));
            if is_on && !finalizers::holds(lane, FINALIZER) {
                let held = finalizers::hold(&self.client, lane, FINALIZER).await?;
                self.keep(held.as_ref());
            }
        }
        Ok(())
    }

    /// Lets deleted Lanes go, once no proxy routes by them.
    pub(super) async fn release(&self, seen: &Seen, course: &Course) -> Result<(), RunError> {
        for lane in &seen.lanes {
            let goes = matches!(course.lanes.get(lane.name()), Some(Verdict::Going(Going::Deleted)));
            let now = self.now(lane);
            if goes && finalizers::holds(&now, FINALIZER) {
                let released = finalizers::release(&self.client, &now, FINALIZER).await?;
                self.keep(released.as_ref());
            }
        }
        Ok(())
    }

    fn keep(&self, lane: Option<&DynamicObject>) {
        let value = lane.and_then(|lane| serde_json::to_value(lane).ok()).map(|mut value| {
            value["kind"] = canary_rules::lane::KIND.into();
            value
        });
        if let Some(Ok(lane)) = value.map(Object::new) {
            let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            latest.insert(lane.name().to_owned(), lane);
        }
    }

    /// Writes the statuses that say something else than before.
    pub(super) async fn report(
        &self,
        seen: &Seen,
        course: &Course,
        outcome: &Outcome,
    ) -> Result<(), RunError> {
        for lane in &seen.lanes {
            let Some(verdict) = course.lanes.get(lane.name()) else { continue };
            if matches!(outcome, Outcome::Waiting(_)) && !is_waited_for(&self.now(lane)) {
                continue;
            }
            let findings = findings_of(&course.plan, lane.name()).take(FINDINGS_MAX);
            let findings: Vec<Value> = findings.map(finding).collect();
            let status = status(lane, verdict, outcome, findings);
            if says_the_same(&lane.value()["status"], &status) {
                continue;
            }
            let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            let patch = json!({"status": status});
            match self.lanes().patch_status(lane.name(), &params, &Patch::Merge(&patch)).await {
                Ok(patched) => {
                    let now = json!({"metadata": lane.value()["metadata"], "status": status});
                    self.events.tell(lane, events::of_lane(lane.value(), &now));
                    self.keep(Some(&patched));
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(RunError::Report(format!("lane {}", lane.name()), Box::new(error))),
            }
        }
        Ok(())
    }
}

/// Whether a status that is to be merged into one changes nothing of it.
pub(super) fn says_the_same(before: &Value, status: &Value) -> bool {
    status.as_object().into_iter().flatten().all(|(key, value)| {
        // An empty list may be left out by the API server.
        before[key] == *value || (before[key].is_null() && is_empty(value))
    })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn finding(finding: &Finding) -> Value {
    json!({
        "code": finding.code(),
        "severity": finding.severity(),
        "message": finding.to_string(),
    })
}

/// A condition's status, reason and message.
pub(super) struct Said {
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

pub(super) fn said(status: &'static str, reason: &'static str, message: impl Into<String>) -> Said {
    Said { status, reason, message: message.into() }
}

fn status(lane: &Object, verdict: &Verdict, outcome: &Outcome, findings: Vec<Value>) -> Value {
    let accepted = match verdict {
        Verdict::Refused(faults) => said("False", "Invalid", faults.join("; ")),
        Verdict::On(on) if !on.faults.is_empty() => said("False", "Invalid", on.faults.join("; ")),
        Verdict::On(_) | Verdict::Going(_) => said("True", "Valid", ""),
    };
    let programmed = match (verdict, outcome) {
        (Verdict::On(on), Outcome::Working | Outcome::Waiting(_) | Outcome::Done(_))
            if !on.faults.is_empty() =>
        {
            let generation = &lane.value()["status"]["inForce"]["generation"];
            said("False", KEPT, format!("the lane stays on as it was before, in generation {generation}"))
        }
        (Verdict::Refused(_), _) => said("False", "Invalid", "no request is put in the lane"),
        (Verdict::Going(Going::Expired), Outcome::Done(_)) => {
            said("False", "Expired", "no request is put in the lane any more")
        }
        (Verdict::Going(Going::Deleted), Outcome::Done(_)) => {
            said("False", "Deleted", "no proxy routes by the lane any more")
        }
        // Whoever waits wants to know what for, also while it is tried again.
        (_, Outcome::Working) => stuck_before(lane)
            .unwrap_or_else(|| said("Unknown", WORKING, "changes are on their way to the proxies")),
        (_, Outcome::Waiting(why)) => {
            said("Unknown", WORKING, format!("changes are on their way to the proxies: {why}"))
        }
        (_, Outcome::Stuck(why)) => said("False", STUCK, why.clone()),
        (Verdict::On(_), Outcome::Done(_)) => said("True", "Programmed", "every proxy has it"),
    };
    let weighty = |finding: &&Value| finding["severity"] != "info";
    let degraded = match findings.iter().find(weighty) {
        Some(first) if matches!(verdict, Verdict::On(_)) => {
            let count = findings.iter().filter(weighty).count();
            let message = first["message"].as_str().unwrap_or_default();
            said("True", "Findings", format!("{count}, the first: {message}"))
        }
        _ => said("False", "None", ""),
    };
    let generation = &lane.value()["metadata"]["generation"];
    let all = [("Accepted", accepted), ("Programmed", programmed), ("Degraded", degraded)];
    let conditions: Vec<Value> =
        all.into_iter().map(|(kind, said)| condition(lane, kind, &said, generation)).collect();
    let mut status = json!({
        "observedGeneration": generation,
        "conditions": conditions,
        "findings": findings,
    });
    if let Verdict::On(on) = verdict {
        say_what_is_on(&mut status, on);
        if on.faults.is_empty() {
            // As text: of a map a merge would keep what is in it no more.
            let spec = Some(lane.value()["spec"].to_string()).filter(|spec| spec.len() <= IN_FORCE_BYTES_MAX);
            status["inForce"] =
                spec.map_or(Value::Null, |spec| json!({"generation": generation, "spec": spec}));
        }
    }
    if let Outcome::Done(reached) = outcome
        && matches!(verdict, Verdict::On(_))
        && *reached > 0
    {
        status["proxies"] = json!({"total": reached, "reached": reached});
    }
    status
}

/// Whether nobody has been told yet what became of a Lane as it is written now.
fn is_waited_for(lane: &Object) -> bool {
    let before = crate::lanes::condition(lane.value(), "Programmed");
    !matches!(before.status.as_str(), "True" | "False")
}

/// What the last run said of this generation, if it could not go on.
fn stuck_before(lane: &Object) -> Option<Said> {
    let before = crate::lanes::condition(lane.value(), "Programmed");
    (before.reason == STUCK).then(|| said("False", STUCK, before.message))
}

fn say_what_is_on(status: &mut Value, on: &OnLane) {
    let members = on
        .members
        .iter()
        .map(|member| json!({"service": member.service, "workload": member.workload, "pods": member.pods}));
    status["members"] = members.collect();
    status["epoch"] = on.epoch.into();
    status["buckets"] = on.buckets.as_str().into();
}

/// A condition; its time is that of the last change of its status.
pub(super) fn condition(lane: &Object, kind: &str, said: &Said, generation: &Value) -> Value {
    let before = lane.value()["status"]["conditions"].as_array().into_iter().flatten();
    let before = before.into_iter().find(|condition| condition["type"] == kind);
    let since = before.filter(|before| before["status"] == said.status);
    let since = since.map(|before| before["lastTransitionTime"].clone());
    let now = || Value::from(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    json!({
        "type": kind,
        "status": said.status,
        "reason": said.reason,
        "message": said.message,
        "observedGeneration": generation,
        "lastTransitionTime": since.unwrap_or_else(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(status: &Value) -> Object {
        let lane = json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": "gray", "generation": 4},
            "spec": {"parent": "nobody"}, "status": status,
        });
        Object::new(lane).expect("a lane")
    }

    fn on(faults: &[&str]) -> Verdict {
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        Verdict::On(Box::new(OnLane { epoch: 7, buckets: String::new(), members: Vec::new(), faults }))
    }

    /// A condition as `status reason message`.
    fn said(status: &Value, kind: &str) -> String {
        let lane = json!({"metadata": {"generation": 4}, "status": status});
        let said = crate::lanes::condition(&lane, kind);
        format!("{} {} {}", said.status, said.reason, said.message)
    }

    #[test]
    fn the_form_that_is_on_is_kept_for_when_the_lane_is_changed_into_what_cannot_be() {
        let sound = status(&lane(&Value::Null), &on(&[]), &Outcome::Done(3), Vec::new());
        assert_eq!(sound["inForce"], json!({"generation": 4, "spec": r#"{"parent":"nobody"}"#}));
        assert_eq!(said(&sound, "Programmed"), "True Programmed every proxy has it");
        let before = json!({"inForce": {"generation": 3, "spec": "{}"}});
        let kept = status(&lane(&before), &on(&["there is no lane `nobody`"]), &Outcome::Done(3), Vec::new());
        assert_eq!(kept["inForce"], Value::Null, "what is kept stays as it is in the status");
        assert!(kept.get("inForce").is_none(), "a merge would take it away");
        assert_eq!(said(&kept, "Accepted"), "False Invalid there is no lane `nobody`");
        let stays = "False Kept the lane stays on as it was before, in generation 3";
        assert_eq!(said(&kept, "Programmed"), stays);
    }

    #[test]
    fn what_is_waited_for_is_said_where_nothing_has_come_of_it_yet() {
        let waiting = Outcome::Waiting("1 proxy has not confirmed it: web.shop".into());
        let told = status(&lane(&Value::Null), &on(&[]), &waiting, Vec::new());
        let says =
            "Unknown Working changes are on their way to the proxies: 1 proxy has not confirmed it: web.shop";
        assert_eq!(said(&told, "Programmed"), says);
        assert!(is_waited_for(&lane(&Value::Null)));
        assert!(is_waited_for(&lane(&told)), "it may wait for another one next");
        for outcome in [Outcome::Done(3), Outcome::Stuck("no istiod".into())] {
            let told = status(&lane(&Value::Null), &on(&[]), &outcome, Vec::new());
            assert!(!is_waited_for(&lane(&told)), "{outcome:?}");
        }
    }

    #[test]
    fn a_form_that_is_too_long_to_be_in_an_object_twice_is_not_kept() {
        let mut long = lane(&Value::Null).value().clone();
        long["spec"]["description"] = "x".repeat(IN_FORCE_BYTES_MAX).into();
        let long = Object::new(long).expect("a lane");
        let status = status(&long, &on(&[]), &Outcome::Done(3), Vec::new());
        assert_eq!(status.get("inForce"), Some(&Value::Null), "an older one goes");
    }
}
