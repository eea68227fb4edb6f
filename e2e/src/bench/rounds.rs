//! Every variant's turn on one Envoy, round after round in shuffled order.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::configs;
use super::envoy::{Envoy, Listener, TEACH};
use super::hops::Hop;
use super::load::{CONNECTIONS, Load, Seen};
use super::options::{COPIES, Effort, Options};
use super::requests::{Kind, Requests, TRACES};
use super::stats::Sample;
use super::usage;
use super::variants::{Answer, Filter, Variant};
use canary_rules::wire::{Peers, Role};

/// Requests that a variant gets before the first round, so that nothing is done for the first time in it.
const WARM_UP_REQUESTS: usize = 200;

/// What the rounds gave: one number per round, by name.
#[derive(Debug, Default)]
pub struct Measured {
    /// Of the chains of copies.
    pub stacked: BTreeMap<String, Vec<Stacked>>,
    /// Of the hops.
    pub hops: BTreeMap<String, Vec<Single>>,
}

/// One turn of a chain of copies.
#[derive(Debug, Clone, Copy)]
pub struct Stacked {
    /// Envoy's CPU time per request, in microseconds.
    pub cpu_us: f64,
}

/// One turn of a hop.
#[derive(Debug, Clone, Copy)]
pub struct Single {
    /// Envoy's CPU time per request under saturation, in microseconds.
    pub cpu_us: f64,
    /// Requests per second under saturation.
    pub throughput: f64,
    /// The middle latency of one request at a time, in microseconds.
    pub p50_us: f64,
    /// The latency that one request of a hundred exceeds, one at a time, in microseconds.
    pub p99_us: f64,
}

/// Runs all of it.
///
/// # Errors
/// Envoy does not run, or a variant does not do what it is there for.
pub fn run(options: &Options, variants: &[Variant], hops: &[Hop], dir: &Path) -> Result<Measured> {
    let listeners = listeners(variants, hops)?;
    let envoy = Envoy::start(options, dir, &listeners)?;
    let bench = Bench { envoy, effort: options.effort, requests: requests()? };
    let mut turns: Vec<Turn<'_>> =
        variants.iter().map(Turn::Stacked).chain(hops.iter().map(Turn::Hop)).collect();
    let warm_up = Effort {
        stacked_requests: WARM_UP_REQUESTS,
        single_requests: WARM_UP_REQUESTS,
        saturating_requests: WARM_UP_REQUESTS,
        ..options.effort
    };
    let mut thrown_away = Measured::default();
    for turn in &turns {
        bench.turn(turn, warm_up, &mut thrown_away)?;
    }
    let mut measured = Measured::default();
    let mut random = fastrand::Rng::with_seed(options.seed);
    for round in 1..=options.effort.rounds {
        random.shuffle(&mut turns);
        for turn in &turns {
            bench.turn(turn, bench.effort, &mut measured)?;
        }
        eprintln!("rounds     {round} of {} done, load {}", options.effort.rounds, usage::load_average());
    }
    bench.envoy.check_log()?;
    Ok(measured)
}

impl Measured {
    /// What one copy of a variant costs above its base, in microseconds per request: one number per round.
    ///
    /// # Errors
    /// Either was not measured.
    pub fn cost_us(&self, variant: &Variant) -> Result<Sample> {
        Ok(Sample::new(self.costs_us(variant)?))
    }

    /// How many times the cost of `other` a variant has: one number per round, of turns in the same round.
    ///
    /// # Errors
    /// Either was not measured.
    pub fn ratio(&self, variant: &Variant, other: &Variant) -> Result<Sample> {
        let (costs, others) = (self.costs_us(variant)?, self.costs_us(other)?);
        Ok(Sample::new(costs.into_iter().zip(others).map(|(cost, other)| ratio(cost, other))))
    }

    /// By round.
    fn costs_us(&self, variant: &Variant) -> Result<Vec<f64>> {
        let of = |name: &str| self.stacked.get(name).with_context(|| format!("{name} was not measured"));
        let (with, without) = (of(&variant.name)?, of(&variant.base().name)?);
        let pairs = with.iter().zip(without);
        Ok(pairs.map(|(with, without)| (with.cpu_us - without.cpu_us) / COPIES as f64).collect())
    }
}

/// Of differences, which can be 0 and less: then there is no ratio, but still one of the two is the greater.
fn ratio(cost: f64, other: f64) -> f64 {
    match other > 0.0 {
        true => cost / other,
        false if cost > other => f64::INFINITY,
        false => 0.0,
    }
}

