//! How the workloads of services are: observed facts, one block each, and what of them somebody should mend.

mod ids;
mod judge;
mod log;
mod mutual_tls;
mod proxy;

use std::collections::{BTreeMap, BTreeSet};

use canary_istio::{Host, Object, ObservedService, Workload};
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, ListParams};
use kube::client::Body;
use kube::{Api, Client};
use serde::Serialize;

use crate::arrival::{has_proxy, is_ready};
use crate::check::{self, Issue, Weight};
use crate::cluster::{api_failure, no_service};
use crate::failure::{Code, Failure};
use crate::preview::Scene;
use crate::steer::course;
use crate::world;

pub use ids::Ids;
pub use log::{Log, Seen};
pub use mutual_tls::Mode;
pub use proxy::{Filter, Proxy};

/// How many proxies are asked at a time.
const ASKED_AT_ONCE: usize = 8;

/// What was seen.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// By name.
    pub services: Vec<ServiceReport>,
    /// What is wrong with no service in particular.
    pub issues: Vec<Issue>,
}

/// A service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceReport {
    /// As `name.namespace`.
    pub service: String,
    /// What stands behind it.
    pub workloads: Vec<Block>,
    /// What is wrong with it and the objects that route it.
    pub issues: Vec<Issue>,
}

/// A workload.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    /// Its name.
    pub workload: String,
    /// How many pods it has.
    pub pods: usize,
    /// How many of them are ready.
    pub ready: usize,
    /// The mode of mutual TLS; none for those who may not know.
    pub mutual_tls: Option<Mode>,
    /// Ports that have another one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mutual_tls_by_port: BTreeMap<u16, Mode>,
    /// Its pods' proxies.
    pub proxies: Vec<Proxy>,
    /// What it hands on.
    pub ids: Ids,
    /// What is wrong with it.
    pub issues: Vec<Issue>,
}

/// A pod, as the API server has it.
#[derive(Debug, Clone)]
struct PodFacts {
    name: String,
    is_ready: bool,
    has_proxy: bool,
}

impl Report {
    /// How many issues there are of a weight.
    #[must_use]
    pub fn count(&self, weight: Weight) -> usize {
        let of_services = self.services.iter().flat_map(|service| {
            service.issues.iter().chain(service.workloads.iter().flat_map(|block| &block.issues))
        });
        of_services.chain(&self.issues).filter(|issue| issue.weight == weight).count()
    }
}

/// Looks at these services; at all of a namespace, if none is named.
///
/// # Errors
/// When a service is not there, or the cluster cannot be read.
pub async fn look(client: &Client, hosts: &[Host], namespace: &str) -> Result<Report, Failure> {
    let scene = Scene::live(client).await?;
    let services = wanted(&scene, hosts, namespace)?;
    let namespaces: BTreeSet<&str> = services.iter().map(|service| service.host.namespace()).collect();
    let mut pods = BTreeMap::new();
    for namespace in namespaces {
        pods.insert(namespace.to_owned(), pods_of(client, namespace, &services).await?);
    }
    let asked = pods.iter().flat_map(|(namespace, pods)| {
        let with_proxy = pods.iter().filter(|(_, pod)| pod.has_proxy);
        with_proxy.map(move |(_, pod)| (namespace.clone(), pod.name.clone()))
    });
    let asked: Vec<(String, String)> = asked.collect();
    let proxies: BTreeMap<(String, String), Proxy> = stream::iter(asked)
        .map(|(namespace, pod)| async move {
            let proxy = proxy::ask(client, &namespace, &pod).await;
            ((namespace, pod), proxy)
        })
        .buffer_unordered(ASKED_AT_ONCE)
        .collect()
        .await;
    let authentications = authentications(client).await?;
    let planned = course(&scene.seen, &scene.settings, Timestamp::now().as_second());
    let root = &scene.seen.observed.mesh.root_namespace;
    let mut reports = Vec::new();
    for service in services {
        let namespace = service.host.namespace();
        let found = pods.get(namespace).map_or(&[][..], Vec::as_slice);
        let block = |workload: &Workload| {
            let own = found.iter().filter(|(name, _)| *name == workload.name).map(|(_, pod)| pod.clone());
            let own: Vec<PodFacts> = own.collect();
            let key = |pod: &PodFacts| (namespace.to_owned(), pod.name.clone());
            let of_own: Vec<Proxy> = own.iter().filter_map(|pod| proxies.get(&key(pod)).cloned()).collect();
            let mode = |all: &Vec<Object>| mutual_tls::mode(all, root, namespace, &workload.labels);
            let mutual_tls = authentications.as_ref().map(mode);
            let by_port = authentications
                .as_ref()
                .zip(mutual_tls)
                .map(|(all, of_pods)| mutual_tls::by_port(all, namespace, &workload.labels, of_pods));
            let mut block = Block {
                workload: workload.name.clone(),
                pods: own.len(),
                ready: own.iter().filter(|pod| pod.is_ready).count(),
                mutual_tls,
                mutual_tls_by_port: by_port.unwrap_or_default(),
                ids: Ids::of(&of_own),
                proxies: of_own,
                issues: Vec::new(),
            };
            block.issues = judge::workload(namespace, &own, &block);
            block
        };
        let findings = planned.plan.findings.iter().filter(|finding| finding.host() == Some(&service.host));
        reports.push(ServiceReport {
            service: service.host.to_string(),
            workloads: service.workloads.iter().map(block).collect(),
            issues: findings.map(check::of).collect(),
        });
    }
    let issues = clock_ahead_s(client).await.and_then(judge::clock).into_iter().collect();
    Ok(Report { services: reports, issues })
}

