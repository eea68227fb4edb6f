//! Runs the randomized chain test at any length; also the program of every app in it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Drive random flows of several lanes through real Envoys and look for a wrong hop
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
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
    let done = match Args::parse().verb {
        Verb::App { config } => canary_localmesh::app::main(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
