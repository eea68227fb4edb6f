//! A developer's own takeovers: one that another terminal holds is left alone, one that nobody holds is replaced.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::hold::BACK_WITHIN;
use crate::arrival::is_ready;
use crate::cluster::{Cluster, api_failure};
use crate::develop::report::Format;
use crate::failure::{Code, Failure};
use crate::takeover::LABEL;
use crate::takeovers::{Place, Takeovers};

/// How long the agent of a process that has died may go on being ready.
const LEFT_WITHIN: Duration = Duration::from_secs(6);
/// How often is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Digits of what tells services of all clusters, and users, apart in a file's name.
const DIGITS: usize = 16;

/// What keeps other processes of this machine from a takeover, for as long as it is there.
pub(super) struct Claim {
    _file: Option<File>,
}

/// Claims a takeover for this process, and ends what an earlier one has left of it.
///
/// # Errors
/// When another process holds it.
pub(super) async fn claim(
    cluster: &Cluster,
    takeovers: &Takeovers,
    wanted: &Value,
    service_uid: &str,
    format: Format,
) -> Result<Claim, Failure> {
    let place = Place::of(wanted);
    let file = lock(wanted, service_uid)?;
    let all = takeovers.list(Some(&place.namespace)).await?;
    let is_own =
        |other: &&Value| Place::of(other) == place && other["spec"]["owner"] == wanted["spec"]["owner"];
    if let Some(left) = all.iter().find(is_own) {
        format.tell("waiting", "ending what an earlier run has left");
        abandoned(cluster, left).await?;
        takeovers.delete(&place).await?;
        takeovers.gone(&place, BACK_WITHIN).await?;
    }
    Ok(Claim { _file: file })
}

/// A lock that ends with this process, however that ends; none where there is no place for it.
fn lock(wanted: &Value, service_uid: &str) -> Result<Option<File>, Failure> {
    let of = format!("{service_uid} {}", wanted["spec"]["owner"]["user"]);
    let digest: String = Sha256::digest(of).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("canaryctl-{}-{}.lock", Place::of(wanted).name, &digest[..DIGITS]);
    let directory = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let Ok(file) = OpenOptions::new().create(true).append(true).open(directory.join(name)) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(held(wanted, "")),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Waits until nobody holds a takeover: its agent is ready as long as somebody does.
async fn abandoned(cluster: &Cluster, takeover: &Value) -> Result<(), Failure> {
    let place = Place::of(takeover);
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &place.namespace);
    let of = ListParams::default().labels(&format!("{LABEL}={}", place.name));
    let deadline = Instant::now() + LEFT_WITHIN;
    loop {
        let found = pods.list(&of).await.map_err(|error| api_failure("list the agent's pods", &error))?;
        let serves = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod);
        if !found.items.iter().any(serves) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let since = takeover["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
            return Err(held(takeover, &format!(" since {since}")));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn held(takeover: &Value, since: &str) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (place, service) = (Place::of(takeover), text(&takeover["spec"]["service"]));
    let what =
        format!("you have {}/{service} in another terminal{since}, as {}", place.namespace, place.name);
    Failure::new(Code::Conflict, what).help(format!(
        "Ctrl-C there, or canaryctl -n {} dev stop {}; to have both, name a lane and a rule of its own: \
         --lane dev-2 --header x-dev=2",
        place.namespace, place.name
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn another_terminal_is_told_who_holds_it_and_comes_next() {
        let wanted = |name: &str, port: u16| {
            json!({
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"service": "cart", "ports": [port], "owner": {"user": "alice", "machine": "laptop"}},
            })
        };
        let uid = format!("test-{}", std::process::id());
        let first = lock(&wanted("cart-dev-alice", 80), &uid).expect("nobody holds it").expect("a file");
        let second = lock(&wanted("cart-dev-alice", 81), &uid).expect_err("held").to_string();
        assert_eq!(second, "you have shop/cart in another terminal, as cart-dev-alice");
        assert!(lock(&wanted("cart-dev-2", 80), &uid).is_ok(), "another lane is another matter");
        drop(first);
        assert!(lock(&wanted("cart-dev-alice", 80), &uid).is_ok());
    }
}
