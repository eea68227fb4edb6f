//! `canaryctl forward`: a port of the cluster's on this machine.

use std::str::FromStr;
use std::time::Instant;

use canary_tunnel::{Client, Target, splice};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::connect::{AgentArgs, held, listen};
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::report::{self, Format};
use crate::develop::session::Session;
use crate::failure::{Code, Failure};
use crate::progress::seconds;
use crate::rights::Command;
use crate::signals;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Unlike `kubectl port-forward` it follows the Service, not one pod; it goes through the mesh where the namespace is
in one; it reaches any address that a pod reaches; and it comes back when the connection breaks. In a meshed namespace
HTTP goes by its host: curl -H host:cart http://127.0.0.1:8080/

Examples:
  canaryctl forward cart 8080:80
  canaryctl forward stock.shop 9000 9001
  canaryctl forward db.example.internal 5432 --lane gray")]
pub struct Args {
    /// A Service, as pods of the namespace call it, or any name or address.
    #[arg(value_name = "TARGET")]
    target: String,
    /// Its ports, each with the port of this machine before it where that is another; 0 takes a free one.
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    ports: Vec<Ports>,
    #[command(flatten)]
    agent: AgentArgs,
}

/// A port here, and one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) local: u16,
    pub(super) remote: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |_| format!("`{text}` is no port such as 80, or two such as 8080:80");
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let ports = Self { local: local.parse().map_err(wrong)?, remote: remote.parse().map_err(wrong)? };
        if ports.remote == 0 { Err("there is no port 0 to forward".into()) } else { Ok(ports) }
    }
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When a port is taken, the target cannot be, or the agent does not run or cannot be reached.
pub fn run(args: Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let host = ["svc/", "service/"].iter().find_map(|kind| args.target.strip_prefix(kind));
    let host = host.unwrap_or(&args.target);
    block_on(async {
        let mut forwards = Vec::new();
        for ports in &args.ports {
            let target = Target::new(host, ports.remote);
            let target = target.map_err(|error| Failure::new(Code::Usage, error))?;
            forwards.push((listen(ports.local).await?, target));
        }
        let cluster = Cluster::connect(cluster).await?;
        held(&cluster, Command::Forward, &args.agent).await?;
        let started = Instant::now();
        let format = args.agent.format();
        let wanted = args.agent.wanted("forward");
        let (session, _) = Session::start(&cluster, wanted, move |why| format.tell("waiting", why)).await?;
        let mut serving = JoinSet::new();
        for (listener, target) in forwards {
            let here = listener.local_addr().map_err(|error| Failure::new(Code::Failed, error))?;
            match format {
                Format::Text => anstream::println!("{here} → {target}  {}", seconds(started.elapsed())),
                Format::Json => report::line(&json!({
                    "event": "ready", "namespace": cluster.namespace, "pod": session.pod(),
                    "local": here.to_string(), "remote": target.to_string(),
                })),
            }
            serving.spawn(serve(listener, target, session.tunnel().clone(), format));
        }
        if format == Format::Text {
            anstream::println!("Ctrl-C ends it.");
        }
        let ended = tokio::select! {
            failure = report::follow(session.tunnel().status(), format) => Err(failure),
            () = signals::stopped() => Ok(()),
        };
        session.end().await;
        ended
    })
}

/// Passes each connection to a port of this machine on to the target.
pub(super) async fn serve(listener: TcpListener, target: Target, tunnel: Client, format: Format) {
    while let Ok((connection, _)) = listener.accept().await {
        let (target, tunnel) = (target.clone(), tunnel.clone());
        tokio::spawn(async move {
            match tunnel.dial(&target).await {
                Ok(stream) => drop(splice(connection, stream).await),
                Err(error) => {
                    // Whoever connected is to see that nobody was there.
                    let _ = connection.set_zero_linger();
                    format.tell("refused", &error.to_string());
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_typed_as_kubectl_takes_them() {
        for (text, want) in [
            ("80", Some((80, 80))),
            ("8080:80", Some((8080, 80))),
            ("0:80", Some((0, 80))),
            ("80:0", None),
            ("0", None),
            (":80", None),
            ("http", None),
            ("1:2:3", None),
            ("65536", None),
        ] {
            let read = text.parse::<Ports>().ok().map(|ports| (ports.local, ports.remote));
            assert_eq!(read, want, "{text}");
        }
    }
}
