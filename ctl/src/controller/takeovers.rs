//! What became of each Takeover, in its status; the finalizer that lets it end in order; and the end of those
//! whose agent is gone.

mod agents;
mod arrivals;
mod passed;
mod selected;
mod services;

use std::time::Duration;

use canary_istio::{Finding, Host, Object, Refused};
use canary_rules::settings::MeshSettings;
use jiff::Timestamp;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::finalizers::{self, api, failed};
use super::report::{Outcome, Said, condition, said, says_the_same};
use super::run::RunError;
use crate::names::{FIELD_MANAGER, TAKEOVER_FINALIZER};
use crate::selectors::Turned;
use crate::steer::{Course, Verdict};
use crate::takeover::selected::is_asked_by;
use crate::takeover::{By, Mode, Ruling, Takeover};
use crate::world::Seen;
use agents::{Agent, Agents};

pub(super) use arrivals::Arrivals;
pub(super) use passed::HandingOn;
pub(super) use selected::{go_on, turn};
pub(super) use services::{Unmade, make as make_services};

/// How long a Takeover stays without a pod of its agent, in seconds: the agent comes once every proxy knows the
/// lane, and ends by itself when nobody holds the tunnel.
pub(crate) const ABANDONED_AFTER_S: i64 = 60;
/// How much longer it stays while its agent's pod does not run yet, in seconds: an image may take long to come.
const STARTS_WITHIN_S: i64 = 600;
/// How much longer it stays while not every proxy knows its lane, in seconds: nobody makes an agent before.
const UNPROGRAMMED_S: i64 = 600;

/// Why there is no agent yet.
const STARTING: &str = "Starting";

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

/// Lets deleted Takeovers go that are by routes, once no proxy routes by them.
pub(super) async fn release_routed(client: &Client, seen: &Seen) -> Result<(), RunError> {
    release(client, seen, |takeover| !is_asked_by(takeover.value())).await
}

/// Lets those go that are by their Service's selector, once it leads nowhere else, whatever becomes of proxies.
pub(super) async fn release_selected(client: &Client, seen: &Seen, turned: &Turned) -> Result<(), RunError> {
    release(client, seen, |takeover| is_asked_by(takeover.value()) && !turned.leads(takeover)).await
}

async fn release(client: &Client, seen: &Seen, may: impl Fn(&Object) -> bool) -> Result<(), RunError> {
    for object in &seen.takeovers {
        if matches!(ruling(seen, object), Some(Ruling::Going))
            && finalizers::holds(object, TAKEOVER_FINALIZER)
            && may(object)
        {
            finalizers::release(client, object, TAKEOVER_FINALIZER).await?;
        }
    }
    Ok(())
}

/// What a run goes by.
#[derive(Clone, Copy)]
pub(super) struct Looked<'a> {
    pub(super) root_namespace: &'a str,
    pub(super) seen: &'a Seen,
    pub(super) settings: &'a MeshSettings,
    pub(super) course: &'a Course,
    pub(super) outcome: &'a Outcome,
    pub(super) unmade: &'a Unmade,
    pub(super) turned: &'a Turned,
}

/// Writes the statuses that say something else than before, and ends what nobody serves any more. Returns when
/// the next one is due to end.
pub(super) async fn report(
    client: &Client,
    looked: Looked<'_>,
    arrivals: &mut Arrivals,
) -> Result<Option<Duration>, RunError> {
    let seen = looked.seen;
    if seen.takeovers.is_empty() {
        return Ok(None);
    }
    let agents = Agents::list(client).await;
    let agents = agents.map_err(|error| RunError::Read("the agents' pods", Box::new(error)))?;
    arrivals.keep(|uid| agents.has(uid));
    let mut next: Option<Duration> = None;
    for object in &seen.takeovers {
        let Some(ruling) = ruling(seen, object) else { continue };
        if *ruling == Ruling::Going {
            continue;
        }
        let agent = agents.of_takeover(object.namespace(), object.name());
        let has_arrived = match (&agent, ruling) {
            (Agent::Running(pod), Ruling::On(takeover)) if takeover.spec.by == By::Selector => {
                looked.turned.has_arrived(object, &pod.pod.uid)
            }
            (Agent::Running(pod), Ruling::On(takeover)) => {
                let service = match takeover.spec.mode {
                    Mode::Mirror => takeover.own_service(),
                    Mode::Mesh | Mode::Exchange => {
                        Host::new(&takeover.spec.service, &takeover.metadata.namespace).ok()
                    }
                };
                arrivals.look(client, looked.root_namespace, seen, service, pod)
            }
            _ => false,
        };
        let status = status(object, ruling, &Served { agent, has_arrived }, looked);
        let left_s = left_s(&status, Timestamp::now().as_second());
        if !says_the_same(&object.value()["status"], &status) {
            let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
            let patch = Patch::Merge(json!({"status": status}));
            match api(client, object).patch_status(object.name(), &params, &patch).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => return Err(failed(object, error)),
            }
        }
        match left_s {
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

fn ruling<'a>(seen: &'a Seen, object: &Object) -> Option<&'a Ruling> {
    seen.derived.rulings.get(&(object.namespace().to_owned(), object.name().to_owned()))
}

