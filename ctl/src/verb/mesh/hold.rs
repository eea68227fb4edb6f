//! Holds services for as long as a verb runs: of each its Takeover, the agent, and the way from there to a process here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use canary_tunnel::Inbounds;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::core::{Expression, Selector};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::watch;

use super::dress::{self, Agent};
use super::plan::{Ports, Taken};
use super::serve::{Local, Serving};
use super::{own, words};
use crate::arrival::has_proxy;
use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::develop::job::Dress;
use crate::develop::report::{self, Format};
use crate::develop::session::{Session, Wanted};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::progress::seconds;
use crate::rights::command::{WITH_A_SERVICE, WITHOUT_IMAGE};
use crate::rights::{self, Command, Whose};
use crate::takeover::{By, LABEL, Takeover, passed, selected};
use crate::takeovers::{Place, Takeovers, once_over, who_am_i};
use crate::{output, signals, world};

/// How long the way back may take: until no proxy routes by it.
pub(super) const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What every verb that holds one service takes.
#[derive(Debug, clap::Args)]
pub(in crate::verb) struct HoldArgs {
    /// Where the process listens on this machine.
    #[arg(long, value_name = "[HOST:]PORT")]
    pub(in crate::verb) to: Local,
    #[command(flatten)]
    pub(in crate::verb) how: How,
}

/// How services are held, one or several.
#[derive(Debug, clap::Args)]
pub(in crate::verb) struct How {
    /// The agent's image; default the one that the installed controller runs.
    #[arg(long, value_name = "IMAGE", env = "CANARYCTL_IMAGE")]
    pub(in crate::verb) image: Option<String>,
    /// How long each step may take.
    #[arg(long, default_value = "60s", value_parser = duration::parse, value_name = "TIME")]
    pub(in crate::verb) timeout: Duration,
    /// How long the agent waits for this machine when it is away, as in sleep.
    #[arg(long, default_value = "5m", value_parser = duration::parse, value_name = "TIME")]
    pub(in crate::verb) keep: Duration,
    /// Print what would be asked of the cluster, and change nothing.
    #[arg(long)]
    pub(in crate::verb) dry_run: bool,
    /// How to tell what happens.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    pub(in crate::verb) output: Format,
}

impl How {
    /// Refuses whoever lacks the rights to a command, or more that it takes here, before anything of it is there.
    ///
    /// # Errors
    /// With the rights that are lacking.
    pub(in crate::verb) async fn held(
        &self,
        cluster: &Cluster,
        command: Command,
        more: Option<Whose>,
    ) -> Result<(), Failure> {
        let besides: Vec<Whose> =
            self.image.is_none().then_some(WITHOUT_IMAGE).into_iter().chain(more).collect();
        rights::held(&cluster.client, command, &[&cluster.namespace], &besides).await
    }
}

/// A service that is to be held, and what for.
#[derive(Debug)]
pub(in crate::verb) struct Wish {
    verb: &'static str,
    to: Local,
    service: Value,
    /// A pod of the service, if there is one.
    like: Option<Value>,
    taken: Taken,
    wanted: Value,
}

impl Wish {
    /// These ports of a service. Which Takeover that is, `wanted` says of what is taken.
    ///
    /// # Errors
    /// When there is no such service, or it cannot be taken.
    pub(in crate::verb) async fn read(
        cluster: &Cluster,
        verb: &'static str,
        (name, ports): (&str, Ports<'_>),
        to: &Local,
        wanted: impl FnOnce(&Taken) -> Result<Value, Failure>,
    ) -> Result<Self, Failure> {
        let service = service(cluster, name).await?;
        let pods = own_pods(cluster, &service).await?;
        let ports = match ports {
            ports if pods.is_empty() || pods.iter().any(has_proxy) => ports,
            Ports::Several(named) => Ports::Whole(named),
            _ => return Err(outside(&service, verb)),
        };
        let taken = Taken::read(&service, ports)?;
        let wanted = wanted(&taken)?;
        let like = pods.into_iter().next().and_then(|pod| serde_json::to_value(pod).ok());
        Ok(Self { verb, to: to.clone(), service, like, taken, wanted })
    }
}

/// Holds a service until Ctrl-C or something else ends it, and gives it back. Which Takeover that is, `wanted` says of
/// what is taken and who takes it.
///
/// # Errors
/// When it cannot be taken, the agent does not run or cannot be reached, or somebody ends it.
pub(in crate::verb) fn run(
    args: &HoldArgs,
    cluster: &ClusterArgs,
    verb: &'static str,
    of: (&str, Ports<'_>),
    wanted: impl FnOnce(&Taken, &str) -> Result<Value, Failure>,
) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let me = who_am_i(&cluster.client).await?;
        let wish = Wish::read(&cluster, verb, of, &args.to, |taken| wanted(taken, &me)).await?;
        all(&[wish], &args.how, &cluster).await
    })
}

