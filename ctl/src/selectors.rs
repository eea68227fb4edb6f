//! Turns Services by their selectors: to an agent while its laptop is there, and back to their own pods when it is not.
//! There is no moment in which one leads nowhere: it leads to the agent before its pods are out of it, and to its pods
//! before the agent is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use canary_istio::Object;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::apply::Written;
use crate::names::FIELD_MANAGER;
use crate::takeover::selected::{self, KEPT_BY, Pod, SERVICE_LABEL};
use crate::takeover::{LABEL, Takeover};

/// How often is looked whether Kubernetes has followed a selector.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long nodes may take to hear of that: kube-proxy puts changes together for a second.
const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// How long a Service that is given back may have no pod that is ready before it goes without the agent all the same.
const ALONE_AFTER: Duration = Duration::from_secs(3);
/// How long before what the API server did not let be is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A namespace and a name in it.
type Place = (String, String);

/// What is remembered of Services that are taken: a matter of pace only.
#[derive(Debug, Default)]
pub struct Selectors {
    /// Since when Kubernetes has followed, by the Service.
    followed: HashMap<Place, Instant>,
    /// Since when a Service is given back.
    back: HashMap<Place, Instant>,
}

/// What a round came to.
#[derive(Debug, Default)]
pub struct Turned {
    /// The agents that have all that comes to their Service, by their Takeover, as the UID of a pod.
    arrived: BTreeMap<Place, String>,
    /// Takeovers by which something still leads somewhere.
    lead: BTreeSet<Place>,
    /// What keeps a Takeover from what it asks for.
    troubles: BTreeMap<Place, String>,
    /// Why nothing is known of any, if that is so.
    failure: Option<String>,
    /// What was written of what is watched.
    pub written: Vec<Written>,
    /// When the next round is due, if that is known.
    pub again_in: Option<Duration>,
}

impl Turned {
    /// A round that could not be made: nothing is known, and nothing is over.
    #[must_use]
    pub fn failed(why: String) -> Self {
        Self { failure: Some(why), again_in: Some(AGAIN_AFTER), ..Self::default() }
    }

    /// Whether this pod has all that comes to its Takeover's Service.
    pub fn has_arrived(&self, takeover: &Object, pod_uid: &str) -> bool {
        self.arrived.get(&place(takeover)).is_some_and(|uid| uid == pod_uid)
    }

    /// Whether a Takeover's Service still leads to its agent, or may.
    pub fn leads(&self, takeover: &Object) -> bool {
        self.failure.is_some() || self.lead.contains(&place(takeover))
    }

    /// What keeps a Takeover from what it asks for.
    pub fn trouble(&self, takeover: &Object) -> Option<&str> {
        self.troubles.get(&place(takeover)).or(self.failure.as_ref()).map(String::as_str)
    }

    /// Whether no Service leads to an agent any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.lead.is_empty()
    }

    /// What keeps Takeovers, as `namespace/name`, from what they ask for.
    pub fn troubles(&self) -> impl Iterator<Item = (String, &str)> {
        self.troubles.iter().map(|((namespace, name), why)| (format!("{namespace}/{name}"), why.as_str()))
    }

    fn look_in(&mut self, wait: Duration) {
        self.again_in = Some(self.again_in.map_or(wait, |before| before.min(wait)));
    }
}

/// What is done of a round.
struct Round<'a> {
    client: &'a Client,
    /// EndpointSlices of ours.
    slices: Vec<EndpointSlice>,
    turned: Turned,
    memory: &'a mut Selectors,
    now: Instant,
}

/// An agent that is to have a Service.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Its Takeover.
    pub takeover: &'a Takeover,
    /// Its pod.
    pub pod: Pod,
}

