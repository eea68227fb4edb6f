//! `connect --tun`: this machine in the cluster's network while the session lasts.

use std::os::fd::OwnedFd;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::TunArgs;
use crate::cluster::{Cluster, ClusterArgs};
use crate::develop::device::{Outside, Stack};
use crate::develop::network::Network;
use crate::develop::report::Format;
use crate::develop::session::Session;
use crate::develop::translation::{RESERVED, Translated};
use crate::develop::tun::{self, Asked, Brought, DEVICE, Held, Planned, Ready, Scope, Way};
use crate::failure::{Code, Failure};
use crate::progress::Printed;

/// Lists of names that wait for the helper.
const LISTS_MAX: usize = 1;

/// What is known and allowed before anything is in the cluster or on this machine.
pub(super) struct Prepared {
    planned: Planned,
    ready: Ready,
    format: Format,
}

/// This machine's device and names.
pub(super) struct Tun {
    brought: Brought,
    planned: Planned,
    lists: mpsc::Receiver<Vec<tun::Entry>>,
    network: Network,
}

/// Finds the ranges, refuses what cannot be, and starts what takes root.
pub(super) async fn prepare(
    args: &TunArgs,
    cluster: &Cluster,
    way: &ClusterArgs,
    format: Format,
) -> Result<Prepared, Failure> {
    let held = Held::new()?;
    let servers = way.servers().await?;
    let pool = args.translate.map(|pool| pool.unwrap_or(RESERVED));
    let asked = Asked { more: &args.cluster_range, skip: &args.skip_range, servers: &servers, pool };
    let planned = tun::plan(cluster, asked).await?;
    for lack in &planned.lacks {
        format.tell("lacking", lack);
    }
    Ok(Prepared { planned, ready: Ready::new(held).await?, format })
}

impl Prepared {
    /// Has the device made and serves it; names are known when it returns.
    pub(super) async fn bring(self, cluster: &Cluster, session: &Session) -> Result<Tun, Failure> {
        let (brought, device) = self.ready.make(&self.planned.routes, &cluster.namespace).await?;
        let network = Network::new(session.tunnel().clone()).translated(self.planned.translation.clone());
        serve(device, network.clone())?;
        let (tell, lists) = mpsc::channel(LISTS_MAX);
        let mut tun = Tun { brought, planned: self.planned, lists, network };
        if tun.brought.way() == Way::Hosts {
            let (client, namespace) = (cluster.client.clone(), cluster.namespace.clone());
            let scope = Scope::find(&client, &namespace).await;
            if scope == Scope::None {
                self.format.tell(
                    "lacking",
                    &format!("no names: you may not list Services and EndpointSlices in {namespace}"),
                );
            }
            let translation = tun.planned.translation.clone();
            tokio::spawn(tun::follow(client, namespace, scope, translation, tell));
            if let Some(entries) = tun.lists.recv().await
                && let Err(failure) = tun.brought.names(entries).await
            {
                tun.end().await;
                return Err(failure);
            }
        }
        Ok(tun)
    }
}

impl Tun {
    /// The cluster's, as this machine has it.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Keeps the names up to date until that fails.
    pub(super) async fn keep(&mut self) -> Failure {
        loop {
            tokio::select! {
                Some(entries) = self.lists.recv() => {
                    if let Err(failure) = self.brought.names(entries).await {
                        return failure;
                    }
                }
                failure = self.brought.gone() => return failure,
            }
        }
    }

    /// Puts this machine back as it was.
    pub(super) async fn end(self) {
        self.brought.end().await;
    }

    /// For programs.
    pub(super) fn event(&self) -> Value {
        let ranges: Vec<String> = self.planned.ranges.iter().map(ToString::to_string).collect();
        let translated: Vec<Value> = self.planned.translation.all().iter().map(translated).collect();
        json!({"device": DEVICE, "ranges": ranges, "translated": translated, "names": self.brought.way().name()})
    }

    /// For people.
    pub(super) fn print(&self, namespace: &str) {
        let ranges: Vec<String> = self.planned.ranges.iter().map(ToString::to_string).collect();
        let names = match self.brought.way() {
            Way::Resolved => format!("cluster.local, svc and {namespace}'s short ones, by systemd-resolved"),
            Way::Hosts => "of Services, in /etc/hosts while this runs".to_owned(),
        };
        let mut printed = Printed;
        let all = self.planned.translation.all();
        let here = all.iter().map(|one| one.here.to_string());
        let led: Vec<String> = ranges.into_iter().chain(here).collect();
        printed.line("ranges", &format!("{} through {DEVICE}, for every program", led.join(", ")));
        for (nth, one) in all.iter().enumerate() {
            let title = if nth == 0 { "translated" } else { "" };
            printed.line(title, &format!("the cluster's {} is {} here", one.range, one.here));
        }
        printed.line("names", &names);
        printed.line("any", "curl http://SERVICE/");
    }
}

fn translated(one: &Translated) -> Value {
    json!({"range": one.range.to_string(), "here": one.here.to_string()})
}

fn serve(device: OwnedFd, network: Network) -> Result<(), Failure> {
    let stack = Stack::new(device, Outside::cluster(network))
        .map_err(|error| Failure::new(Code::Failed, format!("cannot watch the network device: {error}")))?;
    tokio::spawn(async move {
        let error = stack.serve().await;
        tracing::warn!("the network device broke: {error}");
    });
    Ok(())
}
