//! The table: which rules each command needs.

use clap::ValueEnum as _;

use super::group::{APPS, ISTIO, OURS, PLUGINS};
use super::{Rule, Whose, installation, reading, tidy};
use crate::failure::Failure;
use crate::names;

/// A command, or several that need the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "called as what is typed")]
pub enum Command {
    Install,
    Uninstall,
    Check,
    Doctor,
    Status,
    Version,
    BugReport,
    Dashboard,
    Diff,
    Enable,
    Disable,
    Lanes,
    LanesDescribe,
    Trace,
    Explain,
    ReleasePlan,
    ReleaseStart,
    ReleaseStatus,
    ReleasePromote,
    Connect,
    Forward,
    Run,
    Mesh,
    Preview,
    DevList,
    DevStop,
    DevEnv,
}

/// Who removes every trace.
pub const PURGING: Whose = Whose::Saying("with --purge");
/// Who wants no webhook.
pub const WITHOUT_WEBHOOK: Whose = Whose::Saying("with --no-webhook");
/// What somebody may leave out of an `enable`, or of a release.
pub const WITH_RULES: Whose = Whose::Saying("with rules or shares of users");
/// Whose release runs Jobs in a namespace.
pub const WITH_JOBS: Whose = Whose::Saying("with steps that run Jobs there");

/// Who enters at a gateway's pod.
pub const THROUGH: Whose = Whose::Saying("with --through");
/// Who has gateways mark others' requests.
pub const WATCH: Whose = Whose::Saying("with --watch");

/// Who ends a new Service.
pub const OF_PREVIEW: Whose = Whose::Saying("of a preview");

impl Command {
    /// What it is called as it is typed; of several, all.
    #[must_use]
    pub fn typed(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Uninstall => "uninstall",
            Self::Check => "check",
            Self::Doctor => "doctor",
            Self::Status => "status",
            Self::Version => "version",
            Self::BugReport => "bug-report",
            Self::Dashboard => "dashboard",
            Self::Diff => "diff",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Lanes => "lanes",
            Self::LanesDescribe => "lanes describe",
            Self::Trace => "trace",
            Self::Explain => "explain --live",
            Self::ReleasePlan => "release plan, render, diff",
            Self::ReleaseStart => "release start",
            Self::ReleaseStatus => "release status, list, history",
            Self::ReleasePromote => "release promote, pause, resume, retry, abort, undo",
            Self::Connect => "connect",
            Self::Forward => "forward",
            Self::Run => "run",
            Self::Mesh => "mesh, exchange, mirror",
            Self::Preview => "preview",
            Self::DevList => "dev list",
            Self::DevStop => "dev stop, clean",
            Self::DevEnv => "dev env",
        }
    }

    /// What it is called as an argument of `rbac`.
    #[must_use]
    pub fn argument(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The rules that it needs where these are the namespaces of what it is about.
    ///
    /// # Errors
    /// When what an installation consists of cannot be told.
    pub fn rules(self, namespaces: &[&str]) -> Result<Vec<Rule>, Failure> {
        let in_each =
            |rules: &dyn Fn(&str) -> Vec<Rule>| namespaces.iter().flat_map(|one| rules(one)).collect();
        let rules = match self {
            Self::Install => installation::install()?,
            Self::Uninstall => installation::uninstall(),
            Self::Check => reading::check(),
            Self::Doctor => [reading::doctor(), in_each(&reading::doctored)].concat(),
            Self::Status => reading::status(),
            Self::Version => reading::version(),
            Self::BugReport => reading::bug_report(),
            Self::Dashboard => reading::dashboard(),
            Self::Diff => reading::diff(),
            Self::Lanes => vec![Rule::new(OURS, "lanes", &["list"])],
            Self::LanesDescribe => reading::describe(),
            Self::Trace => {
                let through = reading::through().into_iter().map(|rule| rule.of(THROUGH));
                let watch = reading::watch().into_iter().map(|rule| rule.of(WATCH));
                reading::trace().into_iter().chain(through).chain(watch).collect()
            }
            Self::Explain => reading::explain(),
            Self::Enable => enable(),
            Self::Disable => vec![
                Rule::new(OURS, "lanes", &["list", "delete"]),
                Rule::new(OURS, "lanes", &["get", "watch"]).of(Whose::Waiting),
            ],
            Self::ReleasePlan => {
                let all = vec![releases(&["get", "list"]), Rule::new(OURS, "lanes", &["list"])];
                [all, in_each(&planned)].concat()
            }
            Self::ReleaseStart => [start(), in_each(&started)].concat(),
            Self::ReleaseStatus => {
                [vec![releases(&["get", "list"])], in_each(&|namespace| watched(namespace).into())].concat()
            }
            Self::ReleasePromote => [
                vec![releases(&["get", "list", "patch"]), releases(&["watch"]).of(Whose::Waiting)],
                in_each(&|namespace| vec![released(namespace)]),
            ]
            .concat(),
            Self::Connect => {
                let services = |namespace: &str| {
                    vec![Rule::new("", "services", &["list", "watch"]).within(namespace).of(WITH_LOOPBACK)]
                };
                [vec![image()], in_each(&agent), in_each(&services), whole_network()].concat()
            }
            Self::Forward | Self::Run => [vec![image()], in_each(&agent)].concat(),
            Self::Mesh => [mesh(), in_each(&taken)].concat(),
            Self::Preview => [vec![image()], in_each(&offered)].concat(),
            Self::DevEnv => in_each(&environment),
            Self::DevList => {
                in_each(&|namespace| vec![takeovers(&["list"]).within(namespace), offers(namespace)])
            }
            Self::DevStop => in_each(&|namespace| {
                vec![
                    takeovers(&["list", "delete"]).within(namespace),
                    takeovers(&["watch"]).within(namespace).of(Whose::Waiting),
                    offers(namespace),
                    Rule::new("", "services", &["delete"]).within(namespace).of(OF_PREVIEW),
                    Rule::new("", "pods", &["list"]).within(namespace).of(OF_PREVIEW),
                    Rule::new("batch", "jobs", &["delete"]).within(namespace).of(OF_PREVIEW),
                ]
            }),
        };
        Ok(tidy(&rules))
    }
}

