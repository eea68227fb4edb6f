//! A lane in words, as `kubectl describe` would say it. Pure.

use std::fmt::Write as _;

use canary_istio::Finding;
use canary_rules::lane::LAYER_DEFAULT;
use canary_rules::wire::COOKIE_MAX_AGE_S_DEFAULT;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::duration;
use crate::lanes::condition;
use crate::verb::enable::document::rule_texts;

#[cfg(test)]
mod tests;

/// Width of a field's name with its colon.
const FIELD: usize = 11;

/// The pods of a lane.
pub(super) enum Pods {
    Seen(Vec<LanePod>),
    /// They could not be listed, for this reason.
    Unknown(String),
}

/// A pod as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LanePod {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The Deployment, StatefulSet or other workload that it is of.
    pub(super) workload: String,
    pub(super) phase: String,
    /// Containers that are ready, of how many.
    pub(super) ready: (usize, usize),
    /// When it was made.
    pub(super) created_unix_s: Option<i64>,
}

impl From<Pod> for LanePod {
    fn from(pod: Pod) -> Self {
        let status = pod.status.unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let ready = containers.iter().filter(|container| container.ready).count();
        let metadata = pod.metadata;
        let name = metadata.name.unwrap_or_default();
        let owner = metadata
            .owner_references
            .unwrap_or_default()
            .into_iter()
            .find(|owner| owner.controller == Some(true));
        let hash = metadata.labels.unwrap_or_default().remove("pod-template-hash").unwrap_or_default();
        let workload = owner.map_or_else(
            || name.clone(),
            |owner| {
                // A Deployment's ReplicaSet has its name and the hash of its template.
                owner.name.strip_suffix(&format!("-{hash}")).unwrap_or(&owner.name).to_owned()
            },
        );
        let is_going = metadata.deletion_timestamp.is_some();
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name,
            workload,
            phase: if is_going { "Terminating".into() } else { status.phase.unwrap_or_default() },
            ready: (ready, containers.len()),
            created_unix_s: metadata.creation_timestamp.map(|time| time.0.as_second()),
        }
    }
}

/// The whole description.
pub(super) fn text(lane: &Value, pods: &Pods, now: Timestamp) -> String {
    let name = lane["metadata"]["name"].as_str().unwrap_or_default();
    let mut out = String::new();
    for (field, value) in fields(lane, now) {
        let mut lines = value.lines();
        line(&mut out, field, lines.next().unwrap_or_default());
        lines.for_each(|more| line(&mut out, "", more));
    }
    members(&mut out, lane, pods, now);
    conditions(&mut out, lane, now);
    findings(&mut out, lane);
    line(&mut out, "Off again", &format!("canaryctl disable {name}"));
    out
}

fn line(out: &mut String, field: &str, value: &str) {
    let field = if field.is_empty() { String::new() } else { format!("{field}:") };
    put(out, format!("{field:<FIELD$} {value}").trim_end());
}

