//! Who traces: proxies have the key while somebody wants it, and who asked for it is told when they do.

use std::time::Duration;

use canary_rules::trace::Tracing;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde_json::json;

use super::report::Outcome;
use super::run::RunError;
use crate::names::{FIELD_MANAGER, TRACE};
use crate::trace_key::{self, Asked, IN_FORCE, TROUBLE};

/// Heard of changes, and asked at the beginning of each run.
pub(super) struct Traces {
    api: Api<Secret>,
    heard: BoxStream<'static, watcher::Result<Option<Secret>>>,
}

/// What is asked for at a time.
#[derive(Debug)]
pub(super) struct Traced {
    secret: Option<Secret>,
    /// What proxies are to be told.
    pub(super) tracing: Option<Tracing>,
    /// How long that is so.
    pub(super) ends_in: Option<Duration>,
}

impl Traces {
    pub(super) fn new(client: &Client, namespace: &str) -> Self {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let heard = watcher::watch_object(api.clone(), TRACE).default_backoff().boxed();
        Self { api, heard }
    }

    /// Waits until something may have changed.
    pub(super) async fn changed(&mut self) {
        match self.heard.next().await {
            Some(Ok(_)) => {}
            // The stream goes on by itself, with back-off.
            Some(Err(error)) => tracing::warn!(%error, "nobody says whether somebody traces"),
            None => std::future::pending().await,
        }
    }

    /// What is asked for at this time (Unix, in seconds).
    pub(super) async fn look(&self, now_unix_s: i64) -> Result<Traced, RunError> {
        let secret = match self.api.get_opt(TRACE).await {
            Ok(secret) => secret,
            // Of a role from before there were traces; lanes need no key.
            Err(kube::Error::Api(status)) if status.code == 403 => {
                tracing::warn!(status.message, "nobody can trace: canaryctl install gives the right");
                None
            }
            Err(error) => return Err(RunError::Read("the key for traces", Box::new(error))),
        };
        let now_unix_s = u64::try_from(now_unix_s).unwrap_or_default();
        let tracing = secret.as_ref().and_then(Asked::read).and_then(|asked| asked.tracing(now_unix_s));
        let ends_in =
            tracing.as_ref().map(|tracing| Duration::from_secs(tracing.expires_unix_s - now_unix_s));
        Ok(Traced { secret, tracing, ends_in })
    }

    /// Says what came of it; what nobody wants any more goes once no proxy has it.
    pub(super) async fn report(&self, traced: &Traced, outcome: &Outcome) -> Result<(), RunError> {
        let Some(secret) = &traced.secret else { return Ok(()) };
        let said = |key: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(key));
        let annotations = match (&traced.tracing, outcome) {
            (None, Outcome::Done(_)) => {
                let removed = trace_key::remove(&self.api, secret).await;
                return removed.map_err(failed);
            }
            (Some(tracing), Outcome::Done(_)) => {
                let until = tracing.expires_unix_s.to_string();
                if said(IN_FORCE) == Some(&until) && said(TROUBLE).is_none() {
                    return Ok(());
                }
                json!({IN_FORCE: until, TROUBLE: null})
            }
            (Some(_), Outcome::Stuck(why)) if said(TROUBLE) != Some(why) => json!({TROUBLE: why}),
            _ => return Ok(()),
        };
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        match self.api.patch(TRACE, &params, &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: kube::Error) -> RunError {
    RunError::Report(format!("Secret {TRACE}"), Box::new(error))
}
