//! The records of one trace joined to a tree.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::loss::{self, Culprit, Loss, Why};
use crate::record::{Place, Record};

/// What is known of a pod whose proxy tells of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The service that it serves.
    pub service: String,
    /// Its version; empty where it names none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The lane that it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
}

/// A request's way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// Where it came in: one gateway, or none that tells of it.
    pub hops: Vec<Hop>,
    /// Who lost the tag.
    pub culprits: Vec<Culprit>,
}

/// One pod's part in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// Who served; of a call that no proxy tells of, the host that was asked for.
    #[serde(flatten)]
    pub pod: Pod,
    /// Whether its proxy tells of the request.
    pub seen: bool,
    /// `GET /cart`.
    pub request: String,
    /// The tag, as the application sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Where the caller's proxy found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the call lost of the flow's tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Loss>,
    /// Whether the call is surely of this request.
    pub sure: bool,
    /// The route that it came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The cluster that it was sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The status; none where there was no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Until the response, in microseconds, by the caller's clock.
    pub took_us: u64,
    /// Which attempt this was, where the caller's proxy made several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<usize>,
    /// What it called, in order.
    pub calls: Vec<Self>,
}

impl Trace {
    /// Joins what was told of one trace, in any order and more than once; `pod` says what is known of a proxy's pod.
    #[must_use]
    pub fn new(records: &[Record], trace: u64, pod: impl Fn(&str) -> Option<Pod>) -> Self {
        let mut all: Vec<&Record> = Vec::new();
        for record in records.iter().filter(|record| record.trace == trace) {
            if !all.contains(&record) {
                all.push(record);
            }
        }
        all.sort_by_key(|record| (record.at_us, record.span));
        let known = |name: &str| pod(name).unwrap_or_else(|| Pod { name: name.into(), ..Pod::default() });
        let joined = Joined { caused: caused(&all), all, pod: &known };
        let mut trace = Self::default();
        for record in &joined.all {
            match record.place {
                Place::Edge => trace.hops.push(joined.edge(record, &mut trace.culprits)),
                Place::Inbound if record.span == 0 => {
                    trace.hops.push(joined.served(None, record, None, &mut trace.culprits));
                }
                _ => {}
            }
        }
        trace
    }

    /// The lane that the request was put in where it came in.
    #[must_use]
    pub fn lane(&self) -> Option<&str> {
        self.hops.first()?.tag.as_deref()
    }

    /// Every hop, callers first.
    pub fn walk(&self) -> impl Iterator<Item = &Hop> {
        let mut open: Vec<&Hop> = self.hops.iter().rev().collect();
        std::iter::from_fn(move || {
            let hop = open.pop()?;
            open.extend(hop.calls.iter().rev());
            Some(hop)
        })
    }

    /// Whether every call that a proxy answers for is told of from both its ends.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.hops.is_empty() && self.walk().all(|hop| hop.seen)
    }
}

struct Joined<'r> {
    /// By time.
    all: Vec<&'r Record>,
    /// Calls by the request that caused them: its pod and span.
    caused: BTreeMap<(&'r str, u64), Vec<&'r Record>>,
    pod: &'r dyn Fn(&str) -> Pod,
}

