//! What one proxy says of itself: its versions, whether the filter lives in it, what the filter counted.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use serde::Serialize;
use serde_json::Value;

use super::log::{self, Log};
use crate::pod_port::PodPort;

/// The port at which Envoy answers callers from its own pod.
const ADMIN_PORT: u16 = 15000;
/// How long to listen for the filter's heartbeats: there is one a second from each thread.
const LISTEN: Duration = Duration::from_millis(2500);
/// What Envoy calls the filter's counters.
const COUNTERS: &str = "wasmcustom.canaryctl.";
/// What the names of our plugins start with.
const PLUGINS: &str = "canaryctl-";
/// The type of a filter whose module is there; Istio lets requests pass by another type while it is not.
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// A pod's proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// The pod.
    pub pod: String,
    /// Istio's version, as the proxy was started with.
    pub istio: Option<String>,
    /// Envoy's version.
    pub envoy: Option<String>,
    /// The filter in it.
    pub filter: Filter,
    /// What the filter counted since the proxy started, by the counters' names.
    pub counted: BTreeMap<String, u64>,
    /// What its log tells; none where that may not be read.
    pub log: Option<Log>,
}

/// The filter in a proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "about", rename_all = "lowercase")]
pub enum Filter {
    /// It answers.
    Live {
        /// Which modules, as the proxy's files are called.
        modules: Vec<String>,
    },
    /// The proxy was told of it, and it does nothing.
    Failed(String),
    /// The proxy knows of none.
    #[default]
    None,
    /// The proxy does not answer, and why.
    Unknown(String),
}

/// Asks the proxy of a pod.
pub(super) async fn ask(client: &Client, namespace: &str, pod: &str) -> Proxy {
    let mut port = PodPort::new(client, namespace, pod, ADMIN_PORT);
    let (answers, log) = futures_util::join!(answers(&mut port), log::ask(client, namespace, pod));
    match answers {
        Ok(answers) => Proxy { log, ..read(pod, &answers) },
        Err(why) => Proxy { pod: pod.to_owned(), filter: Filter::Unknown(why), log, ..Proxy::default() },
    }
}

/// A proxy's answers, as they come.
#[derive(Debug, Default)]
struct Answers {
    server: Value,
    filters: Value,
    before: String,
    after: String,
}

async fn answers(port: &mut PodPort) -> Result<Answers, String> {
    let stats = "/stats?filter=canaryctl";
    let text = |bytes: bytes::Bytes| String::from_utf8_lossy(&bytes).into_owned();
    let json = |bytes: bytes::Bytes| serde_json::from_slice(&bytes).unwrap_or_default();
    let before = text(port.get(stats).await?);
    let server = json(port.get("/server_info").await?);
    // Envoy finds no such resource where no filter came by itself.
    let filters = port.find("/config_dump?resource=ecds_filters").await?.map_or(Value::Null, json);
    tokio::time::sleep(LISTEN).await;
    let after = text(port.get(stats).await?);
    Ok(Answers { server, filters, before, after })
}

fn read(pod: &str, answers: &Answers) -> Proxy {
    let (before, counted) = (counters(&answers.before), counters(&answers.after));
    let istio = answers.server["node"]["metadata"]["ISTIO_VERSION"].as_str();
    // Written `commit/1.40.0/Clean/RELEASE/BoringSSL`.
    let envoy = answers.server["version"].as_str().and_then(|version| version.split('/').nth(1));
    let beats = |counted: &BTreeMap<String, u64>| counted.get("heartbeat").copied().unwrap_or(0);
    let filter = match modules(&answers.filters) {
        Ok(modules) if modules.is_empty() => Filter::None,
        Ok(_) if beats(&counted) <= beats(&before) => {
            Filter::Failed(silent(beats(&counted), &answers.server))
        }
        Ok(modules) => Filter::Live { modules },
        Err(plugin) => {
            Filter::Failed(format!("the module of {plugin} did not come: requests pass without it"))
        }
    };
    Proxy {
        pod: pod.to_owned(),
        istio: istio.map(str::to_owned),
        envoy: envoy.map(str::to_owned),
        filter,
        counted,
        log: None,
    }
}

