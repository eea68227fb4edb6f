//! What is measured with 20 copies in one chain.

use anyhow::Result;
use canary_rules::wire::{Peers, Role};

use super::configs::{self, LANE};
use super::lua;
use super::requests::Kind;

/// A filter and the requests it gets.
#[derive(Debug, Clone)]
pub struct Variant {
    /// What tables call it; unique.
    pub name: String,
    /// What is there 20 times.
    pub filter: Filter,
    /// What is sent through it.
    pub requests: Kind,
    /// Whether a [`Filter::Reset`] undoes before each copy what the one before did, so that each has the same
    /// to do. Its cost is taken off.
    pub reset: bool,
    /// What is sent beforehand, so that the filter knows the trace ids.
    pub teach: Option<Kind>,
    /// Which answer shows that the filter did what it is there for.
    pub answer: Answer,
}

/// A filter of Envoy's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// None.
    Nothing,
    /// Envoy's own `header_mutation`, setting one header.
    SetHeader,
    /// `header_mutation`, putting a request's tag back to where an application's or a browser's is.
    Reset,
    /// The stock SDK's empty filter.
    Empty,
    /// Ours, with this configuration, as sidecars run it.
    Sidecar(String),
    /// Ours, with this configuration, as edges run it.
    Edge(String),
    /// A Lua script.
    Lua(String),
}

/// The two routes of every listener answer with different bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The route that matches the tag header.
    Lane,
    /// The other one.
    Baseline,
}

impl Answer {
    /// The body of the route's answer.
    #[must_use]
    pub fn body(self) -> &'static str {
        match self {
            Self::Lane => LANE,
            Self::Baseline => "baseline",
        }
    }
}

/// Names that other parts of a report refer to.
pub mod names {
    /// What Envoy costs without any of it, with requests between services.
    pub const NOTHING: &str = "no filter";
    /// The native filter that does the least.
    pub const SET_HEADER: &str = "header_mutation, one header set";
    /// The stock SDK's empty filter.
    pub const EMPTY: &str = "empty filter of the stock SDK";
    /// A sidecar while there is no lane.
    pub const NO_LANE: &str = "ours, no lane in the mesh";
    /// Ours, inbound, untagged.
    pub const IN_UNTAGGED: &str = "ours, inbound, untagged (id recorded)";
    /// Ours, inbound, tagged.
    pub const IN_TAGGED: &str = "ours, inbound, tagged (id recorded)";
    /// Ours, outbound, untagged.
    pub const OUT_UNTAGGED: &str = "ours, outbound, untagged (id looked up)";
    /// Ours, outbound, tag restored.
    pub const OUT_RESTORED: &str = "ours, outbound, tag restored from the map";
    /// Ours, outbound, tagged.
    pub const OUT_TAGGED: &str = "ours, outbound, tagged by its headers";
    /// The script, untagged.
    pub const LUA_UNTAGGED: &str = "Lua, untagged (id looked up)";
    /// The script, tag restored.
    pub const LUA_RESTORED: &str = "Lua, tag restored from its table";
    /// The script, tagged.
    pub const LUA_TAGGED: &str = "Lua, tagged by its headers (id recorded)";
    /// Ours, edge, returning user.
    pub const EDGE_RETURNING: &str = "ours, edge, signed cookie verified";
    /// Ours, edge, a percentage.
    pub const EDGE_PERCENT: &str = "ours, edge, percentage, outside it";

    /// An edge with a number of rules.
    #[must_use]
    pub fn edge(who: &str, rules: usize, hit: bool) -> String {
        let plural = if rules == 1 { "" } else { "s" };
        let which = if hit { "the last holds" } else { "none holds" };
        let who = if who.is_empty() { String::new() } else { format!("{who}, ") };
        format!("{who}edge, {rules} rule{plural}, {which}")
    }
}

/// Numbers of rules that edges are measured with.
pub const RULES: [usize; 3] = [1, 20, 200];

/// All of them.
///
/// # Errors
/// None in practice: configurations are constants.
pub fn all() -> Result<Vec<Variant>> {
    let mut all = sidecars()?;
    all.extend(edges()?);
    // Of every kind of request what it costs without the filter; then the same of that.
    let mut next = 0;
    while let Some(base) = all.get(next).map(Variant::base) {
        if !all.iter().any(|known| known.name == base.name) {
            all.push(base);
        }
        next += 1;
    }
    Ok(all)
}