fn enable() -> Vec<Rule> {
    vec![
        Rule::new(OURS, "lanes", &["create", "patch"]),
        Rule::new(OURS, "lanes", &["get", "list", "watch"]).of(Whose::Waiting),
        Rule::new(OURS, "lanes", &["route"]).of(WITH_RULES),
        Rule::new(ISTIO, "virtualservices", &["update"])
            .of(Whose::Saying("with members: it is enough in their namespaces")),
    ]
}

fn releases(verbs: &[&str]) -> Rule {
    Rule::new(OURS, "releases", verbs)
}

fn takeovers(verbs: &[&str]) -> Rule {
    Rule::new(OURS, "takeovers", verbs)
}

/// Whoever changes a release changes its Deployments.
fn released(namespace: &str) -> Rule {
    Rule::new(APPS, "deployments", &["update"]).within(namespace)
}

fn planned(namespace: &str) -> Vec<Rule> {
    let scaled = Rule::new("autoscaling", "horizontalpodautoscalers", &["list"]).within(namespace);
    vec![
        Rule::new(APPS, "deployments", &["get", "list"]).within(namespace),
        Rule::new("", "services", &["get", "list"]).within(namespace),
        scaled.of(Whose::Else("autoscalers are not thought of")),
    ]
}

fn start() -> Vec<Rule> {
    vec![
        releases(&["create"]),
        releases(&["list", "watch"]).of(Whose::Waiting),
        Rule::new(OURS, "lanes", &["route"]).of(WITH_RULES),
    ]
}

fn started(namespace: &str) -> Vec<Rule> {
    let by_service = Whose::Saying("where a Service's name is given");
    vec![
        released(namespace),
        Rule::new("batch", "jobs", &["create"]).within(namespace).of(WITH_JOBS),
        Rule::new(APPS, "deployments", &["get"]).within(namespace).of(Whose::Saying("without a file")),
        Rule::new(APPS, "deployments", &["list"]).within(namespace).of(by_service),
        Rule::new("", "services", &["get"]).within(namespace).of(by_service),
    ]
}

/// Which image agents have.
fn image() -> Rule {
    let controller =
        Rule::new(APPS, "deployments", &["get"]).within(names::NAMESPACE).named(names::CONTROLLER);
    controller.of(WITHOUT_IMAGE)
}

