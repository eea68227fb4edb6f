//! Runs the randomized chain test at any length; also the program of every app in the tests' meshes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use canary_e2e::soak::{self, Options, options::IN_FLIGHT_DEFAULT};
use canary_e2e::staged::Tools;
use clap::{Parser, Subcommand};

/// Drive random flows of several lanes through real Envoys and look for a wrong hop
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// How many hops to watch
    #[arg(long, default_value_t = 1_000_000)]
    hops: u64,
    /// End after so many minutes, even if there were fewer hops
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Worker threads of each proxy
    #[arg(long, default_value_t = 2)]
    workers: u32,
    /// Flows that wait for their response at a time
    #[arg(long, default_value_t = IN_FLIGHT_DEFAULT)]
    in_flight: usize,
    /// What the dice start from; a new one each time if not said
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Subcommand)]
enum Verb {
    /// Be an app of the mesh
    #[command(hide = true)]
    App {
        /// What the app is told
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.verb {
        Some(Verb::App { config }) => canary_localmesh::app::main(config).map_err(Into::into),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let options = Options {
        tools: Tools::from_env(std::env::current_exe()?),
        hops: args.hops,
        time_limit: Duration::from_secs(60 * args.minutes),
        workers: args.workers,
        in_flight: args.in_flight,
        seed: args.seed.unwrap_or_else(|| fastrand::u64(..)),
        progress: Some(Duration::from_secs(5)),
    };
    println!("seed {}", options.seed);
    let report = tokio::runtime::Runtime::new()?.block_on(soak::run(&options))?;
    println!("{report}");
    match report.faults().as_slice() {
        [] => Ok(()),
        faults => bail!("{}", faults.join("; ")),
    }
}