/// What there is of an agent.
struct Served {
    agent: Agent,
    /// Whether every proxy knows it.
    has_arrived: bool,
}

fn status(object: &Object, ruling: &Ruling, served: &Served, looked: Looked<'_>) -> Value {
    let agent = &served.agent;
    let running = match agent {
        Agent::Running(_) => said("True", "Running", ""),
        Agent::Starting => {
            let most = ABANDONED_AFTER_S + STARTS_WITHIN_S;
            said(
                "False",
                STARTING,
                format!("its agent's pod does not run yet; {most} s after the last one it is ended"),
            )
        }
        Agent::Gone => said(
            "False",
            "Gone",
            format!("no pod of its agent; after {ABANDONED_AFTER_S} s without one it is ended"),
        ),
    };
    let arrived = match agent {
        Agent::Running(_) if served.has_arrived => said("True", "Arrived", ""),
        Agent::Running(pod) if pod.is_ready => said("False", "Working", coming(object, looked.turned)),
        Agent::Running(_) => said("False", "Away", away(ruling)),
        Agent::Starting | Agent::Gone => said("False", "NoAgent", ""),
    };
    let (accepted, programmed) = match ruling {
        Ruling::Refused(refusal) => (
            said("False", refusal.reason, refusal.message.clone()),
            said("False", refusal.reason, "no request is taken"),
        ),
        Ruling::On(takeover) => judged(takeover, looked),
        Ruling::Going => (said("True", "Valid", ""), said("False", "Deleted", "")),
    };
    let state = match (accepted.status, programmed.status, agent) {
        ("False", ..) => "Refused",
        (_, "True", Agent::Running(_)) if served.has_arrived => "On",
        (_, "True", Agent::Running(pod)) if !pod.is_ready => "Away",
        (_, "True", Agent::Gone) => "NoAgent",
        _ => "Working",
    };
    let message =
        [&accepted, &programmed, &running, &arrived].into_iter().find(|said| said.status == "False");
    let message = message.map_or(String::new(), |said| said.message.clone());
    let mut status = json!({
        "observedGeneration": object.value()["metadata"]["generation"],
        "state": state,
        "message": message,
        "tagHeader": looked.settings.carriers.header.as_str(),
    });
    status["agent"] = match agent {
        Agent::Running(running) => running.pod.name.as_str().into(),
        Agent::Starting | Agent::Gone => "".into(),
    };
    if let Ruling::On(takeover) = ruling {
        status["lane"] = takeover.lane().into();
        status["rule"] = takeover.what().into();
    }
    let generation = &object.value()["metadata"]["generation"];
    let all = [("Accepted", accepted), ("Programmed", programmed), ("Agent", running), ("Arrived", arrived)];
    status["conditions"] = all.iter().map(|(kind, said)| condition(object, kind, said, generation)).collect();
    status
}

/// Why an agent that is there does not have its requests yet.
fn coming(takeover: &Object, turned: &Turned) -> String {
    match turned.trouble(takeover) {
        Some(why) => format!("its Service cannot be led to its agent: {why}"),
        None if is_asked_by(takeover.value()) => "its Service does not lead to its agent alone yet".into(),
        None => "not every proxy knows its agent yet".into(),
    }
}

/// What becomes of requests while nobody holds the agent.
fn away(ruling: &Ruling) -> &'static str {
    match ruling {
        Ruling::On(takeover) if takeover.spec.mode == Mode::Mirror => {
            "nobody holds its agent: copies are dropped"
        }
        _ => "nobody holds its agent: the service's own pods answer",
    }
}

