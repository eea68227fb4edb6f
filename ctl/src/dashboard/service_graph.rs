//! The services of a mesh, who calls whom, and who serves each lane where. Pure.

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::lane::LANE_LABEL;
use canary_istio::plan::{Destination, HostPlan, TierOf};
use canary_istio::{Host, RoutingPlan, Service, Workload};
use canary_rules::name::LaneName;
use serde::Serialize;

/// The label that tells a workload's version, by Istio's convention.
const VERSION_LABEL: &str = "version";

/// Services and calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// The services, by namespace and name.
    pub services: Vec<ServiceNode>,
    /// Calls, from one service to another.
    pub calls: Vec<Call>,
    /// Services that gateways lead to.
    pub entries: BTreeSet<String>,
    /// Where `calls` come from, in words; none where they are known by themselves.
    pub calls_from: Option<String>,
    /// Per lane and service who serves the lane's requests there. Services that are not named are served by the baseline.
    pub paths: BTreeMap<String, BTreeMap<String, Serves>>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceNode {
    /// As `namespace/name`.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// What stands behind it.
    pub workloads: Vec<WorkloadNode>,
}

/// A workload of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkloadNode {
    /// Its name.
    pub name: String,
    /// Its version, if it is labelled with one; else its name.
    pub version: String,
    /// The lane that it is a member of; none for the baseline.
    pub lane: Option<String>,
}

/// One service calls another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Call {
    /// Who calls, as `namespace/name`.
    pub from: String,
    /// Who is called.
    pub to: String,
}

/// Who serves a lane at a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Serves {
    /// Members: the lane's own, or its parent's.
    Lane {
        /// Whose.
        lane: String,
        /// Their names.
        workloads: Vec<String>,
    },
    /// Nobody: the lane is strict.
    Nobody {
        /// Why, as the answer says it.
        reason: String,
    },
}

/// A host as the page names it.
#[must_use]
pub fn id(host: &Host) -> String {
    format!("{}/{}", host.namespace(), host.name())
}

impl Graph {
    /// The graph of these services under this plan.
    #[must_use]
    pub fn new<'l>(
        services: &[Service],
        plan: &RoutingPlan,
        lanes: impl IntoIterator<Item = &'l LaneName>,
    ) -> Self {
        let by_host: BTreeMap<&Host, &HostPlan> = plan.hosts.iter().map(|host| (&host.host, host)).collect();
        let mut nodes: Vec<ServiceNode> =
            services.iter().map(|service| node(service, by_host.get(&service.host).copied())).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        let path = |lane: &LaneName| {
            let served = plan.hosts.iter().filter_map(|host| Some((id(&host.host), serves(host, lane)?)));
            (lane.to_string(), served.collect())
        };
        Self { services: nodes, paths: lanes.into_iter().map(path).collect(), ..Self::default() }
    }
}

fn node(service: &Service, plan: Option<&HostPlan>) -> ServiceNode {
    let mut workloads: Vec<WorkloadNode> =
        service.workloads.iter().map(|workload| workload_node(workload, plan)).collect();
    workloads.sort_by(|a, b| (&a.lane, &a.name).cmp(&(&b.lane, &b.name)));
    ServiceNode {
        id: id(&service.host),
        namespace: service.host.namespace().into(),
        name: service.host.name().into(),
        workloads,
    }
}

fn workload_node(workload: &Workload, plan: Option<&HostPlan>) -> WorkloadNode {
    // Whose it is the plan knows: a lane may name workloads that carry no label of ours.
    let tiers = plan.into_iter().flat_map(|plan| &plan.subsets).flat_map(|subset| &subset.failover);
    let member =
        tiers.filter(|tier| tier.workloads.contains(&workload.name)).find_map(|tier| match &tier.of {
            TierOf::Lane(lane) => Some(lane.to_string()),
            TierOf::Baseline => None,
        });
    WorkloadNode {
        name: workload.name.clone(),
        version: workload.labels.get(VERSION_LABEL).unwrap_or(&workload.name).clone(),
        lane: member.or_else(|| workload.labels.get(LANE_LABEL).cloned()),
    }
}

