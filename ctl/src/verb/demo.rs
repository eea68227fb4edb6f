//! `canaryctl demo`.

use crate::failure::Failure;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the demo.
///
/// # Errors
/// As printed.
pub fn run(_args: &Args) -> Result<(), Failure> {
    Ok(())
}
