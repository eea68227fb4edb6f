//! One developer's session: an agent in the cluster, and the tunnel to it, for as long as a verb runs.

use std::sync::Arc;
use std::time::Duration;

use canary_tunnel::{Client as Tunnel, ClientOptions, Inbounds, Status};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use tokio::time::{Instant, timeout};

use super::job::{AgentJob, Dress};
use super::launch::{self, Launched};
use super::offered::Offered;
use super::way::{Running, Tell, Way};
use crate::cluster::{Cluster, api_failure};
use crate::failure::{Code, Failure};
use crate::names;
use crate::signals;

/// What an agent is to be, but for its secret.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// canaryctl's image; default that of the controller.
    pub image: Option<String>,
    /// What it is for: the verb.
    pub purpose: &'static str,
    /// The lane whose colour its flows have.
    pub lane: Option<String>,
    /// Ports whose connections come here.
    pub expose: Vec<u16>,
    /// Whether it is of no use without a sidecar.
    pub is_meshed: bool,
    /// What more its Job is to be.
    pub dress: Option<Dress>,
    /// The Service whose pod it is, where it has one of its own.
    pub offered: Option<Offered>,
    /// How long it stays without us.
    pub idle: Duration,
    /// How long it may take to run and to be reached.
    pub timeout: Duration,
}

/// A session that is connected.
pub struct Session {
    kube: Client,
    namespace: String,
    tunnel: Tunnel,
    running: Running,
}

impl Session {
    /// Starts an agent and connects to it. Tells each reason for waiting, now and when the agent has to be made anew.
    ///
    /// # Errors
    /// When there is no image, what the API server refuses, or what keeps the agent from running; nothing is left of it
    /// then.
    pub async fn start(
        cluster: &Cluster,
        wanted: Wanted,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<(Self, Inbounds), Failure> {
        let began = Instant::now();
        let session = canary_tunnel::Session::random().map_err(|error| {
            Failure::new(Code::Failed, format!("the system has no random bytes: {error}"))
        })?;
        let image = match wanted.image {
            Some(image) => image,
            None => installed_image(&cluster.client).await?,
        };
        let agent = AgentJob {
            namespace: cluster.namespace.clone(),
            image,
            secret: session.secret_hash(),
            owner: owner(),
            purpose: wanted.purpose,
            lane: wanted.lane,
            expose: wanted.expose,
            idle: wanted.idle,
            is_meshed: wanted.is_meshed,
            dress: wanted.dress,
            offered: wanted.offered,
        };
        let tell: Tell = Arc::new(tell);
        let mut waits = |why: &str| tell(why);
        let running = Running::default();
        let name = launch::name(&agent);
        let launched = tokio::select! {
            launched = launch::launch(&cluster.client, &agent, &name, wanted.timeout, &mut waits) => launched?,
            () = signals::stopped() => {
                launch::end(&cluster.client, &agent.namespace, &name).await;
                return Err(Failure::silent(Code::Interrupted));
            }
        };
        running.set(Some(launched));
        let way = Way {
            client: cluster.client.clone(),
            agent,
            launch_within: wanted.timeout,
            running: running.clone(),
            tell,
        };
        let options = ClientOptions::new(env!("CARGO_PKG_VERSION"));
        let (tunnel, inbounds) = Tunnel::start(session, way, options);
        let namespace = cluster.namespace.clone();
        let session = Self { kube: cluster.client.clone(), namespace, tunnel, running };
        let connected = tokio::select! {
            connected = session.connected(wanted.timeout.saturating_sub(began.elapsed())) => connected,
            () = signals::stopped() => Err(Failure::silent(Code::Interrupted)),
        };
        match connected {
            Ok(()) => Ok((session, inbounds)),
            Err(failure) => {
                session.end().await;
                Err(failure)
            }
        }
    }

    /// The tunnel to the agent.
    #[must_use]
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// The agent's pod.
    #[must_use]
    pub fn pod(&self) -> String {
        self.running.get().map(|launched| launched.pod).unwrap_or_default()
    }

    /// The agent that there is.
    #[must_use]
    pub fn agent(&self) -> Option<Launched> {
        self.running.get()
    }

    /// Ends it, and the agent with it.
    pub async fn end(self) {
        self.tunnel.close().await;
        if let Some(launched) = self.running.get() {
            launch::end(&self.kube, &self.namespace, &launched.job).await;
        }
    }

    async fn connected(&self, limit: Duration) -> Result<(), Failure> {
        let mut status = self.tunnel.status();
        let settled = |status: &Status| status.is_connected() || matches!(status, Status::Ended(_));
        let found = timeout(limit, status.wait_for(settled)).await;
        match found.ok().and_then(Result::ok).map(|status| status.clone()) {
            Some(Status::Ended(why)) => Err(Failure::from_error(Code::Failed, why.as_ref())
                .help("run the canaryctl that the agent's image has, or name an image with --image")),
            Some(_) => Ok(()),
            None => {
                let why = match &*self.tunnel.status().borrow() {
                    Status::Connecting { why: Some(why), .. } => format!(": {why}"),
                    _ => String::new(),
                };
                Err(Failure::new(Code::Timeout, format!("the agent runs and cannot be reached{why}"))
                    .help("you need the right to create pods/portforward; wait longer with --timeout 3m"))
            }
        }
    }
}

/// The image of the controller.
async fn installed_image(client: &Client) -> Result<String, Failure> {
    const HELP: &str = "name an image of canaryctl with --image (canaryctl image push makes one)";
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), names::NAMESPACE);
    let controller = deployments.get_opt(names::CONTROLLER).await;
    let controller = controller
        .map_err(|error| api_failure("read which image the installed controller has", &error).help(HELP))?;
    let image = controller
        .and_then(|deployment| deployment.spec?.template.spec)
        .and_then(|spec| spec.containers.into_iter().next()?.image);
    image.ok_or_else(|| {
        Failure::new(Code::Failed, "canaryctl is not installed here, so there is no image for the agent")
            .help(HELP)
    })
}

/// Who this is, in words, for whoever wonders about the Job.
#[must_use]
pub fn owner() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{machine}", user.as_deref().unwrap_or("somebody"))
}