enum Turn<'v> {
    Stacked(&'v Variant),
    Hop(&'v Hop),
}

struct Bench {
    envoy: Envoy,
    effort: Effort,
    requests: BTreeMap<Kind, Requests>,
}

impl Bench {
    fn turn(&self, turn: &Turn<'_>, effort: Effort, measured: &mut Measured) -> Result<()> {
        match turn {
            Turn::Stacked(variant) => {
                let name = variant.name.clone();
                let stacked = self.stacked(variant, effort).with_context(|| name.clone())?;
                measured.stacked.entry(name).or_default().push(stacked);
            }
            Turn::Hop(hop) => {
                let single = self.hop(hop, effort).with_context(|| format!("hop: {}", hop.name))?;
                measured.hops.entry(hop.name.to_owned()).or_default().push(single);
            }
        }
        Ok(())
    }

    fn stacked(&self, variant: &Variant, effort: Effort) -> Result<Stacked> {
        if let Some(kind) = variant.teach {
            match variant.filter {
                Filter::Sidecar(_) => self.teach(&teacher_of(&variant.name), None, kind)?,
                _ if variant.reset => self.teach(&variant.name, Some(TEACH), kind)?,
                _ => self.teach(&variant.name, None, kind)?,
            }
        }
        let count = effort.stacked_requests;
        let (_, cpu_us) = self.load(&variant.name, variant.requests, count, CONNECTIONS, variant.answer)?;
        Ok(Stacked { cpu_us })
    }

    fn hop(&self, hop: &Hop, effort: Effort) -> Result<Single> {
        let (outbound, inbound) = (outbound_of(hop), inbound_of(hop));
        if let Some(kind) = hop.teach {
            self.teach(&inbound, None, kind)?;
        }
        let (seen, cpu_us) =
            self.load(&outbound, hop.requests, effort.saturating_requests, CONNECTIONS, hop.answer)?;
        let throughput = seen.latencies.len() as f64 / seen.took.as_secs_f64();
        let (seen, _) = self.load(&outbound, hop.requests, effort.single_requests, 1, hop.answer)?;
        let latencies = Sample::new(seen.latencies.iter().map(|latency| latency.as_secs_f64() * 1e6));
        Ok(Single { cpu_us, throughput, p50_us: latencies.median(), p99_us: latencies.quantile(0.99) })
    }

    /// Sends one request of every trace.
    fn teach(&self, listener: &str, path: Option<&str>, kind: Kind) -> Result<()> {
        let body = if kind == Kind::Tagged { Answer::Lane } else { Answer::Baseline }.body();
        let to = self.envoy.address(listener)?;
        let requests = self.requests_of(kind)?;
        Load { to, requests, path, count: TRACES, connections: CONNECTIONS, body }.run()?;
        Ok(())
    }

    /// One turn, and Envoy's CPU time per request in it, in microseconds.
    fn load(
        &self,
        listener: &str,
        kind: Kind,
        count: usize,
        connections: usize,
        answer: Answer,
    ) -> Result<(Seen, f64)> {
        let to = self.envoy.address(listener)?;
        let requests = self.requests_of(kind)?;
        let load = Load { to, requests, path: None, count, connections, body: answer.body() };
        let before_ns = usage::cpu_ns(self.envoy.id())?;
        let seen = load.run()?;
        let used_ns = usage::cpu_ns(self.envoy.id())?.saturating_sub(before_ns);
        Ok((seen, used_ns as f64 / 1e3 / count.max(1) as f64))
    }

    fn requests_of(&self, kind: Kind) -> Result<&Requests> {
        self.requests.get(&kind).with_context(|| format!("no requests {kind:?}"))
    }
}

fn requests() -> Result<BTreeMap<Kind, Requests>> {
    Kind::ALL.into_iter().map(|kind| Ok((kind, Requests::new(kind)?))).collect()
}

fn listeners(variants: &[Variant], hops: &[Hop]) -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for variant in variants {
        let Variant { name, filter, reset, teach, .. } = variant;
        let copy = if *reset { vec![Filter::Reset, filter.clone()] } else { vec![filter.clone()] };
        listeners.push(Listener {
            name: name.clone(),
            filters: vec![copy; COPIES].concat(),
            vm_id: name.clone(),
            onward: None,
        });
        if let (Filter::Sidecar(_), Some(_)) = (filter, teach) {
            let inbound = configs::sidecar(Role::Inbound, Peers::Any)?.to_json();
            listeners.push(Listener {
                name: teacher_of(name),
                filters: vec![Filter::Sidecar(inbound)],
                vm_id: name.clone(),
                onward: None,
            });
        }
    }
    for hop in hops {
        let listener = |name: String, filter: &Filter, onward: Option<String>| Listener {
            name,
            filters: vec![filter.clone()],
            vm_id: format!("hop {}", hop.name),
            onward,
        };
        listeners.push(listener(outbound_of(hop), &hop.outbound, Some(inbound_of(hop))));
        listeners.push(listener(inbound_of(hop), &hop.inbound, None));
    }
    Ok(listeners)
}

fn teacher_of(variant: &str) -> String {
    format!("{variant}; teacher")
}

fn outbound_of(hop: &Hop) -> String {
    format!("hop {}, outbound", hop.name)
}

fn inbound_of(hop: &Hop) -> String {
    format!("hop {}, inbound", hop.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::variants::{self, names};

    #[test]
    fn a_ratio_is_above_1_where_the_cost_is_the_greater() {
        for (cost, other) in [(3.0, 2.0), (0.1, 0.0), (0.0, -0.1), (-0.1, -0.2)] {
            assert!(ratio(cost, other) > 1.0, "{cost} and {other}");
            assert!(ratio(other, cost) < 1.0, "{other} and {cost}");
        }
    }

    #[test]
    fn ratios_are_of_turns_in_the_same_round() {
        let variants = variants::all().expect("made");
        let named = |name| variants.iter().find(|variant| variant.name == name).expect("a variant");
        let (ours, other) = (named(names::NO_LANE), named(names::EMPTY));
        // The machine is ten times as slow in the second round.
        let turns = |costs: [f64; 2]| costs.map(|cost| Stacked { cpu_us: cost * COPIES as f64 }).to_vec();
        let mut measured = Measured::default();
        measured.stacked.insert(names::NOTHING.to_owned(), turns([0.0, 0.0]));
        measured.stacked.insert(ours.name.clone(), turns([1.0, 10.0]));
        measured.stacked.insert(other.name.clone(), turns([2.0, 20.0]));
        assert_eq!(measured.ratio(ours, other).expect("measured").quartiles(), (0.5, 0.5));
    }
}
