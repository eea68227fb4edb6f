//! One writer among several controllers: a Lease that its holder renews.
//!
//! It makes a second writer unlikely, not impossible; that is what versions on every write are for.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::names;

/// How long a Lease holds without being renewed.
pub(super) const HOLDS: Duration = Duration::from_secs(15);
/// How often its holder renews it, and others look at it.
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// A holder that could not renew for this long stops writing: before others may start.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);

/// The Lease of the controllers of one namespace.
pub(super) struct Leadership {
    api: Api<Lease>,
    identity: String,
}

impl Leadership {
    pub(super) fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity }
    }

    /// Waits until this controller holds the Lease.
    pub(super) async fn acquire(&self) {
        let mut seen: Option<(String, tokio::time::Instant)> = None;
        loop {
            match self.try_take(&mut seen).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot read or write the Lease"),
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    /// Renews the Lease for as long as that works; returns when it is lost. A process that stood still longer than it
    /// may hold on hears of that before it asks anybody.
    pub(super) async fn hold(&self) {
        let mut renewed = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if renewed.elapsed() > GIVES_UP_AFTER {
                return;
            }
            // An answer may have waited as long as this process stood still: what counts is when it was asked.
            let asked = tokio::time::Instant::now();
            let tried = tokio::time::timeout(RENEW_EVERY, self.renew()).await;
            match tried {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "cannot renew the Lease"),
                Err(_) => tracing::warn!("renewing the Lease takes too long"),
            }
            if renewed.elapsed() > GIVES_UP_AFTER {
                return;
            }
        }
    }

    /// Lets others take the Lease at once.
    pub(super) async fn release(&self) {
        let Ok(Some(mut lease)) = self.api.get_opt(names::CONTROLLER).await else { return };
        if self.holds(&lease) {
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = None;
            // If it fails, the Lease runs out.
            drop(self.api.replace(names::CONTROLLER, &PostParams::default(), &lease).await);
        }
    }

    /// Takes the Lease if nobody holds it. Whether it ran out is judged by this machine's own clock: by how
    /// long its version was seen to stay the same.
    async fn try_take(&self, seen: &mut Option<(String, tokio::time::Instant)>) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.api.get_opt(names::CONTROLLER).await? else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(names::CONTROLLER.into()), ..ObjectMeta::default() },
                spec: Some(self.spec(0)),
            };
            return won(self.api.create(&PostParams::default(), &lease).await);
        };
        let held = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        let is_free = held.is_none_or(|holder| holder.is_empty() || holder == self.identity);
        if !is_free {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            match seen {
                Some((last, since)) if *last == version => {
                    if since.elapsed() < HOLDS {
                        return Ok(false);
                    }
                }
                _ => {
                    *seen = Some((version, tokio::time::Instant::now()));
                    return Ok(false);
                }
            }
        }
        let changes = lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
        lease.spec = Some(self.spec(changes.saturating_add(1)));
        won(self.api.replace(names::CONTROLLER, &PostParams::default(), &lease).await)
    }

    async fn renew(&self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.api.get_opt(names::CONTROLLER).await? else { return Ok(false) };
        if !self.holds(&lease) {
            return Ok(false);
        }
        lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
        if won(self.api.replace(names::CONTROLLER, &PostParams::default(), &lease).await)? {
            return Ok(true);
        }
        // It may have been ours, made twice since its answer was lost: who holds the Lease says so.
        Ok(self.api.get_opt(names::CONTROLLER).await?.is_some_and(|lease| self.holds(&lease)))
    }

    fn holds(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.identity)
    }

    fn spec(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

/// Whether a write won; one that lost to another's is no error.
fn won(result: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
