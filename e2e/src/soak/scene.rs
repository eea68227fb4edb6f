//! The mesh of the run: one pod, and one service with instances of its own in two lanes.

use std::net::SocketAddr;

use canary_istio::Host;
use canary_localmesh::{AppSpec, GATEWAY, Mesh, MeshError, UNREACHABLE_HEADER};

use crate::carrier::correlation;
use crate::soak::Options;
use crate::soak::flow::Lane;
use crate::staged::Lanes;

/// The pod that all flows go through.
pub const POD: &str = "pod-v1";
/// The header of a proxy that could not reach its app.
pub const UNREACHABLE: &str = UNREACHABLE_HEADER;

/// Flows come in by the pod's own sidecar, so no rule ever decides.
const LANES: &str = "
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: gray}
spec: {rules: [{when: {cookie: {name: gray, exists: true}}}]}
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: blue}
spec: {rules: [{when: {cookie: {name: blue, exists: true}}}]}
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: green}
spec: {rules: [{when: {cookie: {name: green, exists: true}}}]}
---
apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata: {name: tip}
spec: {parent: gray, rules: [{when: {cookie: {name: tip, exists: true}}}]}
";

/// The mesh, whose apps are not running: the driver plays them.
pub struct Scene {
    /// The proxies.
    pub mesh: Mesh,
    /// Lanes and keys.
    pub lanes: Lanes,
    /// Worker threads of each proxy.
    pub workers: u32,
}

impl Scene {
    /// Starts the proxies.
    ///
    /// # Errors
    /// When the mesh does not start.
    pub async fn start(options: &Options) -> Result<Self, MeshError> {
        let mut lanes = Lanes::new(LANES);
        lanes.settings.carriers.correlation = correlation();
        let apps = vec![
            AppSpec::new(&host("pod"), "v1"),
            AppSpec::new(&called(), "v1"),
            AppSpec::new(&called(), "gray").in_lane("gray"),
            AppSpec::new(&called(), "blue").in_lane("blue"),
        ];
        let mut spec = lanes.mesh(&options.tools, host("pod"), apps);
        spec.proxy.concurrency = options.workers;
        let mesh = Mesh::start(spec).await?;
        for (instance, _) in instances() {
            mesh.kill_app(instance)?;
        }
        Ok(Self { mesh, lanes, workers: options.workers })
    }

    /// Where an instance's app has to listen.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn app(&self, instance: &str) -> Result<SocketAddr, MeshError> {
        self.mesh.app_address(instance)
    }

    /// The sidecars, without the gateway, which nothing goes through.
    pub fn sidecars(&self) -> impl Iterator<Item = &str> {
        self.mesh.proxies().filter(|proxy| *proxy != GATEWAY)
    }
}

/// The service that the pod calls.
#[must_use]
pub fn called() -> Host {
    host("up")
}

/// Every instance, and whose it is.
pub fn instances() -> impl Iterator<Item = (&'static str, Lane)> {
    let called = [("up-v1", Lane::Baseline), ("up-gray", Lane::Gray), ("up-blue", Lane::Blue)];
    std::iter::once((POD, Lane::Baseline)).chain(called)
}

fn host(name: &str) -> Host {
    Host::new(name, "soak").expect("a DNS label")
}
