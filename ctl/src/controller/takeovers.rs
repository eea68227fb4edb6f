//! What became of each Takeover, in its status; the finalizer that lets it end in order; and the end of those
//! whose agent is gone.

use std::collections::BTreeSet;
use std::time::Duration;

use canary_istio::Object;
use canary_rules::settings::MeshSettings;
use jiff::Timestamp;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::finalizers::{self, api, failed};
use super::report::{Outcome, Said, condition, said, says_the_same};
use super::run::RunError;
use crate::names::{FIELD_MANAGER, TAKEOVER_FINALIZER};
use crate::steer::{Course, Verdict};
use crate::takeover::{self, Ruling, Takeover};
use crate::verb::enable::document::who_of_rules;
use crate::world::Seen;

/// How long a Takeover stays without a pod of its agent, in seconds: the agent comes once every proxy knows the
/// lane, and ends by itself when nobody holds the tunnel.
pub(crate) const ABANDONED_AFTER_S: i64 = 60;
/// How much longer it stays while not every proxy knows its lane, in seconds: nobody makes an agent before.
const UNPROGRAMMED_S: i64 = 600;

/// Puts the finalizer on Takeovers that are on, before anything is made for them.
pub(super) async fn hold(client: &Client, seen: &Seen) -> Result<(), RunError> {
    for object in &seen.takeovers {
        if matches!(ruling(seen, object), Some(Ruling::On(_)))
            && !finalizers::holds(object, TAKEOVER_FINALIZER)
        {
            finalizers::hold(client, object, TAKEOVER_FINALIZER).await?;
        }
    }
    Ok(())
}

/// Lets deleted Takeovers go, once no proxy routes by them.
pub(super) async fn release(client: &Client, seen: &Seen) -> Result<(), RunError> {
    for object in &seen.takeovers {
        if matches!(ruling(seen, object), Some(Ruling::Going))
            && finalizers::holds(object, TAKEOVER_FINALIZER)
        {
            finalizers::release(client, object, TAKEOVER_FINALIZER).await?;
        }
    }
    Ok(())
}

/// Writes the statuses that say something else than before, and ends what nobody serves any more. Returns when
/// the next one is due to end.
pub(super) async fn report(
    client: &Client,
    seen: &Seen,
    settings: &MeshSettings,
    course: &Course,
    outcome: &Outcome,
) -> Result<Option<Duration>, RunError> {
    let served = served(seen);
    let mut next: Option<Duration> = None;
    for object in &seen.takeovers {
        let Some(ruling) = ruling(seen, object) else { continue };
        if *ruling == Ruling::Going {
            continue;
        }
        let is_served = served.contains(&(object.namespace(), object.name()));
        let status = status(object, ruling, is_served, settings, course, outcome);
        let gone_s = gone_for_s(&status);
        if !says_the_same(&object.value()["status"], &status) {
            let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({"status": status}));
            match api(client, object).patch_status(object.name(), &params, &patch).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(failed(object, error)),
            }
        }
        match gone_s.map(|gone| ABANDONED_AFTER_S - gone) {
            None => {}
            Some(left) if left > 0 => {
                let left = Duration::from_secs(left.unsigned_abs());
                next = Some(next.map_or(left, |before| before.min(left)));
            }
            Some(_) => end(client, object).await?,
        }
    }
    Ok(next)
}

/// Ends a Takeover that nobody serves, unless it is another one by now.
async fn end(client: &Client, object: &Object) -> Result<(), RunError> {
    let uid = object.value()["metadata"]["uid"].as_str().map(str::to_owned);
    let preconditions = Some(Preconditions { uid, resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::background() };
    match api(client, object).delete(object.name(), &params).await {
        Ok(_) => {
            tracing::info!(
                namespace = object.namespace(),
                takeover = object.name(),
                "ended: its agent is gone"
            );
            Ok(())
        }
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        Err(error) => Err(failed(object, error)),
    }
}

/// Takeovers with a pod of their agent, by namespace and name.
fn served(seen: &Seen) -> BTreeSet<(&str, &str)> {
    let lives = |pod: &&Object| pod.value()["metadata"]["deletionTimestamp"].is_null();
    let of = |pod: &'_ Object| -> Option<(String, String)> {
        let name = pod.value()["metadata"]["labels"][takeover::LABEL].as_str()?;
        Some((pod.namespace().to_owned(), name.to_owned()))
    };
    let pods: BTreeSet<(String, String)> = seen.pods.iter().filter(lives).filter_map(of).collect();
    let all = seen.takeovers.iter().map(|object| (object.namespace(), object.name()));
    all.filter(|(namespace, name)| pods.contains(&((*namespace).to_owned(), (*name).to_owned()))).collect()
}

