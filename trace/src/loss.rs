//! Why a call is not in the lane of the request that caused it, and whose doing that is.

use canary_rules::correlation::{FlowIds, IdSource};
use canary_rules::hop::{BAGGAGE, BASELINE, REQUEST_ID};
use serde::Serialize;

use crate::record::Record;
use crate::tree::Pod;

/// The filter's counter of requests that the carriers contradict each other about.
const AMBIGUOUS: &str = "canaryctl.ambiguous";
/// The filter's counter of tags that came from a peer outside the mesh.
const STRIPPED: &str = "canaryctl.stripped";

/// A tag that a call does not have any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// The lane that the flow was in.
    pub lane: String,
    /// Why it is in it no more.
    pub why: Why,
}

/// Why a tag ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Why {
    /// The application handed on nothing that carries it.
    Dropped {
        /// What the application was given.
        given: Vec<String>,
        /// Trace headers of its calls that belong to another trace than the request's.
        other_trace: Vec<String>,
    },
    /// The ids that the application handed on are those of other flows as well.
    Ambiguous {
        /// The ids.
        shared: Vec<String>,
    },
    /// The ids that it handed on were not remembered any more, or never.
    Forgotten {
        /// The ids.
        ids: Vec<String>,
    },
    /// The application asked for the baseline.
    Asked,
    /// The application named another lane.
    Changed {
        /// The lane.
        to: String,
    },
    /// The serving side removed it: mutual TLS does not show its peer to be in the mesh.
    Stripped,
    /// It left the caller's proxy and did not come to the serving one.
    Removed,
}

/// Who lost a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Culprit {
    /// The service.
    pub service: String,
    /// Its version.
    pub version: String,
    /// The pod.
    pub pod: String,
    /// What was lost and why.
    #[serde(flatten)]
    pub loss: Loss,
    /// The services that were called without it.
    pub calls: Vec<String>,
    /// Whether the calls are surely of this request: false where others were open that may have made them.
    pub sure: bool,
}

impl Culprit {
    pub(crate) fn new(pod: &Pod, loss: &Loss, called: &str, sure: bool) -> Self {
        let (service, version) = (pod.service.clone(), pod.version.clone());
        Self { service, version, pod: pod.name.clone(), loss: loss.clone(), calls: vec![called.into()], sure }
    }
}

/// What an application's call lost of what the request that caused it had.
pub(crate) fn in_application(request: &Record, call: &Record) -> Option<Loss> {
    let lane = request.tag_out.clone()?;
    if call.tag_out.as_ref() == Some(&lane) {
        return None;
    }
    let why = if call.tag_in.as_deref() == Some(BASELINE) {
        Why::Asked
    } else if let Some(to) = call.tag_out.clone() {
        Why::Changed { to }
    } else {
        let kept = kept_ids(request, call);
        match kept.is_empty() {
            _ if call.counts(AMBIGUOUS) => Why::Ambiguous { shared: kept },
            false => Why::Forgotten { ids: kept },
            true => Why::Dropped { given: names(request), other_trace: other_traces(request, call) },
        }
    };
    Some(Loss { lane, why })
}

/// What a call lost between two proxies.
pub(crate) fn on_the_way(call: &Record, request: &Record) -> Option<Loss> {
    let lane = call.tag_out.clone()?;
    if request.tag_out.as_ref() == Some(&lane) || request.status == Some(503) && request.tag_in.is_some() {
        return None;
    }
    let why = if request.counts(STRIPPED) { Why::Stripped } else { Why::Removed };
    Some(Loss { lane, why })
}

/// Where the proxy found the tag of a call, in a person's words.
pub(crate) fn origin(request: Option<&Record>, call: &Record) -> Option<String> {
    let is_origin = |name: &&String| !name.starts_with("canaryctl.");
    let origin = call.counted.iter().find(is_origin)?;
    Some(match origin.as_str() {
        "request_id" => REQUEST_ID.into(),
        "correlation" => {
            let kept = request.map(|request| kept_ids(request, call)).unwrap_or_default();
            kept.into_iter().next().unwrap_or_else(|| "an id".into())
        }
        "colour" => "the pod's colour".into(),
        other => other.into(),
    })
}

fn names(record: &Record) -> Vec<String> {
    record.carriers.iter().map(|(name, _)| name.clone()).collect()
}

/// The ids of a request that a call still has.
fn kept_ids(request: &Record, call: &Record) -> Vec<String> {
    let given: Vec<u64> = request.carriers.iter().filter_map(|(name, value)| id(name, value)).collect();
    let kept = |(name, value): &(String, String)| id(name, value).is_some_and(|id| given.contains(&id));
    call.carriers.iter().filter(|carrier| kept(carrier)).map(|(name, _)| name.clone()).collect()
}

/// Trace ids of a call that the request did not have. Every proxy gives a request id to a call that has none.
fn other_traces(request: &Record, call: &Record) -> Vec<String> {
    let kept = kept_ids(request, call);
    let other = |(name, value): &&(String, String)| {
        name != REQUEST_ID && id(name, value).is_some() && !kept.contains(name)
    };
    call.carriers.iter().filter(other).map(|(name, _)| name.clone()).collect()
}

/// An id, comparable with those of other headers.
fn id(name: &str, value: &str) -> Option<u64> {
    if name == BAGGAGE {
        return None;
    }
    let source = IdSource::new(name).ok()?;
    FlowIds::new([0; 16]).id(&source, value.as_bytes()).map(|id| id.0)
}
