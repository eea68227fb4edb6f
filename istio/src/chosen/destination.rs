//! Where a route leads, and which pods that means.

use serde::Serialize;
use serde_json::Value;

use super::{display, labels, list};
use crate::hosts::{HostName, Named, named};
use crate::observed::{Object, Observed};
use crate::routes::mirror::listed;
use crate::service::{CLUSTER_DOMAIN, Labels};

/// A destination of a route.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Destination {
    /// The host, `name.namespace` for a Service of the cluster.
    pub host: String,
    /// The port, if the route says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u64>,
    /// Its share of requests beside the route's other destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u64>,
    /// Which of the host's pods, if not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<Subset>,
}

/// Where copies of a route's requests go; what they are answered is dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mirror {
    /// Who gets them.
    #[serde(flatten)]
    pub to: Destination,
    /// Of how many requests, in percent.
    pub percent: f64,
}

/// A subset as the DestinationRules of the Service's own namespace, or of the whole mesh, have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subset {
    /// Its name.
    pub name: String,
    /// The DestinationRule, as `namespace/name`; none has it: requests fail with 503.
    pub destination_rule: Option<String>,
    /// Labels that its pods have.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Labels that are preferred among them, the first before the others; one without a value is to be absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefers: Vec<String>,
}

impl Destination {
    /// Those of a route's list that stands in an object.
    pub(super) fn all(route: &Value, object: &Object, observed: &Observed) -> Vec<Self> {
        let is_shared = list(route).count() > 1;
        let destination = |weighted: &Value| {
            let weight = is_shared.then(|| weighted["weight"].as_u64().unwrap_or(0));
            Self { weight, ..Self::to(&weighted["destination"], object, observed) }
        };
        list(route).map(destination).collect()
    }

    fn to(destination: &Value, object: &Object, observed: &Observed) -> Self {
        let written = destination["host"].as_str().unwrap_or_default();
        let service = match named(written, object.namespace()) {
            Named::Service(service) => Some(service),
            _ => None,
        };
        let subset = destination["subset"].as_str().filter(|subset| !subset.is_empty());
        Self {
            host: service
                .map_or_else(|| written.to_owned(), |name| format!("{}.{}", name.name, name.namespace)),
            port: destination["port"]["number"].as_u64(),
            weight: None,
            subset: subset.map(|subset| Subset::find(subset, service, observed)),
        }
    }
}

impl Mirror {
    /// Those of a route that stands in an object, its `mirror` first.
    ///
    /// Source: `MirrorPercent`, `MirrorPercentByPolicy` in pilot/pkg/networking/core/route.
    pub(super) fn all(route: &Value, object: &Object, observed: &Observed) -> Vec<Self> {
        let mirror = |mirror: &Value| {
            let percent = mirror["percentage"]["value"].as_f64().unwrap_or(100.0);
            Self { to: Destination::to(&mirror["destination"], object, observed), percent }
        };
        listed(route).iter().map(mirror).filter(|mirror| mirror.percent > 0.0).collect()
    }
}

impl Subset {
    fn find(name: &str, service: Option<HostName>, observed: &Observed) -> Self {
        let rules = service.map_or_else(Vec::new, |service| rules(service, observed));
        let found = rules.into_iter().find_map(|rule| {
            let subset = list(&rule.spec()["subsets"]).find(|subset| subset["name"] == name)?;
            Some((display(rule), subset))
        });
        let (destination_rule, subset) = found.unzip();
        let subset = subset.unwrap_or(&Value::Null);
        let keys = &subset["trafficPolicy"]["loadBalancer"]["localityLbSetting"]["failoverPriority"];
        Self {
            name: name.to_owned(),
            destination_rule,
            labels: labels(&subset["labels"]),
            prefers: list(keys).filter_map(|key| key.as_str().map(str::to_owned)).collect(),
        }
    }
}

/// The rules that hold for a service at callers without rules of their own, the oldest first.
///
/// Source: `SidecarScope.DestinationRule` in pilot/pkg/model.
fn rules<'o>(service: HostName, observed: &'o Observed) -> Vec<&'o Object> {
    let fqdn = format!("{}.{}.svc.{CLUSTER_DOMAIN}", service.name, service.namespace);
    let root = observed.mesh.root_namespace.as_str();
    let rank = |rule: &Object| {
        let exact = match named(rule.spec()["host"].as_str()?, rule.namespace()) {
            Named::Service(name) if name == service => usize::MAX,
            Named::Wildcard(suffix) if fqdn.ends_with(suffix) => suffix.len(),
            _ => return None,
        };
        let is_own = rule.namespace() == service.namespace;
        (is_own || rule.namespace() == root).then_some((is_own, exact))
    };
    let ranked: Vec<_> =
        observed.destination_rules.iter().filter_map(|rule| Some((rank(rule)?, rule))).collect();
    let first = ranked.iter().map(|(rank, _)| *rank).max();
    let mut rules: Vec<&Object> =
        ranked.into_iter().filter(|(rank, _)| Some(*rank) == first).map(|(_, rule)| rule).collect();
    rules.sort_by_key(|rule| (rule.created(), rule.name()));
    rules
}
