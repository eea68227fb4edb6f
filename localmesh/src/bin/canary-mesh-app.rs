//! One app of the local mesh as a process of its own.

use std::error::Error;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use canary_localmesh::app::{self, AppConfig, AppError};
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
    /// Answer every n-th request with status 500, whatever the configuration says
    #[arg(long, env, value_name = "N")]
    fail_every: Option<NonZeroU32>,
}

impl Args {
    fn config(&self) -> Result<AppConfig, AppError> {
        let mut config = match &self.config {
            Some(file) => app::read(file)?,
            None => app::parse(self.config_json.as_deref().unwrap_or_default())?,
        };
        config.behaviour.fail_every = self.fail_every.or(config.behaviour.fail_every);
        Ok(config)
    }
}

fn main() -> ExitCode {
    let Err(error) = Args::parse().config().and_then(app::serve) else { return ExitCode::SUCCESS };
    let mut message = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    eprintln!("{message}");
    ExitCode::FAILURE
}