/// Who has Services at addresses of this machine.
pub const WITH_LOOPBACK: Whose = Whose::Saying("with --loopback");

/// Who has this machine be in the cluster's network, and says no range of it.
pub const WITH_TUN: Whose = Whose::Saying("with --tun and without --cluster-range");

/// The ranges of a cluster's addresses, and its names.
fn whole_network() -> Vec<Rule> {
    let names = Whose::Else("the hosts file of --tun has the names of no other namespace, or none");
    vec![
        Rule::new("", "nodes", &["list"]).of(WITH_TUN),
        Rule::new("networking.k8s.io", "servicecidrs", &["list"]).of(WITH_TUN),
        Rule::new("", "services", &["list", "watch"]).of(names),
        Rule::new("discovery.k8s.io", "endpointslices", &["list", "watch"]).of(names),
    ]
}

/// Whose takeover has a Service of its own: who has copies, a service by its selector, or connections to hand on.
pub const WITH_A_SERVICE: Whose =
    Whose::Saying("for mirror, for exchange outside the mesh, and for services with ports that are not HTTP");

/// Who lets an agent have the controller's image.
pub const WITHOUT_IMAGE: Whose = Whose::Saying("without --image");

fn agent(namespace: &str) -> Vec<Rule> {
    let events = Rule::new("", "events", &["list"]).within(namespace);
    vec![
        Rule::new("batch", "jobs", &["create", "delete"]).within(namespace),
        Rule::new("", "pods", &["get", "list"]).within(namespace),
        Rule::new("", "pods/portforward", &["get", "create"]).within(namespace),
        events.of(Whose::Else("it is not told why an agent gets no pod")),
    ]
}

/// What a workload's environment comes from.
fn environment(namespace: &str) -> Vec<Rule> {
    let get = |group: &str, resource: &str, of: Whose| {
        Rule::new(group, resource, &["get"]).within(namespace).of(of)
    };
    vec![
        get(APPS, "deployments", Whose::All),
        get(APPS, "statefulsets", Whose::Saying("for a statefulset/NAME")),
        get(APPS, "daemonsets", Whose::Saying("for a daemonset/NAME")),
        get("", "pods", Whose::Saying("for a pod/NAME")),
        get("", "configmaps", Whose::Saying("where variables or files come from ConfigMaps")),
        get("", "secrets", Whose::Saying("with --with-secrets")),
    ]
}

fn mesh() -> Vec<Rule> {
    let entry = Rule::new(ISTIO, "virtualservices", &["list"]);
    vec![image(), entry.of(Whose::Else("the line to try has no host"))]
}

fn taken(namespace: &str) -> Vec<Rule> {
    let mut rules = agent(namespace);
    rules.extend([
        Rule::new("", "services", &["get", "update"]).within(namespace),
        Rule::new("", "services", &["create"]).within(namespace).of(WITH_A_SERVICE),
        Rule::new("", "pods", &["watch"]).within(namespace),
        takeovers(&["get", "list", "watch", "create", "delete"]).within(namespace),
    ]);
    rules
}

/// Who makes a new Service with an agent behind it.
fn offered(namespace: &str) -> Vec<Rule> {
    let mut rules = agent(namespace);
    rules.extend([
        Rule::new("", "services", &["get", "list", "watch", "create", "patch", "delete"]).within(namespace),
        Rule::new("", "pods", &["watch"]).within(namespace),
    ]);
    rules
}

/// The pods of a release that is watched.
fn watched(namespace: &str) -> [Rule; 2] {
    let or_else = Whose::Else("-w shows no pods");
    [Rule::new(APPS, "deployments", &["get"]), Rule::new("", "pods", &["list"])]
        .map(|rule| rule.within(namespace).of(or_else))
}

/// What finds such Services.
fn offers(namespace: &str) -> Rule {
    let services = Rule::new("", "services", &["list"]).within(namespace);
    services.of(Whose::Else("no service of a preview is shown or ended"))
}

/// The plugins, where what they are told is shown.
pub(super) fn plugins(verbs: &[&str]) -> Rule {
    Rule::new(PLUGINS, "wasmplugins", verbs)
}
