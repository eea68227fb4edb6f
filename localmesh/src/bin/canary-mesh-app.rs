//! One app of the local mesh as a process of its own.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Runs one app of the local mesh until it is stopped.
#[derive(Parser)]
struct Args {
    /// File with the app's configuration (JSON)
    #[arg(long, required_unless_present = "config_json")]
    config: Option<PathBuf>,
    /// The configuration itself
    #[arg(long, conflicts_with = "config")]
    config_json: Option<String>,
}

fn main() -> ExitCode {
    let Args { config, config_json } = Args::parse();
    let ended = match &config {
        Some(file) => canary_localmesh::app::main(file),
        None => canary_localmesh::app::main_with(&config_json.unwrap_or_default()),
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    let mut message = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{message}");
    ExitCode::FAILURE
}
