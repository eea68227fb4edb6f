//! `cargo xtask test`: every tier of checks, cheapest first, and a table of how each ended.
//!
//! Owns running and reporting. What the tiers are is in [`tiers`]; adding one is adding an entry there.

mod cargo_test;
mod report;
mod shop;
mod tier;
mod tiers;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use report::Report;
use shop::Shop;
use tier::{Outcome, Tier};
use tiers::TIERS;

/// Run the checks, all of them or the named tiers
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tiers to run; all if none is
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// Print the tiers and what each proves
    #[arg(long)]
    list: bool,
    /// A cluster with Istio for the tier `cluster`, instead of a lab on this machine; its nodes need the
    /// images that `cargo xtask lab` makes
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// On how many labs the tier `cluster` is run, side by side; each test is run on one of them
    #[arg(long, value_name = "LABS", default_value_t = NonZeroUsize::MIN, conflicts_with = "kubeconfig")]
    labs: NonZeroUsize,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for tier in TIERS {
            println!("{:<12} {}", tier.name, tier.proves);
        }
        return Ok(());
    }
    let shop = Shop::new(args.kubeconfig.clone(), args.labs);
    let mut report = Report::new();
    for tier in chosen(&args.tiers)? {
        eprintln!("\n── {}: {}", tier.name, tier.proves);
        let started = Instant::now();
        let outcome = (tier.run)(&shop).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::broken(&error)
        });
        report.add(tier.name, outcome, started.elapsed());
    }
    report.print();
    match report.is_success() {
        true => Ok(()),
        // The table has said what failed; its last line must stay the last line.
        false => std::process::exit(1),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Tier>> {
    if names.is_empty() {
        return Ok(TIERS.iter().collect());
    }
    let known = |name: &String| match TIERS.iter().find(|tier| tier.name == name) {
        Some(tier) => Ok(tier),
        None => {
            let names: Vec<&str> = TIERS.iter().map(|tier| tier.name).collect();
            bail!("there is no tier {name:?}\nhelp:  the tiers are {}", names.join(", "))
        }
    };
    names.iter().map(known).collect()
}