/// Holds services until Ctrl-C, or until one of them cannot be held: then all are given back.
///
/// # Errors
/// As of the first that fails.
pub(in crate::verb) async fn all(wishes: &[Wish], how: &How, cluster: &Cluster) -> Result<(), Failure> {
    if how.dry_run {
        let wanted: Vec<Value> = wishes.iter().map(|wish| wish.wanted.clone()).collect();
        return output::objects(&wanted, output::Format::Yaml);
    }
    let has_a_service = |wish: &Wish| {
        let wanted = &wish.wanted;
        wanted["spec"]["mode"] == "mirror" || selected::is_asked_by(wanted) || passed::is_asked_by(wanted)
    };
    let more = wishes.iter().any(has_a_service).then_some(WITH_A_SERVICE);
    how.held(cluster, Command::Mesh, more).await?;
    // What is made from here on is taken back.
    signals::keep();
    let together = Together::new(wishes.len());
    let held = wishes.iter().map(|wish| async {
        let held = take(wish, how, cluster, &together).await;
        together.end();
        held
    });
    let failures: Vec<Failure> = join_all(held).await.into_iter().filter_map(Result::err).collect();
    // Who was told to end says less than who made them.
    let (told, own): (Vec<Failure>, Vec<Failure>) =
        failures.into_iter().partition(|failure| failure.code() == Code::Interrupted);
    own.into_iter().chain(told).next().map_or(Ok(()), Err)
}

/// Services that are held by one command: one that ends, ends all.
pub(super) struct Together {
    of: usize,
    coming: AtomicUsize,
    over: watch::Sender<bool>,
}

impl Together {
    fn new(of: usize) -> Self {
        Self { of, coming: AtomicUsize::new(of), over: watch::Sender::new(false) }
    }

    /// How many there are, once this was the last of them to come.
    pub(super) fn has_come(&self) -> Option<usize> {
        (self.coming.fetch_sub(1, Ordering::Relaxed) == 1).then_some(self.of)
    }

    fn end(&self) {
        self.over.send_replace(true);
    }

    /// Waits until Ctrl-C, or until another one ends.
    async fn ended(&self) {
        let mut over = self.over.subscribe();
        tokio::select! {
            () = signals::stopped() => {}
            // It lives as long as this does.
            _ = over.wait_for(|over| *over) => {}
        }
    }
}

