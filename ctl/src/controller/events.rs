//! What happens to Lanes and Releases, as Kubernetes' Events: for `kubectl describe` and whoever collects them.

use canary_istio::Object;
use canary_release::{Status, Trouble};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::failure::chain;
use crate::lanes::{KEPT, condition};
use crate::names::CONTROLLER;

/// Most Events that wait to be written; what is more is lost, and stays in the objects' statuses.
const WAITING_MAX: usize = 256;
/// Longest text of an Event and longest name of its action, in bytes: what the API server takes.
const NOTE_BYTES_MAX: usize = 1024;
const ACTION_BYTES_MAX: usize = 128;

/// Writes Events, beside whoever tells of them.
#[derive(Debug, Clone)]
pub(super) struct Events(mpsc::Sender<(ObjectReference, Happening)>);

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    /// Whether somebody should look.
    is_warning: bool,
    /// One word.
    reason: String,
    /// What, in words.
    what: String,
}

impl Events {
    /// Written by the controller of this name.
    pub(super) fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: CONTROLLER.into(), instance: Some(identity.into()) };
        let recorder = Recorder::new(client, reporter);
        let (sender, mut told) = mpsc::channel::<(ObjectReference, Happening)>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some((object, happening)) = told.recv().await {
                if let Err(error) = recorder.publish(&happening.event(), &object).await {
                    tracing::debug!(error = %chain(&error), "an Event is lost");
                }
            }
        });
        Self(sender)
    }

    /// Tells of an object.
    pub(super) fn tell(&self, object: &Object, happenings: impl IntoIterator<Item = Happening>) {
        let metadata = &object.value()["metadata"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let reference = ObjectReference {
            api_version: text(&object.value()["apiVersion"]),
            kind: Some(object.reference().kind.clone()),
            name: text(&metadata["name"]),
            namespace: text(&metadata["namespace"]),
            uid: text(&metadata["uid"]),
            ..ObjectReference::default()
        };
        for happening in happenings {
            // Nobody waits for one.
            let _ = self.0.try_send((reference.clone(), happening));
        }
    }
}

impl Happening {
    fn event(&self) -> Event {
        Event {
            type_: if self.is_warning { EventType::Warning } else { EventType::Normal },
            reason: self.reason.clone(),
            note: Some(beginning(&self.what, NOTE_BYTES_MAX).to_owned()),
            // Those of one reason and one action are counted as one: only what says the same shall be.
            action: beginning(&self.what, ACTION_BYTES_MAX).to_owned(),
            secondary: None,
        }
    }
}

/// A text, or as much of it as fits into so many bytes.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

/// What happened to a release between two states of its journal.
pub(super) fn of_release(before: &Status, now: &Status) -> Vec<Happening> {
    let count = |status: &Status| status.history.len() + status.forgotten as usize;
    let seen = count(before).saturating_sub(now.forgotten as usize);
    let phase = serde_json::to_value(now.phase).unwrap_or_default();
    let reason = phase.as_str().unwrap_or_default();
    let normal = |what: &str| Happening { is_warning: false, reason: reason.into(), what: what.into() };
    let mut all: Vec<Happening> = now.history.iter().skip(seen).map(|entry| normal(&entry.what)).collect();
    let ails = |status: &Status| status.trouble.clone().filter(|trouble| trouble.needs_help);
    let is_known = |trouble: &Trouble| ails(before).is_some_and(|before| before.reason == trouble.reason);
    if let Some(trouble) = ails(now).filter(|trouble| !is_known(trouble)) {
        all.push(Happening { is_warning: true, reason: trouble.reason, what: trouble.message });
    }
    all
}