fn wanted<'s>(
    scene: &'s Scene,
    hosts: &[Host],
    namespace: &str,
) -> Result<Vec<&'s ObservedService>, Failure> {
    let all = &scene.seen.observed.services;
    if hosts.is_empty() {
        let found: Vec<_> = all.iter().filter(|service| service.host.namespace() == namespace).collect();
        if found.is_empty() {
            return Err(Failure::new(
                Code::Failed,
                format!("there are no Services in namespace {namespace}"),
            )
            .help("-n names another namespace, SERVICE.NAMESPACE a service"));
        }
        return Ok(found);
    }
    let find = |host: &Host| all.iter().find(|service| service.host == *host).ok_or_else(|| no_service(host));
    hosts.iter().map(find).collect()
}

/// The namespace's pods that one of these services' workloads has, with the workload's name.
async fn pods_of(
    client: &Client,
    namespace: &str,
    services: &[&ObservedService],
) -> Result<Vec<(String, PodFacts)>, Failure> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found = api.list(&ListParams::default()).await;
    let found = found.map_err(|error| api_failure(&format!("list pods in {namespace}"), &error))?;
    let here = services.iter().filter(|service| service.host.namespace() == namespace);
    let workloads: Vec<&Workload> = here.flat_map(|service| &service.workloads).collect();
    let facts = |pod: &Pod| {
        let name = pod.metadata.name.clone()?;
        let workload = workload_of(&name, pod, &workloads)?;
        Some((workload.to_owned(), PodFacts { name, is_ready: is_ready(pod), has_proxy: has_proxy(pod) }))
    };
    let stays = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
    };
    Ok(found.items.iter().filter(stays).filter_map(facts).collect())
}

/// The workload that a pod is of: Kubernetes calls it after that.
fn workload_of<'w>(name: &str, pod: &Pod, workloads: &[&'w Workload]) -> Option<&'w str> {
    let labels = pod.metadata.labels.as_ref();
    let has = |(key, value): (&String, &String)| labels.and_then(|labels| labels.get(key)) == Some(value);
    let is_called_after = |workload: &str| {
        name.strip_prefix(workload).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let fits = |workload: &&&Workload| is_called_after(&workload.name) && workload.labels.iter().all(has);
    workloads.iter().filter(fits).map(|workload| workload.name.as_str()).max_by_key(|name| name.len())
}

/// What says which mode of mutual TLS holds; none for those who may not know.
async fn authentications(client: &Client) -> Result<Option<Vec<Object>>, Failure> {
    let resource = world::resource(mutual_tls::API_VERSION, mutual_tls::KIND);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    match api.list(&ListParams::default()).await {
        Ok(found) => {
            let values = found.items.iter().filter_map(|object| serde_json::to_value(object).ok());
            Ok(Some(mutual_tls::read(values)))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(api_failure(&format!("list {}", resource.plural), &error)),
    }
}

/// How far this machine's clock is ahead of the API server's, in seconds; none where that does not say.
async fn clock_ahead_s(client: &Client) -> Option<i64> {
    let before = Timestamp::now().as_second();
    let request = http::Request::get("/version").body(Body::empty()).ok()?;
    let response = client.send(request).await.ok()?;
    let after = Timestamp::now().as_second();
    let date = response.headers().get(http::header::DATE)?.to_str().ok()?;
    let there = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?.as_second();
    // The answer was written at some moment between the two.
    if there < before { Some(before - there) } else { Some((after - there).min(0)) }
}
