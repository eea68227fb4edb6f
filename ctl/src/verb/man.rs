//! `canaryctl man`: manual pages, one per verb.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::failure::{Code, Failure};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory to write them to; default the first page to standard output.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// When a page cannot be written.
pub fn run(args: &Args) -> Result<(), Failure> {
    let command = Cli::built(Cli::command().disable_help_subcommand(true));
    match &args.output {
        Some(directory) => {
            let written = std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory));
            written.map_err(|error| failed(directory, &error))
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|error| Failure::new(Code::Failed, error))?;
            anstream::print!("{}", String::from_utf8_lossy(&page));
            Ok(())
        }
    }
}

fn failed(directory: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, format!("cannot write to {}: {error}", directory.display()))
}
