//! Host calls and Wasm instructions of one pass, counted in a host of our own: the same in every run.

use anyhow::{Context, Result, ensure};
use canary_rules::wire::{FilterConfig, Peers, Role};

use super::configs;
use super::options::Options;
use super::requests::{self, Kind, Lines};
use super::variants::{RULES, names};
use crate::wasm_host::{Cost, Module, Plugin, PluginSpec, Property, Proxy};

/// Passes before the one that is counted: by then the id is known and every table has grown.
const PASSES_BEFORE: usize = 3;

/// A pass and what it used up.
#[derive(Debug, Clone)]
pub struct Counted {
    /// What tables call it.
    pub name: String,
    /// Host calls and instructions, from the stream's creation to its end.
    pub cost: Cost,
    /// Most host calls that it may use.
    pub budget: Option<u64>,
    /// Most instructions that it may use.
    pub instructions_max: Option<u64>,
}

impl Counted {
    /// Whether the pass used no more host calls than it may.
    #[must_use]
    pub fn is_within_budget(&self) -> bool {
        self.budget.is_none_or(|budget| self.cost.host_calls() <= budget)
    }

    fn is_within_instructions(&self) -> bool {
        self.instructions_max.is_none_or(|most| self.cost.instructions <= most)
    }
}

/// A pass to count.
struct Scenario {
    name: String,
    role: Role,
    config: FilterConfig,
    requests: Kind,
    teach: Option<Kind>,
    answer_has_tag: bool,
    budget: Option<u64>,
}

/// Most host calls of a sidecar's pass while the mesh has no lane.
const NO_LANE_CALLS_MAX: u64 = 1;
/// Most host calls of an untagged pass.
const UNTAGGED_CALLS_MAX: u64 = 4;
/// Most host calls of a tagged pass.
const TAGGED_CALLS_MAX: u64 = 5;

/// Most instructions of the passes that a mesh has most of. Just above what they take: a change that takes more is to
/// say so here.
const INSTRUCTIONS_MAX: [(&str, u64); 4] = [
    (names::NO_LANE, 300),
    (names::IN_UNTAGGED, 10_000),
    (names::OUT_UNTAGGED, 9_500),
    (names::OUT_TAGGED, 8_700),
];
/// Most instructions of an edge's pass with one rule, which holds or does not.
const EDGE_INSTRUCTIONS_MAX: [(bool, u64); 2] = [(true, 15_100), (false, 10_400)];

/// Counts all of them.
///
/// # Errors
/// A module that does not load, or a filter that does not do what the scenario is there for.
pub fn run(options: &Options) -> Result<Vec<Counted>> {
    let module = |path: &std::path::Path| {
        let wasm = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Module::compile_metered(&wasm).with_context(|| format!("compiling {}", path.display()))
    };
    let mut counted = vec![empty(&module(&options.empty)?)?];
    let (filter, sidecar) = (module(&options.filter)?, module(&options.sidecar)?);
    for scenario in scenarios()? {
        let module = if scenario.role == Role::Edge { &filter } else { &sidecar };
        counted.push(count(module, &scenario).with_context(|| scenario.name.clone())?);
    }
    Ok(counted)
}

/// Refuses counts over budget.
///
/// # Errors
/// Names every pass that uses more host calls or instructions than it may.
pub fn check(counted: &[Counted]) -> Result<()> {
    let over: Vec<String> = counted
        .iter()
        .filter(|pass| !pass.is_within_budget() || !pass.is_within_instructions())
        .map(|pass| {
            let most = |most: Option<u64>| most.map_or("any".to_owned(), |most| most.to_string());
            let (calls, instructions) = (most(pass.budget), most(pass.instructions_max));
            format!("{}: {} (at most {calls} calls and {instructions} instructions)", pass.name, pass.cost)
        })
        .collect();
    ensure!(over.is_empty(), "passes over budget:\n{}", over.join("\n"));
    Ok(())
}

