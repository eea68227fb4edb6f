//! `canaryctl trace`: the way of one request through the mesh, and who lost its tag.

mod demo;
mod entry;
mod print;
mod send;
mod watch;

use std::time::Duration;

use canary_rules::inquiry;
use canary_rules::name::LaneName;
use canary_rules::trace::Mark;
use canary_trace::Trace;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::demo_mesh::DemoMesh;
use crate::failure::{Code, Failure};
use crate::output::TextOrJson;
use crate::rights::{self, Command};
use crate::trace_key::{Turn, now_unix_s};
use crate::traced::in_cluster::InCluster;
use crate::traced::mesh::{self, Mesh};
use crate::{duration, random, signals};
use demo::Demo;
use entry::Entry;
use send::{Sent, Target};

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl trace https://shop.example/cart --cookie gray=1
  canaryctl trace http://shop.example/cart --cookie gray=1 --through gateway
  canaryctl trace --watch --lane gray                               real users' flows, one in 5 seconds
  canaryctl demo --keep                                             without a cluster: in one terminal
  canaryctl trace http://localhost:8080/cart --cookie gray=1        in another one
  canaryctl trace http://localhost:8080 --watch --lane gray         or this one

Sends one request that is marked, so that every proxy on its way tells of it, and of no other request.
Applications do not see the mark. In a cluster proxies get a key for marks first, and lose it afterwards.
With --watch it sends nothing: gateways mark some of the lane's flows meanwhile, whoever sends them.
Exits with 3 where a tag was lost.")]
pub struct Args {
    /// What to request, at a gateway of the mesh; with --watch only to name a demo by its gateway.
    #[arg(value_name = "URL", required_unless_present = "watch")]
    url: Option<String>,
    /// Show flows that others send, as they come, until Ctrl-C.
    #[arg(long, requires = "lane", conflicts_with_all = ["cookie", "header", "through"])]
    watch: bool,
    /// The lane whose flows are watched.
    #[arg(long, value_name = "LANE", value_parser = LaneName::new, requires = "watch")]
    lane: Option<LaneName>,
    /// How often one is shown, at most.
    #[arg(long, default_value = "5s", value_parser = duration::parse, value_name = "TIME", requires = "watch")]
    every: Duration,
    /// End after so many flows.
    #[arg(long, value_name = "N", requires = "watch")]
    count: Option<u64>,
    /// A cookie as `name=value`; may be repeated.
    #[arg(long, value_name = "COOKIE")]
    cookie: Vec<String>,
    /// A header as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    header: Vec<String>,
    /// The method.
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,
    /// Enter at a gateway's pod, by the API server: `gateway` for any that is ready, or the pod's name. The request asks
    /// for the URL's host, which needs no address then.
    #[arg(long, value_name = "gateway|POD")]
    through: Option<String>,
    /// How long every proxy of a cluster may take to have the key.
    #[arg(long, default_value = "60s", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
    /// How long to listen for calls that are made after the response, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    late: u64,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

/// What came of it.
struct Traced {
    sent: Sent,
    /// The gateway's reason, where it decided as its rules say.
    reason: Option<String>,
    trace: Trace,
    /// Whose words are missing.
    unheard: Vec<String>,
}

/// Runs `trace`.
///
/// # Errors
/// A request that is none, no mesh to ask, no answer, or nothing told; and a tag that was lost.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    if let Some(lane) = &args.lane {
        return match block_on(watch(args, lane, cluster))? {
            0 => Ok(()),
            flows => Err(Failure::new(Code::Documents, format!("{flows} of these flows lost their tag"))),
        };
    }
    let traced = block_on(trace(args, cluster))?;
    match args.output {
        TextOrJson::Text => print::text(&traced),
        TextOrJson::Json => print::json(&traced)?,
    }
    match traced.trace.culprits.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Code::Documents, "the tag was lost at one place")),
        places => Err(Failure::new(Code::Documents, format!("the tag was lost at {places} places"))),
    }
}

async fn watch(args: &Args, lane: &LaneName, cluster: &ClusterArgs) -> Result<usize, Failure> {
    let Some(url) = &args.url else {
        return watch::cluster(args, lane, &Cluster::connect(cluster).await?).await;
    };
    let address = Target::read(url)?.address().await?;
    match DemoMesh::at(address.port()).filter(|_| address.ip().is_loopback()) {
        Some(mesh) => watch::demo(args, lane, &mesh).await,
        None => Err(Failure::new(
            Code::Usage,
            format!("no mesh of `canaryctl demo` has its gateway at {address}"),
        )
        .help(format!("canaryctl demo --keep; or, for a cluster: canaryctl trace --watch --lane {lane}"))),
    }
}

