//! Holds a service for as long as a verb runs: its Takeover, the agent, and the way from there to a process here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use canary_tunnel::Inbounds;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde::Deserialize as _;
use serde_json::Value;

use super::plan::{self, Agent, Ports, Taken};
use super::serve::{self, Local};
use super::{own, words};
use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::develop::job::Dress;
use crate::develop::report::{self, Format};
use crate::develop::session::{Session, Wanted};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::progress::seconds;
use crate::rights::command::WITHOUT_IMAGE;
use crate::rights::{self, Command};
use crate::takeover::Takeover;
use crate::takeovers::{Place, Takeovers, who_am_i};
use crate::{output, signals, world};

/// How long the way back may take: until no proxy routes by it.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What every verb that holds a service takes.
#[derive(Debug, clap::Args)]
pub(in crate::verb) struct HoldArgs {
    /// Where the process listens on this machine.
    #[arg(long, value_name = "[HOST:]PORT")]
    to: Local,
    /// The agent's image; default the one that the installed controller runs.
    #[arg(long, value_name = "IMAGE", env = "CANARYCTL_IMAGE")]
    image: Option<String>,
    /// How long each step may take.
    #[arg(long, default_value = "60s", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
    /// How long the agent waits for this machine when it is away, as in sleep.
    #[arg(long, default_value = "5m", value_parser = duration::parse, value_name = "TIME")]
    keep: Duration,
    /// Print what would be asked of the cluster, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// How to tell what happens.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

/// Takes these ports of a service until Ctrl-C or something else ends it, and gives it back. Which Takeover that is,
/// `wanted` says of what is taken and who takes it.
///
/// # Errors
/// When it cannot be taken, the agent does not run or cannot be reached, or somebody ends it.
pub(in crate::verb) fn run(
    args: &HoldArgs,
    cluster: &ClusterArgs,
    verb: &'static str,
    (name, ports): (&str, Ports<'_>),
    wanted: impl FnOnce(&Taken, &str) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let me = who_am_i(&cluster.client).await?;
        let service = service(&cluster, name).await?;
        let taken = Taken::read(&service, ports)?;
        let wanted = wanted(&taken, &me)?;
        take(args, &cluster, verb, &service, &taken, &wanted).await
    })
}

async fn take(
    args: &HoldArgs,
    cluster: &Cluster,
    verb: &'static str,
    service: &Value,
    taken: &Taken,
    wanted: &Value,
) -> Result<(), Failure> {
    if args.dry_run {
        return output::objects(std::slice::from_ref(wanted), output::Format::Yaml);
    }
    let image = args.image.is_none().then_some(WITHOUT_IMAGE);
    let besides: Vec<_> = image.into_iter().collect();
    rights::held(&cluster.client, Command::Mesh, &[&cluster.namespace], &besides).await?;
    // What is made from here on is taken back.
    signals::keep();
    let started = Instant::now();
    let takeovers = Takeovers::new(&cluster.client);
    let uid = service["metadata"]["uid"].as_str().unwrap_or_default();
    let _claim = tokio::select! {
        claim = own::claim(cluster, &takeovers, wanted, uid, args.output) => claim?,
        () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
    };
    let made = takeovers.create(wanted, false).await?;
    let place = Place::of(&made);
    let holding = Holding { args, cluster, verb, takeovers: &takeovers, taken, place: &place };
    let (session, ended) = match holding.hold(started).await {
        Ok((session, ended)) => (Some(session), ended),
        Err(failure) => (None, Err(failure)),
    };
    let back = give_back(&takeovers, &place, args.output).await;
    if let Some((session, serving)) = session {
        // Requests under way are answered until no proxy sends any more.
        serving.abort();
        session.end().await;
    }
    ended.and(back)
}

/// This machine's name.
pub(in crate::verb) fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A Service of the namespace by its name.
async fn service(cluster: &Cluster, name: &str) -> Result<Value, Failure> {
    let namespace = cluster.namespace.as_str();
    let name = ["svc/", "service/"].iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name);
    let found = world::get(&cluster.client, "v1", "Service", Some(namespace), name).await;
    let found = found.map_err(|error| api_failure(&format!("read Service {namespace}/{name}"), &error))?;
    found.ok_or_else(|| {
        Failure::new(Code::Failed, format!("there is no Service {namespace}/{name}"))
            .help(format!("kubectl -n {namespace} get services; another namespace: -n NAME"))
    })
}

type Held = (Session, tokio::task::JoinHandle<()>);

/// What is held.
struct Holding<'a> {
    args: &'a HoldArgs,
    cluster: &'a Cluster,
    verb: &'static str,
    takeovers: &'a Takeovers,
    taken: &'a Taken,
    place: &'a Place,
}

impl Holding<'_> {
    /// Has the requests until something ends it; what has to be ended is returned.
    async fn hold(&self, started: Instant) -> Result<(Held, Result<(), Failure>), Failure> {
        let (args, place) = (self.args, self.place);
        let object = tokio::select! {
            programmed = self.takeovers.programmed(place, args.timeout) => programmed?,
            () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
        };
        let takeover = Takeover::deserialize(&object).map_err(|error| Failure::new(Code::Failed, error))?;
        let (session, inbounds) = self.start(&takeover, &object).await?;
        let serving = tokio::spawn(serve::serve(inbounds, args.to.clone(), args.output));
        let ended = async {
            let pod = session.pod();
            tokio::select! {
                arrived = self.takeovers.arrived(place, &pod, args.timeout) => arrived?,
                () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
            }
            words::ready(args.output, &args.to, &takeover, &self.cluster.client, started.elapsed()).await;
            tokio::select! {
                failure = report::follow(session.tunnel().status(), args.output) => Err(failure),
                failure = self.takeovers.lost(place) => Err(failure),
                () = signals::stopped() => Ok(()),
            }
        };
        let ended = ended.await;
        Ok(((session, serving), ended))
    }

    async fn start(&self, takeover: &Takeover, object: &Value) -> Result<(Session, Inbounds), Failure> {
        let cluster = self.cluster;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
        let own = pods.list(&ListParams::default().labels(&self.taken.own_pods()).limit(1)).await;
        let own = own.map_err(|error| api_failure("list the service's pods", &error))?;
        let like = own.items.into_iter().next().and_then(|pod| serde_json::to_value(pod).ok());
        let tag_header = object["status"]["tagHeader"].as_str().unwrap_or("x-canary-lane").to_owned();
        let (taken, takeover) = (self.taken.clone(), takeover.clone());
        let dress = move |job| {
            plan::dressed(job, &taken, &takeover, &Agent { like: like.as_ref(), tag_header: &tag_header })
        };
        let wanted = Wanted {
            image: self.args.image.clone(),
            purpose: self.verb,
            expose: vec![plan::LAPTOP_PORT],
            is_meshed: true,
            dress: Some(Dress(Arc::new(dress))),
            idle: self.args.keep,
            timeout: self.args.timeout,
            ..Wanted::default()
        };
        let format = self.args.output;
        Session::start(cluster, wanted, move |why| format.tell("waiting", why)).await
    }
}

/// Ends the Takeover and waits until no proxy routes by it.
async fn give_back(takeovers: &Takeovers, place: &Place, format: Format) -> Result<(), Failure> {
    let started = Instant::now();
    takeovers.delete(place).await?;
    takeovers.gone(place, BACK_WITHIN).await?;
    format.tell("over", &format!("{place} is over: no proxy routes by it.{}", seconds(started.elapsed())));
    Ok(())
}
