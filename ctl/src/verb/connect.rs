//! `canaryctl connect`: this machine's programs reach the cluster's Services and pods.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
mod loopback;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
#[cfg(not(target_os = "linux"))]
use elsewhere as tun;
#[cfg(target_os = "linux")]
use linux as tun;
use loopback::Loopback;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::network::Network;
use crate::develop::proxy::{self, PAC_PATH};
use crate::develop::range::Range;
use crate::develop::report::{self, Format};
use crate::develop::session::{Session, Wanted};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::progress::{Printed, seconds};
use crate::rights::command::{WITH_LOOPBACK, WITH_TUN, WITHOUT_IMAGE};
use crate::rights::{self, Command, Whose};
use crate::signals;

/// What every verb that brings an agent into the cluster takes.
#[derive(Debug, clap::Args)]
pub struct LaunchArgs {
    /// The agent's image; default the one that the installed controller runs.
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Give every flow that starts here the colour of this lane.
    #[arg(long, value_name = "LANE", value_parser = LaneName::new)]
    lane: Option<LaneName>,
    /// How long the agent may take to run and to be reached.
    #[arg(long, default_value = "60s", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
    /// How long the agent waits for this machine when it is away, as in sleep; a new one is made after that.
    #[arg(long, default_value = "5m", value_parser = duration::parse, value_name = "TIME")]
    keep: Duration,
}

/// The same, of one that serves until Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    #[command(flatten)]
    launch: LaunchArgs,
    /// How to tell what happens.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

impl AgentArgs {
    /// How to tell what happens.
    #[must_use]
    pub fn format(&self) -> Format {
        self.output
    }

    /// What the agent is to be.
    #[must_use]
    pub fn wanted(&self, purpose: &'static str) -> Wanted {
        self.launch.wanted(purpose)
    }
}

impl LaunchArgs {
    /// What the agent is to be.
    #[must_use]
    pub fn wanted(&self, purpose: &'static str) -> Wanted {
        Wanted {
            image: self.image.clone(),
            purpose,
            lane: self.lane.as_ref().map(|lane| lane.as_str().to_owned()),
            idle: self.keep,
            timeout: self.timeout,
            ..Wanted::default()
        }
    }

    /// Refuses whoever lacks the rights to a command, before anything of it is there.
    ///
    /// # Errors
    /// With the rights that are lacking.
    pub(super) async fn held(
        &self,
        cluster: &Cluster,
        command: Command,
        more: &[Whose],
    ) -> Result<(), Failure> {
        let mut besides = more.to_vec();
        besides.extend(self.image.is_none().then_some(WITHOUT_IMAGE));
        rights::held(&cluster.client, command, &[&cluster.namespace], &besides).await
    }
}

/// Refuses whoever cannot bring an agent into the cluster, before anything of it is there.
///
/// # Errors
/// With the rights that are lacking.
pub(super) async fn held(cluster: &Cluster, command: Command, agent: &AgentArgs) -> Result<(), Failure> {
    agent.launch.held(cluster, command, &[]).await
}

/// This machine in the cluster's network.
#[derive(Debug, clap::Args)]
pub struct TunArgs {
    /// Have every program of this machine reach the cluster, with no proxy: a network device, routes to the cluster's
    /// ranges and its names. Takes root, by sudo; Linux only.
    #[arg(long)]
    tun: bool,
    /// With --tun: addresses that are the cluster's, as 10.244.0.0/16, beside those that its API names; may be repeated.
    #[arg(long, value_name = "CIDR", requires = "tun")]
    cluster_range: Vec<Range>,
    /// With --tun: addresses that are this machine's, though the cluster has them, too; may be repeated.
    #[arg(long, value_name = "CIDR", requires = "tun")]
    skip_range: Vec<Range>,
    /// With --tun: have the cluster's ranges that this machine reaches already, which are refused otherwise, at other
    /// addresses here: of 240.0.0.0/4, which hardly a network has, or of a range that is named, as in
    /// --translate=198.18.0.0/15.
    #[arg(long, value_name = "CIDR", requires = "tun", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "not there, there, there with a value: as clap has it")]
    translate: Option<Option<Range>>,
}

/// What replaces the right to look.
const SAY_RANGES: &str = "say the ranges yourself: --cluster-range 10.96.0.0/12 --cluster-range 10.244.0.0/16; \
                          canaryctl rbac connect prints the rights, for somebody who may grant them";

/// What is said where there is no such device.
#[cfg(not(target_os = "linux"))]
pub(super) fn elsewhere() -> Failure {
    Failure::new(Code::Failed, "connect --tun needs a network device of Linux")
        .help("without --tun it serves programs that know a proxy; canaryctl forward those that do not")
}

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes a small pod in the namespace, the agent, and serves SOCKS5 and HTTP proxying on one port of this machine,
for this machine alone. Names are resolved in the cluster: `cart`, `cart.shop`, `cart.shop.svc.cluster.local`, and
addresses of Services and pods. Nothing of this machine's network, DNS or hosts file is changed, no root is needed,
but with --tun: every program reaches the cluster then, and all is put back at the end, whatever ends it.
The agent has a sidecar where the namespace's pods have one, so STRICT mutual TLS and policies hold for it as for them.

Ctrl-C ends it and takes the agent away. An agent that lost this machine ends by itself.

Examples:
  canaryctl connect -n shop
  curl -x socks5h://127.0.0.1:1080 http://cart/
  canaryctl connect -n shop --lane gray        every request that starts here is in lane gray
  canaryctl connect -n shop --loopback         each Service at an address of its own here, with its ports
  canaryctl connect -n shop --tun              every program: curl http://cart/
  canaryctl connect --tun --skip-range 10.244.1.0/24
  canaryctl connect --tun --translate          where this machine has a use of its own for the cluster's addresses")]
