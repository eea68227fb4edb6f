//! `canaryctl exchange`: all requests of a service go to a process on this machine.

use crate::cluster::ClusterArgs;
use crate::failure::Failure;
use crate::verb::mesh::hold::{self, HoldArgs, machine};
use crate::verb::mesh::plan::{Ports, What};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everybody's requests come here, but for those of lanes that have pods of the service: they keep these. The service's
own pods run on, untouched, and answer whatever your process does not. One developer at a time can have it; to have
your own requests only, beside others: canaryctl mesh.

Requests are as they would reach the service's pods: path, host, headers, and who called, in x-forwarded-client-cert.
Connections at a port that is not HTTP come whole, as a database's do; those that are open stay with the pods.

Where the service's pods have no sidecar its selector leads here instead, whatever is spoken at its ports: what
your process does not take goes on to the pods, requests one by one, other connections as they come. Connections
that are open stay with the pods that have them.

Ctrl-C ends it and puts everything back. If this machine vanishes the service's own pods answer within 15 s, and
what is left in the cluster ends by itself.

Examples:
  canaryctl exchange cart --to 8080
  canaryctl -n shop exchange cart --port 80 --to 127.0.0.1:9000    of several ports, this one
  canaryctl dev list                                               who has what")]
pub struct Args {
    /// The Service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// A port of the Service; may be repeated. Default all.
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<u16>,
    #[command(flatten)]
    hold: HoldArgs,
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When the service cannot be taken, the agent does not run or cannot be reached, or somebody ends it.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let of = (args.service.as_str(), Ports::Several(&args.ports));
    hold::run(&args.hold, cluster, "exchange", of, |taken, me| {
        Ok(taken.takeover(What::Everything, me, &machine()))
    })
}
