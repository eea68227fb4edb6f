//! `canaryctl netns`: a program's side of a network namespace; started by `run`.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::failure::Failure;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the other side listens.
    door: PathBuf,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Becomes the program.
///
/// # Errors
/// When the system does not allow it.
#[cfg(target_os = "linux")]
pub fn run(args: &Args) -> Result<(), Failure> {
    match crate::develop::netns::enter::enter(&args.door, &args.command)? {}
}

/// There is none.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &Args) -> Result<(), Failure> {
    Err(super::run::elsewhere())
}
