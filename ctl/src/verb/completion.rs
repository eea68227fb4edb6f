//! `canaryctl completion`: what makes a shell ask this program at the Tab key.

use clap_complete::env::Shells;

use crate::completion::VARIABLE;
use crate::failure::{Code, Failure};

/// What people type, and what the shell runs.
const PROGRAM: &str = "canaryctl";

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(canaryctl completion bash)
  source <(canaryctl completion zsh)
  canaryctl completion fish | source

Names of lanes, releases, services, takeovers and namespaces are the cluster's that the line means so far. Put the line
into your shell's start-up file rather than its output: what it prints is for this version.")]
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
    let shells = Shells::builtins();
    let name = args.shell.to_string();
    let shell = shells
        .completer(&name)
        .ok_or_else(|| Failure::new(Code::Usage, format!("no completion is known for {name}")))?;
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)
        .map_err(|error| Failure::new(Code::Failed, error))?;
    anstream::print!("{}", String::from_utf8_lossy(&script));
    Ok(())
}
