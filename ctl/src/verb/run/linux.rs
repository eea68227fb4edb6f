//! The session, the namespace and the program, from the beginning of the first to the end of the last.

use rustix::process::Pid;

use super::Args;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::netns::{Outside, Prepared, Stack};
use crate::develop::report::{self, Format};
use crate::develop::session::Session;
use crate::failure::{Code, Failure};
use crate::rights::Command;
use crate::signals;

/// Runs the program; returns what it exits with.
pub(super) fn run(args: &Args, cluster: &ClusterArgs) -> Result<u8, Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        args.launch.held(&cluster, Command::Run, &[]).await?;
        // Whether the system allows it is known before anything is in the cluster.
        let prepared = Prepared::new(&args.command, []).await?;
        let wanted = args.launch.wanted("run");
        let (session, _) = Session::start(&cluster, wanted, |why| Format::Text.tell("waiting", why)).await?;
        let ended = program(args, &session, prepared).await;
        signals::leave_to(None);
        session.end().await;
        ended
    })
}

async fn program(args: &Args, session: &Session, prepared: Prepared) -> Result<u8, Failure> {
    let (mut running, device) = prepared.go()?;
    signals::leave_to(running.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let outside = Outside::new(session.tunnel().clone(), args.cluster_range.clone());
    let stack = Stack::new(device, outside)
        .map_err(|error| Failure::new(Code::Failed, format!("cannot watch the network device: {error}")))?;
    tokio::spawn(async move {
        let error = stack.serve().await;
        tracing::warn!("the network device broke: {error}");
    });
    let status = session.tunnel().status();
    // The program decides what it does without a cluster.
    let telling = tokio::spawn(async { report::follow(status, Format::Text).await.print() });
    let ended = running.ended().await;
    telling.abort();
    ended.map_err(|error| Failure::new(Code::Failed, error))
}
