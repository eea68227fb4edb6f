//! A run's turn at the key: asks for it, waits until every proxy has it, keeps it, gives it back.

use std::collections::BTreeMap;
use std::time::Duration;

use canary_rules::trace::TraceKey;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;

use super::{Asked, KEY, RUN, TROUBLE, WATCH, Watch, in_force_until, now_unix_s, watcher};
use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::{names, random};

/// How long a run's word holds, in seconds: so long is the key in force if the run is killed.
const HOLDS_S: u64 = 60;
/// How often it is given again.
const RENEW_EVERY: Duration = Duration::from_secs(HOLDS_S / 2);
/// How far this machine's clock may be from the cluster's, in seconds.
const CLOCKS_APART_S_MAX: u64 = HOLDS_S / 4;
/// How often others may be faster.
const TRIES: usize = 5;

/// A run that traces.
#[derive(Debug)]
pub struct Turn {
    api: Api<Secret>,
    /// The run's name.
    run: String,
    key: TraceKey,
    until_unix_s: u64,
}

impl Turn {
    /// Asks for a key: that of others who trace now, or a new one; and to have some flows of a lane marked.
    ///
    /// # Errors
    /// When the API server refuses, or this machine's clock is far from its.
    pub async fn begin(client: &Client, watch: Option<&Watch>) -> Result<Self, Failure> {
        let api: Api<Secret> = Api::namespaced(client.clone(), names::NAMESPACE);
        // Its first half is never 0.
        let run = format!("{:016x}", u64::from_le_bytes(random::bytes()?) | 1 << 63);
        for _ in 0..TRIES {
            let until_unix_s = now_unix_s() + HOLDS_S;
            let mut entries = BTreeMap::from([(format!("{RUN}{run}"), until_unix_s.to_string())]);
            entries.extend(watch.map(|watch| (format!("{WATCH}{run}"), watch.to_string())));
            let found = api.get_opt(names::TRACE).await;
            let found = found.map_err(|error| failed("read", &error))?;
            let (key, tried) = match &found {
                None => {
                    let key = TraceKey::new(random::bytes()?);
                    entries.insert(KEY.into(), key.into());
                    (key, api.create(&PostParams::default(), &secret(entries)).await)
                }
                // One that holds no key gets one; a key that a killed run has left is as good as a new one.
                Some(found) => {
                    let fresh = TraceKey::new(random::bytes()?);
                    let key = Asked::read(found).map_or(fresh, |asked| asked.key);
                    entries.insert(KEY.into(), key.into());
                    let patch = json!({
                        "metadata": {"resourceVersion": found.metadata.resource_version},
                        "stringData": entries,
                    });
                    (key, api.patch(names::TRACE, &params(), &Patch::Merge(&patch)).await)
                }
            };
            match tried {
                Ok(written) => {
                    let turn = Self { api, run, key, until_unix_s };
                    return if found.is_none() { turn.in_time(&written).await } else { Ok(turn) };
                }
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                Err(error) => return Err(failed("write", &error)),
            }
        }
        Err(Failure::new(Code::Conflict, format!("others keep changing Secret {}", names::TRACE))
            .help("try again"))
    }

    /// The controller ends the key by its own clock.
    async fn in_time(self, created: &Secret) -> Result<Self, Failure> {
        let Some(created) = &created.metadata.creation_timestamp else { return Ok(self) };
        let theirs = u64::try_from(created.0.as_second()).unwrap_or_default();
        let apart = theirs.abs_diff(now_unix_s());
        if apart <= CLOCKS_APART_S_MAX {
            return Ok(self);
        }
        self.end().await?;
        let message = format!("this machine's clock is {apart} s from the cluster's");
        Err(Failure::new(Code::Failed, message).help("set it: when a trace's key ends is said by it"))
    }

    /// Makes marks that proxies believe.
    #[must_use]
    pub fn key(&self) -> TraceKey {
        self.key
    }

