//! What an installation consists of, and how it is brought into a cluster and out of it.

mod edges;
pub mod helm;
pub mod manifests;
mod objects;
mod remove;
mod secrets;
mod steps;
mod template;
#[cfg(test)]
mod tests;
mod webhook;

use std::time::Duration;

use canary_istio::observed::{MANAGED_BY_LABEL, MANAGER};
use canary_istio::plugins::FilterSource;
use canary_rules::signing::KeyRing;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::filter::{self, Build};
use crate::names;
use crate::settings::{self, Installation, SettingsError};

pub use edges::{find_edges, parse_edge};
pub use remove::{Removal, remove};
pub use secrets::Secrets;
pub use steps::{Progress, install};

/// Everything that an installation decides.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the controller and the filter's server live.
    pub namespace: String,
    /// The image of canaryctl itself.
    pub image: String,
    /// What the ConfigMap keeps.
    pub installation: Installation,
    /// How long the controller keeps what no route leads to any more.
    pub collect_after: Duration,
    /// Whether the filter comes from our own server in the cluster.
    pub serves_filter: bool,
    /// Whether the API server asks about writes that lack what is ours.
    pub webhook: bool,
}

impl Plan {
    /// Labels of an object of ours, with these besides.
    fn labels(&self, more: &[(&str, &str)]) -> Value {
        let mut labels = Map::from_iter([
            (MANAGED_BY_LABEL.to_owned(), MANAGER.into()),
            ("app.kubernetes.io/part-of".to_owned(), "canaryctl".into()),
        ]);
        labels.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())));
        Value::Object(labels)
    }

    fn labelled(&self, mut object: Value) -> Value {
        object["metadata"]["labels"] = self.labels(&[]);
        object
    }

    /// Labels of what is ours but is not made for lanes: planning leaves it alone.
    fn part_of(&self) -> Value {
        serde_json::json!({"app.kubernetes.io/part-of": "canaryctl"})
    }

    /// What is there before any proxy needs the filter: namespace, Lane's definition, rights, settings, server.
    ///
    /// # Errors
    /// When the settings cannot be written as JSON.
    pub fn foundation(&self, secrets: &Secrets) -> Result<Vec<Value>, SettingsError> {
        let mut objects = self.without_keys()?;
        objects.push(self.labelled(settings::keys_secret(&secrets.keys, &self.namespace)?));
        if self.webhook {
            objects.extend(webhook::foundation(self, &secrets.certificates));
        }
        Ok(objects)
    }

    /// The same without Secrets, and without the webhook, which needs one.
    ///
    /// # Errors
    /// When the settings cannot be written as JSON.
    pub fn without_keys(&self) -> Result<Vec<Value>, SettingsError> {
        let mut objects = vec![objects::namespace(self)];
        objects.extend(crate::crd::all());
        objects.extend(crate::admission::objects(&self.labels(&[])));
        objects.extend(objects::rights(self));
        objects.push(self.labelled(self.installation.config_map(&self.namespace)?));
        objects.extend(crate::arrival::objects(&self.part_of()));
        if self.serves_filter {
            objects.extend(objects::filter_server(self));
        }
        Ok(objects)
    }

    /// The plugins that make every proxy run the filter.
    #[must_use]
    pub fn plugins(&self, keys: &KeyRing) -> Vec<Value> {
        self.installation.presence.objects(&self.installation.mesh(keys.clone()))
    }

    /// The controller.
    #[must_use]
    pub fn controller(&self) -> Vec<Value> {
        objects::controller(self)
    }

    /// What makes the API server ask the controller, once that is ready.
    #[must_use]
    pub fn webhook(&self, secrets: &Secrets) -> Option<Value> {
        self.webhook.then(|| webhook::configuration(self, &secrets.certificates))
    }

    /// All of it, in the order in which it is applied.
    ///
    /// # Errors
    /// When the settings cannot be written as JSON.
    pub fn objects(&self, secrets: &Secrets) -> Result<Vec<Value>, SettingsError> {
        let mut objects = self.foundation(secrets)?;
        objects.extend(self.plugins(&secrets.keys));
        objects.extend(self.controller());
        objects.extend(self.webhook(secrets));
        Ok(objects)
    }
}

/// Where proxies get a build from our own server in the cluster.
///
/// # Errors
/// When this binary carries no filter.
pub fn served(namespace: &str, build: Build) -> Result<FilterSource, Failure> {
    let sha256 = filter::sha256(filter::bytes(build)?);
    Ok(FilterSource { url: served_url(namespace, &sha256), sha256, pull_secret: None })
}

fn served_url(namespace: &str, sha256: &str) -> String {
    let server = format!("{}.{namespace}.svc.cluster.local:{}", names::FILTER_SERVER, objects::FILTER_PORT);
    format!("http://{server}/{sha256}.wasm")
}
