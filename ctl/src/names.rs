//! What our objects in a cluster are called.

/// Where the controller and the filter's server live, unless an installation says otherwise.
pub const NAMESPACE: &str = "canaryctl-system";
/// Istio's root namespace, unless its configuration says otherwise.
pub const ROOT_NAMESPACE: &str = "istio-system";
/// The controller's Deployment, ServiceAccount, Lease and Roles.
pub const CONTROLLER: &str = "canaryctl-controller";
/// The ClusterRole by which whoever may edit a namespace may make Takeovers there.
pub const DEVELOPER: &str = "canaryctl-developer";
/// The filter server's Deployment and Service.
pub const FILTER_SERVER: &str = "canaryctl-filter";
/// The ConfigMap with the mesh's settings.
pub const SETTINGS: &str = "canaryctl-settings";
/// The Secret with the signing keys.
pub const KEYS: &str = "canaryctl-keys";
/// The Secret with the key for traces, while somebody traces.
pub const TRACE: &str = "canaryctl-trace";
/// The Secret with the addresses that are told of every release, by names of people's own.
pub const NOTIFY: &str = "canaryctl-notify";
/// The webhook's configuration, its Service and the Secret with its certificates.
pub const WEBHOOK: &str = "canaryctl-webhook";
/// What a configuration of webhooks is to the API server.
pub const ADMISSION_API: &str = "admissionregistration.k8s.io/v1";
/// Its kind.
pub const WEBHOOK_KIND: &str = "MutatingWebhookConfiguration";
/// Who writes, as managed fields name it.
pub const FIELD_MANAGER: &str = "canaryctl";
/// Keeps a Release until nothing of it is left but what it came to.
pub const RELEASE_FINALIZER: &str = "canaryctl.io/release";
/// Keeps a Takeover, and so its agent, until no proxy routes by its lane any more.
pub const TAKEOVER_FINALIZER: &str = "canaryctl.io/takeover";
/// Keeps a Lane until no proxy routes by it any more.
pub const FINALIZER: &str = "canaryctl.io/routes";
