//! `canaryctl release start`: a Release from flags or a file, begun.

mod analysis;
mod errands;
mod strategy;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use canary_istio::lane::LANE_LABEL;
use canary_release::{By, Phase, Release, WorkloadRef, WorkloadSpec, stateful_set_refused};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Service;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::json;

use super::ReleaseWaiting;
use crate::cluster::{Cluster, api_failure};
use crate::failure::{Code, Failure};
use crate::files;
use crate::output::{self, Format};
use crate::releases::{Releases, journal};
use crate::rights::Command;
use crate::rights::command::{WITH_JOBS, WITH_RULES};
use crate::verb::enable::document::RuleArgs;
use crate::waiting::DryRun;

/// What releases without a name are called: this and a number.
const NAME_PREFIX: &str = "r-";

/// The arguments of `start`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl release start --image cart=shop/cart:2.4 --image stock=shop/stock:5.1 --cookie gray=1 --steps 1,10,50
  canaryctl release start --image cart=shop/cart:2.4 --steps 5,25,100 --hold 10m
  canaryctl release start --image cart=shop/cart:2.4 --strategy blue-green --cookie preview=1
  canaryctl release start --image cart=shop/cart:2.4 --strategy rolling --hold 1m
  canaryctl release start --image cart=shop/cart:2.4 --steps 0.5,5,50 --by requests
  canaryctl release start --image cart=shop/cart:2.4 --mirror 10 --steps 5,50
  canaryctl release start --image cart=shop/cart:2.4 --steps 5,25 --hold 10m --prometheus http://prometheus.monitoring:9090
  canaryctl release start --image cart=shop/cart:2.4 --steps 5,25,100 --job smoke --on-failure abort
  canaryctl release start -f release.yaml

Copies of the Deployments get the new images and serve a lane; nobody else's requests reach them. The Deployments
themselves get the images when it is promoted after the last step, and can go back to those from before.")]
pub struct Args {
    #[command(flatten)]
    document: DocumentArgs,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    waiting: ReleaseWaiting,
}

/// What a release is, in flags or a file.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("judges").args(["prometheus", "job", "webhook"]).multiple(true))]
pub struct DocumentArgs {
    /// What to call it; default r-1, r-2, …
    #[arg(value_name = "RELEASE")]
    name: Option<String>,
    /// A Deployment, or the Service of one, and its new image; may be repeated. A container is named as in
    /// cart:app=IMAGE, a namespace as in shop/cart=IMAGE.
    #[arg(long, value_name = "DEPLOYMENT=IMAGE", required_unless_present = "file")]
    image: Vec<String>,
    #[command(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    strategy: strategy::StrategyArgs,
    /// The lane that carries it; default: called as the release.
    #[arg(long, value_name = "LANE")]
    lane: Option<String>,
    /// How many pods the lane has per Deployment; default: as many of its own as the share is of all users.
    #[arg(long, value_name = "PODS", value_parser = clap::value_parser!(u32).range(1..))]
    replicas: Option<u32>,
    #[command(flatten)]
    analysis: analysis::AnalysisArgs,
    #[command(flatten)]
    errands: errands::ErrandArgs,
    /// Tell this address of what happens to it, by a POST of JSON with a `text`; may be repeated.
    #[arg(long, value_name = "URL")]
    notify: Vec<String>,
    /// A Release file instead; `-` for standard input.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["image", "strategy", "by", "steps", "mirror", "hold", "lane", "replicas", "keep_warm", "prometheus", "job", "webhook", "notify"])]
    file: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, cluster: &Cluster, releases: &Releases) -> Result<(), Failure> {
    let wanted = wanted(&args.document, cluster, releases).await?;
    if args.dry_run.is_client() {
        return output::objects(&[super::show::value(&wanted)?], Format::Yaml);
    }
    if !args.dry_run.is_server() {
        let has_rules = !wanted.spec.rules.is_empty() || !wanted.spec.steps.is_empty();
        let besides = [has_rules.then_some(WITH_RULES), runs_jobs_beside_all(&wanted).then_some(WITH_JOBS)];
        let besides: Vec<_> = besides.into_iter().flatten().collect();
        super::held(cluster, Command::ReleaseStart, &wanted, Some(args.waiting), &besides).await?;
    }
    let made = releases.create(&super::show::value(&wanted)?, args.dry_run.is_server()).await?;
    if args.dry_run.is_server() {
        return output::objects(&[super::show::value(&made)?], Format::Yaml);
    }
    anstream::println!("Release {}", made.metadata.name);
    let is_there = |release: &Release| {
        let status = journal(release);
        !status.phase.is_under_way() || (status.phase == Phase::Stepping && status.held_since.is_some())
    };
    super::wait(releases, &made, args.waiting, is_there).await
}