/// That no thread beats, and since when as far as beats tell: each of the filter's threads, which are one more than the
/// proxy's workers, beats once a second while it lives.
fn silent(beats: u64, server: &Value) -> String {
    let says = "none of its threads beats";
    let uptime = server["uptime_current_epoch"].as_str();
    let uptime = uptime.and_then(|text| text.strip_suffix('s')?.parse::<u64>().ok());
    let workers = server["command_line_options"]["concurrency"].as_u64();
    let Some((uptime_s, workers)) = uptime.zip(workers) else { return says.into() };
    match beats {
        0 => format!("{says}, and none has in the {uptime_s} s that this proxy runs"),
        _ => format!(
            "{says}; they did for about {} s of the {uptime_s} s that this proxy runs",
            beats / workers.saturating_add(1)
        ),
    }
}

/// The modules of our plugins; or the plugin that has none.
fn modules(dump: &Value) -> Result<Vec<String>, String> {
    let mut modules = Vec::new();
    for entry in dump["configs"].as_array().into_iter().flatten() {
        let filter = &entry["ecds_filter"];
        let Some(name) = filter["name"].as_str().and_then(plugin).filter(|name| name.starts_with(PLUGINS))
        else {
            continue;
        };
        let typed = &filter["typed_config"];
        if typed["@type"] != WASM {
            return Err(name.to_owned());
        }
        let file = typed["config"]["vm_config"]["code"]["local"]["filename"].as_str().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default().trim_end_matches(".wasm");
        modules.push(file.to_owned());
    }
    modules.sort();
    modules.dedup();
    Ok(modules)
}

/// The plugin that a filter is made of; Istio calls it `NAMESPACE.NAME`, newer ones with more around that.
fn plugin(filter: &str) -> Option<&str> {
    filter.rsplit('.').next()?.split('~').next()
}

/// The filter's counters by their names, without what all of them begin with.
fn counters(stats: &str) -> BTreeMap<String, u64> {
    let counter = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.strip_prefix(COUNTERS)?.to_owned(), value.trim().parse().ok()?))
    };
    stats.lines().filter_map(counter).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn dump(name: &str, kind: &str) -> Value {
        let code = json!({"local": {"filename": "/var/lib/istio/data/0a/5f1c.wasm"}});
        let typed = json!({"@type": kind, "config": {"vm_config": {"code": code}}});
        json!({"configs": [
            {"ecds_filter": {"name": "shop.other", "typed_config": {"@type": "x"}}},
            {"ecds_filter": {"name": name, "typed_config": typed}},
        ]})
    }

    #[track_caller]
    fn check(filters: Value, beats: (u64, u64), want: &Filter) {
        let stats = |beats: u64| {
            format!("{COUNTERS}heartbeat: {beats}\n{COUNTERS}inbound.header: 7\nother.canaryctl.x: 1\n")
        };
        let server = json!({"uptime_current_epoch": "900s", "command_line_options": {"concurrency": 2}, "version": "c0ffee/1.40.0/Clean/RELEASE/BoringSSL",
            "node": {"metadata": {"ISTIO_VERSION": "1.31.0"}}});
        let answers = Answers { server, filters, before: stats(beats.0), after: stats(beats.1) };
        let proxy = read("web-1", &answers);
        assert_eq!(&proxy.filter, want);
        assert_eq!((proxy.istio.as_deref(), proxy.envoy.as_deref()), (Some("1.31.0"), Some("1.40.0")));
        let counted = [("heartbeat".to_owned(), beats.1), ("inbound.header".to_owned(), 7)];
        assert_eq!(proxy.counted, counted.into());
    }

    #[test]
    fn a_filter_lives_that_has_its_module_and_beats() {
        let plugin =
            "extensions.istio.io/trafficextension/istio-system.canaryctl-inbound~istio-translated-wasmplugin";
        check(
            dump("istio-system.canaryctl-outbound", WASM),
            (1, 2),
            &Filter::Live { modules: vec!["5f1c".into()] },
        );
        check(dump(plugin, WASM), (3, 5), &Filter::Live { modules: vec!["5f1c".into()] });
        let lived = "none of its threads beats; they did for about 100 s of the 900 s that this proxy runs";
        check(dump(plugin, WASM), (300, 300), &Filter::Failed(lived.into()));
        let never = "none of its threads beats, and none has in the 900 s that this proxy runs";
        check(dump(plugin, WASM), (0, 0), &Filter::Failed(never.into()));
        assert_eq!(silent(7, &Value::Null), "none of its threads beats");
        let why = "the module of canaryctl-inbound did not come: requests pass without it".to_owned();
        check(dump(plugin, "type.googleapis.com/rbac"), (5, 5), &Filter::Failed(why));
        check(dump("shop.canary", WASM), (0, 0), &Filter::None);
        check(Value::Null, (0, 0), &Filter::None);
    }
}
