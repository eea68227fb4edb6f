//! Proves that every proxy knows an agent's pod, beside the controller's own work: a proxy that is late holds up
//! nobody but that agent's developer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canary_istio::{Host, ObjectRef};
use futures_util::FutureExt as _;
use kube::Client;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::agents::RunningPod;
use crate::arrival::{self, ArrivalError, News, ReadyPod, Sidecars};
use crate::failure::chain;
use crate::world::Seen;

/// How long one proof may take; it begins anew after that.
const PROOF_TIMEOUT: Duration = Duration::from_secs(20);
/// How long before the next one is begun where one failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Proofs by the UID of the pod that they are about.
#[derive(Default)]
pub(in crate::controller) struct Arrivals {
    by_pod: HashMap<String, Proof>,
    ended: Arc<Notify>,
}

enum Proof {
    UnderWay(UnderWay),
    Done,
}

struct UnderWay(JoinHandle<bool>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Arrivals {
    /// Waits until a proof has ended that was not looked at yet.
    pub(in crate::controller) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Whether every proxy knows of an agent. Begins to prove it where that is due; one that is not ready any more
    /// is to be proven again.
    pub(super) fn look(
        &mut self,
        client: &Client,
        root_namespace: &str,
        seen: &Seen,
        service: Option<Host>,
        agent: &RunningPod,
    ) -> bool {
        if !agent.is_ready {
            self.by_pod.remove(&agent.pod.uid);
            return false;
        }
        let proven = match self.by_pod.get_mut(&agent.pod.uid) {
            Some(Proof::Done) => return true,
            Some(Proof::UnderWay(proof)) => match (&mut proof.0).now_or_never() {
                None => return false,
                Some(ended) => ended.unwrap_or(false),
            },
            None => false,
        };
        if proven {
            self.by_pod.insert(agent.pod.uid.clone(), Proof::Done);
            return true;
        }
        let news = News {
            services: service.into_iter().collect(),
            ready: vec![ReadyPod {
                pod: ObjectRef {
                    kind: "Pod".into(),
                    namespace: agent.namespace.clone(),
                    name: agent.pod.name.clone(),
                },
                addresses: agent.pod.addresses.clone(),
            }],
            ..News::default()
        };
        let proof = prove(client.clone(), root_namespace.to_owned(), news, Sidecars::of(&seen.pods));
        let ended = self.ended.clone();
        let proof = tokio::spawn(async move {
            let proven = proof.await;
            if let Err(error) = &proven {
                tracing::info!(error = %chain(error), "not every proxy knows an agent yet");
                tokio::time::sleep(PAUSE).await;
            }
            ended.notify_one();
            proven.is_ok()
        });
        self.by_pod.insert(agent.pod.uid.clone(), Proof::UnderWay(UnderWay(proof)));
        false
    }

    /// Forgets pods that are not among these.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.by_pod.retain(|uid, _| is_there(uid));
    }
}

async fn prove(
    client: Client,
    root_namespace: String,
    news: News,
    sidecars: Sidecars,
) -> Result<usize, ArrivalError> {
    arrival::wait(&client, &root_namespace, &news, &sidecars, Instant::now() + PROOF_TIMEOUT).await
}