/// Whether there is a Job in each namespace that has a Deployment of it. Jobs that are elsewhere the API server judges.
fn runs_jobs_beside_all(release: &Release) -> bool {
    let workloads = &release.spec.workloads;
    let first = workloads.first().map(|spec| spec.deployment.namespace.as_str());
    let jobs = release.spec.steps.iter().filter_map(|step| step.job.as_ref());
    let jobs: BTreeSet<&str> = jobs
        .filter_map(|job| job.cron_job.as_ref().map(|cron_job| cron_job.namespace.as_str()).or(first))
        .collect();
    workloads.iter().all(|spec| jobs.contains(spec.deployment.namespace.as_str()))
}

/// The Release that is meant.
pub(super) async fn wanted(
    args: &DocumentArgs,
    cluster: &Cluster,
    releases: &Releases,
) -> Result<Release, Failure> {
    match &args.file {
        Some(file) => read(file),
        None => document(args, cluster, releases).await,
    }
}

fn read(file: &Path) -> Result<Release, Failure> {
    let (name, bytes) = files::bytes(file)?;
    serde_saphyr::from_slice(&bytes)
        .map_err(|error| Failure::new(Code::Documents, format!("{name}: {error}")))
}

async fn document(args: &DocumentArgs, cluster: &Cluster, releases: &Releases) -> Result<Release, Failure> {
    let rules = args.rules.rules()?.0;
    let mut found = Vec::new();
    for text in &args.image {
        let image = Image::parse(text, &cluster.namespace)?;
        found.push((image.find(&cluster.client).await?, image.image));
    }
    let most = found.iter().map(|(found, _)| found.replicas).max().unwrap_or(0);
    let course = args.strategy.course(!rules.is_empty(), most)?;
    let mut workloads: BTreeMap<WorkloadRef, WorkloadSpec> = BTreeMap::new();
    for (found, image) in found {
        let all = course.has_all_pods.then_some(found.replicas.max(1));
        let spec = workloads.entry(found.deployment.clone()).or_insert_with(|| WorkloadSpec {
            deployment: found.deployment,
            images: BTreeMap::new(),
            replicas: args.replicas.or(all),
        });
        spec.images.insert(found.container, image);
    }
    let name = match &args.name {
        Some(name) => name.clone(),
        None => free_name(&releases.list().await?),
    };
    let steps = args.errands.given_to(course.steps, &cluster.namespace, args.analysis.on_failure())?;
    let mut spec = json!({
        "workloads": workloads.into_values().collect::<Vec<_>>(),
        "rules": rules,
        "steps": steps,
    });
    if course.by != By::default() {
        spec["by"] = json!(course.by);
    }
    if let Some(keep_warm) = course.keep_warm_s {
        spec["keepWarmSeconds"] = keep_warm.into();
    }
    if let Some(analysis) = args.analysis.document() {
        spec["analysis"] = json!(analysis);
    }
    if !args.notify.is_empty() {
        spec["notify"] = args.notify.iter().map(|url| json!({"url": url})).collect();
    }
    if let Some(lane) = &args.lane {
        spec["lane"] = lane.as_str().into();
    }
    let document = json!({
        "apiVersion": canary_rules::lane::API_VERSION, "kind": canary_release::KIND,
        "metadata": {"name": name}, "spec": spec,
    });
    serde_json::from_value(document).map_err(|error| Failure::new(Code::Usage, error))
}

fn free_name(all: &[Release]) -> String {
    let numbers = all
        .iter()
        .filter_map(|release| release.metadata.name.as_str().strip_prefix(NAME_PREFIX)?.parse::<u32>().ok());
    format!("{NAME_PREFIX}{}", numbers.max().unwrap_or(0).saturating_add(1))
}

/// `[NAMESPACE/]DEPLOYMENT[:CONTAINER]=IMAGE`.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    namespace: String,
    name: String,
    container: Option<String>,
    image: String,
}

/// What an image is for.
struct Found {
    deployment: WorkloadRef,
    container: String,
    replicas: u32,
}

