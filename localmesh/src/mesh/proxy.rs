//! One Envoy process: whether it is ready, and which configuration it has accepted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::admin::Admin;
use crate::envoy::{GATEWAY_ROUTES, MESH_ROUTES};
use crate::error::MeshError;
use crate::mesh::POLL_MS;
use crate::process::Process;
use crate::spec::{GATEWAY, Role};

/// Gauge of live V8 VMs: one to copy from, one on the main thread, one per worker.
const VMS_ACTIVE: &str = "wasm.envoy.wasm.runtime.v8.active";
/// VMs of one module besides those of the workers.
const VMS_BESIDES_WORKERS: u64 = 2;

/// Something that a proxy watches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subscription {
    Clusters,
    GatewayRoutes,
    MeshRoutes,
    Filter(Role),
}

impl Subscription {
    /// Prefix of its statistics.
    fn prefix(self) -> String {
        match self {
            Self::Clusters => "cluster_manager.cds.".into(),
            Self::GatewayRoutes => format!("http.gateway.rds.{GATEWAY_ROUTES}."),
            Self::MeshRoutes => format!("http.outbound.rds.{MESH_ROUTES}."),
            Self::Filter(role) => format!("extension_config_discovery.http_filter.{}.", role.filter_name()),
        }
    }

    /// What a person would call it.
    fn describe(self) -> String {
        match self {
            Self::Clusters => "its clusters".into(),
            Self::GatewayRoutes | Self::MeshRoutes => "its routes".into(),
            Self::Filter(role) => format!("the configuration of {}", role.filter_name()),
        }
    }
}

/// One Envoy.
#[derive(Debug)]
pub(crate) struct Proxy {
    name: String,
    process: Process,
    admin: Admin,
    roles: Vec<Role>,
}

/// An Envoy that has been started and may not be ready.
pub(crate) struct Starting {
    pub(crate) name: String,
    pub(crate) process: Process,
    /// The file in which it writes the address of its admin interface.
    pub(crate) admin_file: PathBuf,
    /// Roles of the filter under test that it has.
    pub(crate) roles: Vec<Role>,
    /// Its workers.
    pub(crate) concurrency: u32,
}

impl Starting {
    /// Waits until it serves with everything it watches in force, and its filters live on every thread.
    pub(crate) async fn ready(self, deadline: Instant) -> Result<Proxy, MeshError> {
        let start = Instant::now();
        loop {
            self.process.check_running()?;
            let waiting_for = match self.admin() {
                None => "its admin interface".into(),
                Some(admin) => match self.lacks(&admin).await? {
                    None => {
                        let Self { name, process, roles, .. } = self;
                        return Ok(Proxy { name, process, admin, roles });
                    }
                    Some(lack) => lack,
                },
            };
            if Instant::now() >= deadline {
                let log_tail = self.process.log_tail();
                return Err(MeshError::NotReady {
                    name: self.name,
                    waited: start.elapsed(),
                    waiting_for,
                    log_tail,
                });
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    fn admin(&self) -> Option<Admin> {
        let address = std::fs::read_to_string(&self.admin_file).ok()?.parse().ok()?;
        Some(Admin::new(&self.name, address))
    }

    /// What it still lacks.
    async fn lacks(&self, admin: &Admin) -> Result<Option<String>, MeshError> {
        let Ok(state) = admin.get("/ready").await else { return Ok(Some("its admin interface".into())) };
        for role in &self.roles {
            let filter = Subscription::Filter(*role);
            if refusals(admin, filter).await? > 0 {
                let (name, what) = (self.name.clone(), filter.describe());
                return Err(MeshError::Refused { name, what, log_tail: self.process.log_tail() });
            }
        }
        if !state.status.is_success() {
            return Ok(Some(format!("state LIVE, it is {}", state.text().trim())));
        }
        if self.roles.is_empty() {
            return Ok(None);
        }
        let wanted = u64::from(self.concurrency) + VMS_BESIDES_WORKERS;
        let active =
            admin.stats(&format!("^{VMS_ACTIVE}$")).await?.get(VMS_ACTIVE).copied().unwrap_or_default();
        Ok((active < wanted).then(|| format!("{wanted} Wasm VMs, it has {active}")))
    }
}

impl Proxy {
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Whether it runs the filter under test in this role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role) && self.process.runs()
    }

    /// The routes that it watches.
    pub(crate) fn routes(&self) -> Subscription {
        if self.name == GATEWAY { Subscription::GatewayRoutes } else { Subscription::MeshRoutes }
    }

    /// How often it has refused what a subscription brought.
    pub(crate) async fn refusals(&self, subscription: &Subscription) -> Result<u64, MeshError> {
        refusals(&self.admin, *subscription).await
    }

    /// Waits until it has accepted this version; `refused` is how often it had refused one before.
    pub(crate) async fn arrived(
        &self,
        subscription: &Subscription,
        version: u64,
        refused: u64,
        deadline: Instant,
    ) -> Result<(), MeshError> {
        let start = Instant::now();
        let key = format!("{}version_text", subscription.prefix());
        loop {
            self.process.check_running()?;
            let texts = self.admin.texts(&exactly(&key)).await?;
            if texts.get(&key).is_some_and(|text| *text == version.to_string()) {
                return Ok(());
            }
            if self.refusals(subscription).await? > refused {
                let (name, what) = (self.name.clone(), subscription.describe());
                return Err(MeshError::Refused { name, what, log_tail: self.process.log_tail() });
            }
            if Instant::now() >= deadline {
                return Err(MeshError::NotReady {
                    name: self.name.clone(),
                    waited: start.elapsed(),
                    waiting_for: format!("version {version} of {}", subscription.describe()),
                    log_tail: self.process.log_tail(),
                });
            }
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }
}

async fn refusals(admin: &Admin, subscription: Subscription) -> Result<u64, MeshError> {
    let prefix = subscription.prefix();
    let filter = format!("^{}(update_rejected|config_fail)$", escaped(&prefix));
    Ok(admin.stats(&filter).await?.values().sum())
}

fn exactly(name: &str) -> String {
    format!("^{}$", escaped(name))
}

/// The names that occur have no other character that a regular expression gives a meaning.
fn escaped(name: &str) -> String {
    name.replace('.', r"\.")
}
