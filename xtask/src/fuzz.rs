//! `cargo xtask fuzz`: libFuzzer over every parser, on the stable toolchain.
//!
//! The fuzzed crates have no unsafe code, so the address sanitizer, which alone needs nightly, has nothing to
//! find; coverage feedback is enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::step::Step;
use crate::{process, workspace};

/// Inputs that a run of all checks feeds each target: the same ones each time, so that its verdict speaks of
/// the change and not of luck.
const BRIEF_RUNS: u32 = 60_000;
const BRIEF_SEED: u32 = 1;
const MEMORY_LIMIT_MB: u32 = 1024;

/// What `cargo fuzz --sanitizer none` passes to rustc.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions --cfg fuzzing";

/// Feed the parsers what a fuzzer makes up
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Targets to run; all if none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Seconds to spend on each
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = args.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no fuzz target {unknown:?}\nhelp:  the targets are {}", known.join(", "));
    }
    let chosen = if args.targets.is_empty() { known } else { args.targets.clone() };
    fuzz(&chosen, Search::For { seconds: args.seconds })?;
    Ok(())
}

/// A short run of every target; returns how many there are.
pub(crate) fn briefly() -> Result<u32> {
    fuzz(&targets()?, Search::Same)
}

/// Which inputs are tried.
#[derive(Clone, Copy)]
enum Search {
    /// What chance finds in this time, going on from what earlier searches found.
    For { seconds: u32 },
    /// The same few from the seeds alone.
    Same,
}

impl Search {
    fn text(self) -> String {
        match self {
            Self::For { seconds } => format!("for {seconds} s"),
            Self::Same => format!("with {BRIEF_RUNS} inputs"),
        }
    }

    fn flags(self) -> Vec<String> {
        match self {
            Self::For { seconds } => vec![format!("-max_total_time={seconds}")],
            Self::Same => vec![format!("-runs={BRIEF_RUNS}"), format!("-seed={BRIEF_SEED}")],
        }
    }

    /// The folder for inputs worth going on from.
    fn corpus(self, target: &str) -> Result<PathBuf> {
        let dir = |kind: &str| workspace::target_dir().join("fuzz").join(kind).join(target);
        let dir = match self {
            Self::For { .. } => dir("corpus"),
            Self::Same => {
                let dir = dir("scratch");
                if dir.exists() {
                    std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
                }
                dir
            }
        };
        std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(dir)
    }
}

fn crate_dir() -> PathBuf {
    workspace::root().join("fuzz")
}

fn targets() -> Result<Vec<String>> {
    let dir = crate_dir().join("fuzz_targets");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))?;
    let stem = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

fn fuzz(targets: &[String], search: Search) -> Result<u32> {
    let binaries = build()?;
    for target in targets {
        let step = Step::start("fuzz", &format!("{target} {}", search.text()));
        let mut fuzzer = Command::new(binaries.join(target));
        fuzzer
            .args(search.flags())
            .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MB}"))
            .arg("-print_final_stats=1")
            .arg(format!("-artifact_prefix={}/{target}-", workspace::target_dir().join("fuzz").display()))
            // What is found goes into the first folder named.
            .arg(search.corpus(target)?);
        let seeds = crate_dir().join("seeds").join(target);
        if seeds.is_dir() {
            fuzzer.arg(seeds);
        }
        let (log, success) = log_of(&mut fuzzer)?;
        if !success {
            bail!("{target} found an input that breaks it\n{log}");
        }
        step.done("clean", &format!("{target}  {} inputs", inputs_tried(&log)));
    }
    Ok(targets.len() as u32)
}

/// libFuzzer writes thousands of progress lines; they matter only when something broke.
fn log_of(fuzzer: &mut Command) -> Result<(String, bool)> {
    let output = fuzzer.output().with_context(|| format!("cannot start {:?}", fuzzer.get_program()))?;
    Ok((String::from_utf8_lossy(&output.stderr).into_owned(), output.status.success()))
}

/// Reads `stat::number_of_executed_units: 123`.
fn inputs_tried(log: &str) -> &str {
    log.split("stat::number_of_executed_units:")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .unwrap_or("?")
        .trim()
}

fn build() -> Result<PathBuf> {
    let host = host_triple()?;
    let step = Step::start("fuzz", "compiling the targets with coverage");
    process::run(
        workspace::cargo()
            .args(["build", "--quiet", "--release", "--manifest-path"])
            .arg(crate_dir().join("Cargo.toml"))
            // Naming the target keeps the flags away from build scripts and macros.
            .args(["--target", &host])
            .env("RUSTFLAGS", COVERAGE)
            .env("CARGO_TARGET_DIR", target_dir()),
    )?;
    step.done("built", &workspace::show(&target_dir()));
    Ok(target_dir().join(host).join("release"))
}

fn target_dir() -> PathBuf {
    let target_dir: &Path = &workspace::target_dir();
    target_dir.join("fuzz")
}

fn host_triple() -> Result<String> {
    let said = process::capture(Command::new("rustc").arg("-vV").current_dir(workspace::root()))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}