impl Image {
    fn parse(text: &str, namespace: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(Code::Usage, format!("--image {text}: wanted a Deployment and its image"))
                .help("as in --image cart=shop/cart:2.4, or --image shop/cart:app=shop/cart:2.4")
        };
        let (workload, image) = text.split_once('=').ok_or_else(wrong)?;
        let (workload, container) = match workload.split_once(':') {
            Some((workload, container)) => (workload, Some(container.to_owned())),
            None => (workload, None),
        };
        let (namespace, name) = workload.split_once('/').unwrap_or((namespace, workload));
        if name.is_empty() || image.is_empty() || namespace.is_empty() || container.as_deref() == Some("") {
            return Err(wrong());
        }
        Ok(Self { namespace: namespace.into(), name: name.into(), container, image: image.into() })
    }

    /// The Deployment and the container that are meant.
    async fn find(&self, client: &Client) -> Result<Found, Failure> {
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &self.namespace);
        let what = format!("read Deployment {}/{}", self.namespace, self.name);
        let found = deployments.get_opt(&self.name).await.map_err(|error| api_failure(&what, &error))?;
        let found = match found {
            Some(found) => found,
            None => self.behind_service(client, &deployments).await?,
        };
        let name = found.metadata.name.clone().unwrap_or_default();
        let replicas = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let pod = found.spec.and_then(|spec| spec.template.spec);
        let names: Vec<String> =
            pod.iter().flat_map(|pod| &pod.containers).map(|container| container.name.clone()).collect();
        let container = match (&self.container, names.as_slice()) {
            (Some(container), _) => container.clone(),
            (None, [one]) => one.clone(),
            (None, several) => {
                let message = format!(
                    "Deployment {}/{name} has several containers: {}",
                    self.namespace,
                    several.join(", ")
                );
                let help =
                    format!("name the one that gets the image: --image {name}:CONTAINER={}", self.image);
                return Err(Failure::new(Code::Usage, message).help(help));
            }
        };
        let deployment = WorkloadRef { namespace: self.namespace.clone(), name };
        Ok(Found { deployment, container, replicas: u32::try_from(replicas).unwrap_or(0) })
    }

    /// The one Deployment behind a Service of this name.
    async fn behind_service(
        &self,
        client: &Client,
        deployments: &Api<Deployment>,
    ) -> Result<Deployment, Failure> {
        let services: Api<Service> = Api::namespaced(client.clone(), &self.namespace);
        let what = format!("read Service {}/{}", self.namespace, self.name);
        let service = services.get_opt(&self.name).await.map_err(|error| api_failure(&what, &error))?;
        let selector =
            service.and_then(|service| service.spec).and_then(|spec| spec.selector).unwrap_or_default();
        let listed = deployments.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| api_failure("list Deployments", &error))?;
        let labels = |deployment: &Deployment| {
            deployment
                .spec
                .as_ref()
                .and_then(|spec| spec.template.metadata.clone())
                .and_then(|metadata| metadata.labels)
        };
        let is_behind = |deployment: &&Deployment| {
            let labels = labels(deployment).unwrap_or_default();
            !selector.is_empty()
                && !labels.contains_key(LANE_LABEL)
                && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        let behind: Vec<&Deployment> = listed.items.iter().filter(is_behind).collect();
        let names = |of: &[&Deployment]| {
            of.iter().filter_map(|one| one.metadata.name.clone()).collect::<Vec<_>>().join(", ")
        };
        match behind.as_slice() {
            [one] => Ok((*one).clone()),
            [] => {
                let stateful_sets: Api<StatefulSet> = Api::namespaced(client.clone(), &self.namespace);
                // Who may not read it hears that there is no such Deployment, which is true.
                if let Ok(Some(_)) = stateful_sets.get_opt(&self.name).await {
                    let name = WorkloadRef { namespace: self.namespace.clone(), name: self.name.clone() };
                    return Err(Failure::new(Code::Documents, stateful_set_refused(&name)));
                }
                let message = format!("there is no Deployment {}/{}", self.namespace, self.name);
                let all = names(&listed.items.iter().collect::<Vec<_>>());
                Err(Failure::new(Code::Failed, message).help(format!("in {} are: {all}", self.namespace)))
            }
            several => {
                let message = format!("Service {}/{} has several Deployments", self.namespace, self.name);
                Err(Failure::new(Code::Usage, message).help(format!("name one of {}", names(several))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<[&str; 4]>) {
        let parsed = Image::parse(text, "here")
            .ok()
            .map(|image| [image.namespace, image.name, image.container.unwrap_or_default(), image.image]);
        assert_eq!(parsed, want.map(|parts| parts.map(str::to_owned)), "{text}");
    }

    #[test]
    fn an_image_is_given_to_a_deployment() {
        check("cart=shop/cart:2.4", Some(["here", "cart", "", "shop/cart:2.4"]));
        check(
            "shop/cart:app=reg:5000/cart@sha256:0a",
            Some(["shop", "cart", "app", "reg:5000/cart@sha256:0a"]),
        );
        for wrong in ["cart", "=x", "cart=", "/cart=x", "cart:=x"] {
            check(wrong, None);
        }
    }

    #[test]
    fn releases_without_a_name_are_counted() {
        let named = |name: &str| -> Release {
            let document =
                json!({"apiVersion": "", "kind": "", "metadata": {"name": name}, "spec": {"workloads": []}});
            serde_json::from_value::<Release>(document).expect("a release")
        };
        assert_eq!(free_name(&[]), "r-1");
        assert_eq!(free_name(&[named("r-9"), named("r-10"), named("other")]), "r-11");
    }
}
