//! Keeps the EndpointSlices by which agents' connections go on to their Service's own pods: those are others whenever a
//! pod comes or goes.

use std::time::Duration;

use canary_istio::Object;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use super::agents::{Agent, Agents};
use crate::failure::chain;
use crate::names::FIELD_MANAGER;
use crate::takeover::selected::{self, KEPT_BY, SERVICE_LABEL};
use crate::takeover::{By, Ruling, Takeover, passed};
use crate::world::Seen;

/// How often is looked who the pods are: Kubernetes names them a moment after they are ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Has the Services of Takeovers that hand connections on lead to the pods that there are. One that cannot be led keeps
/// nothing else back. Returns when to look again, if there are any.
pub(in crate::controller) async fn follow(client: &Client, seen: &Seen) -> Option<Duration> {
    let mut handing_on = seen.derived.rulings.values().filter_map(hands_on).peekable();
    handing_on.peek()?;
    let agents = match Agents::list(client).await {
        Ok(agents) => agents,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cannot tell who hands connections on");
            return Some(LOOK_EVERY);
        }
    };
    for takeover in handing_on {
        let metadata = &takeover.metadata;
        // It is made in the same run.
        let Some(onward) = selected::find(&seen.taken, &metadata.namespace, &metadata.name) else { continue };
        let agent = agents.of_takeover(&metadata.namespace, &metadata.name);
        match lead(client, seen, takeover, onward, &agent).await {
            Ok(()) => {}
            // Somebody was faster: the next look sees it.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            Err(error) => tracing::warn!(
                namespace = metadata.namespace, takeover = metadata.name, error = %chain(&error),
                "its connections may go on to pods that are gone"
            ),
        }
    }
    Some(LOOK_EVERY)
}

fn hands_on(ruling: &Ruling) -> Option<&Takeover> {
    match ruling {
        Ruling::On(takeover) if takeover.spec.by == By::Routes && !takeover.spec.connections.is_empty() => {
            Some(takeover)
        }
        _ => None,
    }
}

async fn lead(
    client: &Client,
    seen: &Seen,
    takeover: &Takeover,
    onward: &Object,
    agent: &Agent,
) -> Result<(), kube::Error> {
    let namespace = onward.namespace();
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    // Who is ending hands on to its end.
    if let Agent::Running(agent) = agent
        && let Some(patch) = selected::kept_for(onward.value(), &agent.pod)
    {
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        services.patch(onward.name(), &params, &Patch::Merge(patch)).await?;
    }
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let of = |service: &str| ListParams::default().labels(&format!("{SERVICE_LABEL}={service}"));
    let mut taken = api.list(&of(&takeover.spec.service)).await?.items;
    taken.retain(|slice| slice.labels().get(KEPT_BY.0).is_none_or(|by| by != KEPT_BY.1));
    let led = api.list(&of(onward.name())).await?.items;
    let wanted = passed::slices(takeover, onward, &taken, &passed::own_pods(&seen.pods, namespace));
    for slice in &wanted {
        let slice: EndpointSlice = serde_json::from_value(slice.clone()).map_err(kube::Error::SerdeError)?;
        let is_so = |led: &&EndpointSlice| {
            led.name_any() == slice.name_any() && led.endpoints == slice.endpoints && led.ports == slice.ports
        };
        if !led.iter().any(|led| is_so(&led)) {
            let applied = PatchParams { force: true, ..params.clone() };
            api.patch(&slice.name_any(), &applied, &Patch::Apply(&slice)).await?;
        }
    }
    let is_wanted = |name: &Value| wanted.iter().any(|slice| slice["metadata"]["name"] == *name);
    for slice in led.iter().filter(|slice| !is_wanted(&slice.name_any().into())) {
        match api.delete(&slice.name_any(), &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