fn scenarios() -> Result<Vec<Scenario>> {
    // Each of these is mutual TLS's own: the peer of a tagged request is looked at.
    let inbound = configs::sidecar(Role::Inbound, Peers::Mtls)?;
    let outbound = configs::sidecar(Role::Outbound, Peers::Mtls)?;
    let scenario = |name: &str, config: &FilterConfig, requests| Scenario {
        name: name.to_owned(),
        role: config.role,
        config: config.clone(),
        requests,
        teach: None,
        answer_has_tag: requests == Kind::Tagged,
        budget: Some(if requests == Kind::Tagged { TAGGED_CALLS_MAX } else { UNTAGGED_CALLS_MAX }),
    };
    let no_lane = configs::no_lane(Role::Inbound)?;
    let mut all = vec![
        Scenario { budget: Some(NO_LANE_CALLS_MAX), ..scenario(names::NO_LANE, &no_lane, Kind::Untagged) },
        scenario(names::IN_UNTAGGED, &inbound, Kind::Untagged),
        scenario(names::IN_TAGGED, &inbound, Kind::Tagged),
        Scenario { teach: Some(Kind::Untagged), ..scenario(names::OUT_UNTAGGED, &outbound, Kind::FromApp) },
        Scenario {
            teach: Some(Kind::Tagged),
            answer_has_tag: true,
            budget: Some(TAGGED_CALLS_MAX),
            ..scenario(names::OUT_RESTORED, &outbound, Kind::FromApp)
        },
        scenario(names::OUT_TAGGED, &outbound, Kind::Tagged),
    ];
    let edge = |name: String, config: FilterConfig, requests, tagged| Scenario {
        name,
        answer_has_tag: tagged,
        budget: None,
        ..scenario("", &config, requests)
    };
    for rules in RULES {
        let config = configs::edge(&configs::rules(rules))?;
        all.push(edge(names::edge("ours", rules, true), config.clone(), Kind::BrowserGray, true));
        all.push(edge(names::edge("ours", rules, false), config, Kind::Browser, false));
    }
    let returning = configs::sticky_edge()?;
    all.push(edge(names::EDGE_RETURNING.to_owned(), returning, Kind::BrowserReturning, true));
    all.push(edge(names::EDGE_PERCENT.to_owned(), configs::percent_edge()?, Kind::Browser, false));
    Ok(all)
}

fn count(filter: &Module, scenario: &Scenario) -> Result<Counted> {
    let proxy = Proxy::load(filter, 1);
    let plugin = plugin(&proxy, &scenario.config);
    if let Some(kind) = scenario.teach {
        let teacher = self::plugin(&proxy, &configs::sidecar(Role::Inbound, Peers::Mtls)?);
        pass(&teacher, &requests::lines(kind)?);
    }
    let lines = requests::lines(scenario.requests)?;
    for _ in 0..PASSES_BEFORE {
        pass(&plugin, &lines);
    }
    let (cost, is_tagged) = pass(&plugin, &lines);
    proxy.assert_sound();
    let Scenario { name, role, answer_has_tag, budget, .. } = scenario;
    ensure!(is_tagged == *answer_has_tag, "{role:?} filter: request is tagged: {is_tagged}");
    Ok(Counted { name: name.clone(), cost, budget: *budget, instructions_max: instructions_max(name) })
}

fn empty(module: &Module) -> Result<Counted> {
    let proxy = Proxy::load(module, 1);
    let plugin = proxy.plugin(b"");
    let lines = requests::lines(Kind::Untagged)?;
    for _ in 0..PASSES_BEFORE {
        pass(&plugin, &lines);
    }
    let (cost, _) = pass(&plugin, &lines);
    proxy.assert_sound();
    Ok(Counted { name: names::EMPTY.to_owned(), cost, budget: None, instructions_max: None })
}

fn instructions_max(pass: &str) -> Option<u64> {
    let sidecars = INSTRUCTIONS_MAX.iter().find(|(name, _)| *name == pass).map(|(_, most)| *most);
    let edge = |(hit, most): &(bool, u64)| (names::edge("ours", 1, *hit) == pass).then_some(*most);
    sidecars.or_else(|| EDGE_INSTRUCTIONS_MAX.iter().find_map(edge))
}

fn plugin(proxy: &Proxy, config: &FilterConfig) -> Plugin {
    let spec = PluginSpec::new(config.to_json().as_bytes());
    proxy.install(spec.property("connection.mtls", &Property::Bool(true)))
}

/// One request and its response; what it used up, and whether it left with a tag.
fn pass(plugin: &Plugin, lines: &Lines) -> (Cost, bool) {
    let mut stream = plugin.request(0, lines.iter().map(|(name, value)| (name, value)));
    let is_tagged = stream.headers().first("x-canary-lane").is_some();
    stream.response([(":status", "200"), ("content-type", "application/json"), ("server", "envoy")]);
    (stream.end(), is_tagged)
}
