//! `canaryctl connect`: this machine's programs reach the cluster's Services and pods.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use canary_rules::name::LaneName;
use serde_json::json;
use tokio::net::TcpListener;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::proxy::{self, PAC_PATH};
use crate::develop::report::{self, Format};
use crate::develop::session::{Session, Wanted};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::progress::{Printed, seconds};
use crate::rights::command::WITHOUT_IMAGE;
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
/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes a small pod in the namespace, the agent, and serves SOCKS5 and HTTP proxying on one port of this machine,
for this machine alone. Names are resolved in the cluster: `cart`, `cart.shop`, `cart.shop.svc.cluster.local`, and
addresses of Services and pods. Nothing of this machine's network, DNS or hosts file is changed, no root is needed.
The agent has a sidecar where the namespace's pods have one, so STRICT mutual TLS and policies hold for it as for them.

Ctrl-C ends it and takes the agent away. An agent that lost this machine ends by itself.

Examples:
  canaryctl connect -n shop
  curl -x socks5h://127.0.0.1:1080 http://cart/
  canaryctl connect -n shop --lane gray        every request that starts here is in lane gray")]
pub struct Args {
    /// The port of this machine that serves; 0 takes a free one.
    #[arg(long, default_value_t = 1080, value_name = "PORT")]
    port: u16,
    #[command(flatten)]
    agent: AgentArgs,
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When the port is taken, or the agent does not run or cannot be reached.
pub fn run(args: Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let listener = listen(args.port).await?;
        let here = listener.local_addr().map_err(|error| Failure::new(Code::Failed, error))?;
        let cluster = Cluster::connect(cluster).await?;
        held(&cluster, Command::Connect, &args.agent).await?;
        let started = Instant::now();
        let format = args.agent.format();
        let wanted = args.agent.wanted("connect");
        let (session, _) = Session::start(&cluster, wanted, move |why| format.tell("waiting", why)).await?;
        ready(&args, &session, &cluster.namespace, here, started.elapsed());
        let ended = tokio::select! {
            () = proxy::serve(listener, session.tunnel().clone()) => Ok(()),
            failure = report::follow(session.tunnel().status(), format) => Err(failure),
            () = signals::stopped() => Ok(()),
        };
        session.end().await;
        ended
    })
}

/// A port of this machine, for this machine alone.
pub(super) async fn listen(port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        Failure::new(Code::Failed, format!("cannot listen on 127.0.0.1:{port}: {error}"))
            .help("name another port; 0 takes a free one")
    })
}

fn ready(args: &Args, session: &Session, namespace: &str, here: SocketAddr, took: Duration) {
    let lane = args.agent.launch.lane.as_ref().map(LaneName::as_str);
    if args.agent.output == Format::Json {
        return report::line(&json!({
            "event": "ready", "namespace": namespace, "pod": session.pod(), "lane": lane,
            "socks": format!("socks5h://{here}"), "http": format!("http://{here}"),
            "pac": format!("http://{here}{PAC_PATH}"),
        }));
    }
    let lane = lane.map(|lane| format!(", in lane {lane}")).unwrap_or_default();
    anstream::println!("Connected to {namespace}{lane}, through pod {} {}", session.pod(), seconds(took));
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
