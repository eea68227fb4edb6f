//! `canaryctl rules`: Lane files without a cluster.

use std::path::PathBuf;

use clap::Subcommand;

use crate::failure::{Code, Failure};
use crate::files;

/// Arguments of `rules`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check Lane files; every fault is listed as file:line:column.
    #[command(after_help = "Example:  canaryctl rules check -f lanes.yaml")]
    Check {
        /// A Lane file, YAML or JSON; may be repeated, `-` reads standard input.
        #[arg(short, long, value_name = "FILE", required = true)]
        filename: Vec<PathBuf>,
    },
    /// Print the JSON Schema of Lane documents, for editors.
    Schema,
}

/// Runs `rules`.
///
/// # Errors
/// Files that cannot be read, or that have faults.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Check { filename } => {
            let documents = files::read(filename)?;
            let rules: usize = documents.lanes.iter().map(|lane| lane.spec.rules.len()).sum();
            let lanes: Vec<&str> = documents.lanes.iter().map(|lane| lane.metadata.name.as_str()).collect();
            let plural =
                |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
            println!("{}, {}: {}", plural(lanes.len(), "lane"), plural(rules, "rule"), lanes.join(", "));
            println!("Next:  canaryctl explain -f {} --url URL", filename[0].display());
            Ok(())
        }
        Verb::Schema => {
            let text = serde_json::to_string_pretty(&canary_rules::schema::lane());
            println!("{}", text.map_err(|error| Failure::from_error(Code::Failed, &error))?);
            Ok(())
        }
    }
}
