//! Certificates in the cluster: every replica follows the Secret, the leader renews it and tells the API server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::Counts;
use super::certificates::{CertificateError, Certificates, Lives};
use super::serve::Shown;
use crate::failure::chain;
use crate::names;
use crate::world;

#[cfg(test)]
mod tests;

/// How often a replica looks for another certificate, and how often while it has none.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const LOOK_FIRST_EVERY: Duration = Duration::from_secs(1);
/// How often the leader looks whether one is due.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Why certificates are not as they should be.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("cannot {0}")]
    Api(&'static str, #[source] Box<kube::Error>),
    #[error("there is no Secret {}: canaryctl install makes it", names::WEBHOOK)]
    Missing,
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the certificate cannot be shown")]
    Shown(#[from] rustls::Error),
}

/// Shows what the Secret keeps, and says when there is something to show. Never ends.
pub async fn follow(
    client: &Client,
    namespace: &str,
    shown: &Shown,
    counts: &Counts,
    shows: &watch::Sender<bool>,
) {
    let mut last: Option<Certificates> = None;
    loop {
        match look(client, namespace, shown, &mut last).await {
            Ok(()) => {
                let ends = last.as_ref().map_or(0, |shown| shown.serving().ends_unix_s());
                counts.certificate_ends_unix_s.store(u64::try_from(ends).unwrap_or(0), Ordering::Relaxed);
                // Nobody need be waiting for it.
                let _ = shows.send(true);
            }
            Err(error) => tracing::warn!(error = %chain(&error), "no certificate"),
        }
        let wait = if last.is_some() { LOOK_EVERY } else { LOOK_FIRST_EVERY };
        tokio::time::sleep(wait).await;
    }
}

async fn look(
    client: &Client,
    namespace: &str,
    shown: &Shown,
    last: &mut Option<Certificates>,
) -> Result<(), RenewalError> {
    let found = Certificates::from_secret(&secret(client, namespace).await?)?;
    if last.as_ref() != Some(&found) {
        shown.set(found.serving())?;
        *last = Some(found);
    }
    Ok(())
}

/// Replaces certificates in time and keeps the API server's bundle right. Never ends.
pub async fn renew(client: &Client, namespace: &str) {
    loop {
        if let Err(error) = renew_once(client, namespace, Lives::default()).await {
            tracing::warn!(error = %chain(&error), "the webhook's certificates stay as they are");
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn renew_once(client: &Client, namespace: &str, lives: Lives) -> Result<(), RenewalError> {
    let secret = secret(client, namespace).await?;
    let now = Timestamp::now().as_second();
    let found = Certificates::from_secret(&secret);
    let next = match &found {
        Ok(found) => found.next(namespace, lives, now)?,
        Err(_) => Some(Certificates::new(namespace, lives, now)?),
    };
    if let Some(next) = &next {
        // The one before may be another leader's by now.
        let body = json!({
            "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]},
            "data": next.secret(namespace)["data"],
        });
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &world::resource("v1", "Secret"));
        let written = api.patch(names::WEBHOOK, &params(), &Patch::Merge(&body)).await;
        written.map_err(|error| RenewalError::Api("write the Secret", Box::new(error)))?;
        tracing::info!("the webhook's certificates are renewed");
    }
    let current = match next {
        Some(next) => next,
        None => found?,
    };
    announce(client, &current).await
}

/// Keeps `caBundle` right where there is a configuration; whether there is one is an installation's.
async fn announce(client: &Client, certificates: &Certificates) -> Result<(), RenewalError> {
    let (api_version, kind) = (names::ADMISSION_API, names::WEBHOOK_KIND);
    let found = world::get(client, api_version, kind, None, names::WEBHOOK).await;
    let found = found.map_err(|error| RenewalError::Api("read the webhook", Box::new(error)))?;
    let Some(patch) = found.and_then(|found| with_bundle(&found, &certificates.ca_bundle())) else {
        return Ok(());
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &world::resource(api_version, kind));
    let written = api.patch(names::WEBHOOK, &params(), &Patch::Merge(&patch)).await;
    written.map_err(|error| RenewalError::Api("write the webhook", Box::new(error)))?;
    Ok(())
}

/// The patch after which every webhook of a configuration trusts this bundle; none where all do.
fn with_bundle(configuration: &Value, bundle: &str) -> Option<Value> {
    let mut webhooks = configuration["webhooks"].as_array()?.clone();
    let mut is_due = false;
    for webhook in &mut webhooks {
        if webhook["clientConfig"]["caBundle"] != bundle {
            webhook["clientConfig"]["caBundle"] = bundle.into();
            is_due = true;
        }
    }
    let version = &configuration["metadata"]["resourceVersion"];
    is_due.then(|| json!({"metadata": {"resourceVersion": version}, "webhooks": webhooks}))
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() }
}

async fn secret(client: &Client, namespace: &str) -> Result<Value, RenewalError> {
    let found = world::get(client, "v1", "Secret", Some(namespace), names::WEBHOOK).await;
    found.map_err(|error| RenewalError::Api("read the Secret", Box::new(error)))?.ok_or(RenewalError::Missing)
}
