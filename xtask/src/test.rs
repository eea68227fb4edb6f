//! `cargo xtask test`: every tier of checks, cheapest first, and a table of how each ended.
//!
//! Owns running and reporting. What the tiers are is in [`tiers`]; adding one is adding an entry there.

mod cargo_test;
mod report;
mod shop;
mod tier;
mod tiers;

use std::time::Instant;

use anyhow::{Result, bail};

use report::Report;
use shop::Shop;
use tier::{Outcome, Tier};
use tiers::{ON_REQUEST, TIERS};

/// Run the checks, all of them or the named tiers
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Tiers to run; all but those that want to be named if none is
    #[arg(value_name = "TIER")]
    tiers: Vec<String>,
    /// Print the tiers and what each proves
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for tier in TIERS {
            println!("{:<12} {}", tier.name, tier.proves);
        }
        for tier in ON_REQUEST {
            println!("{:<12} {} (only when named)", tier.name, tier.proves);
        }
        return Ok(());
    }
    let shop = Shop::default();
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
    let all = || TIERS.iter().chain(ON_REQUEST);
    let known = |name: &String| match all().find(|tier| tier.name == name) {
        Some(tier) => Ok(tier),
        None => {
            let names: Vec<&str> = all().map(|tier| tier.name).collect();
            bail!("there is no tier {name:?}\nhelp:  the tiers are {}", names.join(", "))
        }
    };
    names.iter().map(known).collect()
}
