//! One app of the local mesh as a process of its own.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs one app of the local mesh until it is stopped.
#[derive(Parser)]
struct Args {
    /// File with the app's configuration (JSON).
    #[arg(long)]
    config: PathBuf,
}

fn main() -> ExitCode {
    let Err(error) = canary_localmesh::app::main(&Args::parse().config) else { return ExitCode::SUCCESS };
    let mut message = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{message}");
    ExitCode::FAILURE
}