impl Variant {
    /// What is taken off to know the filter's own cost: the same requests through the same chain without it.
    #[must_use]
    pub fn base(&self) -> Self {
        let (filter, name) = match self.reset {
            true => (Filter::Reset, format!("tag put back only, {:?}", self.requests)),
            false if self.requests == Kind::Untagged => (Filter::Nothing, names::NOTHING.to_owned()),
            false => (Filter::Nothing, format!("{}, {:?}", names::NOTHING, self.requests)),
        };
        let answer = match (self.reset, self.requests) {
            (false, Kind::Tagged) => Answer::Lane,
            _ => Answer::Baseline,
        };
        Self { name, filter, requests: self.requests, reset: false, teach: None, answer }
    }

    fn new(name: impl Into<String>, filter: Filter, requests: Kind, answer: Answer) -> Self {
        Self { name: name.into(), filter, requests, reset: false, teach: None, answer }
    }

    fn reset(self) -> Self {
        Self { reset: true, ..self }
    }

    fn taught(self, teach: Kind) -> Self {
        Self { teach: Some(teach), ..self }
    }
}

fn sidecars() -> Result<Vec<Variant>> {
    use Answer::{Baseline, Lane};
    let no_lane = Filter::Sidecar(configs::no_lane(Role::Outbound)?.to_json());
    let [inbound, outbound] = [Role::Inbound, Role::Outbound]
        .map(|role| configs::sidecar(role, Peers::Any).map(|config| Filter::Sidecar(config.to_json())));
    let (inbound, outbound) = (inbound?, outbound?);
    let lua = || Filter::Lua(lua::SIDECAR.to_owned());
    Ok(vec![
        Variant::new(names::NOTHING, Filter::Nothing, Kind::Untagged, Baseline),
        Variant::new(names::SET_HEADER, Filter::SetHeader, Kind::Untagged, Baseline),
        Variant::new(names::EMPTY, Filter::Empty, Kind::Untagged, Baseline),
        Variant::new(names::NO_LANE, no_lane, Kind::Untagged, Baseline),
        Variant::new(names::IN_UNTAGGED, inbound.clone(), Kind::Untagged, Baseline),
        Variant::new(names::IN_TAGGED, inbound, Kind::Tagged, Lane),
        Variant::new(names::OUT_UNTAGGED, outbound.clone(), Kind::FromApp, Baseline).taught(Kind::Untagged),
        Variant::new(names::OUT_RESTORED, outbound.clone(), Kind::FromApp, Lane).taught(Kind::Tagged).reset(),
        Variant::new(names::OUT_TAGGED, outbound, Kind::Tagged, Lane),
        Variant::new(names::LUA_UNTAGGED, lua(), Kind::FromApp, Baseline).taught(Kind::Untagged),
        Variant::new(names::LUA_RESTORED, lua(), Kind::FromApp, Lane).taught(Kind::Tagged).reset(),
        Variant::new(names::LUA_TAGGED, lua(), Kind::Tagged, Lane),
    ])
}

fn edges() -> Result<Vec<Variant>> {
    use Answer::{Baseline, Lane};
    let mut edges = Vec::new();
    for count in RULES {
        let rules = configs::rules(count);
        let ours = Filter::Edge(configs::edge(&rules)?.to_json());
        for (who, filter) in [("ours", ours), ("Lua", Filter::Lua(lua::edge(&rules)))] {
            for (kind, answer) in [(Kind::BrowserGray, Lane), (Kind::Browser, Baseline)] {
                let name = names::edge(who, count, answer == Lane);
                edges.push(Variant::new(name, filter.clone(), kind, answer).reset());
            }
        }
    }
    let sticky = Filter::Edge(configs::sticky_edge()?.to_json());
    edges.push(Variant::new(names::EDGE_RETURNING, sticky, Kind::BrowserReturning, Lane).reset());
    let percent = Filter::Edge(configs::percent_edge()?.to_json());
    edges.push(Variant::new(names::EDGE_PERCENT, percent, Kind::Browser, Baseline).reset());
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_base_is_there() {
        let all = all().expect("made");
        for variant in &all {
            assert_eq!(all.iter().filter(|other| other.name == variant.name).count(), 1, "{}", variant.name);
            let base = variant.base();
            assert!(all.iter().any(|other| other.name == base.name), "{} for {}", base.name, variant.name);
        }
    }
}