/// Who serves a lane at a host; none for the baseline.
fn serves(host: &HostPlan, lane: &LaneName) -> Option<Serves> {
    let route = host.http.iter().find(|route| route.tag.as_ref() == Some(lane))?;
    match &route.to {
        Destination::Baseline => None,
        Destination::Refuse { reason, .. } => Some(Serves::Nobody { reason: reason.clone() }),
        Destination::Subset(name) => {
            let first = host.subset(name)?.failover.first()?;
            match &first.of {
                TierOf::Lane(of) => {
                    Some(Serves::Lane { lane: of.to_string(), workloads: first.workloads.clone() })
                }
                TierOf::Baseline => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use canary_istio::{LaneRouting, Mode, RefusalStatus};
    use canary_rules::name::HeaderName;
    use serde_json::json;

    use super::*;

    fn service(name: &str, workloads: &[(&str, &[(&str, &str)])]) -> Service {
        let labels = |labels: &[(&str, &str)]| {
            labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let workload =
            |(name, own): &(&str, &[(&str, &str)])| Workload { name: (*name).into(), labels: labels(own) };
        let host = Host::new(name, "shop").expect("a host");
        Service {
            host,
            port: 80,
            workloads: workloads.iter().map(workload).collect(),
            exchanged: None,
            copies: Vec::new(),
        }
    }

    fn lane(name: &str, parent: Option<&str>, mode: Mode) -> LaneRouting {
        let name_of = |name: &str| LaneName::new(name).expect("a lane");
        let members = [("cart".parse().expect("a service"), [("version".into(), "v3".into())].into())];
        let members = if name == "named" { members.into() } else { BTreeMap::new() };
        LaneRouting { name: name_of(name), parent: parent.map(name_of), mode, members, mirror: 0 }
    }

    #[test]
    fn each_lane_has_its_own_its_parents_and_the_baselines_part() {
        let services = [
            service(
                "web",
                &[("web-v1", &[("version", "v1")]), ("web-v2", &[("version", "v2"), (LANE_LABEL, "gray")])],
            ),
            service("cart", &[("cart-v1", &[]), ("cart-v3", &[("version", "v3")])]),
        ];
        let lanes = [
            lane("gray", None, Mode::Permissive),
            lane("child", Some("gray"), Mode::Permissive),
            lane("named", None, Mode::Strict(RefusalStatus::default())),
        ];
        let tag = HeaderName::new("x-canary-lane").expect("a header");
        let plan = canary_istio::compile(&lanes, &services, &tag).expect("a plan");
        let graph = Graph::new(&services, &plan, lanes.iter().map(|lane| &lane.name));
        let value = serde_json::to_value(&graph).expect("JSON");
        assert_eq!(
            value["services"],
            json!([
                {"id": "shop/cart", "namespace": "shop", "name": "cart", "workloads": [
                    {"name": "cart-v1", "version": "cart-v1", "lane": null},
                    {"name": "cart-v3", "version": "v3", "lane": "named"},
                ]},
                {"id": "shop/web", "namespace": "shop", "name": "web", "workloads": [
                    {"name": "web-v1", "version": "v1", "lane": null},
                    {"name": "web-v2", "version": "v2", "lane": "gray"},
                ]},
            ])
        );
        let gray = json!({"by": "lane", "lane": "gray", "workloads": ["web-v2"]});
        assert_eq!(value["paths"]["gray"], json!({"shop/web": gray}));
        assert_eq!(value["paths"]["child"], json!({"shop/web": gray}), "a child falls back to its parent");
        assert_eq!(value["paths"]["named"]["shop/cart"]["workloads"], json!(["cart-v3"]));
        assert_eq!(value["paths"]["named"]["shop/web"]["by"], "nobody", "a strict lane without a member");
    }
}