impl Selectors {
    /// Leads Services to the agents that are there, and gives all others back. What of one the API server does not let
    /// be keeps none of the others back.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn round<'a>(
        &mut self,
        client: &Client,
        taken: &[Object],
        wanted: impl Fn(&Object) -> Option<Wanted<'a>>,
    ) -> Result<Turned, kube::Error> {
        let ours = ListParams::default().labels(&format!("{}={}", KEPT_BY.0, KEPT_BY.1));
        let slices = Api::<EndpointSlice>::all(client.clone()).list(&ours).await?.items;
        let mut round =
            Round { client, slices, turned: Turned::default(), memory: self, now: Instant::now() };
        // One that is made for a Takeover leads where that wants it, and is not turned.
        let is_anybodys = |service: &&Object| service.value()["metadata"]["labels"][LABEL].is_null();
        for service in taken.iter().filter(is_anybodys) {
            let wanted = wanted(service);
            let baseline = wanted.as_ref().and_then(|wanted| {
                let own = &wanted.takeover.metadata;
                selected::find(taken, &own.namespace, &own.name)
            });
            let done = match &wanted {
                Some(wanted) => round.lead(service, wanted, baseline).await,
                None => round.give_back(service).await,
            };
            match done {
                Ok(()) => {}
                // Somebody was faster: it is seen in a moment.
                Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => {
                    round.turned.look_in(LOOK_EVERY);
                    round.still_leads(service, wanted.as_ref());
                }
                Err(kube::Error::Api(status)) if [403, 422].contains(&status.code) => {
                    round.turned.look_in(AGAIN_AFTER);
                    round.is_in_trouble(service, wanted.as_ref(), &status.message);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(round.turned)
    }
}

impl Round<'_> {
    /// Leads a Service to an agent: first there as well, then nowhere else.
    async fn lead(
        &mut self,
        service: &Object,
        wanted: &Wanted<'_>,
        baseline: Option<&Object>,
    ) -> Result<(), kube::Error> {
        let Wanted { takeover, pod } = wanted;
        let slices = match selected::slices(takeover, service.value(), pod) {
            Ok(slices) => slices,
            Err(port) => {
                let why = format!("its Service has a port {port} that the agent does not know: begin anew");
                self.turned.troubles.insert(place_of(takeover), why);
                return self.give_back(service).await;
            }
        };
        // It is made in the same run; without it the agent has nobody to hand on to.
        let Some(baseline) = baseline else {
            self.turned.look_in(LOOK_EVERY);
            return Ok(());
        };
        let at = place(service);
        self.memory.back.remove(&at);
        self.turned.lead.insert(place_of(takeover));
        if let Some(patch) = selected::kept_for(baseline.value(), pod) {
            self.change(baseline, &patch).await?;
        }
        for slice in &slices {
            self.write(service.namespace(), slice).await?;
        }
        let kept: Vec<&str> = slices.iter().filter_map(|slice| slice["metadata"]["name"].as_str()).collect();
        self.remove(service, &kept).await?;
        if selected::holder(service.value()) != Some(&takeover.metadata.name) {
            self.memory.followed.remove(&at);
            let patch = json!({"spec": {"selector": {LABEL: takeover.metadata.name}}});
            tracing::info!(
                namespace = at.0,
                service = at.1,
                takeover = takeover.metadata.name,
                "leads to its agent"
            );
            self.turned.look_in(LOOK_EVERY);
            return self.change(service, &patch).await;
        }
        if self.others_are_ready(service).await? {
            self.memory.followed.remove(&at);
            self.turned.look_in(LOOK_EVERY);
            return Ok(());
        }
        let since = *self.memory.followed.entry(at).or_insert(self.now);
        match HEARD_WITHIN.checked_sub(self.now.duration_since(since)) {
            Some(left) if !left.is_zero() => self.turned.look_in(left),
            _ => drop(self.turned.arrived.insert(place_of(takeover), pod.uid.clone())),
        }
        Ok(())
    }

    /// Gives a Service back: first to its pods as well, then to nobody else.
    async fn give_back(&mut self, service: &Object) -> Result<(), kube::Error> {
        let at = place(service);
        self.memory.followed.remove(&at);
        self.still_leads(service, None);
        if selected::holder(service.value()).is_some() {
            let patch = json!({"spec": {"selector": {LABEL: null}}});
            tracing::info!(namespace = at.0, service = at.1, "is given back to its pods");
            self.memory.back.insert(at, self.now);
            self.turned.look_in(LOOK_EVERY);
            return self.change(service, &patch).await;
        }
        if self.slices_of(service).next().is_none() {
            self.memory.back.remove(&at);
            return Ok(());
        }
        let since = *self.memory.back.entry(at).or_insert(self.now);
        if self.now.duration_since(since) < ALONE_AFTER && !self.others_are_ready(service).await? {
            self.turned.look_in(LOOK_EVERY);
            return Ok(());
        }
        self.turned.look_in(Duration::ZERO);
        self.remove(service, &[]).await
    }

    /// Whether a Service leads to pods of its own.
    async fn others_are_ready(&self, service: &Object) -> Result<bool, kube::Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), service.namespace());
        let of = ListParams::default().labels(&format!("{SERVICE_LABEL}={}", service.name()));
        let found = api.list(&of).await?.items;
        let others = found.iter().filter(|slice| !is_ours(slice)).flat_map(|slice| &slice.endpoints);
        // What is not said is so.
        let is_ready = |conditions: Option<bool>| conditions.unwrap_or(true);
        Ok(others
            .into_iter()
            .any(|one| is_ready(one.conditions.as_ref().and_then(|conditions| conditions.ready))))
    }

    /// Has an EndpointSlice be like this.
    async fn write(&self, namespace: &str, slice: &Value) -> Result<(), kube::Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let name = slice["metadata"]["name"].as_str().unwrap_or_default();
        let is_it = |other: &&EndpointSlice| {
            other.name_any() == name && other.namespace().as_deref() == Some(namespace)
        };
        let Some(found) = self.slices.iter().find(is_it) else {
            let slice = serde_json::from_value(slice.clone()).map_err(kube::Error::SerdeError)?;
            return api
                .create(
                    &PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() },
                    &slice,
                )
                .await
                .map(drop);
        };
        let wanted: EndpointSlice = serde_json::from_value(slice.clone()).map_err(kube::Error::SerdeError)?;
        if found.endpoints == wanted.endpoints && found.ports == wanted.ports {
            return Ok(());
        }
        let patch = json!({"endpoints": slice["endpoints"], "ports": slice["ports"]});
        api.patch(name, &params(), &Patch::Merge(patch)).await.map(drop)
    }

    /// Removes the EndpointSlices by which a Service leads to agents, but for these.
    async fn remove(&self, service: &Object, kept: &[&str]) -> Result<(), kube::Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), service.namespace());
        for slice in self.slices_of(service) {
            let name = slice.name_any();
            if kept.contains(&name.as_str()) {
                continue;
            }
            match api.delete(&name, &DeleteParams::background()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Changes a Service as it was seen.
    async fn change(&mut self, service: &Object, patch: &Value) -> Result<(), kube::Error> {
        let api: Api<Service> = Api::namespaced(self.client.clone(), service.namespace());
        let mut patch = patch.clone();
        patch["metadata"]["resourceVersion"] = service.resource_version().into();
        let changed = api.patch(service.name(), &params(), &Patch::Merge(patch)).await?;
        let written = Written::new(service.reference().clone(), changed.resource_version());
        self.turned.written.push(written);
        Ok(())
    }

    fn slices_of<'s>(&'s self, service: &'s Object) -> impl Iterator<Item = &'s EndpointSlice> {
        self.slices.iter().filter(move |slice| {
            slice.namespace().as_deref() == Some(service.namespace())
                && slice.labels().get(SERVICE_LABEL).is_some_and(|of| of == service.name())
        })
    }

    /// Takeovers that a Service may lead to.
    fn concerned(&self, service: &Object, wanted: Option<&Wanted<'_>>) -> Vec<Place> {
        let led = self.slices_of(service).map(labelled);
        let held = selected::holder(service.value()).map(str::to_owned);
        let wanted = wanted.map(|wanted| wanted.takeover.metadata.name.clone());
        led.chain(held).chain(wanted).map(|name| (service.namespace().to_owned(), name)).collect()
    }

    fn still_leads(&mut self, service: &Object, wanted: Option<&Wanted<'_>>) {
        let concerned = self.concerned(service, wanted);
        self.turned.lead.extend(concerned);
    }

    fn is_in_trouble(&mut self, service: &Object, wanted: Option<&Wanted<'_>>, why: &str) {
        for place in self.concerned(service, wanted) {
            tracing::warn!(namespace = place.0, takeover = place.1, why, "its Service cannot be turned");
            self.turned.lead.insert(place.clone());
            self.turned.troubles.insert(place, why.to_owned());
        }
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn place(object: &Object) -> Place {
    (object.namespace().to_owned(), object.name().to_owned())
}

fn place_of(takeover: &Takeover) -> Place {
    (takeover.metadata.namespace.clone(), takeover.metadata.name.clone())
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice.labels().get(KEPT_BY.0).is_some_and(|by| by == KEPT_BY.1)
}

/// The Takeover that an EndpointSlice is for.
fn labelled(slice: &EndpointSlice) -> String {
    slice.labels().get(LABEL).cloned().unwrap_or_default()
}
