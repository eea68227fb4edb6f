//! `canaryctl completion`: what a shell offers at the Tab key.

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::failure::Failure;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(canaryctl completion bash)
  canaryctl completion zsh > \"${fpath[1]}/_canaryctl\"
  canaryctl completion fish > ~/.config/fish/completions/canaryctl.fish")]
pub struct Args {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Runs the verb.
///
/// # Errors
/// None; as every verb.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "canaryctl", &mut script);
    anstream::print!("{}", String::from_utf8_lossy(&script));
    Ok(())
}
