//! Measures the filter and writes its part of the document; `cargo xtask bench` builds what it needs and runs it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use canary_e2e::bench::options::{Effort, Options};
use canary_e2e::bench::report::{self, Results, Sizes};
use canary_e2e::bench::{document, exact, hops, map, plans, rounds, starts, usage, variants};
use clap::Parser;

/// Measure the filter beside other ways to do the same
#[derive(Parser)]
struct Args {
    /// The Envoy binary
    #[arg(long, env = "CANARY_ENVOY")]
    envoy: PathBuf,
    /// The filter as edges run it
    #[arg(long, env = "CANARY_FILTER")]
    filter: PathBuf,
    /// The filter as sidecars run it
    #[arg(long, env = "CANARY_SIDECAR_FILTER")]
    sidecar: PathBuf,
    /// The stock SDK's empty filter
    #[arg(long, env = "CANARY_EMPTY_FILTER")]
    empty: PathBuf,
    /// Run every variant once, to see that it runs
    #[arg(long)]
    quick: bool,
    /// Decides the order of turns
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The document whose part about the filter this is; to standard output if not said
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Args { envoy, filter, sidecar, empty, quick, seed, write } = Args::parse();
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let options = Options { envoy, filter, sidecar, empty, effort, seed };
    let text = report::document(&options, &measure(&options)?)?;
    match write {
        Some(path) => save(&path, &text),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn measure(options: &Options) -> Result<Results> {
    let counted = exact::run(options)?;
    exact::check(&counted)?;
    let dir = tempfile::tempdir().context("a directory for Envoy")?;
    let variants = variants::all()?;
    let load_before = usage::load_average();
    let measured = rounds::run(options, &variants, &hops::all()?, dir.path())?;
    let starts = starts::run(options, dir.path())?;
    let load = [load_before, usage::load_average()];
    let map = map::run(&options.sidecar, options.effort.map_requests)?;
    let sizes = Sizes::of(options)?;
    let planning = plans::run(options.effort.rounds)?;
    Ok(Results { variants, measured, starts, counted, map, sizes, planning, load })
}

fn save(path: &Path, text: &str) -> Result<()> {
    let before = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("reading {}", path.display()))?,
    };
    // Other commands have sections in it.
    let document = document::renew(&before, text);
    std::fs::write(path, document).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("report     {}", path.display());
    Ok(())
}