    /// The upper half of the number of each trace that a gateway takes for this run.
    #[must_use]
    pub fn watcher(&self) -> u32 {
        watcher(&self.run).unwrap_or_default()
    }

    /// Waits until every proxy has the key.
    ///
    /// # Errors
    /// When it takes too long, with what the controller waits for, or somebody removes the key.
    pub async fn arrived(&self, timeout: Duration) -> Result<(), Failure> {
        let is_so = |secret: &Secret| in_force_until(secret).is_some_and(|until| until >= self.until_unix_s);
        let settled = |secret: Option<&Secret>| secret.is_none_or(is_so);
        let waited = tokio::time::timeout(timeout, await_condition(self.api.clone(), names::TRACE, settled));
        match waited.await {
            Ok(Ok(Some(_))) => Ok(()),
            Ok(Ok(None)) => Err(removed()),
            Ok(Err(error)) => Err(Failure::from_error(Code::Failed, &error)),
            Err(_) => Err(self.late(timeout).await),
        }
    }

    async fn late(&self, timeout: Duration) -> Failure {
        let found = self.api.get_opt(names::TRACE).await.ok().flatten();
        let said = found.and_then(|secret| secret.metadata.annotations?.remove(TROUBLE));
        let what = format!("not every proxy has the key for traces after {} s", timeout.as_secs());
        match said {
            Some(why) => Failure::new(Code::Timeout, format!("{what}: {why}"))
                .help("canaryctl check shows what is wrong; --timeout waits longer"),
            None => Failure::new(Code::Timeout, format!("{what}: the controller has said nothing of it"))
                .help(format!("is it running? kubectl -n {} get pods", names::NAMESPACE)),
        }
    }

    /// Says again and again that the key is wanted. Ends with a failure only.
    pub async fn keep(&self) -> Failure {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let until = (now_unix_s() + HOLDS_S).to_string();
            let patch = json!({"stringData": {format!("{RUN}{}", self.run): until}});
            match self.api.patch(names::TRACE, &params(), &Patch::Merge(&patch)).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => return removed(),
                Err(error) => return failed("renew", &error),
            }
        }
    }

    /// Gives the key back; the last one who has it takes it away.
    ///
    /// # Errors
    /// When the API server refuses: then the key ends by itself.
    pub async fn end(self) -> Result<(), Failure> {
        let entry = |kind: &str| format!("{kind}{}", self.run);
        let patch = json!({"data": {entry(RUN): null, entry(WATCH): null}});
        let left = match self.api.patch(names::TRACE, &params(), &Patch::Merge(&patch)).await {
            Ok(left) => left,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(failed("write", &error)),
        };
        if Asked::read(&left).is_some_and(|asked| asked.tracing(now_unix_s()).is_some()) {
            return Ok(());
        }
        remove(&self.api, &left).await.map_err(|error| failed("remove", &error))
    }
}

/// Removes a Secret as it was seen; one that somebody changed since is theirs.
pub(crate) async fn remove(api: &Api<Secret>, seen: &Secret) -> Result<(), kube::Error> {
    let preconditions = Preconditions {
        resource_version: seen.metadata.resource_version.clone(),
        uid: seen.metadata.uid.clone(),
    };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(names::TRACE, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

fn secret(entries: BTreeMap<String, String>) -> Secret {
    let mut secret = Secret { string_data: Some(entries), type_: Some("Opaque".into()), ..Secret::default() };
    secret.metadata.name = Some(names::TRACE.into());
    secret
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn failed(tried: &str, error: &kube::Error) -> Failure {
    let failure = api_failure(&format!("{tried} Secret {}", names::TRACE), error);
    match error {
        kube::Error::Api(status) if status.code == 404 => failure.help("canaryctl install"),
        _ => failure,
    }
}

fn removed() -> Failure {
    Failure::new(Code::Conflict, format!("somebody removed Secret {} meanwhile", names::TRACE))
        .help("try again")
}