/// What happened to a Lane between two states of the object.
pub(super) fn of_lane(before: &Value, now: &Value) -> Vec<Happening> {
    let changed = ["Accepted", "Programmed"].into_iter().filter_map(|kind| {
        let (before, now) = (condition(before, kind), condition(now, kind));
        let is_news = (&before.status, &before.reason) != (&now.status, &now.reason);
        is_news.then_some((kind, now))
    });
    let told = changed.filter_map(|(kind, said)| {
        let is_warning = match (kind, said.status.as_str(), said.reason.as_str()) {
            ("Accepted", "False", _) | ("Programmed", "False", "Stuck" | KEPT) => true,
            ("Programmed", "True", _) | ("Programmed", "False", "Expired") => false,
            _ => return None,
        };
        Some(Happening { is_warning, reason: said.reason, what: said.message })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `reason: what`, with a mark before warnings.
    fn texts(all: &[Happening]) -> Vec<String> {
        let text = |one: &Happening| {
            format!("{}{}: {}", if one.is_warning { "! " } else { "" }, one.reason, one.what)
        };
        all.iter().map(text).collect()
    }

    fn journal(phase: &str, history: &[&str], more: Value) -> Status {
        let history: Vec<Value> = history.iter().map(|what| json!({"at": 1, "what": what})).collect();
        let mut status = json!({"phase": phase, "history": history});
        status.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(status).expect("a status")
    }

    #[test]
    fn each_entry_of_a_history_is_told_once() {
        let before = journal("Preparing", &["began"], json!({}));
        let now = journal("Stepping", &["began", "step 1"], json!({}));
        assert_eq!(texts(&of_release(&Status::default(), &before)), ["Preparing: began"]);
        assert_eq!(texts(&of_release(&before, &now)), ["Stepping: step 1"]);
        assert_eq!(texts(&of_release(&now, &now)), [""; 0]);
        let full = journal("Stepping", &["step 1", "step 2"], json!({"forgotten": 1}));
        assert_eq!(texts(&of_release(&now, &full)), ["Stepping: step 2"]);
    }

    #[test]
    fn what_needs_help_is_a_warning_once() {
        let trouble = |message: &str, needs_help: bool| {
            let trouble = json!({"reason": "Pods", "message": message, "needsHelp": needs_help});
            journal("Preparing", &[], json!({"trouble": trouble}))
        };
        let (waits, stuck) = (trouble("0 of 1 pods", false), trouble("no such image", true));
        assert_eq!(texts(&of_release(&Status::default(), &waits)), [""; 0]);
        assert_eq!(texts(&of_release(&waits, &stuck)), ["! Pods: no such image"]);
        assert_eq!(texts(&of_release(&stuck, &trouble("no such image, 2 times", true))), [""; 0]);
    }

    #[test]
    fn of_a_lane_it_is_told_when_it_is_on_refused_or_stuck() {
        let lane = |accepted: (&str, &str, &str), programmed: (&str, &str, &str)| {
            let condition = |kind: &str, (status, reason, message): (&str, &str, &str)| json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1});
            let conditions = [condition("Accepted", accepted), condition("Programmed", programmed)];
            json!({"metadata": {"generation": 1}, "status": {"conditions": conditions}})
        };
        let valid = ("True", "Valid", "");
        let works = lane(valid, ("Unknown", "Working", "on their way"));
        let on = lane(valid, ("True", "Programmed", "every proxy has it"));
        let stuck = lane(valid, ("False", "Stuck", "web-1 does not answer"));
        let refused = lane(("False", "Invalid", "no parent"), ("False", "Invalid", "no request is put in"));
        assert_eq!(texts(&of_lane(&Value::Null, &works)), [""; 0]);
        assert_eq!(texts(&of_lane(&works, &on)), ["Programmed: every proxy has it"]);
        assert_eq!(texts(&of_lane(&works, &stuck)), ["! Stuck: web-1 does not answer"]);
        assert_eq!(texts(&of_lane(&on, &refused)), ["! Invalid: no parent"]);
        assert_eq!(texts(&of_lane(&on, &on)), [""; 0]);
    }

    #[test]
    fn a_text_is_cut_to_what_the_api_server_takes() {
        let long = "é".repeat(600);
        let told = Happening { is_warning: true, reason: "Refused".into(), what: long.clone() }.event();
        assert_eq!((told.note.expect("a note").len(), told.action.len()), (1024, 128));
        assert_eq!(beginning(&format!("x{long}"), NOTE_BYTES_MAX).len(), 1023);
        assert_eq!(beginning("short", NOTE_BYTES_MAX), "short");
    }
}
