//! Whether what an installation needs is there, and whether what it made is.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;

use canary_istio::plugins::{API_VERSION, ROLE_LABEL};

use super::{Report, Weight, builds};
use crate::cluster::api_failure;
use crate::failure::Failure;
use crate::filter::{self, Build};
use crate::webhook::certificates::Certificates;
use crate::{crd, install, names, world};

/// Before an installation.
pub(super) async fn before(client: &Client, report: &mut Report) -> Result<(), Failure> {
    discovery(client, report).await?;
    let edges = match install::find_edges(client).await {
        Ok(edges) => edges,
        // That one may not is among what is reported.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            report.issue(
                "CC227",
                Weight::Error,
                format!("gateways cannot be looked for: {}", status.message),
                "name yours: canaryctl install --gateway NAMESPACE/LABEL=VALUE",
            );
            return Ok(());
        }
        Err(error) => return Err(api_failure("look for gateways", &error)),
    };
    match edges.len() {
        0 => report.issue(
            "CC220",
            Weight::Error,
            "no ingress gateway was found: nothing would decide who is in a lane",
            "canaryctl install --gateway NAMESPACE/LABEL=VALUE",
        ),
        1 => report.well("1 ingress gateway".to_owned()),
        several => report.well(format!("{several} ingress gateways")),
    }
    Ok(())
}

/// Before an installation: whether Istio will hear of what is written for it.
async fn discovery(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let needed = [names::ROOT_NAMESPACE, names::NAMESPACE];
    match world::undiscovered(client, names::ROOT_NAMESPACE, &needed).await {
        Ok(namespaces) => namespaces.iter().for_each(|namespace| undiscovered(namespace, report)),
        // That one may not read it is among what is reported.
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        Err(error) => return Err(api_failure("read Istio's settings", &error)),
    }
    Ok(())
}

/// Says that Istio does not hear of what is in a namespace that we need.
pub(super) fn undiscovered(namespace: &str, report: &mut Report) {
    report.issue(
        "CC229",
        Weight::Error,
        format!(
            "Istio does not look at namespace {namespace}: its discoverySelectors leave it out, and no arrival can be proven"
        ),
        format!("kubectl label namespace {namespace} KEY=VALUE, as the selectors want it"),
    );
}

/// After one.
pub(super) async fn after(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), names::NAMESPACE);
    let controller = deployments.get_opt(names::CONTROLLER).await;
    let controller = controller.map_err(|error| api_failure("read the controller's Deployment", &error))?;
    let Some(controller) = controller else {
        report.issue("CC221", Weight::Error, "canaryctl is not installed", "canaryctl install");
        return Ok(());
    };
    let ready = controller.status.and_then(|status| status.ready_replicas).unwrap_or(0);
    match ready {
        0 => report.issue(
            "CC222",
            Weight::Error,
            "no controller is ready: lanes stay as they are, changes to them do nothing",
            format!("kubectl -n {} describe pods", names::NAMESPACE),
        ),
        ready => report.well(format!("{ready} controllers ready")),
    }
    definition(client, report).await?;
    webhook(client, report).await?;
    plugins(client, report).await
}

/// Whether the API server trusts what the controllers show it; those who may not read the Secret cannot know.
async fn webhook(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let found = world::get(client, names::ADMISSION_API, names::WEBHOOK_KIND, None, names::WEBHOOK).await;
    let secret = world::get(client, "v1", "Secret", Some(names::NAMESPACE), names::WEBHOOK).await;
    let (found, secret) = match (found, secret) {
        (Ok(Some(found)), Ok(secret)) => (found, secret),
        (Ok(None), _) => return Ok(()),
        (Err(kube::Error::Api(status)), _) | (_, Err(kube::Error::Api(status))) if status.code == 403 => {
            return Ok(());
        }
        (Err(error), _) | (_, Err(error)) => return Err(api_failure("read the webhook", &error)),
    };
    let certificates = secret.and_then(|secret| Certificates::from_secret(&secret).ok());
    let bundle = certificates.map(|certificates| certificates.ca_bundle());
    let mut hooks = found["webhooks"].as_array().into_iter().flatten();
    match bundle {
        Some(bundle) if hooks.all(|hook| hook["clientConfig"]["caBundle"] == bundle) => {
            report.well("the webhook is on");
        }
        _ => report.issue(
            "CC228",
            Weight::Warning,
            "the API server does not trust the webhook: what a tool wipes comes back a moment later",
            "the controller mends it within a minute; if not, canaryctl install",
        ),
    }
    Ok(())
}

async fn definition(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let ours = crd::lane();
    let found = world::get(
        client,
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        None,
        ours["metadata"]["name"].as_str().unwrap_or_default(),
    );
    let found = found.await.map_err(|error| api_failure("read Lane's definition", &error))?;
    let schema = |definition: &Value| definition["spec"]["versions"][0]["schema"].clone();
    match found {
        Some(found) if schema(&found) == schema(&ours) => report.well("Lane's definition is this version's"),
        Some(_) => report.issue(
            "CC223",
            Weight::Warning,
            "Lane's definition is another version's: fields may be dropped",
            "canaryctl install",
        ),
        None => report.issue("CC224", Weight::Error, "the cluster knows no Lanes", "canaryctl install"),
    }
    Ok(())
}

async fn plugins(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &world::resource(API_VERSION, "WasmPlugin"));
    let found = api.list(&ListParams::default().labels(ROLE_LABEL)).await;
    let found = found.map_err(|error| api_failure("list WasmPlugins", &error))?.items;
    for role in ["edge-guard", "edge", "inbound", "outbound"] {
        let has = |plugin: &DynamicObject| {
            plugin
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(ROLE_LABEL))
                .is_some_and(|is| is == role)
        };
        if !found.iter().any(has) {
            report.issue(
                "CC225",
                Weight::Error,
                format!("there is no WasmPlugin for the role {role}"),
                "canaryctl install",
            );
        }
    }
    let carried: Vec<&[u8]> = [Build::Gateway, Build::Sidecar].into_iter().flat_map(filter::bytes).collect();
    let differs = found.iter().any(|plugin| builds::is_another(&plugin.data["spec"], &carried));
    match differs {
        true => report.issue(
            "CC226",
            Weight::Info,
            "proxies run another build of the filter than this canaryctl carries",
            "canaryctl install brings them to this one",
        ),
        false if !found.is_empty() => report.well(format!("{} plugins in place", found.len())),
        false => {}
    }
    Ok(())
}