fn put(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn fields(lane: &Value, now: Timestamp) -> Vec<(&'static str, String)> {
    let (spec, status) = (&lane["spec"], &lane["status"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let or = |value: &Value, default: &str| value.as_str().unwrap_or(default).to_owned();
    let mut fields = vec![
        ("Lane", text(&lane["metadata"]["name"])),
        ("State", state(lane)),
        ("Created", moment(&lane["metadata"]["creationTimestamp"], now)),
        ("Who", who(lane)),
        ("Mode", mode(spec)),
    ];
    if let Some(parent) = spec["parent"].as_str() {
        fields.push(("Parent", parent.into()));
    }
    if let Some(priority) = spec["priority"].as_i64().filter(|priority| *priority != 0) {
        fields.push(("Priority", priority.to_string()));
    }
    fields.push(("Layer", or(&spec["layer"], LAYER_DEFAULT)));
    fields.push(("Cookie", cookie(spec)));
    fields.push((
        "Expires",
        match spec["expires"].is_null() {
            true => "never by itself".into(),
            false => moment(&spec["expires"], now),
        },
    ));
    if let (Some(reached), Some(total)) =
        (status["proxies"]["reached"].as_u64(), status["proxies"]["total"].as_u64())
    {
        fields.push(("Proxies", format!("{reached} of {total} have it")));
    }
    fields
}

fn state(lane: &Value) -> String {
    let state = super::super::state(lane);
    match condition(lane, "Programmed").message.as_str() {
        "" => state,
        message => format!("{state}: {message}"),
    }
}

fn who(lane: &Value) -> String {
    match rule_texts(lane) {
        Some(rules) if rules.is_empty() => "nobody: it has no rules".into(),
        Some(rules) => rules.join("\n"),
        None => "nobody: its rules are refused".into(),
    }
}

/// What happens where the lane has no member, in words.
pub(crate) fn mode(spec: &Value) -> String {
    let otherwise = match (spec["mode"].as_str(), spec["parent"].as_str()) {
        (Some("strict"), _) => return "strict: where it has no member, requests are refused".into(),
        (_, Some(parent)) => format!("{parent}, then the baseline"),
        (_, None) => "the baseline".into(),
    };
    format!("permissive: where it has no member, {otherwise} serves")
}

/// The lane's cookie, in words.
pub(crate) fn cookie(spec: &Value) -> String {
    let cookie = &spec["cookie"];
    let life = cookie["maxAgeSeconds"].as_i64().unwrap_or(i64::from(COOKIE_MAX_AGE_S_DEFAULT));
    let attributes = cookie["attributes"].as_object().into_iter().flatten();
    let attributes = attributes.map(|(key, value)| match value {
        Value::String(text) => format!(" · {key}={text}"),
        other => format!(" · {key}={other}"),
    });
    format!("lives {}{}", duration::short(life), attributes.collect::<String>())
}

/// A moment, and how far it is from now.
fn moment(value: &Value, now: Timestamp) -> String {
    let text = value.as_str().unwrap_or_default();
    match text.parse::<Timestamp>().map(|at| at.as_second() - now.as_second()) {
        Ok(seconds) if seconds > 0 => format!("{text} (in {})", duration::short(seconds)),
        Ok(seconds) => format!("{text} ({} ago)", duration::short(-seconds)),
        Err(_) => text.into(),
    }
}

fn members(out: &mut String, lane: &Value, pods: &Pods, now: Timestamp) {
    let members = lane["status"]["members"].as_array().map_or(&[][..], Vec::as_slice);
    let name = lane["metadata"]["name"].as_str().unwrap_or_default();
    let seen = match pods {
        Pods::Seen(pods) => pods.as_slice(),
        Pods::Unknown(_) => &[],
    };
    if members.is_empty() {
        line(out, "Members", &format!("none yet: label pods canaryctl.io/lane={name}"));
    } else {
        line(out, "Members", "");
    }
    let mut shown = Vec::new();
    for member in members {
        let text = |key: &str| member[key].as_str().unwrap_or_default();
        let (service, workload) = (text("service"), text("workload"));
        let count = member["pods"].as_u64().unwrap_or(0);
        put(out, &format!("  {service} → {workload}, {count} pod{}", if count == 1 { "" } else { "s" }));
        let namespace = service.split('/').next().unwrap_or_default();
        let own = seen.iter().filter(|pod| pod.namespace == namespace && pod.workload == workload);
        shown.extend(own.clone());
        table(out, "    ", &own.map(|pod| pod_row(pod, now)).collect::<Vec<_>>());
    }
    let rest: Vec<[String; 4]> =
        seen.iter().filter(|pod| !shown.contains(pod)).map(|pod| pod_row(pod, now)).collect();
    if !rest.is_empty() {
        put(out, "  of no Service that the lane is routed at:");
        table(out, "    ", &rest);
    }
    if let Pods::Unknown(why) = pods {
        put(out, &format!("  the pods are not shown: {why}"));
    }
}

fn pod_row(pod: &LanePod, now: Timestamp) -> [String; 4] {
    let age = pod.created_unix_s.map_or(0, |created| now.as_second() - created);
    let (ready, all) = pod.ready;
    [
        format!("{}/{}", pod.namespace, pod.name),
        format!("{ready}/{all} ready"),
        pod.phase.clone(),
        duration::short(age),
    ]
}

fn conditions(out: &mut String, lane: &Value, now: Timestamp) {
    let conditions = lane["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    if conditions.is_empty() {
        line(out, "Conditions", "none: no controller has said anything of it");
        return;
    }
    line(out, "Conditions", "");
    let rows: Vec<[String; 5]> = conditions
        .iter()
        .map(|condition| {
            let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
            let since = text("lastTransitionTime").parse::<Timestamp>();
            let age =
                since.map_or(String::new(), |since| duration::short(now.as_second() - since.as_second()));
            let is_old = condition["observedGeneration"] != lane["metadata"]["generation"];
            let stale = if is_old { "(of an earlier version) " } else { "" };
            [text("type"), text("status"), text("reason"), age, format!("{stale}{}", text("message"))]
        })
        .collect();
    table(out, "  ", &rows);
}

fn findings(out: &mut String, lane: &Value) {
    let findings = lane["status"]["findings"].as_array().map_or(&[][..], Vec::as_slice);
    if findings.is_empty() {
        line(out, "Findings", "none");
        return;
    }
    line(out, "Findings", "");
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        put(out, &format!("  {} {}: {}", text("code"), text("severity"), text("message")));
        if let Some(help) = Finding::help_for(text("code")) {
            put(out, &format!("        mend: {help}"));
        }
    }
}

/// Rows with columns as wide as they have to be.
fn table<const N: usize>(out: &mut String, indent: &str, rows: &[[String; N]]) {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        put(out, format!("{indent}{}", cells.collect::<Vec<_>>().join("  ")).trim_end());
    }
}
