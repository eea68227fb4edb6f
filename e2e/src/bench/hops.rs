//! What is measured with a single copy in the place it has in a mesh: one hop, from an application's outbound
//! filter through two proxies to the next application's inbound filter.

use anyhow::Result;
use canary_rules::wire::{Peers, Role};

use super::configs;
use super::lua;
use super::requests::Kind;
use super::variants::{Answer, Filter};

/// One hop of a mesh: two listeners of one Envoy, the first proxying to the second.
#[derive(Debug, Clone)]
pub struct Hop {
    /// What tables call it; unique.
    pub name: &'static str,
    /// Where the request leaves its pod.
    pub outbound: Filter,
    /// Where it enters the next.
    pub inbound: Filter,
    /// What is sent.
    pub requests: Kind,
    /// What is sent beforehand to the inbound filter that the outbound one shares its memory with.
    pub teach: Option<Kind>,
    /// Which answer shows that the filters did what they are there for.
    pub answer: Answer,
}

/// The hop without filters, which the others are compared with.
pub const NOTHING: &str = "no filter";

/// All of them.
///
/// # Errors
/// None in practice: configurations are constants.
pub fn all() -> Result<Vec<Hop>> {
    let same = |name, filter: Filter| Hop {
        name,
        outbound: filter.clone(),
        inbound: filter,
        requests: Kind::FromApp,
        teach: None,
        answer: Answer::Baseline,
    };
    let no_lane = |role| configs::no_lane(role).map(|config| Filter::Sidecar(config.to_json()));
    let with_lanes =
        |role| configs::sidecar(role, Peers::Any).map(|config| Filter::Sidecar(config.to_json()));
    let ours = Hop {
        outbound: with_lanes(Role::Outbound)?,
        inbound: with_lanes(Role::Inbound)?,
        ..same("ours, untagged", Filter::Nothing)
    };
    let lua = same("Lua, untagged", Filter::Lua(lua::SIDECAR.to_owned()));
    Ok(vec![
        same(NOTHING, Filter::Nothing),
        same("header_mutation", Filter::SetHeader),
        same("empty filter of the stock SDK", Filter::Empty),
        Hop {
            outbound: no_lane(Role::Outbound)?,
            inbound: no_lane(Role::Inbound)?,
            ..same("ours, no lane in the mesh", Filter::Nothing)
        },
        Hop { teach: Some(Kind::Untagged), ..ours.clone() },
        Hop { name: "ours, tag restored", teach: Some(Kind::Tagged), answer: Answer::Lane, ..ours.clone() },
        Hop { name: "ours, tagged", requests: Kind::Tagged, answer: Answer::Lane, ..ours },
        lua.clone(),
        Hop { name: "Lua, tagged", requests: Kind::Tagged, answer: Answer::Lane, ..lua },
    ])
}
