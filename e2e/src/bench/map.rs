//! The correlation map under as many ids as a busy proxy sees in hours: its size must not follow; and under more
//! ids at a time than it has room for.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use canary_rules::wire::{Peers, Role};

use super::configs;
use super::requests::{self, Kind, Lines};
use crate::wasm_host::{Module, Plugin, PluginSpec, Property, Proxy};

/// Requests per second of the proxy's clock while the size is watched.
pub const RATE: u64 = 1_000;
/// Most memory that the map may take, in bytes.
pub const MAP_BYTES_MAX: usize = 8_000_000;
/// How often the size is read on the way.
const READINGS: u64 = 10;
/// Rates at which room is looked for, in requests per second.
const RATES: [u64; 4] = [500, 1_000, 2_000, 4_000];
/// How long until as many ids expire as come, in seconds; more than the longest life of a short stream's.
const SETTLE_S: u64 = 45;
/// How long ids without room are counted after that, in seconds.
const WATCH_S: u64 = 15;

/// What the map was seen to do.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its size on the way.
    pub readings: Vec<Reading>,
    /// Its room at several rates.
    pub room: Vec<Room>,
}

/// The map's size after a number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Requests so far, each with an id of its own.
    pub requests: u64,
    /// Keys in the proxy's shared data.
    pub keys: usize,
    /// What Envoy allocates for them, in bytes.
    pub bytes: usize,
    /// The memory of the filter's two VMs, in bytes.
    pub vm_bytes: usize,
}

/// Whether ids find room at a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Requests per second, each with an id of its own.
    pub rate: u64,
    /// The share of ids that lost their place or got none, 0 to 1.
    pub dropped: f64,
}

/// Sends `count` requests through an inbound filter, then some more at each rate.
///
/// # Errors
/// The module does not load, or the map is too large or still grows in the second half.
pub fn run(filter: &Path, count: u64) -> Result<Watched> {
    let wasm = std::fs::read(filter).with_context(|| format!("reading {}", filter.display()))?;
    let module = Module::compile(&wasm).context("compiling the filter")?;
    let started = Instant::now();
    let readings = sizes(&module, count)?;
    check(&readings)?;
    let room = RATES.into_iter().map(|rate| room(&module, rate)).collect::<Result<_>>()?;
    eprintln!("map        {count} requests, {:.0} s", started.elapsed().as_secs_f64());
    Ok(Watched { readings, room })
}

fn sizes(module: &Module, count: u64) -> Result<Vec<Reading>> {
    let mut sidecar = Sidecar::new(module)?;
    let mut readings = Vec::new();
    for requests in 1..=count {
        sidecar.request();
        if requests.is_multiple_of(RATE) {
            sidecar.proxy.advance(Duration::from_secs(1));
        }
        if requests.is_multiple_of((count / READINGS).max(1)) {
            let vm_bytes = sidecar.proxy.vm_memory_bytes();
            let shared = sidecar.proxy.shared_data();
            readings.push(Reading {
                requests,
                keys: shared.keys(),
                bytes: shared.allocated_bytes(),
                vm_bytes,
            });
        }
    }
    sidecar.proxy.assert_sound();
    Ok(readings)
}

fn room(module: &Module, rate: u64) -> Result<Room> {
    let mut sidecar = Sidecar::new(module)?;
    let mut before = 0;
    for second in 0..SETTLE_S + WATCH_S {
        if second == SETTLE_S {
            before = sidecar.dropped();
        }
        (0..rate).for_each(|_| sidecar.request());
        sidecar.proxy.advance(Duration::from_secs(1));
    }
    let dropped = sidecar.dropped() - before;
    Ok(Room { rate, dropped: dropped as f64 / (rate * WATCH_S) as f64 })
}

/// A proxy whose requests never have an id twice.
struct Sidecar {
    proxy: Proxy,
    inbound: Plugin,
    lines: Lines,
    requests: usize,
}

impl Sidecar {
    fn new(module: &Module) -> Result<Self> {
        let proxy = Proxy::load(module, 1);
        let config = configs::sidecar(Role::Inbound, Peers::Mtls)?.to_json();
        let spec = PluginSpec::new(config.as_bytes()).property("connection.mtls", &Property::Bool(true));
        let inbound = proxy.install(spec);
        Ok(Self { proxy, inbound, lines: requests::lines(Kind::Untagged)?, requests: 0 })
    }

    fn request(&mut self) {
        self.requests += 1;
        if let Some((_, trace)) = self.lines.iter_mut().find(|(name, _)| name == "traceparent") {
            *trace = requests::traceparent(self.requests).into_bytes();
        }
        self.inbound.request(0, self.lines.iter().map(|(name, value)| (name, value))).end();
    }

    /// Ids that lost their place, or got none, so far; the filter tells with its tick.
    fn dropped(&self) -> u64 {
        let metric = |name| self.proxy.metric(name).unwrap_or_default();
        metric("canaryctl.map.evicted") + metric("canaryctl.map.refused")
    }
}

fn check(readings: &[Reading]) -> Result<()> {
    let (Some(middle), Some(last)) = (readings.get(readings.len() / 2), readings.last()) else {
        return Ok(());
    };
    ensure!(last.bytes <= MAP_BYTES_MAX, "the map takes {} bytes, more than {MAP_BYTES_MAX}", last.bytes);
    ensure!(
        last.bytes == middle.bytes && last.vm_bytes == middle.vm_bytes,
        "the map still grows: {middle:?}, then {last:?}"
    );
    Ok(())
}
