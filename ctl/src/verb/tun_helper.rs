//! `canaryctl tun-helper`: what of `connect --tun` takes root; started by it.

use std::path::PathBuf;

use crate::failure::Failure;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the other side listens.
    door: PathBuf,
}

/// Helps until the door closes.
///
/// # Errors
/// When what was changed cannot be put back.
#[cfg(target_os = "linux")]
pub fn run(args: &Args) -> Result<(), Failure> {
    crate::develop::tun::helper::help(&args.door)
}

/// There is no such device.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &Args) -> Result<(), Failure> {
    Err(super::connect::elsewhere())
}
