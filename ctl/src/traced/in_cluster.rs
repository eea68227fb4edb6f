//! A cluster's mesh: what its proxies tell is in their containers' logs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use canary_istio::failover::LANE_KEY_PREFIX;
use canary_istio::lane::LANE_LABEL;
use canary_rules::trace::TraceKey;
use canary_rules::wire::FilterConfig;
use canary_trace::{Pod, Record};
use futures_util::{AsyncBufReadExt as _, StreamExt as _, stream};
use k8s_openapi::api::core::v1;
use kube::api::LogParams;
use kube::{Api, Client, ResourceExt as _};

use super::mesh::{Mesh, Told, Wanted};
use crate::arrival::{PROXY, has_proxy};
use crate::cluster::api_failure;
use crate::edges_now;
use crate::failure::Failure;
use crate::world::Pages;

/// How many logs are read at a time.
const LOGS_AT_A_TIME: usize = 32;
/// Most of one log that is read, in bytes: what busy proxies log of all their requests in the meantime.
const LOG_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What a log is asked for besides the time since the request: clocks of logs tell seconds.
const SINCE_SLACK_S: u64 = 2;

/// A cluster, from now on.
pub(crate) struct InCluster {
    client: Client,
    key: TraceKey,
    edge: Option<FilterConfig>,
    /// Pods with a proxy, by what their records call them.
    pods: BTreeMap<String, Proxy>,
    since: Instant,
}

struct Proxy {
    namespace: String,
    pod: Pod,
    is_edge: bool,
}

impl InCluster {
    /// Looks who has a proxy.
    ///
    /// # Errors
    /// When pods cannot be listed.
    pub(crate) async fn new(client: &Client, key: TraceKey) -> Result<Self, Failure> {
        let listed = list(client).await.map_err(|error| api_failure("list pods", &error))?;
        // Who may not know shows no rule.
        let edges = edges_now::list(client).await.unwrap_or_default();
        let pods = listed.iter().filter(|pod| has_proxy(pod)).map(|pod| {
            let namespace = pod.namespace().unwrap_or_default();
            let is_edge = edges.iter().any(|edge| edge.has(&namespace, pod.labels()));
            (format!("{}.{namespace}", pod.name_any()), Proxy { pod: about(pod), namespace, is_edge })
        });
        let pods = pods.collect();
        let edge = edges.into_iter().find(|edge| !edge.is_off).and_then(|edge| edge.config);
        Ok(Self { client: client.clone(), key, edge, pods, since: Instant::now() })
    }

    /// What one proxy tells.
    async fn read(&self, name: &str, proxy: &Proxy, wanted: Wanted) -> Result<Vec<Record>, String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("{}/{}: {error}", proxy.namespace, proxy.pod.name);
        let since_s = self.since.elapsed().as_secs() + SINCE_SLACK_S;
        let params = LogParams {
            container: Some(PROXY.into()),
            since_seconds: i64::try_from(since_s).ok(),
            limit_bytes: i64::try_from(LOG_BYTES_MAX).ok(),
            ..LogParams::default()
        };
        let api: Api<v1::Pod> = Api::namespaced(self.client.clone(), &proxy.namespace);
        let log = match api.log_stream(&proxy.pod.name, &params).await {
            Ok(log) => log,
            // It is gone, or has not begun.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 400 => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed(&error)),
        };
        let mut log = std::pin::pin!(log);
        let (mut records, mut line, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            line.clear();
            match log.read_until(b'\n', &mut line).await.map_err(|error| failed(&error))? {
                0 => break,
                read => bytes += read,
            }
            let told = Record::read(name, &String::from_utf8_lossy(&line));
            records.extend(told.filter(|record| wanted.has(record)));
        }
        if bytes >= LOG_BYTES_MAX {
            return Err(failed(&format_args!("more than {LOG_BYTES_MAX} bytes were logged meanwhile")));
        }
        Ok(records)
    }
}

impl Mesh for InCluster {
    const ASK_EVERY: Duration = Duration::from_millis(250);
    const TOLD_WITHIN: Duration = Duration::from_secs(5);

    fn key(&self) -> TraceKey {
        self.key
    }

    fn edge(&self) -> Option<&FilterConfig> {
        self.edge.as_ref()
    }

    fn client(&self) -> Option<&str> {
        None
    }

    fn pod(&self, name: &str) -> Option<Pod> {
        self.pods.get(name).map(|proxy| proxy.pod.clone())
    }

    async fn told(&self, wanted: Wanted) -> Told {
        let may_tell = |(_, proxy): &(&String, &Proxy)| match wanted {
            Wanted::Trace(_) => true,
            Wanted::Entries(_) => proxy.is_edge,
        };
        let pods = self.pods.iter().filter(may_tell);
        let reads = pods.map(|(name, proxy)| self.read(name, proxy, wanted));
        let mut reads = stream::iter(reads).buffer_unordered(LOGS_AT_A_TIME);
        let mut told = Told::default();
        while let Some(read) = reads.next().await {
            match read {
                Ok(records) => told.records.extend(records),
                Err(why) => told.unheard.push(why),
            }
        }
        told
    }
}

/// Every pod. Which containers it has is in no list of names alone.
async fn list(client: &Client) -> Result<Vec<v1::Pod>, kube::Error> {
    let api: Api<v1::Pod> = Api::all(client.clone());
    let mut pages = Pages::default();
    let mut pods = Vec::new();
    while let Some(params) = pages.params() {
        let page = api.list(&params).await?;
        pods.extend(page.items);
        pages.goes_on(page.metadata);
    }
    Ok(pods)
}

/// Who a pod is, in the words of Istio's telemetry.
fn about(pod: &v1::Pod) -> Pod {
    let labels = pod.labels();
    let first = |keys: &[&str]| keys.iter().find_map(|key| labels.get(*key)).cloned().unwrap_or_default();
    let service = first(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app", "istio"]);
    let version = first(&["version", "app.kubernetes.io/version"]);
    Pod {
        name: pod.name_any(),
        service: if service.is_empty() {
            service
        } else {
            format!("{service}.{}", pod.namespace().unwrap_or_default())
        },
        version,
        lane: lane_of(labels),
    }
}

/// The lane whose member a pod is: by its own label, or by the one that a member gets that a Lane names.
fn lane_of(labels: &BTreeMap<String, String>) -> Option<String> {
    let own = labels.get(LANE_LABEL).filter(|lane| !lane.is_empty()).map(String::as_str);
    own.or_else(|| labels.keys().find_map(|key| key.strip_prefix(LANE_KEY_PREFIX))).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(labels: serde_json::Value, want: (&str, &str, Option<&str>)) {
        let pod = json!({"metadata": {"name": "p", "namespace": "shop", "labels": labels}});
        let about = about(&serde_json::from_value(pod).expect("a pod"));
        assert_eq!((about.service.as_str(), about.version.as_str(), about.lane.as_deref()), want);
    }

    #[test]
    fn a_pod_is_called_as_istio_calls_it_and_is_of_the_lane_that_it_is_labelled_for() {
        check(json!({"app": "web", "version": "v2"}), ("web.shop", "v2", None));
        check(
            json!({"app": "x", "service.istio.io/canonical-name": "web", "canaryctl.io/lane": "gray"}),
            ("web.shop", "", Some("gray")),
        );
        check(json!({"app": "web", "lane.canaryctl.io/gray": "member"}), ("web.shop", "", Some("gray")));
        check(json!({}), ("", "", None));
    }
}
