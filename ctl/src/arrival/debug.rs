//! Asks istiods what they know, through the API server: they answer callers from their own host only.

use std::collections::BTreeSet;

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::judge::{self, Endpoints, Proxy, Sync};
use super::marker::Marked;
use super::{ArrivalError, Part, sidecars, watches};
use crate::apply::Written;
use crate::pod_port::PodPort;
use crate::world::{ISTIOD_SELECTOR, REVISION_LABEL};

/// istiod's monitoring port.
const PORT: u16 = 15014;

/// Every istiod of a mesh: all revisions, all replicas.
#[derive(Debug, Clone)]
pub struct Istiods {
    namespace: String,
    pods: Vec<Serving>,
}

/// An istiod's pod.
#[derive(Debug, Clone)]
struct Serving {
    name: String,
    is_ready: bool,
    revision: String,
}

impl Istiods {
    /// Finds them in Istio's root namespace.
    ///
    /// # Errors
    /// When there is none, or pods cannot be listed.
    pub async fn find(client: &Client, namespace: &str) -> Result<Self, ArrivalError> {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let found = api.list(&ListParams::default().labels(ISTIOD_SELECTOR)).await;
        let found = found.map_err(|source| ArrivalError::Api {
            tried: format!("list the istiods in {namespace}"),
            source: Box::new(source),
        })?;
        let serves = |pod: &Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
        };
        let pods: Vec<Serving> = found.items.iter().filter(|pod| serves(pod)).map(Serving::read).collect();
        if pods.is_empty() {
            return Err(ArrivalError::NoIstiod { namespace: namespace.into() });
        }
        Ok(Self { namespace: namespace.into(), pods })
    }

    /// Their versions, each once.
    ///
    /// # Errors
    /// When one does not answer.
    pub async fn versions(&self, client: &Client) -> Result<BTreeSet<String>, ArrivalError> {
        let mut versions = BTreeSet::new();
        for (mut debug, _) in self.connect(client) {
            let answer = debug.text("/version").await?;
            versions.insert(String::from_utf8_lossy(&answer).trim().to_owned());
        }
        Ok(versions)
    }

    /// A connection to each, made when first used, and whether it says that it can serve proxies.
    pub(super) fn connect(&self, client: &Client) -> Vec<(Debug, bool)> {
        let debug = |pod: &Serving| Debug {
            port: PodPort::new(client, &self.namespace, &pod.name, PORT),
            revision: pod.revision.clone(),
        };
        self.pods.iter().map(|pod| (debug(pod), pod.is_ready)).collect()
    }

    /// Their revisions.
    pub(super) fn revisions(&self) -> BTreeSet<String> {
        self.pods.iter().map(|pod| pod.revision.clone()).collect()
    }
}

impl Serving {
    fn read(pod: &Pod) -> Self {
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            is_ready: sidecars::is_ready(pod),
            revision: label(REVISION_LABEL).cloned().unwrap_or_default(),
        }
    }
}

/// The debug interface of one istiod.
pub(super) struct Debug {
    port: PodPort,
    revision: String,
}

impl Debug {
    pub(super) fn pod(&self) -> &str {
        self.port.pod()
    }

    /// Whether it reads this object: one that names a revision is read by that one alone.
    pub(super) fn reads(&self, write: &Written) -> bool {
        // An istiod without a revision reads everything.
        self.revision.is_empty() || write.revision.as_ref().is_none_or(|revision| *revision == self.revision)
    }

    /// What is in its store.
    pub(super) async fn config(&mut self) -> Result<Vec<Value>, ArrivalError> {
        self.get("/debug/configz").await
    }

    /// The endpoints that it knows.
    pub(super) async fn endpoints(&mut self) -> Result<Endpoints, ArrivalError> {
        self.get("/debug/endpointShardz").await
    }

    /// Its proxies, as to this marker and these parts.
    pub(super) async fn proxies(
        &mut self,
        marked: &Marked,
        parts: &BTreeSet<Part>,
    ) -> Result<Vec<Proxy>, ArrivalError> {
        let marked = marked.clone();
        // Every proxy's every cluster: more than is well held at once.
        let path = "/debug/adsz";
        let watchers = self.port.read(path, move |answer| watches::read(answer, &marked)).await;
        let watchers = watchers.map_err(|why| self.silent(why))?;
        let watchers = watchers.map_err(|error| self.unexpected(path, &error))?;
        let sync: Vec<Sync> = self.get("/debug/syncz").await?;
        Ok(judge::proxies(watchers, &sync, parts))
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ArrivalError> {
        let body = self.text(path).await?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(path, &error))
    }

    async fn text(&mut self, path: &str) -> Result<Bytes, ArrivalError> {
        let answer = self.port.get(path).await;
        answer.map_err(|why| self.silent(why))
    }

    fn unexpected(&self, path: &str, error: &serde_json::Error) -> ArrivalError {
        self.silent(format!("{path} is not as expected: {error}"))
    }

    fn silent(&self, why: String) -> ArrivalError {
        ArrivalError::Silent { pod: self.pod().to_owned(), why }
    }
}
