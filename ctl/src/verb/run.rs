//! `canaryctl run`: a program of this machine in the cluster's network.

use std::ffi::OsString;

#[cfg(target_os = "linux")]
mod linux;

use super::connect::LaunchArgs;
use super::forward::Ports;
use crate::cluster::ClusterArgs;
use crate::develop::workload::Which;
use crate::failure::Failure;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The program runs in a network namespace of its own, made without root, so that nothing it is built with matters: it
needs to know of no proxy. It resolves names as a pod of the namespace does and reaches Services and pods over TCP; what
is not the cluster's goes out of this machine as without canaryctl. This machine's own loopback is
host.canaryctl.internal. UDP, but for DNS, and IPv6 are not carried.

It keeps its terminal, its files and its user. canaryctl exits with what it exits with, or 128 and the number of the
signal that ended it. Linux only; elsewhere: canaryctl connect.

Examples:
  canaryctl run -n shop curl http://cart/
  canaryctl run -n shop --env-of cart --publish 8080 -- ./cart --listen :8080
  canaryctl run -n shop --lane gray bash       a shell whose requests are all in lane gray
  canaryctl run --cluster-range 10.244.0.0/16 psql -h 10.244.1.7")]
pub struct Args {
    /// Addresses that are the cluster's although this machine has a route to them, as 10.244.0.0/16; may be repeated.
    #[arg(long, value_name = "CIDR")]
    #[cfg(target_os = "linux")]
    cluster_range: Vec<crate::develop::range::Range>,
    /// Bring a port that the program listens on to this machine's loopback, to another port where one is before it; may
    /// be repeated.
    #[arg(long, short, value_name = "[LOCAL:]PORT")]
    publish: Vec<Ports>,
    /// Give the program the environment of this workload's container: a Deployment, or statefulset/NAME, pod/NAME.
    #[arg(long, value_name = "WORKLOAD")]
    env_of: Option<String>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    launch: LaunchArgs,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Runs the program, and exits with what it exits with.
///
/// # Errors
/// When the system allows no namespace, or the agent does not run or cannot be reached.
#[cfg(target_os = "linux")]
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    match linux::run(args, cluster)? {
        0 => Ok(()),
        code => std::process::exit(code.into()),
    }
}

/// There are no network namespaces.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &Args, _: &ClusterArgs) -> Result<(), Failure> {
    Err(elsewhere())
}

/// What is said where there are no network namespaces.
#[cfg(not(target_os = "linux"))]
pub(super) fn elsewhere() -> Failure {
    Failure::new(crate::failure::Code::Failed, "run needs the network namespaces of Linux")
        .help("canaryctl connect serves programs that know a proxy; canaryctl forward those that do not")
}
