//! Lanes inside a VirtualService that a user wrote: routes of ours, each right before the one it copies.
//!
//! Nothing is ever changed or moved, only inserted: what is left without our routes is the user's list, byte
//! for byte. A copy has every condition of its original and the tag besides, so it is reached exactly where
//! its original would have been. Which objects to edit is not decided here.

use std::collections::HashMap;

use canary_rules::hop::BASELINE;
use canary_rules::name::{HeaderName, LaneName};
use serde_json::Value;

use crate::hosts::{HostName, Named, named, service_named};
use crate::plan::{Destination, HostPlan, RoutingPlan};

mod copy;
pub(crate) mod mirror;
mod name;
mod tag;
#[cfg(test)]
mod tests;

pub(crate) use name::is_mirror;
pub use name::{is_ours, lane_of};

use copy::{Copy, Meant};
use name::Namer;

/// Hosts that lanes are routed at.
#[derive(Debug)]
pub(crate) struct LaneHosts<'a> {
    by_name: HashMap<HostName<'a>, &'a HostPlan>,
    tag_header: &'a HeaderName,
}

impl<'a> LaneHosts<'a> {
    /// The hosts of a plan that have a route for a lane, or an exchange.
    pub(crate) fn new(plan: &'a RoutingPlan) -> Self {
        let routed = plan.hosts.iter().filter(|host| host.is_routed());
        Self {
            by_name: routed.map(|host| (HostName::from(&host.host), host)).collect(),
            tag_header: &plan.tag_header,
        }
    }

    /// One of them.
    pub(crate) fn get(&self, name: HostName) -> Option<&'a HostPlan> {
        self.by_name.get(&name).copied()
    }
}

/// What a delegate's route takes from a root, and would lose by getting one of ours: without a match, these
/// conditions; and what copies its requests.
///
/// Source: `hasConflict` in pilot/pkg/model/virtualservice.go: a delegate's match must agree with its root's
/// on these two even where it says nothing, or Istio drops the whole route.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RootTerms {
    pub(crate) ignore_uri_case: bool,
    pub(crate) source_namespace: String,
    /// Whether it has a `mirror`.
    pub(crate) mirrors_once: bool,
    /// Its `mirrors` as text; empty without any.
    pub(crate) mirrors: String,
}

/// Where a list of routes stands.
#[derive(Debug)]
pub(crate) struct Place<'a, 'r> {
    /// The namespace that short names are of.
    pub(crate) namespace: &'a str,
    /// For a delegate: the terms of each of its roots. One of default terms otherwise.
    pub(crate) roots: &'r [RootTerms],
}

/// Something about one route of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Note<'a> {
    /// It matches the tag itself and is left alone.
    MatchesTag(String),
    /// It writes the tag.
    WritesTag(String),
    /// It leads lanes away from a subset of the user's.
    Pins { route: String, host: HostName<'a>, subset: &'a str },
    /// No copies of its requests can be had.
    MirrorsApart(String),
    /// It names a destination that only looks like a service with lanes.
    HalfQualified { name: &'a str, host: HostName<'a> },
}

/// The routes without ours: what the user wrote.
pub(crate) fn strip(http: &[Value]) -> impl Iterator<Item = &Value> {
    http.iter().filter(|route| !route["name"].as_str().is_some_and(is_ours))
}

/// The user's routes with lanes' routes among them, whatever routes of ours are there already.
pub(crate) fn insert<'a>(
    http: &'a [Value],
    lanes: &LaneHosts<'_>,
    place: &Place<'a, '_>,
) -> (Vec<Value>, Vec<Note<'a>>) {
    let mut routes = Vec::with_capacity(http.len());
    let mut notes = Vec::new();
    let mut namer = Namer::default();
    let mut shadowed = false;
    for (position, original) in strip(http).enumerate() {
        // Istio reads no further than a route that matches everything.
        if !shadowed {
            note_half_qualified(original, lanes, place.namespace, &mut notes);
            let targets = targets(original, lanes, place.namespace);
            if !targets.is_empty() {
                let label = || route_label(original, position);
                if tag::is_matched(original, lanes.tag_header.as_str()) {
                    notes.push(Note::MatchesTag(label()));
                } else {
                    if tag::is_written(original, lanes.tag_header.as_str()) {
                        notes.push(Note::WritesTag(label()));
                    }
                    note_pins(&targets, &label, &mut notes);
                    let is_whole = insert_copies(original, &targets, lanes, place, &mut namer, &mut routes);
                    if !is_whole {
                        notes.push(Note::MirrorsApart(label()));
                    }
                }
            }
            shadowed = matches_of(original).is_empty() && original["delegate"].is_null();
        }
        routes.push(original.clone());
    }
    (routes, notes)
}

/// What people call a route: its name, or its place in the list.
pub(crate) fn route_label(route: &Value, position: usize) -> String {
    match route["name"].as_str() {
        Some(name) if !name.is_empty() => format!("`{name}`"),
        _ => format!("#{}", position + 1),
    }
}

/// The alternatives that a route matches; none means that it matches everything.
pub(crate) fn matches_of(route: &Value) -> &[Value] {
    route["match"].as_array().map_or(&[], Vec::as_slice)
}

/// A destination of a route that lanes are routed at.
#[derive(Debug, Clone, Copy)]
struct Target<'p, 'v> {
    /// Its position among the route's destinations.
    index: usize,
    host: &'p HostPlan,
    name: HostName<'v>,
    subset: Option<&'v str>,
}

