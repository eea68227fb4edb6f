//! The results as a document for people. The words are in `report/template.md`, the numbers come from here.

mod tables;
mod targets;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::exact::Counted;
use super::load::CONNECTIONS;
use super::map::{self, Watched};
use super::options::{COPIES, Options};
use super::plans::{self, Planning};
use super::requests::TRACES;
use super::rounds::Measured;
use super::starts::Started;
use super::usage::Machine;
use super::variants::Variant;

const TEMPLATE: &str = include_str!("report/template.md");

/// Everything that a run found.
#[derive(Debug)]
pub struct Results {
    /// The variants that were measured.
    pub variants: Vec<Variant>,
    /// On Envoy.
    pub measured: Measured,
    /// Starts, by kind of filter.
    pub starts: BTreeMap<&'static str, Vec<Started>>,
    /// In our own host.
    pub counted: Vec<Counted>,
    /// The map on its way.
    pub map: Watched,
    /// How large the modules are.
    pub sizes: Sizes,
    /// What plans took.
    pub planning: Planning,
    /// The machine's load when the rounds began and when they ended.
    pub load: [String; 2],
}

/// How large the modules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Ours for sidecars.
    pub sidecar: Size,
    /// Ours for edges.
    pub whole: Size,
    /// The stock SDK's empty one.
    pub empty: Size,
}

impl Sizes {
    /// Of the modules that are measured.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(options: &Options) -> Result<Self> {
        let Options { filter, sidecar, empty, .. } = options;
        Ok(Self { sidecar: Size::of(sidecar)?, whole: Size::of(filter)?, empty: Size::of(empty)? })
    }
}

/// How large a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// As Envoy loads it, in bytes.
    pub wasm: usize,
    /// Compressed as registries carry it, in bytes.
    pub gzip: usize,
}

impl Size {
    /// Of a module's file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let wasm = read(path)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&wasm).context("compressing")?;
        Ok(Self { wasm: wasm.len(), gzip: encoder.finish().context("compressing")?.len() })
    }
}

/// The document.
///
/// # Errors
/// Something that the document tells of was not measured.
pub fn document(options: &Options, results: &Results) -> Result<String> {
    let Machine { model, cores, kernel } = Machine::this();
    let [load_before, load_after] = &results.load;
    let effort = options.effort;
    let fields = [
        ("date", today()?),
        ("machine", format!("{model}, {cores} cores, Linux {kernel}")),
        ("load", format!("{load_before} before, {load_after} after")),
        ("envoy", envoy_version(&options.envoy)?),
        ("rustc", first_line(Command::new("rustc").arg("--version"))?),
        ("sha256", sha256(&read(&options.filter)?)),
        ("sidecar_sha256", sha256(&read(&options.sidecar)?)),
        ("seed", options.seed.to_string()),
        ("rounds", effort.rounds.to_string()),
        ("copies", COPIES.to_string()),
        ("connections", CONNECTIONS.to_string()),
        ("traces", TRACES.to_string()),
        ("stacked_requests", effort.stacked_requests.to_string()),
        ("saturating_requests", effort.saturating_requests.to_string()),
        ("single_requests", effort.single_requests.to_string()),
        ("starts", effort.starts.to_string()),
        ("map_rate", map::RATE.to_string()),
        ("lanes", plans::LANES.to_string()),
        ("members", plans::MEMBERS.to_string()),
        ("released", plans::RELEASED.to_string()),
        ("targets", targets::table(results)?),
        ("counts", tables::counts(&results.counted)),
        ("costs", tables::costs(results)?),
        ("hops", tables::hops(&results.measured)?),
        ("memory", tables::memory(&results.starts)?),
        ("sizes", tables::sizes(&results.sizes)),
        ("map", tables::map(&results.map.readings)),
        ("room", tables::room(&results.map.room)),
        ("plans", tables::plans(&results.planning)),
        ("added", tables::added(&results.planning)),
        ("release_ms", format!("{:.1}", results.planning.release_ms.median())),
    ];
    let fill = |text: String, (name, value): &(&str, String)| {
        text.replace(&format!("{{{{{name}}}}}"), value.trim_end())
    };
    let document = fields.iter().fold(TEMPLATE.to_owned(), fill);
    let left = document.split_once("{{").and_then(|(_, rest)| rest.split_once("}}"));
    ensure!(left.is_none(), "the template names {:?}, which nothing fills in", left.map(|(name, _)| name));
    Ok(document)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn today() -> Result<String> {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?;
    let now = jiff::Timestamp::from_second(i64::try_from(now.as_secs())?).context("a date")?;
    Ok(now.strftime("%Y-%m-%d").to_string())
}

/// Reads `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn envoy_version(program: &Path) -> Result<String> {
    let said = first_line(Command::new(program).arg("--version"))?;
    let version = said.split("version:").nth(1).and_then(|build| build.trim().split('/').nth(1));
    Ok(version.unwrap_or("unknown").to_owned())
}

fn first_line(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned())
}
