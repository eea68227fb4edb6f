//! The correlation map under as many ids as a busy proxy sees in hours: its size must not follow.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use canary_rules::wire::{Peers, Role};

use super::configs;
use super::requests::{self, Kind};
use crate::wasm_host::{Module, PluginSpec, Property, Proxy};

/// Requests per second of the proxy's clock.
const RATE: u64 = 2_000;
/// Most memory that the map may take, in bytes.
pub const MAP_BYTES_MAX: usize = 8_000_000;
/// How often the size is read on the way.
const READINGS: u64 = 10;

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

/// Sends that many requests through an inbound filter.
///
/// # Errors
/// The module does not load, or the map is too large or still grows in the second half.
pub fn run(filter: &Path, count: u64) -> Result<Vec<Reading>> {
    let wasm = std::fs::read(filter).with_context(|| format!("reading {}", filter.display()))?;
    let proxy = Proxy::load(&Module::compile(&wasm).context("compiling the filter")?, 1);
    let config = configs::sidecar(Role::Inbound, Peers::Mtls)?.to_json();
    let spec = PluginSpec::new(config.as_bytes()).property("connection.mtls", &Property::Bool(true));
    let plugin = proxy.install(spec);
    let mut lines = requests::lines(Kind::Untagged)?;
    let started = Instant::now();
    let mut readings = Vec::new();
    for number in 1..=count {
        if let Some((_, trace)) = lines.iter_mut().find(|(name, _)| name == "traceparent") {
            *trace = requests::traceparent(usize::try_from(number)?).into_bytes();
        }
        plugin.request(0, lines.iter().map(|(name, value)| (name, value))).end();
        if number % RATE == 0 {
            proxy.advance(Duration::from_secs(1));
        }
        if number % (count / READINGS).max(1) == 0 {
            let shared = proxy.shared_data();
            let (keys, bytes) = (shared.keys(), shared.allocated_bytes());
            readings.push(Reading { requests: number, keys, bytes, vm_bytes: proxy.vm_memory_bytes() });
        }
    }
    proxy.assert_sound();
    eprintln!("map        {count} requests in {:.0} s", started.elapsed().as_secs_f64());
    check(&readings)?;
    Ok(readings)
}

fn check(readings: &[Reading]) -> Result<()> {
    let (Some(middle), Some(last)) = (readings.get(readings.len() / 2), readings.last()) else { return Ok(()) };
    ensure!(last.bytes <= MAP_BYTES_MAX, "the map takes {} bytes, more than {MAP_BYTES_MAX}", last.bytes);
    ensure!(
        last.bytes == middle.bytes && last.vm_bytes == middle.vm_bytes,
        "the map still grows: {middle:?}, then {last:?}"
    );
    Ok(())
}
