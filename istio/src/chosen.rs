//! Which route of which VirtualService takes a request inside the mesh: of the objects as they were found.
//!
//! `Sidecar` objects, which may keep a VirtualService from a caller, are not looked at.

use std::cmp::Reverse;

use serde::Serialize;
use serde_json::Value;

use crate::delegates;
use crate::hosts::{Exported, MESH_GATEWAY, Named, named};
use crate::matching::{self, Request, Terms};
use crate::observed::{Object, Observed};
use crate::routes::matches_of;
use crate::service::{Host, Labels};

mod destination;
#[cfg(test)]
mod tests;

pub use destination::{Destination, Mirror, Subset};

/// What becomes of the request, if its caller is so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What has to be so of the caller; empty for what becomes of all others.
    pub when: Vec<String>,
    /// Who takes the request.
    #[serde(flatten)]
    pub taken: Taken,
}

/// Who takes a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Taken {
    /// A route of a VirtualService.
    Route(Box<Route>),
    /// None of the routes of the VirtualService that holds for the host: the answer is 404.
    NoRoute {
        /// The VirtualService, as `namespace/name`.
        virtual_service: String,
    },
    /// No VirtualService: the Service itself.
    Service,
}

/// A route that takes a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Route {
    /// The VirtualService where it stands, as `namespace/name`.
    pub virtual_service: String,
    /// The VirtualService that delegates to that one, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegated_by: Option<String>,
    /// Its place in the list, from 0.
    pub index: usize,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The lane whose copy of a route it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The match that holds; none where the route matches everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Matched>,
    /// Where it leads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<Destination>,
    /// Where copies of its requests go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// The status that it answers by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<u64>,
    /// Whether it redirects the caller.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub redirects: bool,
}

/// One of a route's alternatives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matched {
    /// Its place in the route's list, from 0; with a delegate, in the list that Istio makes of both.
    pub index: usize,
    /// What it asks for.
    pub terms: Value,
}

/// What becomes of a request for a service, in the order in which it is tried. The last outcome has no conditions.
#[must_use]
pub fn outcomes(observed: &Observed, host: &Host, request: &Request) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut passed: Option<usize> = None;
    for candidate in candidates(observed, host) {
        // A caller that sees one for the host itself uses none for a wildcard.
        if passed.is_some_and(|rank| rank != candidate.rank) {
            break;
        }
        let (found, ends) = candidate.outcomes(observed, request);
        match &candidate.seen_by {
            Exported::Everywhere => {
                outcomes.extend(found);
                if ends {
                    return outcomes;
                }
                passed = Some(candidate.rank);
            }
            Exported::To(namespaces) => {
                let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
                let caller = format!("the caller is in namespace {}", names.join(" or "));
                outcomes.extend(found.into_iter().map(|mut outcome| {
                    outcome.when.insert(0, caller.clone());
                    outcome
                }));
            }
        }
    }
    outcomes.push(Outcome { when: Terms::new(), taken: Taken::Service });
    outcomes
}

/// A VirtualService that may hold for the host.
struct Candidate<'o> {
    object: &'o Object,
    /// How exactly it names the host; more is more exact.
    rank: usize,
    seen_by: Exported,
}

/// In the order in which callers use them: the most exact name, then what fewer see, then the oldest.
///
/// Source: `SelectVirtualServices` and `computeWildcardHostVirtualServiceIndex` in pilot/pkg/model.
fn candidates<'o>(observed: &'o Observed, host: &Host) -> Vec<Candidate<'o>> {
    let candidate = |object: &'o Object| {
        let rank =
            list(&object.spec()["hosts"]).filter_map(|name| rank(name.as_str()?, object, host)).max()?;
        let gateways = list(&object.spec()["gateways"]).collect::<Vec<_>>();
        let in_mesh = gateways.is_empty() || gateways.iter().any(|gateway| **gateway == MESH_GATEWAY);
        let seen_by = Exported::of(&object.spec()["exportTo"], object.namespace());
        let is_seen = !matches!(&seen_by, Exported::To(namespaces) if namespaces.is_empty());
        (in_mesh && is_seen).then_some(Candidate { object, rank, seen_by })
    };
    let mut candidates: Vec<Candidate> = observed.virtual_services.iter().filter_map(candidate).collect();
    let reach = |candidate: &Candidate| match &candidate.seen_by {
        Exported::To(namespaces) => usize::from(!namespaces.iter().eq([candidate.object.namespace()])),
        Exported::Everywhere => 2,
    };
    candidates.sort_by_key(|candidate| {
        let object = candidate.object;
        (Reverse(candidate.rank), reach(candidate), object.created(), object.name(), object.namespace())
    });
    candidates
}

