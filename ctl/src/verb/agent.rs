//! `canaryctl agent`: a developer's end in the cluster; started by `connect` and its like.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use canary_tunnel::SecretHash;

use crate::cluster::block_on_alone;
use crate::develop::agent::{self, HEALTH_PORT, Settings, TUNNEL_PORT};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::gate::TAKEN;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// SHA-256 of the secret that the client has, in hexadecimal.
    #[arg(long, value_name = "HEX")]
    secret_sha256: SecretHash,
    /// A port whose connections go to the client, each after a first byte once it has taken it; may be repeated.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    expose: Vec<u16>,
    /// No first byte: who calls is no gate.
    #[arg(long)]
    bare: bool,
    /// The address of this pod where those ports are; default all.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    expose_on: IpAddr,
    /// The port of this pod's loopback where the client comes in.
    #[arg(long, value_name = "PORT", default_value_t = TUNNEL_PORT)]
    tunnel_port: u16,
    /// The port where probes are answered.
    #[arg(long, value_name = "PORT", default_value_t = HEALTH_PORT)]
    health_port: u16,
    /// End when no client was there for so long.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse)]
    idle_timeout: Duration,
}

/// Runs the verb.
///
/// # Errors
/// When a port is taken, or named twice.
pub fn run(args: Args) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    if let Some(own) = args.expose.iter().find(|port| [args.tunnel_port, args.health_port].contains(port)) {
        return Err(Failure::new(Code::Usage, format!("port {own} is the agent's own")));
    }
    block_on_alone(agent::run(Settings {
        secret: args.secret_sha256,
        tunnel: SocketAddr::from((Ipv4Addr::LOCALHOST, args.tunnel_port)),
        health: SocketAddr::from((Ipv4Addr::UNSPECIFIED, args.health_port)),
        expose: args.expose,
        first: (!args.bare).then_some(TAKEN),
        expose_on: args.expose_on,
        idle: args.idle_timeout,
    }))
}
