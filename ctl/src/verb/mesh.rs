//! `canaryctl mesh`: the requests of a service that a rule matches go to a process on this machine.

mod own;
mod plan;
mod serve;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
use canary_tunnel::Inbounds;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::develop::job::Dress;
use crate::develop::report::{self, Format};
use crate::develop::session::{Session, Wanted};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::progress::seconds;
use crate::takeover::Takeover;
use crate::takeovers::{Place, Takeovers, who_am_i};
use crate::verb::enable::document::RuleArgs;
use crate::{output, signals, world};
use plan::{Agent, Taken};
use serve::Local;

/// How long the way back may take: until no proxy routes by the lane.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// The header by which requests are told, where no rule is given.
const HEADER: &str = "x-dev";

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only requests that the rule matches come here, from whichever service calls, with their tag: what your process
calls in turn goes on in your lane. Everybody else keeps the service as it is, and so do you where your process
does not answer. Several developers can have one service, each with a rule of their own.

Ctrl-C ends it and puts everything back. If this machine vanishes the service's own pods answer within 20 s, and
what is left in the cluster ends by itself.

Examples:
  canaryctl mesh cart --to 8080                       requests with the header x-dev: YOU
  canaryctl mesh cart --to 8080 --cookie dev=alice    those of a browser with this cookie
  canaryctl -n shop mesh cart --port 80 --to 127.0.0.1:9000
  canaryctl dev list                                  who has what")]
pub struct Args {
    /// The Service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Where the process listens on this machine.
    #[arg(long, value_name = "[HOST:]PORT")]
    to: Local,
    /// The Service's port; needed where it has several.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    rules: RuleArgs,
    /// The lane that carries them; default dev-YOU. Several services may share one.
    #[arg(long, value_name = "LANE", value_parser = LaneName::new)]
    lane: Option<LaneName>,
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

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When the service cannot be taken, the agent does not run or cannot be reached, or somebody ends it.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let me = who_am_i(&cluster.client).await?;
        let service = service(&cluster, &args.service).await?;
        let taken = Taken::read(&service, args.port)?;
        let wanted = wanted(args, &taken, &me)?;
        if args.dry_run {
            return output::objects(&[wanted], output::Format::Yaml);
        }
        // What is made from here on is taken back.
        signals::keep();
        let started = Instant::now();
        let takeovers = Takeovers::new(&cluster.client);
        let uid = service["metadata"]["uid"].as_str().unwrap_or_default();
        let _claim = tokio::select! {
            claim = own::claim(&cluster, &takeovers, &wanted, uid, args.output) => claim?,
            () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
        };
        let made = takeovers.create(&wanted, false).await?;
        let place = Place::of(&made);
        let held = hold(args, &cluster, &takeovers, &taken, &place, started).await;
        let (session, ended) = match held {
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
    })
}

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

/// The Takeover that is asked for.
fn wanted(args: &Args, taken: &Taken, me: &str) -> Result<Value, Failure> {
    let short = words::short_name(me);
    let (mut rules, _) = args.rules.rules()?;
    if rules.is_empty() {
        rules.push(json!({"when": {"header": {"name": HEADER, "exact": short}}}));
    }
    for rule in &mut rules {
        // Who stops saying so is out at once.
        rule["sticky"] = false.into();
    }
    let lane = match &args.lane {
        Some(lane) => lane.clone(),
        None => LaneName::new(&format!("dev-{short}")).map_err(|error| {
            Failure::new(Code::Usage, format!("you are {me}, which makes no lane: {error}"))
                .help("name one with --lane NAME")
        })?,
    };
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(taken.takeover(lane.as_str(), &rules, me, &machine))
}

type Held = (Session, tokio::task::JoinHandle<()>);

/// Has the requests until something ends it; what has to be ended is returned.
async fn hold(
    args: &Args,
    cluster: &Cluster,
    takeovers: &Takeovers,
    taken: &Taken,
    place: &Place,
    started: Instant,
) -> Result<(Held, Result<(), Failure>), Failure> {
    let object = tokio::select! {
        programmed = takeovers.programmed(place, args.timeout) => programmed?,
        () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
    };
    let takeover = Takeover::deserialize(&object).map_err(|error| Failure::new(Code::Failed, error))?;
    let (session, inbounds) = start(args, cluster, taken, &takeover, &object).await?;
    let serving = tokio::spawn(serve::serve(inbounds, args.to.clone(), args.output));
    let ended = async {
        let pod = session.pod();
        tokio::select! {
            arrived = takeovers.arrived(place, &pod, args.timeout) => arrived?,
            () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
        }
        words::ready(args.output, &args.to, &takeover, &cluster.client, started.elapsed()).await;
        tokio::select! {
            failure = report::follow(session.tunnel().status(), args.output) => Err(failure),
            failure = takeovers.lost(place) => Err(failure),
            () = signals::stopped() => Ok(()),
        }
    };
    let ended = ended.await;
    Ok(((session, serving), ended))
}

async fn start(
    args: &Args,
    cluster: &Cluster,
    taken: &Taken,
    takeover: &Takeover,
    object: &Value,
) -> Result<(Session, Inbounds), Failure> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let own = pods.list(&ListParams::default().labels(&taken.own_pods()).limit(1)).await;
    let own = own.map_err(|error| api_failure("list the service's pods", &error))?.items.into_iter().next();
    let like = own.and_then(|pod| serde_json::to_value(pod).ok());
    let tag_header = object["status"]["tagHeader"].as_str().unwrap_or("x-canary-lane").to_owned();
    let (taken, takeover) = (taken.clone(), takeover.clone());
    let dress = move |job| {
        plan::dressed(job, &taken, &takeover, &Agent { like: like.as_ref(), tag_header: &tag_header })
    };
    let wanted = Wanted {
        image: args.image.clone(),
        purpose: "mesh",
        expose: vec![plan::LAPTOP_PORT],
        is_meshed: true,
        dress: Some(Dress(Arc::new(dress))),
        idle: args.keep,
        timeout: args.timeout,
        ..Wanted::default()
    };
    let format = args.output;
    Session::start(cluster, wanted, move |why| format.tell("waiting", why)).await
}

/// Ends the Takeover and waits until no proxy routes by it.
async fn give_back(takeovers: &Takeovers, place: &Place, format: Format) -> Result<(), Failure> {
    let started = Instant::now();
    takeovers.delete(place).await?;
    takeovers.gone(place, BACK_WITHIN).await?;
    format.tell("over", &format!("{place} is over: no proxy routes by it.{}", seconds(started.elapsed())));
    Ok(())
}
