//! Rules of commands that change nothing.

use super::command::plugins;
use super::group::{ADMISSION, APPS, DEFINITIONS, ISTIO, OURS};
use super::{Rule, Whose};
use crate::names::{CONTROLLER, FILTER_SERVER, KEYS, NAMESPACE, ROOT_NAMESPACE, SETTINGS, TRACE, WEBHOOK};
use crate::world::WORLD;

/// Who asks what becomes of a call.
const AT_SERVICE: Whose = Whose::Saying("with --service");

/// Everything that a plan looks at.
pub(super) fn world(verbs: &[&str]) -> Vec<Rule> {
    WORLD.iter().map(|kind| Rule::new(kind.group, kind.plural, verbs)).collect()
}

/// What was installed, and Istio's settings.
pub(super) fn settings() -> [Rule; 4] {
    [
        Rule::new("", "configmaps", &["get"]).within(NAMESPACE).named(SETTINGS),
        Rule::new("", "secrets", &["get"]).within(NAMESPACE).named(KEYS),
        Rule::new("", "pods", &["list"]).within(ROOT_NAMESPACE),
        // Each revision has its own, called after it.
        Rule::new("", "configmaps", &["get"]).within(ROOT_NAMESPACE),
    ]
}

/// What every istiod says: it tells callers from its own host.
pub(super) fn istiods() -> [Rule; 2] {
    [
        Rule::new("", "pods", &["list"]).within(ROOT_NAMESPACE),
        Rule::new("", "pods/portforward", &["get", "create"]).within(ROOT_NAMESPACE),
    ]
}

fn webhook() -> Rule {
    Rule::new(ADMISSION, "mutatingwebhookconfigurations", &["get"]).named(WEBHOOK)
}

pub(super) fn diff() -> Vec<Rule> {
    let mut rules = world(&["list"]);
    rules.extend(settings());
    let key = Rule::new("", "secrets", &["get"]).within(NAMESPACE).named(TRACE);
    rules.push(key.of(Whose::Else("while somebody traces, the key for it shows as one that goes")));
    rules
}

pub(super) fn check() -> Vec<Rule> {
    let mut rules = diff();
    rules.extend(istiods());
    rules.extend([
        Rule::new(APPS, "deployments", &["get"]).within(NAMESPACE).named(CONTROLLER),
        Rule::new(DEFINITIONS, "customresourcedefinitions", &["get"]).named("lanes.canaryctl.io"),
        webhook().of(Whose::Else("the webhook is not looked at")),
        Rule::new("", "secrets", &["get"])
            .within(NAMESPACE)
            .named(WEBHOOK)
            .of(Whose::Else("the webhook is not looked at")),
    ]);
    let policies = [
        ("networking.k8s.io", "networkpolicies"),
        ("security.istio.io", "authorizationpolicies"),
        ("security.istio.io", "requestauthentications"),
        ("security.istio.io", "peerauthentications"),
    ];
    let policy = |(group, resource)| {
        Rule::new(group, resource, &["list"])
            .of(Whose::Else("CC306 and CC309 say that policies are not known"))
    };
    rules.extend(policies.map(policy));
    rules
}

pub(super) fn doctor() -> Vec<Rule> {
    let mut rules = diff();
    let authentications = Rule::new("security.istio.io", "peerauthentications", &["list"]);
    rules.push(authentications.of(Whose::Else("the mode of mutual TLS is not known")));
    rules
}

/// Who asks proxies themselves.
pub(super) fn doctored(namespace: &str) -> Vec<Rule> {
    let asked = Rule::new("", "pods/portforward", &["get", "create"]).within(namespace);
    let log = Rule::new("", "pods/log", &["get"]).within(namespace);
    vec![
        Rule::new("", "pods", &["list"]).within(namespace),
        asked.of(Whose::Else("CC403 says that a proxy does not answer")),
        log.of(Whose::Else(
            "requests of HTTP/1.0 that a proxy refused, and when a filter ended, are not known",
        )),
    ]
}

pub(super) fn status() -> Vec<Rule> {
    let deployment = |name| Rule::new(APPS, "deployments", &["get"]).within(NAMESPACE).named(name);
    vec![
        Rule::new(OURS, "lanes", &["list"]),
        plugins(&["list"]),
        deployment(CONTROLLER),
        deployment(FILTER_SERVER),
        webhook().of(Whose::Else("the webhook is not shown")),
    ]
}

pub(super) fn version() -> Vec<Rule> {
    let shown = Whose::Else("it says that the cluster was not asked");
    vec![
        Rule::new(APPS, "deployments", &["get"]).within(NAMESPACE).named(CONTROLLER).of(shown),
        Rule::new("", "pods", &["list"]).of(shown),
    ]
}

/// Nothing of it is needed for the rest.
pub(super) fn bug_report() -> Vec<Rule> {
    let own = |resource, verbs: &[&str]| Rule::new("", resource, verbs).within(NAMESPACE);
    let mut rules = [check(), status(), version()].concat();
    rules.extend([own("configmaps", &["get"]).named(SETTINGS), own("events", &["list"])]);
    rules.extend([own("pods", &["list"]), own("pods/log", &["get"])]);
    rules.into_iter().map(|rule| rule.of(Whose::Else("the report says what could not be read"))).collect()
}

pub(super) fn dashboard() -> Vec<Rule> {
    let asked = Rule::new(OURS, "releases", &["get", "patch"]);
    let counted = Rule::new("", "pods/portforward", &["get", "create"]);
    let mut rules = world(&["list", "watch"]);
    rules.push(counted.of(Whose::Else("no traffic is shown")));
    rules.push(asked.of(Whose::Else("its buttons say which right they lack")));
    let watched = trace().into_iter().chain(watch());
    rules.extend(watched.map(|rule| rule.of(Whose::Saying("to watch a lane's flows"))));
    rules
}

/// Who may write the key for traces may have proxies tell of requests.
pub(super) fn trace() -> Vec<Rule> {
    let key = |verbs: &[&str]| Rule::new("", "secrets", verbs).within(NAMESPACE);
    vec![
        key(&["create"]),
        key(&["get", "list", "watch", "patch", "delete"]).named(TRACE),
        Rule::new("", "pods", &["list"]),
        Rule::new("", "pods/log", &["get"]),
        plugins(&["list"]).of(Whose::Else("the rule that decided is not said")),
    ]
}

/// Who has a request enter at a gateway's pod.
pub(super) fn through() -> Vec<Rule> {
    vec![
        plugins(&["list"]),
        Rule::new("", "pods", &["get"]).within(ROOT_NAMESPACE),
        Rule::new("", "services", &["list"]).within(ROOT_NAMESPACE),
        Rule::new("", "pods/portforward", &["get", "create"]).within(ROOT_NAMESPACE),
    ]
}

/// Who asks which gateways there are, and which lanes they know.
pub(super) fn watch() -> Vec<Rule> {
    vec![plugins(&["list"])]
}

pub(super) fn explain() -> Vec<Rule> {
    let at_service = |group, resource| Rule::new(group, resource, &["list"]).of(AT_SERVICE);
    vec![
        plugins(&["list"]),
        at_service("", "services"),
        at_service(ISTIO, "virtualservices"),
        at_service(ISTIO, "destinationrules"),
        at_service("gateway.networking.k8s.io", "httproutes"),
    ]
}

pub(super) fn describe() -> Vec<Rule> {
    vec![
        Rule::new(OURS, "lanes", &["get"]),
        Rule::new("", "pods", &["list"]).of(Whose::Else("it says that its pods are not known")),
    ]
}
