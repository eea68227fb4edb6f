//! Taking back what ranks, where nothing remembers how it was.

use serde_json::{Value, json};

use super::{MIN_HEALTH_PERCENT, OF_PORTS, SETTINGS, has_keys_of_ours, ranks_by};
use crate::failover;

/// Takes what is ours out of a policy that has keys of ours and no memory of it: one copied from a live object, or
/// one whose annotation was dropped by a tool that had come to own it. What is left as we would have made it goes
/// too, for nothing else tells it from ours.
pub(crate) fn sweep(policy: &mut Value) {
    if !has_keys_of_ours(policy) {
        return;
    }
    for name in SETTINGS {
        sweep_setting(policy, name);
    }
    sweep_ports(policy);
}

/// Sweeps the settings of ports. Those that were apart and say nothing else than the policy does are ours.
fn sweep_ports(policy: &mut Value) {
    let Some(before) = policy["portLevelSettings"].as_array() else { return };
    let mut ports = before.clone();
    ports.retain_mut(|entry| {
        let is_apart = ranks_by(entry, failover::is_of_exchange);
        sweep(entry);
        !is_apart || OF_PORTS.iter().any(|key| entry[*key] != policy[*key])
    });
    if ports.is_empty() && !before.is_empty() {
        policy.as_object_mut().map(|policy| policy.shift_remove("portLevelSettings"));
    } else {
        policy["portLevelSettings"] = ports.into();
    }
}

fn sweep_setting(policy: &mut Value, name: &str) {
    let setting = policy.pointer_mut(&format!("/loadBalancer/{name}"));
    let Some(setting) = setting.and_then(Value::as_object_mut) else { return };
    let Some(Value::Array(keys)) = setting.get_mut("failoverPriority") else { return };
    if !keys.iter().any(is_key_of_ours) {
        return;
    }
    keys.retain(|key| !is_key_of_ours(key));
    if !keys.is_empty() {
        return;
    }
    setting.shift_remove("failoverPriority");
    let is_bare = setting.iter().all(|(key, value)| key == "enabled" && *value == true);
    let Some(policy) = policy.as_object_mut() else { return };
    if let Some(balancer) = policy.get_mut("loadBalancer").and_then(Value::as_object_mut).filter(|_| is_bare)
    {
        balancer.shift_remove(name);
        if balancer.is_empty() {
            policy.shift_remove("loadBalancer");
        }
    }
    let as_ours = [
        json!({"consecutive5xxErrors": 0, "minHealthPercent": MIN_HEALTH_PERCENT}),
        // Before not-ready pods were kept out.
        json!({"consecutive5xxErrors": 0}),
    ];
    if policy.get("outlierDetection").is_some_and(|outliers| as_ours.contains(outliers)) {
        policy.shift_remove("outlierDetection");
    }
}

fn is_key_of_ours(key: &Value) -> bool {
    key.as_str().is_some_and(failover::is_ours)
}
