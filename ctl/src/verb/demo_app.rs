//! One application of the demo's mesh: an ordinary HTTP service that knows nothing of lanes.

use std::path::PathBuf;

use crate::failure::{Code, Failure};

/// Arguments of the hidden verb.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The application's configuration, written by `demo`.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the application until it is stopped.
///
/// # Errors
/// A configuration that cannot be read or a port that is taken.
pub fn run(args: &Args) -> Result<(), Failure> {
    canary_localmesh::app::main(&args.config).map_err(|error| Failure::from_error(Code::Failed, &error))
}