impl Joined<'_> {
    fn edge(&self, record: &Record, culprits: &mut Vec<Culprit>) -> Hop {
        // Route and cluster are those of the call behind it.
        let mut hop = Hop { sure: true, route: None, cluster: None, ..self.hop(record) };
        hop.calls = self.call(None, record, culprits);
        hop
    }

    /// The hops of one call: one, or as many as there were attempts.
    fn call(&self, request: Option<&Record>, call: &Record, culprits: &mut Vec<Culprit>) -> Vec<Hop> {
        let serves = |record: &&&Record| record.place == Place::Inbound && record.span == call.span;
        let served: Vec<&Record> = self.all.iter().filter(serves).copied().collect();
        if served.is_empty() {
            let service = call.authority.split(':').next().unwrap_or_default().into();
            let mut hop =
                Hop { pod: Pod { service, ..Pod::default() }, tag: call.tag_out.clone(), ..self.hop(call) };
            hop.seen = false;
            self.judge(request, call, &mut hop, culprits);
            return vec![hop];
        }
        let attempts = served.len();
        let hop = |(attempt, record): (usize, &&Record)| {
            self.served(Some((request, call)), record, (attempts > 1).then_some(attempt + 1), culprits)
        };
        served.iter().enumerate().map(hop).collect()
    }

    /// A pod's part in a call that its proxy tells of.
    fn served(
        &self,
        call: Option<(Option<&Record>, &Record)>,
        record: &Record,
        attempt: Option<usize>,
        culprits: &mut Vec<Culprit>,
    ) -> Hop {
        let mut hop = Hop { attempt, sure: true, route: None, cluster: None, ..self.hop(record) };
        if let Some((request, call)) = call {
            hop.route.clone_from(&call.route);
            hop.cluster.clone_from(&call.cluster);
            hop.took_us = call.took_us.max(record.took_us);
            self.judge(request, call, &mut hop, culprits);
            if let Some(loss) = loss::on_the_way(call, record) {
                let culprit = Culprit::new(&hop.pod, &loss, &hop.pod.service, true);
                blame(culprits, culprit);
                hop.lost = Some(loss);
            }
        }
        let caused = self.caused.get(&(record.pod.as_str(), record.span)).map_or(&[][..], Vec::as_slice);
        hop.calls = caused.iter().flat_map(|call| self.call(Some(record), call, culprits)).collect();
        hop
    }

    /// What became of the tag before the call left its caller's proxy.
    fn judge(&self, request: Option<&Record>, call: &Record, hop: &mut Hop, culprits: &mut Vec<Culprit>) {
        hop.sure = call.causes.len() == 1 && call.others.is_none_or(|others| others == 0);
        hop.from = call.tag_out.as_ref().and_then(|_| match call.place {
            Place::Edge => Some("gateway".into()),
            _ => loss::origin(request, call),
        });
        let Some(request) = request else { return };
        hop.lost = loss::in_application(request, call);
        if let Some(loss) = hop.lost.as_ref().filter(|loss| loss.why != Why::Asked) {
            let culprit = Culprit::new(&(self.pod)(&request.pod), loss, &hop.pod.service, hop.sure);
            blame(culprits, culprit);
        }
    }

    fn hop(&self, record: &Record) -> Hop {
        Hop {
            pod: (self.pod)(&record.pod),
            seen: true,
            request: format!("{} {}", record.method, record.path),
            tag: record.tag_out.clone(),
            route: record.route.clone(),
            cluster: record.cluster.clone(),
            status: record.status,
            took_us: record.took_us,
            ..Hop::default()
        }
    }
}

/// One culprit per pod and reason.
fn blame(culprits: &mut Vec<Culprit>, new: Culprit) {
    let same = |known: &&mut Culprit| known.pod == new.pod && known.loss == new.loss;
    match culprits.iter_mut().find(same) {
        Some(known) => {
            known.sure |= new.sure;
            known
                .calls
                .extend(new.calls.into_iter().filter(|call| !known.calls.contains(call)).collect::<Vec<_>>());
        }
        None => culprits.push(new),
    }
}

/// Gives every call to one request. Where several may have caused it, to the one that has called the same host the
/// fewest times, of those that were under way then.
fn caused<'r>(all: &[&'r Record]) -> BTreeMap<(&'r str, u64), Vec<&'r Record>> {
    let mut caused: BTreeMap<(&str, u64), Vec<&Record>> = BTreeMap::new();
    for call in all.iter().filter(|record| record.place == Place::Outbound) {
        let may = |record: &&&Record| {
            record.place == Place::Inbound && record.pod == call.pod && call.causes.contains(&record.span)
        };
        let calls_so_far = |record: &Record| {
            let calls = caused.get(&(record.pod.as_str(), record.span));
            calls.map_or(0, |calls| calls.iter().filter(|known| known.authority == call.authority).count())
        };
        let under_way = |record: &Record| {
            (record.at_us..=record.at_us.saturating_add(record.took_us)).contains(&call.at_us)
        };
        let cause = all.iter().filter(may).min_by_key(|record| (!under_way(record), calls_so_far(record)));
        if let Some(cause) = cause {
            caused.entry((cause.pod.as_str(), cause.span)).or_default().push(call);
        }
    }
    caused
}