fn rank(name: &str, object: &Object, host: &Host) -> Option<usize> {
    match named(name, object.namespace()) {
        Named::Service(named) if named == host.into() => Some(usize::MAX),
        Named::Wildcard(suffix) if host.fqdn().ends_with(suffix) => Some(suffix.len()),
        _ => None,
    }
}

impl<'o> Candidate<'o> {
    /// What becomes of a request of a caller that sees it; and whether that is all, or some callers go past it.
    fn outcomes(&self, observed: &'o Observed, request: &Request) -> (Vec<Outcome>, bool) {
        let mut outcomes = Vec::new();
        let mut is_used = false;
        let mut used_if: Vec<Terms> = Vec::new();
        for ((object, index), route) in self.routes(observed) {
            let taken =
                |matched| Taken::Route(Box::new(self.route(observed, object, index, &route, matched)));
            if matches_of(&route).is_empty() {
                outcomes.push(Outcome { when: Terms::new(), taken: taken(None) });
                return (outcomes, true);
            }
            for (at, one) in matches_of(&route).iter().enumerate() {
                let Some(placed) = matching::placed(one, request) else { continue };
                match placed.is_empty() {
                    true => is_used = true,
                    false if used_if.contains(&placed) => {}
                    false => used_if.push(placed.clone()),
                }
                let Some(holds) = matching::holds(one, request) else { continue };
                let when = [placed, holds].concat();
                let is_last = when.is_empty();
                let matched = Matched { index: at, terms: one.clone() };
                outcomes.push(Outcome { when, taken: taken(Some(matched)) });
                if is_last {
                    return (outcomes, true);
                }
            }
        }
        // Istio passes over a VirtualService of which no route is meant for the caller.
        let refused = if is_used { vec![Terms::new()] } else { used_if };
        let virtual_service = self.name();
        outcomes.extend(refused.into_iter().map(|when| {
            let taken = Taken::NoRoute { virtual_service: virtual_service.clone() };
            Outcome { when, taken }
        }));
        (outcomes, is_used)
    }

    /// Its routes with those of its delegates, each with the object where it stands and its place there.
    fn routes(&self, observed: &'o Observed) -> Vec<((&'o Object, usize), Value)> {
        let placed = |object: &'o Object| {
            list(&object.spec()["http"]).enumerate().map(move |(index, route)| ((object, index), route))
        };
        let delegate = |namespace: &str, name: &str| {
            let is_it = |object: &&Object| {
                (object.namespace(), object.name()) == (namespace, name)
                    && list(&object.spec()["hosts"]).next().is_none()
            };
            observed
                .virtual_services
                .iter()
                .find(is_it)
                .map_or_else(Vec::new, |object| placed(object).collect())
        };
        delegates::expand(placed(self.object), self.object.namespace(), delegate)
    }

    fn route(
        &self,
        observed: &Observed,
        object: &Object,
        index: usize,
        route: &Value,
        matched: Option<Matched>,
    ) -> Route {
        let name = route["name"].as_str().filter(|name| !name.is_empty());
        let redirects = route["redirect"].is_object();
        let answers = route["directResponse"]["status"].as_u64().filter(|_| !redirects);
        let leads = !redirects && answers.is_none();
        let to = if leads { Destination::all(&route["route"], object, observed) } else { Vec::new() };
        Route {
            virtual_service: display(object),
            delegated_by: (object.reference() != self.object.reference()).then(|| self.name()),
            index,
            name: name.map(str::to_owned),
            lane: name.and_then(crate::routes::lane_of).map(str::to_owned),
            matched,
            destinations: to,
            mirrors: if leads { Mirror::all(route, object, observed) } else { Vec::new() },
            answers,
            redirects,
        }
    }

    fn name(&self) -> String {
        display(self.object)
    }
}

fn display(object: &Object) -> String {
    format!("{}/{}", object.namespace(), object.name())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn labels(value: &Value) -> Labels {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
