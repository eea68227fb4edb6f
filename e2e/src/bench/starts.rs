//! What a filter costs a proxy before and beside any request: time until it is ready, and memory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use canary_rules::wire::{Peers, Role};

use super::configs;
use super::envoy::{Envoy, Listener};
use super::load::{CONNECTIONS, Load};
use super::lua;
use super::options::Options;
use super::requests::{Kind, Requests};
use super::usage;
use super::variants::{Answer, Filter};

/// Requests through each listener before memory is read, so that everything has been used once.
const REQUESTS: usize = 2_000;

/// What the proxy without filters is called, which the others are compared with.
pub const NOTHING: &str = "no filter";

/// One start of one kind.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// From the start of the process until all listeners accepted connections, in milliseconds.
    pub ready_ms: f64,
    /// Resident memory after [`REQUESTS`], in MB of 1,000,000 bytes.
    pub resident_mb: f64,
    /// The anonymous part of it.
    pub anonymous_mb: f64,
}

/// Starts an Envoy of every kind in turns, in shuffled order, as often as asked for.
///
/// # Errors
/// Envoy does not run, or a request fails.
pub fn run(options: &Options, dir: &Path) -> Result<BTreeMap<&'static str, Vec<Started>>> {
    let mut kinds = kinds()?;
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut started: BTreeMap<&'static str, Vec<Started>> = BTreeMap::new();
    for _ in 0..options.effort.starts {
        random.shuffle(&mut kinds);
        for Proxy { name, listeners } in &kinds {
            let one = start(options, dir, listeners).with_context(|| format!("starting with {name}"))?;
            started.entry(name).or_default().push(one);
        }
    }
    eprintln!("starts     {} of each kind done, load {}", options.effort.starts, usage::load_average());
    Ok(started)
}

/// A proxy as a mesh has it.
struct Proxy {
    name: &'static str,
    listeners: Vec<Filter>,
}

fn kinds() -> Result<Vec<Proxy>> {
    let sidecar = |role| configs::sidecar(role, Peers::Any).map(|config| Filter::Sidecar(config.to_json()));
    let no_lane = |role| configs::no_lane(role).map(|config| Filter::Sidecar(config.to_json()));
    let rules = configs::rules(200);
    let twice = |name, filter: Filter| Proxy { name, listeners: vec![filter.clone(), filter] };
    Ok(vec![
        twice(NOTHING, Filter::Nothing),
        twice("header_mutation", Filter::SetHeader),
        twice("empty filter of the stock SDK", Filter::Empty),
        Proxy {
            name: "ours, sidecar, no lane",
            listeners: vec![no_lane(Role::Inbound)?, no_lane(Role::Outbound)?],
        },
        Proxy {
            name: "ours, sidecar, three lanes",
            listeners: vec![sidecar(Role::Inbound)?, sidecar(Role::Outbound)?],
        },
        twice("ours, edge, 200 rules", Filter::Edge(configs::edge(&rules)?.to_json())),
        twice("Lua, sidecar", Filter::Lua(lua::SIDECAR.to_owned())),
        twice("Lua, edge, 200 rules", Filter::Lua(lua::edge(&rules))),
    ])
}

fn start(options: &Options, dir: &Path, filters: &[Filter]) -> Result<Started> {
    let listener = |(number, filter): (usize, &Filter)| Listener {
        name: format!("listener {number}"),
        filters: vec![filter.clone()],
        vm_id: String::new(),
        onward: None,
    };
    let listeners: Vec<Listener> = filters.iter().enumerate().map(listener).collect();
    let envoy = Envoy::start(options, dir, &listeners)?;
    let requests = Requests::new(Kind::Untagged)?;
    for listener in &listeners {
        let to = envoy.address(&listener.name)?;
        let body = Answer::Baseline.body();
        Load { to, requests: &requests, path: None, count: REQUESTS, connections: CONNECTIONS, body }
            .run()?;
    }
    let resident = usage::resident(envoy.id())?;
    envoy.check_log()?;
    Ok(Started {
        ready_ms: envoy.ready_after().as_secs_f64() * 1e3,
        resident_mb: resident.all as f64 / 1e6,
        anonymous_mb: resident.anonymous as f64 / 1e6,
    })
}