async fn take(wish: &Wish, how: &How, cluster: &Cluster, together: &Together) -> Result<(), Failure> {
    let started = Instant::now();
    let takeovers = Takeovers::new(&cluster.client);
    let uid = wish.service["metadata"]["uid"].as_str().unwrap_or_default();
    let _claim = tokio::select! {
        claim = own::claim(cluster, &takeovers, &wish.wanted, uid, how.output) => claim?,
        () = together.ended() => return Err(Failure::silent(Code::Interrupted)),
    };
    let made = takeovers.create(&wish.wanted, false).await?;
    let place = Place::of(&made);
    let holding = Holding { wish, how, cluster, together, takeovers: &takeovers, place: &place };
    let (session, ended) = match holding.hold(started).await {
        Ok((session, ended)) => (Some(session), ended),
        Err(failure) => (None, Err(failure)),
    };
    let back = give_back(&takeovers, &place).await;
    if let Some((session, serving)) = session {
        if let Ok(took) = back {
            let over = once_over(&wish.wanted);
            how.output.tell("over", &format!("{place} is over: {over}.{}", seconds(took)));
        }
        serving.end().await;
        session.end().await;
    }
    ended.and(back.map(drop))
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

/// The pods of a Service, without agents.
async fn own_pods(cluster: &Cluster, service: &Value) -> Result<Vec<Pod>, Failure> {
    let labels = selected::own_selector(service);
    if labels.is_empty() {
        return Ok(Vec::new());
    }
    let mut own: Selector = labels.into_iter().collect();
    own.extend(Expression::DoesNotExist(LABEL.to_owned()));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let found = pods.list(&ListParams::default().labels_from(&own)).await;
    let mut found = found.map_err(|error| api_failure("list the service's pods", &error))?.items;
    found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(found)
}

/// What is said of a service whose requests cannot be told apart, for no proxy carries them.
fn outside(service: &Value, verb: &str) -> Failure {
    let Place { namespace, name } = Place::of(service);
    let what = format!(
        "cannot {verb} {namespace}/{name}: its pods have no sidecar, and outside the mesh requests are not told apart"
    );
    Failure::new(Code::Failed, what).help(format!(
        "canaryctl -n {namespace} exchange {name} --to PORT takes all of them; or bring it into the mesh: \
         kubectl label namespace {namespace} istio-injection=enabled, and restart its pods"
    ))
}

type Held = (Session, Serving);

/// What is held.
struct Holding<'a> {
    wish: &'a Wish,
    how: &'a How,
    cluster: &'a Cluster,
    together: &'a Together,
    takeovers: &'a Takeovers,
    place: &'a Place,
}

impl Holding<'_> {
    /// Has the requests until something ends it; what has to be ended is returned.
    async fn hold(&self, started: Instant) -> Result<(Held, Result<(), Failure>), Failure> {
        let Self { wish, how, place, together, .. } = *self;
        let object = tokio::select! {
            programmed = self.takeovers.programmed(place, how.timeout) => programmed?,
            () = together.ended() => return Err(Failure::silent(Code::Interrupted)),
        };
        let takeover = Takeover::deserialize(&object).map_err(|error| Failure::new(Code::Failed, error))?;
        let (session, inbounds) = self.start(&takeover, &object).await?;
        let serving = Serving::start(inbounds, wish.to.clone(), how.output, words::otherwise(&takeover));
        let ended = async {
            let pod = session.pod();
            tokio::select! {
                arrived = self.takeovers.arrived(place, &pod, how.timeout) => arrived?,
                () = together.ended() => return Err(Failure::silent(Code::Interrupted)),
            }
            let what = (&wish.taken, &wish.to);
            words::ready(how.output, what, &takeover, &self.cluster.client, started.elapsed(), together)
                .await;
            tokio::select! {
                failure = report::follow(session.tunnel().status(), how.output) => Err(failure),
                failure = self.takeovers.lost(place) => Err(failure),
                () = together.ended() => Ok(()),
            }
        };
        let ended = ended.await;
        Ok(((session, serving), ended))
    }

    async fn start(&self, takeover: &Takeover, object: &Value) -> Result<(Session, Inbounds), Failure> {
        let Self { wish, how, cluster, .. } = *self;
        let tag_header = object["status"]["tagHeader"].as_str().unwrap_or("x-canary-lane").to_owned();
        let (taken, takeover, like) = (wish.taken.clone(), takeover.clone(), wish.like.clone());
        let is_meshed = takeover.spec.by == By::Routes;
        let dress = move |job| {
            dress::dressed(job, &taken, &takeover, &Agent { like: like.as_ref(), tag_header: &tag_header })
        };
        let wanted = Wanted {
            image: how.image.clone(),
            purpose: wish.verb,
            expose: vec![dress::LAPTOP_PORT],
            is_meshed,
            dress: Some(Dress(Arc::new(dress))),
            idle: how.keep,
            timeout: how.timeout,
            ..Wanted::default()
        };
        let format = how.output;
        Session::start(cluster, wanted, move |why| format.tell("waiting", why)).await
    }
}

/// Ends the Takeover and waits until no proxy routes by it; returns how long that took.
async fn give_back(takeovers: &Takeovers, place: &Place) -> Result<Duration, Failure> {
    let started = Instant::now();
    takeovers.delete(place).await?;
    takeovers.gone(place, BACK_WITHIN).await?;
    Ok(started.elapsed())
}