pub struct Args {
    /// The port of this machine that serves; 0 takes a free one.
    #[arg(long, default_value_t = 1080, value_name = "PORT")]
    port: u16,
    /// Have each Service of the namespace at an address of this machine's own, 127.…, with its ports, for programs that
    /// know no proxy. Without root, ports below 1024 are at 10000 more.
    #[arg(long, conflicts_with = "tun")]
    loopback: bool,
    #[command(flatten)]
    tun: TunArgs,
    #[command(flatten)]
    agent: AgentArgs,
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When the port is taken, or the agent does not run or cannot be reached.
pub fn run(args: Args, way: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let listener = listen(args.port).await?;
        let here = listener.local_addr().map_err(|error| Failure::new(Code::Failed, error))?;
        let cluster = Cluster::connect(way).await?;
        let more: &[Whose] = if args.loopback { &[WITH_LOOPBACK] } else { &[] };
        args.agent.launch.held(&cluster, Command::Connect, more).await?;
        if args.tun.tun && args.tun.cluster_range.is_empty() {
            let held = args.agent.launch.held(&cluster, Command::Connect, &[WITH_TUN]).await;
            held.map_err(|failure| failure.help(SAY_RANGES))?;
        }
        let format = args.agent.format();
        let prepared = match args.tun.tun {
            true => Some(tun::prepare(&args.tun, &cluster, way, format).await?),
            false => None,
        };
        let started = Instant::now();
        let wanted = args.agent.wanted("connect");
        let (session, _) = Session::start(&cluster, wanted, move |why| format.tell("waiting", why)).await?;
        let served = serve(&args, &cluster, &session, prepared, (listener, here, started)).await;
        session.end().await;
        served
    })
}

/// Serves until Ctrl-C, or until it cannot go on.
async fn serve(
    args: &Args,
    cluster: &Cluster,
    session: &Session,
    prepared: Option<tun::Prepared>,
    (listener, here, started): (TcpListener, SocketAddr, Instant),
) -> Result<(), Failure> {
    let mut besides = match prepared {
        Some(prepared) => Besides::Tun(prepared.bring(cluster, session).await?),
        None if args.loopback => {
            let loopback = Loopback::bring(cluster, session.tunnel().clone(), args.agent.format()).await?;
            Besides::Loopback(Box::new(loopback))
        }
        None => Besides::Nothing,
    };
    ready(args, session, &cluster.namespace, (here, &besides), started.elapsed());
    let network = match &besides {
        Besides::Tun(tun) => tun.network().clone(),
        Besides::Nothing | Besides::Loopback(_) => Network::new(session.tunnel().clone()),
    };
    let ended = tokio::select! {
        () = proxy::serve(listener, network) => Ok(()),
        failure = report::follow(session.tunnel().status(), args.agent.format()) => Err(failure),
        failure = besides.keep() => Err(failure),
        () = signals::stopped() => Ok(()),
    };
    if let Besides::Tun(tun) = besides {
        tun.end().await;
    }
    ended
}

/// A port of this machine, for this machine alone.
pub(super) async fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        Failure::new(Code::Failed, format!("cannot listen on 127.0.0.1:{port}: {error}"))
            .help("name another port; 0 takes a free one")
    })
}

/// What there is besides the proxies.
enum Besides {
    Nothing,
    Tun(tun::Tun),
    Loopback(Box<Loopback>),
}

impl Besides {
    /// Keeps it up to date until that fails.
    async fn keep(&mut self) -> Failure {
        match self {
            Self::Nothing => pending().await,
            Self::Tun(tun) => tun.keep().await,
            Self::Loopback(loopback) => match loopback.keep().await {},
        }
    }
}

fn ready(
    args: &Args,
    session: &Session,
    namespace: &str,
    (here, besides): (SocketAddr, &Besides),
    took: Duration,
) {
    let lane = args.agent.launch.lane.as_ref().map(LaneName::as_str);
    if args.agent.output == Format::Json {
        let (tun, services) = match besides {
            Besides::Nothing => (None, None),
            Besides::Tun(tun) => (Some(tun.event()), None),
            Besides::Loopback(loopback) => (None, Some(loopback.events())),
        };
        return report::line(&json!({
            "event": "ready", "namespace": namespace, "pod": session.pod(), "lane": lane,
            "socks": format!("socks5h://{here}"), "http": format!("http://{here}"),
            "pac": format!("http://{here}{PAC_PATH}"), "tun": tun, "services": services,
        }));
    }
    let lane = lane.map(|lane| format!(", in lane {lane}")).unwrap_or_default();
    anstream::println!("Connected to {namespace}{lane}, through pod {} {}", session.pod(), seconds(took));
    match besides {
        Besides::Nothing => {}
        Besides::Tun(tun) => tun.print(namespace),
        Besides::Loopback(loopback) => loopback.print(),
    }
    let (host, port) = (here.ip(), here.port());
    let mut printed = Printed;
    printed.line("shells", &format!("export ALL_PROXY=socks5h://{here} HTTP_PROXY=http://{here} \\"));
    printed.line("", &format!("  HTTPS_PROXY=http://{here} NO_PROXY=localhost,127.0.0.1"));
    printed.line("curl", &format!("curl -x socks5h://{here} http://SERVICE/"));
    printed.line("JVM", &format!("-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} \\"));
    printed.line("", &format!("  -Dhttps.proxyHost={host} -Dhttps.proxyPort={port}"));
    printed.line("browsers", &format!("http://{here}{PAC_PATH} as automatic proxy configuration"));
    anstream::println!("Ctrl-C ends it.");
}