fn judged(takeover: &Takeover, looked: Looked<'_>) -> (Said, Said) {
    let Looked { course, outcome, .. } = looked;
    let accepted = said("True", "Valid", "");
    let invalid = |message: String| {
        (said("False", "Invalid", message), said("False", "Invalid", "no request is taken"))
    };
    let key = (takeover.metadata.namespace.clone(), takeover.metadata.name.clone());
    if let Some(why) = looked.unmade.get(&key) {
        let what = match takeover.spec.mode {
            Mode::Mirror => "the Service that its copies go to",
            Mode::Mesh | Mode::Exchange => "the Service that leads to the service's own pods",
        };
        return invalid(format!("{what} cannot be made: {why}"));
    }
    if takeover.spec.by == By::Selector {
        return (accepted, said("True", "Programmed", "its agent may come: the Service follows it"));
    }
    // What gets no route for a lane gets none here.
    if let Some(finding) = refusing(takeover, &course.plan.findings) {
        return invalid(format!("{finding}; {}", finding.help()));
    }
    let is_on = match (takeover.spec.mode, course.lanes.get(takeover.lane())) {
        (_, Some(Verdict::Refused(faults))) => return invalid(faults.join("; ")),
        (Mode::Exchange | Mode::Mirror, _) | (Mode::Mesh, Some(Verdict::On(_))) => true,
        (Mode::Mesh, _) => false,
    };
    let programmed = match outcome {
        Outcome::Stuck(why) => said("False", "Stuck", why.clone()),
        Outcome::Done(_) if is_on => said("True", "Programmed", "every proxy has it"),
        _ => said("Unknown", "Working", "changes are on their way to the proxies"),
    };
    (accepted, programmed)
}

/// What refuses a Takeover by routes. Lanes and copies do not mind what is in an exchange's way alone.
fn refusing<'a>(takeover: &Takeover, findings: &'a [Finding]) -> Option<&'a Finding> {
    let is_of =
        |host: &Host| host.name() == takeover.spec.service && host.namespace() == takeover.metadata.namespace;
    findings.iter().find(|finding| match finding.refused() {
        Some(Refused::Everybody(host)) => is_of(host),
        Some(Refused::Exchange(host)) => is_of(host) && takeover.spec.mode == Mode::Exchange,
        None => false,
    })
}

/// How long a Takeover may still go without an agent, in seconds; nothing while it has one.
fn left_s(status: &Value, now_unix_s: i64) -> Option<i64> {
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
    let starts = of("Agent").is_some_and(|agent| agent["reason"] == STARTING);
    let more = if starts { STARTS_WITHIN_S } else { 0 };
    Some(since + ABANDONED_AFTER_S + more - now_unix_s)
}

#[cfg(test)]
mod tests {
    use canary_istio::ObjectRef;
    use serde::Deserialize as _;

    use super::*;

    #[track_caller]
    fn check(agent: [&str; 2], programmed: &str, want: Option<i64>) {
        let at = "2026-01-01T00:00:00Z";
        let [status, reason] = agent;
        let status = json!({"conditions": [
            {"type": "Accepted", "status": "True", "lastTransitionTime": at},
            {"type": "Programmed", "status": programmed, "lastTransitionTime": at},
            {"type": "Agent", "status": status, "reason": reason, "lastTransitionTime": at},
        ]});
        let now = at.parse::<Timestamp>().expect("a time").as_second() + 10;
        assert_eq!(left_s(&status, now), want, "{agent:?}");
    }

    #[test]
    fn one_without_an_agent_is_ended_in_time() {
        check(["True", "Running"], "True", None);
        check(["False", "Gone"], "True", Some(50));
        check(["False", STARTING], "True", Some(650));
        check(["False", "Gone"], "Unknown", Some(650));
    }

    /// Checks whom something in the way refuses, of an exchange, a mesh and a mirror.
    #[track_caller]
    fn check_refused(finding: &Finding, service: &str, want: [bool; 3]) {
        let is_refused = ["exchange", "mesh", "mirror"].map(|mode| {
            let takeover = Takeover::deserialize(json!({
                "apiVersion": "canaryctl.io/v1alpha1", "kind": "Takeover",
                "metadata": {"name": "a", "namespace": "shop"},
                "spec": {"service": service, "ports": [80], "mode": mode, "owner": {"user": "alice"}},
            }));
            refusing(&takeover.expect("a takeover"), std::slice::from_ref(finding)).is_some()
        });
        assert_eq!(is_refused, want, "{finding}");
    }

    #[test]
    fn what_is_in_an_exchanges_way_alone_refuses_nobody_else() {
        let host = || "cart.shop".parse::<Host>().expect("a host");
        let object =
            || ObjectRef { kind: "VirtualService".into(), namespace: "shop".into(), name: "a".into() };
        let led = Finding::ConnectionsLed { object: object(), host: host(), to: "legacy".into() };
        check_refused(&led, "cart", [true, false, false]);
        check_refused(&led, "stock", [false; 3]);
        let alike = Finding::PortsAlike { object: object(), host: host(), setting: "proxyProtocol" };
        check_refused(&alike, "cart", [true, false, false]);
        check_refused(&Finding::Headless { host: host() }, "cart", [true; 3]);
        check_refused(&Finding::NoBaseline { host: host() }, "cart", [false; 3]);
    }
}