async fn trace(args: &Args, cluster: &ClusterArgs) -> Result<Traced, Failure> {
    let url = args.url.as_deref().unwrap_or_default();
    let request = send::request(args, url)?;
    let target = Target::read(url)?;
    if args.through.is_some() {
        return in_cluster(args, &request, &target, &Cluster::connect(cluster).await?).await;
    }
    let address = target.address().await?;
    if let Some(mesh) = DemoMesh::at(address.port()).filter(|_| address.ip().is_loopback()) {
        return take(args, &request, &target, &Demo::new(mesh), &Entry::At(address)).await;
    }
    let connected = Cluster::connect(cluster).await.map_err(|failure| match address.ip().is_loopback() {
        true => Failure::new(
            Code::Failed,
            format!("no mesh of `canaryctl demo` has its gateway at {address}, and {failure}"),
        )
        .help("canaryctl demo --keep, or name a cluster with --kubeconfig"),
        false => failure,
    })?;
    in_cluster(args, &request, &target, &connected).await
}

/// A trace in a cluster: its proxies have a key as long as it takes.
async fn in_cluster(
    args: &Args,
    request: &inquiry::Request,
    target: &Target,
    cluster: &Cluster,
) -> Result<Traced, Failure> {
    let besides = args.through.as_ref().map(|_| rights::command::THROUGH);
    rights::held(&cluster.client, Command::Trace, &[], besides.as_slice()).await?;
    let entry = match &args.through {
        Some(through) => Entry::through(cluster, through, target.port).await?,
        None => Entry::At(target.address().await?),
    };
    let turn = Turn::begin(&cluster.client, None).await?;
    let traced = async {
        turn.arrived(args.timeout).await?;
        let mesh = InCluster::new(&cluster.client, turn.key()).await?;
        take(args, request, target, &mesh, &entry).await
    };
    let traced = tokio::select! {
        traced = traced => traced,
        failure = turn.keep() => Err(failure),
        () = signals::stopped() => Err(Failure::silent(Code::Interrupted)),
    };
    match (traced, turn.end().await) {
        (Ok(_), Err(left)) => Err(left.context("the trace is taken, but its key ends later, by itself")),
        (traced, _) => traced,
    }
}

/// Sends the request and listens.
async fn take<M: Mesh>(
    args: &Args,
    request: &inquiry::Request,
    target: &Target,
    mesh: &M,
    entry: &Entry,
) -> Result<Traced, Failure> {
    let trace = fresh_trace()?;
    let mark = mesh.key().sign(Mark { trace, span: 0 });
    let sent = send::send(request, target, entry, &mark).await?;
    let (told, unheard) = mesh::follow(mesh, trace, Duration::from_secs(args.late), |records| records).await;
    if told.hops.is_empty() {
        let message = format!("{entry} answered {}, and no proxy told of it", sent.status);
        let message = unheard.iter().fold(message, |message, why| format!("{message}; {why}"));
        return Err(Failure::new(Code::Failed, message).help(
            "is that address an edge of this mesh? canaryctl status lists them; --through gateway asks one",
        ));
    }
    let reason = reason(mesh, request, &told)?;
    Ok(Traced { sent, reason, trace: told, unheard })
}

/// Why the gateway decided as it did, by the same rules; none where a user's draw made it decide otherwise.
fn reason(mesh: &impl Mesh, request: &inquiry::Request, told: &Trace) -> Result<Option<String>, Failure> {
    let Some(config) = mesh.edge() else { return Ok(None) };
    let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let edge = inquiry::edge(config.clone()).map_err(|error| failed(&error))?;
    let explained = inquiry::ask(&edge, request, mesh.client(), now_unix_s());
    let agrees = explained.decision.lane.map(|lane| lane.as_str()) == told.lane();
    Ok(agrees.then_some(explained.reason))
}

/// The number of a trace: drawn, so that it is nobody else's, and never 0.
fn fresh_trace() -> Result<u64, Failure> {
    Ok(u64::from_le_bytes(random::bytes()?).max(1))
}
