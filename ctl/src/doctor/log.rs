//! What a proxy's log tells: requests that it refused for their age, and Wasm modules that ended.
//!
//! Lines are read as Istio has Envoy write them. Nothing that a caller sends is taken for one of Envoy's own words.

use std::net::SocketAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::Value;

use crate::arrival::PROXY;

/// How much of a log is read, in lines from its end.
const LINES_MAX: i64 = 1000;
/// What a request of an old version is answered, and what Envoy calls that.
const REFUSED: &str = "426";
const LOW_VERSION: &str = "low_version";
/// Who sent a request, where a log does not say.
const SOMEBODY: &str = "somebody";
/// How Envoy begins to say that a module ended: with what it was asked for.
const ENDED: &str = "Function: proxy_";

/// What the end of a proxy's log tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Requests of HTTP/1.0 that it refused, and the address of who sent the last: known where it writes an access log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_http10: Option<Seen>,
    /// Wasm modules, of ours or not, that ended by a fault of their own: one for each thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Seen>,
}

/// What a log has lines of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// How many.
    pub count: u64,
    /// When the last was written.
    pub last: Timestamp,
    /// What the last is about.
    pub says: String,
}

/// Reads the log of a pod's proxy; none where it may not be read, or is not there.
pub(super) async fn ask(client: &Client, namespace: &str, pod: &str) -> Option<Log> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = LogParams {
        container: Some(PROXY.into()),
        tail_lines: Some(LINES_MAX),
        timestamps: true,
        ..LogParams::default()
    };
    let text = api.logs(pod, &params).await.inspect_err(|error| tracing::debug!(pod, "no log: {error}"));
    text.ok().map(|text| Log::read(&text))
}

impl Log {
    /// What these lines tell, each with the moment before it at which it was written, as Kubernetes puts it there.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            let Some((when, line)) = line.split_once(' ') else { continue };
            let Ok(when) = when.parse() else { continue };
            match Told::of(line) {
                Some(Told::Refused(sender)) => see(&mut log.refused_http10, when, sender),
                Some(Told::Fault(says)) => see(&mut log.faults, when, says),
                None => {}
            }
        }
        log
    }
}

fn see(seen: &mut Option<Seen>, last: Timestamp, says: String) {
    let count = seen.as_ref().map_or(0, |seen| seen.count) + 1;
    *seen = Some(Seen { count, last, says });
}

/// What one line tells.
enum Told {
    /// A request was refused for its version, and who sent it: of such a request Envoy reads nothing.
    Refused(String),
    /// A module ended, in Envoy's words.
    Fault(String),
}

impl Told {
    fn of(line: &str) -> Option<Self> {
        match line.as_bytes().first()? {
            b'{' => Self::of_json(&serde_json::from_str(line).ok()?),
            b'[' => Self::of_access(line),
            // `TIME LEVEL envoy wasm FILE:LINE MESSAGE thread=N`, with tabs between.
            _ => Self::of_message(line.split('\t').nth(3)?),
        }
    }

    /// Either log, where it is written as JSON.
    fn of_json(entry: &Value) -> Option<Self> {
        if entry["response_code_details"] == LOW_VERSION {
            let sender = entry["downstream_remote_address"].as_str().unwrap_or(SOMEBODY);
            return Some(Self::Refused(sender.to_owned()));
        }
        Self::of_message(entry["msg"].as_str()?)
    }

    /// `[START] "METHOD PATH PROTOCOL" CODE FLAGS DETAILS … REMOTE_ADDRESS SERVER_NAME ROUTE`: no path has a space in it.
    fn of_access(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("] \"")?;
        let (_, rest) = rest.split_once("\" ")?;
        let mut fields = rest.split(' ');
        if (fields.next(), fields.nth(1)) != (Some(REFUSED), Some(LOW_VERSION)) {
            return None;
        }
        let address = fields.rev().nth(2).filter(|address| address.parse::<SocketAddr>().is_ok());
        Some(Self::Refused(address.unwrap_or(SOMEBODY).to_owned()))
    }

    /// Envoy's own message.
    fn of_message(message: &str) -> Option<Self> {
        let first = message.lines().next().filter(|first| first.starts_with(ENDED));
        first.map(|first| Self::Fault(first.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(count: u64, last: &str, says: &str) -> Option<Seen> {
        Some(Seen { count, last: last.parse().expect("a moment"), says: says.into() })
    }

    #[test]
    fn refused_requests_are_counted_in_both_formats() {
        let log = Log::read(
            "2026-11-27T10:00:00.5Z [2026-11-27T10:00:00.499Z] \"- - HTTP/1.1\" 426 DPE low_version - \"-\" 0 0 0 - \"-\" \"-\" \
             \"-\" \"-\" \"-\" - - 10.0.0.9:80 10.0.0.7:43210 - -\n\
             2026-11-27T10:00:02Z [2026-11-27T10:00:02Z] \"GET /c HTTP/1.1\" 200 - via_upstream - \"-\" 0 0\n",
        );
        assert_eq!(log.refused_http10, seen(1, "2026-11-27T10:00:00.5Z", "10.0.0.7:43210"));
        let log = Log::read(
            "2026-11-27T10:00:00Z [2026-11-27T10:00:00Z] \"- - HTTP/1.1\" 426 DPE low_version\n\
             2026-11-27T10:00:01Z {\"method\":null,\"response_code\":426,\"response_code_details\":\"low_version\",\
             \"downstream_remote_address\":\"10.0.0.8:1\"}\n",
        );
        assert_eq!(log.refused_http10, seen(2, "2026-11-27T10:00:01Z", "10.0.0.8:1"));
        assert_eq!(log.faults, None);
    }

    #[test]
    fn the_last_fault_has_its_moment_and_its_words() {
        let line = |function: &str| {
            format!(
                "2026-11-27T10:00:00.1Z\terror\tenvoy wasm external/envoy/source/extensions/common/wasm/wasm_vm.cc:38\t\
                 Function: {function} failed: Uncaught RuntimeError: unreachable\tthread=22"
            )
        };
        let log = Log::read(&format!(
            "2026-11-27T10:00:00.2Z {}\n2026-11-27T10:00:09Z {}\n2026-11-27T10:00:10Z Proxy-Wasm plugin in-VM backtrace:\n",
            line("proxy_on_request_headers"),
            line("proxy_on_tick"),
        ));
        let says = "Function: proxy_on_tick failed: Uncaught RuntimeError: unreachable";
        assert_eq!(log.faults, seen(2, "2026-11-27T10:00:09Z", says));
        let json = "2026-11-27T10:00:00Z {\"level\":\"error\",\"scope\":\"envoy wasm\",\
                    \"msg\":\"Function: proxy_on_tick failed: x\\n  0:  0x1\"}";
        assert_eq!(
            Log::read(json).faults,
            seen(1, "2026-11-27T10:00:00Z", "Function: proxy_on_tick failed: x")
        );
    }

    #[test]
    fn what_callers_send_is_nothing_that_envoy_says() {
        let browser = "[2026-11-27T10:00:00Z] \"GET / HTTP/1.1\" 200 - via_upstream - \"-\" 0 0 1 1 \"-\"";
        let log = Log::read(&format!(
            "2026-11-27T10:00:00Z {browser} \"x\" 426 - low_version -\"\n\
             2026-11-27T10:00:00Z {browser} \"x\terror\tenvoy wasm\tFunction: proxy_on_tick failed: x\"\n\
             no moment\n",
        ));
        assert_eq!(log, Log::default());
    }
}
