//! The kinds of objects that plans look at.

use kube::api::GroupVersionKind;
use kube::core::ApiResource;

/// A kind, and what of it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its name in addresses.
    pub plural: &'static str,
    /// Whether its metadata is all that is wanted.
    pub metadata_only: bool,
    /// Whether a cluster may lack it.
    pub optional: bool,
}

impl Kind {
    const fn new(
        group: &'static str,
        version: &'static str,
        name: &'static str,
        plural: &'static str,
    ) -> Self {
        Self { group, version, name, plural, metadata_only: false, optional: false }
    }

    const fn metadata_only(self) -> Self {
        Self { metadata_only: true, ..self }
    }

    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// Whether an installation brings it.
    pub(super) fn is_ours(&self) -> bool {
        self.group == OUR_GROUP
    }

    /// As the client library wants it.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.name);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }

    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.into(),
            group => format!("{group}/{}", self.version),
        }
    }
}

/// API group of Lanes, Releases and Takeovers.
const OUR_GROUP: &str = "canaryctl.io";

/// Everything that a plan looks at.
pub const WORLD: [Kind; 13] = [
    Kind::new(OUR_GROUP, "v1alpha1", "Lane", "lanes"),
    Kind::new(OUR_GROUP, "v1alpha1", "Release", "releases").optional(),
    Kind::new(OUR_GROUP, "v1alpha1", "Takeover", "takeovers").optional(),
    Kind::new("", "v1", "Namespace", "namespaces"),
    Kind::new("", "v1", "Service", "services"),
    Kind::new("", "v1", "Pod", "pods").metadata_only(),
    Kind::new("apps", "v1", "Deployment", "deployments"),
    Kind::new("apps", "v1", "StatefulSet", "statefulsets"),
    Kind::new("apps", "v1", "DaemonSet", "daemonsets"),
    Kind::new("networking.istio.io", "v1", "VirtualService", "virtualservices"),
    Kind::new("networking.istio.io", "v1", "DestinationRule", "destinationrules"),
    Kind::new("extensions.istio.io", "v1alpha1", "WasmPlugin", "wasmplugins"),
    Kind::new("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes").optional(),
];