fn ruling<'a>(seen: &'a Seen, object: &Object) -> Option<&'a Ruling> {
    seen.derived.rulings.get(&(object.namespace().to_owned(), object.name().to_owned()))
}

fn status(
    object: &Object,
    ruling: &Ruling,
    is_served: bool,
    settings: &MeshSettings,
    course: &Course,
    outcome: &Outcome,
) -> Value {
    let agent = match is_served {
        true => said("True", "Running", ""),
        false => said(
            "False",
            "Gone",
            format!("no pod of its agent; after {ABANDONED_AFTER_S} s without one it is ended"),
        ),
    };
    let (accepted, programmed) = match ruling {
        Ruling::Refused(refusal) => (
            said("False", refusal.reason, refusal.message.clone()),
            said("False", refusal.reason, "no request is taken"),
        ),
        Ruling::On(takeover) => judged(takeover, course, outcome),
        Ruling::Going => (said("True", "Valid", ""), said("False", "Deleted", "")),
    };
    let state = match (accepted.status, programmed.status, is_served) {
        ("False", ..) => "Refused",
        (_, "True", true) => "On",
        (_, "True", false) => "NoAgent",
        _ => "Working",
    };
    let message = [&accepted, &programmed, &agent].into_iter().find(|said| said.status == "False");
    let message = message.map_or(String::new(), |said| said.message.clone());
    let mut status = json!({
        "observedGeneration": object.value()["metadata"]["generation"],
        "state": state,
        "message": message,
        "tagHeader": settings.carriers.header.as_str(),
    });
    if let Ruling::On(takeover) = ruling {
        status["lane"] = takeover.spec.lane.as_str().into();
        status["rule"] = who_of_rules(&takeover.rules()).into();
    }
    let generation = &object.value()["metadata"]["generation"];
    let all = [("Accepted", accepted), ("Programmed", programmed), ("Agent", agent)];
    status["conditions"] = all.iter().map(|(kind, said)| condition(object, kind, said, generation)).collect();
    status
}

fn judged(takeover: &Takeover, course: &Course, outcome: &Outcome) -> (Said, Said) {
    let accepted = said("True", "Valid", "");
    let programmed = match (course.lanes.get(takeover.spec.lane.as_str()), outcome) {
        (Some(Verdict::Refused(faults)), _) => {
            let message = faults.join("; ");
            return (said("False", "Invalid", message), said("False", "Invalid", "no request is taken"));
        }
        (_, Outcome::Stuck(why)) => said("False", "Stuck", why.clone()),
        (Some(Verdict::On(_)), Outcome::Done(_)) => said("True", "Programmed", "every proxy has it"),
        _ => said("Unknown", "Working", "changes are on their way to the proxies"),
    };
    (accepted, programmed)
}

/// For how long there could have been an agent and was none, in seconds.
fn gone_for_s(status: &Value) -> Option<i64> {
    let conditions = status["conditions"].as_array()?;
    let of = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind);
    let is = |kind: &str, wanted: &str| of(kind).is_some_and(|condition| condition["status"] == wanted);
    let since = |kind: &str| {
        let at: Option<Timestamp> = of(kind)?["lastTransitionTime"].as_str()?.parse().ok();
        at.map(Timestamp::as_second)
    };
    if !is("Agent", "False") {
        return None;
    }
    let gone = since("Agent")?;
    let since = match (is("Accepted", "False"), is("Programmed", "True")) {
        (true, _) => gone,
        (false, true) => gone.max(since("Programmed")?),
        (false, false) => gone + UNPROGRAMMED_S,
    };
    Some(Timestamp::now().as_second() - since)
}
