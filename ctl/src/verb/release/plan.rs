//! `canaryctl release plan`: what a release would do, and what to think of before.

use std::collections::BTreeMap;

use canary_release::{By, Planned, PlannedStep, Release, WorkloadRef, World, holder, plan};
use kube::Client;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use super::start::{self, DocumentArgs};
use crate::cluster::{Cluster, api_failure};
use crate::failure::{Code, Failure};
use crate::lanes::Lanes;
use crate::progress::Printed;
use crate::releases::Releases;
use crate::world;

pub(super) async fn run(args: &DocumentArgs, cluster: &Cluster, releases: &Releases) -> Result<(), Failure> {
    let release = start::wanted(args, cluster, releases).await?;
    let seen = look(&cluster.client, &release).await?;
    let taken = holder(&newest(&release), &releases.list().await?);
    let planned = plan(&release, &seen.world, taken.as_deref());
    tell(&release, &planned);
    for warning in warnings(&release, &seen) {
        anstream::println!("note: {warning}");
    }
    match planned.refused {
        None => Ok(()),
        Some(refused) => Err(Failure::new(Code::Documents, format!("it would not begin: {refused}"))),
    }
}

/// The release as if it were made now: whoever is there was there before.
fn newest(release: &Release) -> Release {
    let mut newest = release.clone();
    newest.metadata.creation_timestamp = Some(jiff::Timestamp::now().to_string());
    newest
}

/// What a plan looks at.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) world: World,
    services: Vec<Value>,
    /// As far as one may see them.
    autoscalers: Vec<Value>,
}

pub(super) async fn look(client: &Client, release: &Release) -> Result<Seen, Failure> {
    let mut seen = Seen::default();
    let mut namespaces: Vec<&str> =
        release.spec.workloads.iter().map(|spec| spec.deployment.namespace.as_str()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for namespace in namespaces {
        for found in list(client, "apps/v1", "Deployment", namespace).await? {
            let name = found["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            seen.world.deployments.insert(WorkloadRef { namespace: namespace.into(), name }, found);
        }
        let stateful_sets = list(client, "apps/v1", "StatefulSet", namespace).await.unwrap_or_default();
        let names = stateful_sets.iter().filter_map(|found| found["metadata"]["name"].as_str());
        let of = |name: &str| WorkloadRef { namespace: namespace.into(), name: name.into() };
        seen.world.stateful_sets.extend(names.map(of));
        seen.services.extend(list(client, "v1", "Service", namespace).await?);
        let autoscalers = list(client, "autoscaling/v2", "HorizontalPodAutoscaler", namespace).await;
        seen.autoscalers.extend(autoscalers.unwrap_or_default());
    }
    let lanes = Lanes::new(client).list().await?;
    let name = |lane: &Value| lane["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    seen.world.lanes = lanes.into_iter().map(|lane| (name(&lane), lane)).collect::<BTreeMap<_, _>>();
    Ok(seen)
}

async fn list(
    client: &Client,
    api_version: &str,
    kind: &str,
    namespace: &str,
) -> Result<Vec<Value>, Failure> {
    let resource = world::resource(api_version, kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let found = api.list(&ListParams::default()).await;
    let found = found.map_err(|error| api_failure(&format!("list {kind}s in {namespace}"), &error))?;
    let value = |object: &DynamicObject| {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        value["metadata"]["name"] = object.name_any().into();
        value
    };
    Ok(found.items.iter().map(value).collect())
}

fn tell(release: &Release, planned: &Planned) {
    let mut printed = Printed;
    anstream::println!("release/{}   in lane {}", release.metadata.name, release.lane());
    for (number, planned) in planned.steps.iter().enumerate() {
        let pods = planned.pods.iter().map(|(name, pods)| format!("{name} {pods}"));
        let pods = pods.collect::<Vec<_>>().join(" · ");
        let what = format!("{}   pods: {pods}", step(planned, release.spec.by));
        printed.line(&format!("step {}", number.saturating_add(1)), &what);
    }
    let names = release.spec.workloads.iter().map(|spec| spec.deployment.to_string());
    printed.line("then", &format!("the new images for {}", names.collect::<Vec<_>>().join(", ")));
}

fn step(planned: &PlannedStep, by: By) -> String {
    let PlannedStep { step, share, .. } = planned;
    let mut who = if *share > 0.0 { format!("{share} % of {by}") } else { "by rule only".into() };
    if let Some(copies) = step.copies() {
        who += &format!(" and {copies}");
    }
    match (step.errand(), step.hold_seconds) {
        (Some(errand), Some(seconds)) => format!("{who}, {errand}, for {seconds} s at least"),
        (Some(errand), None) => format!("{who}, {errand}"),
        (None, Some(seconds)) => format!("{who}, for {seconds} s"),
        (None, None) => format!("{who}, until promoted"),
    }
}

/// What people have learnt the hard way.
fn warnings(release: &Release, seen: &Seen) -> Vec<String> {
    let mut warnings = Vec::new();
    if (0..release.steps()).any(|number| release.mirror(number) > 0.0) {
        warnings.push(
            "copies of requests are served as any request is: what the new versions write for one is written twice, \
             in databases, queues and whatever else they call, and they need the pods for it"
                .into(),
        );
    }
    for spec in &release.spec.workloads {
        let Some(deployment) = seen.world.deployments.get(&spec.deployment) else { continue };
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let leads_here = |service: &Value| {
            let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty());
            service["metadata"]["namespace"] == *spec.deployment.namespace
                && selector.is_some_and(|all| all.iter().all(|(key, value)| labels[key] == *value))
        };
        let copy = release.copy_of(&spec.deployment);
        if !seen.services.iter().any(leads_here) {
            warnings.push(format!(
                "no Service leads to {}: what it takes from a queue or by itself, the pods of {copy} take too, from \
                 their first second on",
                spec.deployment
            ));
        }
        let scales = |autoscaler: &&Value| {
            let target = &autoscaler["spec"]["scaleTargetRef"];
            autoscaler["metadata"]["namespace"] == *spec.deployment.namespace
                && target["kind"] == "Deployment"
                && target["name"] == *spec.deployment.name
        };
        if let Some(autoscaler) = seen.autoscalers.iter().find(scales) {
            warnings.push(format!(
                "HorizontalPodAutoscaler {} averages over the pods of {copy} too, and does not scale them",
                autoscaler["metadata"]["name"].as_str().unwrap_or_default()
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_easily_overlooked_is_said() {
        let release: Release = serde_json::from_value(json!({
            "apiVersion": "", "kind": "", "metadata": {"name": "r"},
            "spec": {"workloads": [{"deployment": "shop/cart", "images": {"app": "x"}}]},
        }))
        .expect("a release");
        let named =
            |name: &str, spec: Value| json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec});
        let cart = named("cart", json!({"template": {"metadata": {"labels": {"app": "cart"}}}}));
        let mut seen = Seen::default();
        seen.world.deployments.insert(release.spec.workloads[0].deployment.clone(), cart);
        let alone = warnings(&release, &seen);
        assert!(alone.len() == 1 && alone[0].starts_with("no Service leads to shop/cart"), "{alone:?}");
        seen.services.push(named("cart", json!({"selector": {"app": "cart"}})));
        assert_eq!(warnings(&release, &seen), [""; 0]);
        let target = json!({"scaleTargetRef": {"kind": "Deployment", "name": "cart"}});
        seen.autoscalers.push(named("cart-hpa", target));
        assert_eq!(
            warnings(&release, &seen),
            [
                "HorizontalPodAutoscaler cart-hpa averages over the pods of shop/cart-r too, and does not scale them"
            ]
        );
    }
}
