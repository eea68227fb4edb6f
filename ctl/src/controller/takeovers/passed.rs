//! Keeps the EndpointSlices by which agents' connections go on to their Service's own pods, which are others whenever a pod
//! comes or goes: beside the controller's own work, for nobody is to wait for proxies until then.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use canary_istio::Object;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};

use super::agents::{Agent, Agents};
use super::services::Unmade;
use crate::controller::run::SETTLE;
use crate::failure::chain;
use crate::names::FIELD_MANAGER;
use crate::takeover::selected::{self, KEPT_BY, SERVICE_LABEL};
use crate::takeover::{By, Ruling, Takeover, passed};
use crate::world::{Seen, Watched};

/// How often is looked who the pods are where nothing is heard: Kubernetes names them a moment after they are ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The Takeovers whose agents hand connections on, and what keeps them from it.
#[derive(Debug, Default)]
pub(in crate::controller) struct HandingOn(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    takeovers: Vec<Takeover>,
    troubles: Unmade,
}

impl HandingOn {
    /// Those that there are by now.
    pub(in crate::controller) fn set(&self, seen: &Seen) {
        let takeovers = seen.derived.rulings.values().filter_map(hands_on).cloned().collect();
        self.with(|state| state.takeovers = takeovers);
    }

    /// Why the API server does not let connections go on, by Takeover.
    pub(in crate::controller) fn troubles(&self) -> Unmade {
        self.with(|state| state.troubles.clone())
    }

    /// Has the Services of their own lead to the pods that there are, for as long as it is polled. One that cannot be led
    /// keeps none of the others back.
    pub(in crate::controller) async fn follow(&self, client: &Client, watched: &Watched) -> Infallible {
        let mut news = watched.news();
        loop {
            let takeovers = self.with(|state| state.takeovers.clone());
            let troubles =
                if takeovers.is_empty() { Unmade::new() } else { round(client, watched, &takeovers).await };
            self.with(|state| state.troubles = troubles);
            tokio::select! {
                () = news.changed() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

fn hands_on(ruling: &Ruling) -> Option<&Takeover> {
    match ruling {
        Ruling::On(takeover) if takeover.spec.by == By::Routes && !takeover.spec.connections.is_empty() => {
            Some(takeover)
        }
        _ => None,
    }
}

/// Leads each once; returns what the API server does not let be.
async fn round(client: &Client, watched: &Watched, takeovers: &[Takeover]) -> Unmade {
    let mut troubles = Unmade::new();
    let agents = match Agents::list(client).await {
        Ok(agents) => agents,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "cannot tell who hands connections on");
            return troubles;
        }
    };
    let mut pods: BTreeMap<&str, Vec<Object>> = BTreeMap::new();
    for takeover in takeovers {
        let (namespace, name) = (takeover.metadata.namespace.as_str(), takeover.metadata.name.as_str());
        let pods = pods.entry(namespace).or_insert_with(|| watched.pods(namespace));
        let agent = agents.of_takeover(namespace, name);
        match lead(client, takeover, &passed::own_pods(pods), &agent).await {
            Ok(()) => {}
            // Somebody was faster: the next look sees it.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {}
            Err(kube::Error::Api(status)) if [403, 422].contains(&status.code) => {
                troubles.insert((namespace.to_owned(), name.to_owned()), status.message);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(
                    namespace,
                    takeover = name,
                    error,
                    "its connections may go on to pods that are gone"
                );
            }
        }
    }
    troubles
}

async fn lead(
    client: &Client,
    takeover: &Takeover,
    own_pods: &BTreeSet<&str>,
    agent: &Agent,
) -> Result<(), kube::Error> {
    let (namespace, name) = (takeover.metadata.namespace.as_str(), takeover.metadata.name.as_str());
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let Some(onward) = services.get_opt(name).await? else { return Ok(()) };
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    // Who is ending hands on to its end.
    if let Agent::Running(agent) = agent
        && let Some(patch) =
            selected::kept_for(&serde_json::to_value(&onward).unwrap_or_default(), &agent.pod)
    {
        services.patch(name, &params, &Patch::Merge(patch)).await?;
    }
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let of = |service: &str| ListParams::default().labels(&format!("{SERVICE_LABEL}={service}"));
    let mut taken = api.list(&of(&takeover.spec.service)).await?.items;
    taken.retain(|slice| slice.labels().get(KEPT_BY.0).is_none_or(|by| by != KEPT_BY.1));
    let led = api.list(&of(name)).await?.items;
    let wanted = passed::slices(takeover, &onward, &taken, own_pods);
    for slice in &wanted {
        if !led.iter().any(|led| is_same(led, slice)) {
            let applied = PatchParams { force: true, ..params.clone() };
            api.patch(&slice.name_any(), &applied, &Patch::Apply(slice)).await?;
        }
    }
    let is_wanted = |name: &str| wanted.iter().any(|slice| slice.name_any() == name);
    for slice in led.iter().filter(|slice| !is_wanted(&slice.name_any())) {
        match api.delete(&slice.name_any(), &DeleteParams::background()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether an EndpointSlice is there as it is wanted.
fn is_same(led: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    let owner = |slice: &EndpointSlice| slice.owner_references().first().map(|owner| owner.uid.clone());
    led.name_any() == wanted.name_any()
        && led.endpoints == wanted.endpoints
        && led.ports == wanted.ports
        && owner(led) == owner(wanted)
}
