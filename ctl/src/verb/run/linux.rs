//! The session, the namespace and the program, from the beginning of the first to the end of the last.

use std::time::Duration;

use rustix::process::Pid;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::Args;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::device::{Outside, Ports, Stack};
use crate::develop::environment::Environment;
use crate::develop::netns::Prepared;
use crate::develop::network::Network;
use crate::develop::report::{self, Format};
use crate::develop::session::Session;
use crate::develop::workload;
use crate::failure::{Code, Failure};
use crate::rights::Command;
use crate::signals;
use crate::verb::connect::listen;

/// How long what a program has sent may go on its way once it has ended.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// Runs the program; returns what it exits with.
pub(super) fn run(args: &Args, cluster: &ClusterArgs) -> Result<u8, Failure> {
    block_on(async {
        let mut published = Vec::with_capacity(args.publish.len());
        for ports in &args.publish {
            published.push((listen(ports.local).await?, ports.remote));
        }
        let cluster = Cluster::connect(cluster).await?;
        args.launch.held(&cluster, Command::Run, &[]).await?;
        let environment = match &args.env_of {
            Some(workload) => workload::environment(&cluster, workload, &args.which).await?,
            None => Environment::default(),
        };
        workload::tell_left_out(&environment.left_out);
        // Whether the system allows it is known before anything is in the cluster.
        let prepared = Prepared::new(&args.command, environment.for_this_machine()).await?;
        let wanted = args.launch.wanted("run");
        let (session, _) = Session::start(&cluster, wanted, |why| Format::Text.tell("waiting", why)).await?;
        let ended = program(args, &session, prepared, published).await;
        signals::leave_to(None);
        session.end().await;
        ended
    })
}

async fn program(
    args: &Args,
    session: &Session,
    prepared: Prepared,
    published: Vec<(TcpListener, u16)>,
) -> Result<u8, Failure> {
    let (mut running, device) = prepared.go()?;
    signals::leave_to(running.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let outside = Outside::new(Network::new(session.tunnel().clone()), args.cluster_range.clone());
    let stack = Stack::new(device, outside)
        .map_err(|error| Failure::new(Code::Failed, format!("cannot watch the network device: {error}")))?;
    for (listener, port) in published {
        tokio::spawn(publish(listener, port, stack.ports()));
    }
    let mut unfinished = stack.unfinished();
    tokio::spawn(async move {
        let error = stack.serve().await;
        tracing::warn!("the network device broke: {error}");
    });
    let status = session.tunnel().status();
    // The program decides what it does without a cluster.
    let telling = tokio::spawn(async { report::follow(status, Format::Text).await.print() });
    let ended = running.ended().await;
    // The kernel sends what a program has written after its end, too.
    let _ = timeout(LAST_BYTES, unfinished.wait_for(|unfinished| *unfinished == 0)).await;
    telling.abort();
    ended.map_err(|error| Failure::new(Code::Failed, error))
}

async fn publish(listener: TcpListener, port: u16, ports: Ports) {
    while let Ok((connection, _)) = listener.accept().await {
        ports.connect(connection, port);
    }
}