/// The destinations of a route that lanes are routed at and that requests can reach.
fn targets<'p, 'v>(route: &'v Value, lanes: &LaneHosts<'p>, namespace: &'v str) -> Vec<Target<'p, 'v>> {
    let leads_on = ["redirect", "directResponse", "delegate"].iter().all(|action| route[*action].is_null());
    let destinations = route["route"].as_array().map_or(&[][..], Vec::as_slice);
    if !leads_on {
        return Vec::new();
    }
    let target = |(index, weighted): (usize, &'v Value)| {
        let destination = &weighted["destination"];
        let name = service_named(destination["host"].as_str()?, namespace)?;
        let reachable =
            destinations.len() == 1 || weighted["weight"].as_f64().is_some_and(|weight| weight > 0.0);
        let host = lanes.get(name).filter(|_| reachable)?;
        let subset = destination["subset"].as_str().filter(|subset| !subset.is_empty());
        Some(Target { index, host, name, subset })
    };
    destinations.iter().enumerate().filter_map(target).collect()
}

fn note_pins<'v>(targets: &[Target<'_, 'v>], label: &impl Fn() -> String, notes: &mut Vec<Note<'v>>) {
    for target in targets {
        if let Some(subset) = target.subset {
            notes.push(Note::Pins { route: label(), host: target.name, subset });
        }
    }
}

fn note_half_qualified<'v>(
    route: &'v Value,
    lanes: &LaneHosts,
    namespace: &'v str,
    notes: &mut Vec<Note<'v>>,
) {
    let destinations = route["route"].as_array().into_iter().flatten();
    for name in destinations.filter_map(|weighted| weighted["destination"]["host"].as_str()) {
        if let Named::HalfQualified(host) = named(name, namespace)
            && lanes.get(host).is_some()
        {
            notes.push(Note::HalfQualified { name, host });
        }
    }
}

/// One copy per lane and set of terms, lanes by name; then one for mirrors, or two for an exchange. Says whether
/// mirrors have what they want.
fn insert_copies(
    original: &Value,
    targets: &[Target],
    lanes: &LaneHosts,
    place: &Place,
    namer: &mut Namer,
    routes: &mut Vec<Value>,
) -> bool {
    let Some(original) = original.as_object() else { return true };
    let Some(last) = targets.first() else { return true };
    let mut names: Vec<&LaneName> = tags(last.host).collect();
    if targets.iter().any(|target| !std::ptr::eq(target.host, last.host)) {
        names.extend(targets.iter().flat_map(|target| tags(target.host)));
        names.sort_unstable();
        names.dedup();
    }
    let id = namer.id(original);
    let plain = [RootTerms::default()];
    let matches_all = original.get("match").and_then(Value::as_array).is_none_or(Vec::is_empty);
    // A match of the user's own agrees with its roots already, or Istio drops the original too.
    let terms = if matches_all && !place.roots.is_empty() { place.roots } else { &plain };
    let mut terms: Vec<&RootTerms> = terms.iter().collect();
    terms.dedup_by_key(|terms| (terms.ignore_uri_case, &terms.source_namespace));
    for lane in names {
        let meant = Meant::Tagged(lane.as_str());
        let copy = Copy { original, meant, tag_header: lanes.tag_header.as_str() };
        for terms in &terms {
            let name = namer.name(lane.as_str(), id);
            routes.push(copy.build(&name, terms, &|index| destination(targets, index, lane)));
        }
    }
    let mirrors = mirror::mirrors(original, targets);
    let inherited = mirror::inherited(original, place.roots).filter(|_| !mirrors.is_empty());
    let is_whole = mirrors.is_empty() || inherited.is_some();
    let copies = inherited.map(|inherited| [inherited, mirrors].concat());
    if targets.iter().any(|target| target.host.exchanged_to().is_some()) {
        // Whoever asks for the baseline gets it: what the exchange hands on does not come back.
        let meant = Meant::Tagged(BASELINE);
        let asks = Copy { original, meant, tag_header: lanes.tag_header.as_str() };
        for terms in &terms {
            routes.push(asks.build(&namer.name(name::EXCHANGE, id), terms, &|_| None));
        }
        let all = Copy { meant: Meant::All, ..asks };
        let exchange = |index| {
            let target = targets.iter().find(|target| target.index == index)?;
            target.host.exchanged_to()
        };
        let mut route = all.build(&namer.name(name::EXCHANGE, id), &RootTerms::default(), &exchange);
        if let Some(copies) = &copies {
            mirror::add(&mut route, copies);
        }
        routes.push(route);
    } else if let Some(copies) = &copies {
        let copy = Copy { original, meant: Meant::Untagged, tag_header: lanes.tag_header.as_str() };
        for terms in &terms {
            let mut route = copy.build(&namer.name(name::MIRROR, id), terms, &|_| None);
            mirror::add(&mut route, copies);
            routes.push(route);
        }
    }
    is_whole
}

fn tags(host: &HostPlan) -> impl Iterator<Item = &LaneName> {
    host.http.iter().filter_map(|route| route.tag.as_ref())
}

/// Where a lane goes instead of one of a route's destinations.
fn destination<'p>(targets: &[Target<'p, '_>], index: usize, lane: &LaneName) -> Option<&'p Destination> {
    let target = targets.iter().find(|target| target.index == index)?;
    let http = &target.host.http;
    // Sorted by tag, the untagged one last.
    let found = http.binary_search_by(|route| match &route.tag {
        Some(tag) => tag.cmp(lane),
        None => std::cmp::Ordering::Greater,
    });
    found.ok().and_then(|at| http.get(at)).map(|route| &route.to)
}
