//! A traffic policy that ranks endpoints: what must be set in one for `failoverPriority` to hold.
//!
//! Reads policies as Istio merges them, changes as little as it can, and says where it cannot.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::failover;
use crate::observed::{Distribution, Mesh};
use crate::restore::{Edit, Step, write};

mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use sweep::sweep;

/// Why endpoints under a policy cannot be ranked: the setting that prevents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unrankable {
    /// Nobody can be preferred.
    Everywhere(&'static str),
    /// Ports cannot be apart; without those everybody else can be preferred.
    Apart(&'static str),
}

/// What holds beside the policy itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) mesh: &'a Mesh,
    pub(crate) distribution: Option<Distribution>,
}

/// Ports that other keys rank than those of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    pub(crate) ports: BTreeSet<u16>,
    pub(crate) keys: Vec<String>,
}

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// The rule's own: what it does not say comes from the mesh. Ports apart have settings of their own in it.
    Rule(&'a Apart),
    /// A subset's, over a rule that ranks already: only what it says itself needs to rank.
    Subset {
        /// Whether the rule's owner has asked for outlier detection.
        detects_outliers: bool,
    },
}

/// Adds the edits that make a policy rank by the keys first, and then as it did before.
///
/// Source: `MergeSubsetTrafficPolicy`, `GetEffectiveLbSetting` and `applyFailoverPriorities` in Istio's pilot:
/// a port's settings replace the rule's whole; priority keys count only with outlier detection.
///
/// # Errors
/// The setting under which no key counts.
pub(crate) fn rank(
    policy: &Value,
    at: &[Step],
    keys: &[String],
    scope: Scope,
    around: Around,
    edits: &mut Vec<Edit>,
) -> Result<(), Unrankable> {
    let none = Apart::default();
    let apart = match scope {
        Scope::Rule(apart) => {
            rank_balancer(policy, at, keys, detects_outliers(policy, around), around, edits)?;
            keep_endpoints(policy, at, edits);
            apart
        }
        Scope::Subset { detects_outliers } => {
            let own = policy["outlierDetection"].is_object();
            if policy["loadBalancer"].is_object() {
                rank_balancer(policy, at, keys, detects_outliers || own, around, edits)?;
            }
            if own {
                count_ready(policy, at, edits);
            }
            &none
        }
    };
    for entry in policy["portLevelSettings"].as_array().into_iter().flatten() {
        if entry["port"].is_object() {
            let port = Map::from_iter([("port".to_owned(), entry["port"].clone())]);
            let at = [at, &[Step::Key("portLevelSettings"), Step::Item(port)]].concat();
            let keys = if apart.ports.iter().any(|port| is_for(entry, *port)) { &apart.keys } else { keys };
            rank_balancer(entry, &at, keys, detects_outliers(entry, around), around, edits)?;
            keep_endpoints(entry, &at, edits);
        }
    }
    for port in &apart.ports {
        let mut said = policy["portLevelSettings"].as_array().into_iter().flatten();
        if !said.any(|entry| is_for(entry, *port)) {
            edits.push(setting_apart(policy, at, *port, &apart.keys, around)?);
        }
    }
    Ok(())
}

/// Adds settings for a port that say what the policy says, but for who comes first.
fn setting_apart(
    policy: &Value,
    at: &[Step],
    port: u16,
    keys: &[String],
    around: Around,
) -> Result<Edit, Unrankable> {
    if policy["proxyProtocol"].is_object() {
        // A port's settings cannot say it.
        return Err(Unrankable::Apart("proxyProtocol"));
    }
    let item = Map::from_iter([("port".to_owned(), json!({"number": port}))]);
    let mut entry = Value::Object(item.clone());
    for key in OF_PORTS {
        if let Some(value) = policy.get(key).filter(|value| !value.is_null()) {
            entry[key] = value.clone();
        }
    }
    let mut own = Vec::new();
    rank_balancer(&entry, &[], keys, detects_outliers(&entry, around), around, &mut own)?;
    keep_endpoints(&entry, &[], &mut own);
    write(&mut entry, own);
    Ok(Edit { at: [at, &[Step::Key("portLevelSettings"), Step::Item(item)]].concat(), value: entry })
}

/// What a port's settings can say of what a policy says and connections mind.
///
/// Source: `TrafficPolicy.PortTrafficPolicy` in Istio's API. A `tunnel` holds for every port whatever these say, as
/// `tunnelingconfig.Apply` in pilot reads it; a `retryBudget` is about requests.
const OF_PORTS: [&str; 4] = ["loadBalancer", "connectionPool", "outlierDetection", "tls"];

fn is_for(entry: &Value, port: u16) -> bool {
    entry["port"]["number"] == port
}

/// The policy of a subset of ours that ranks by the keys, over a rule with this policy.
///
/// # Errors
/// The setting under which no key counts.
pub(crate) fn ranking(policy: &Value, keys: &[String], around: Around) -> Result<Value, Unrankable> {
    let mut own = Map::new();
    for key in ["loadBalancer", "portLevelSettings"] {
        if let Some(value) = policy.get(key).filter(|value| !value.is_null()) {
            own.insert(key.into(), value.clone());
        }
    }
    let mut edits = Vec::new();
    let mut own = Value::Object(own);
    rank_balancer(&own, &[], keys, detects_outliers(policy, around), around, &mut edits)?;
    if !policy["outlierDetection"].is_object() {
        keep_endpoints(policy, &[], &mut edits);
    }
    // The balancer is ranked already; what is left are the ports.
    let ports = json!({"portLevelSettings": own["portLevelSettings"]});
    rank(&ports, &[], keys, Scope::Subset { detects_outliers: false }, around, &mut edits)?;
    write(&mut own, edits);
    Ok(own)
}

/// Whether the owner of a policy, or of the mesh, has asked for outlier detection.
pub(crate) fn detects_outliers(policy: &Value, around: Around) -> bool {
    policy["outlierDetection"].is_object() || around.mesh.detects_outliers
}

/// Whether a policy ranks by keys of ours anywhere.
pub(crate) fn has_keys_of_ours(policy: &Value) -> bool {
    ranks_by(policy, failover::is_ours)
        || policy["portLevelSettings"].as_array().into_iter().flatten().any(has_keys_of_ours)
}

/// Whether a policy ranks by such a key, whatever its ports do.
fn ranks_by(policy: &Value, is_such: fn(&str) -> bool) -> bool {
    let balancer = &policy["loadBalancer"];
    let mut lists = SETTINGS.iter().filter_map(|setting| balancer[*setting]["failoverPriority"].as_array());
    lists.any(|keys| keys.iter().filter_map(Value::as_str).any(is_such))
}

/// The ports whose settings put an exchange first.
pub(crate) fn ports_apart(policy: &Value) -> impl Iterator<Item = u16> {
    let entries = policy["portLevelSettings"].as_array().into_iter().flatten();
    let apart = entries.filter(|entry| ranks_by(entry, failover::is_of_exchange));
    apart.filter_map(|entry| u16::try_from(entry["port"]["number"].as_u64()?).ok())
}

/// Where a balancer may hold priority keys.
const SETTINGS: [&str; 2] = ["localityLbSetting", "zoneAwareLbSetting"];

fn rank_balancer(
    policy: &Value,
    at: &[Step],
    keys: &[String],
    detects_outliers: bool,
    around: Around,
    edits: &mut Vec<Edit>,
) -> Result<(), Unrankable> {
    let balancer = &policy["loadBalancer"];
    if balancer["simple"] == "PASSTHROUGH" {
        return Err(Unrankable::Everywhere("loadBalancer.simple: PASSTHROUGH"));
    }
    let zones = &balancer["zoneAwareLbSetting"];
    let (name, setting) = match zones.is_object() {
        true => ("zoneAwareLbSetting", zones),
        false => ("localityLbSetting", &balancer["localityLbSetting"]),
    };
    if zones.is_object() && zones["enabled"] == false {
        return Err(Unrankable::Everywhere("loadBalancer.zoneAwareLbSetting.enabled: false"));
    }
    if setting["distribute"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(Unrankable::Everywhere("loadBalancer.localityLbSetting.distribute"));
    }
    let field = |key| [at, &[Step::Key("loadBalancer"), Step::Key(name), Step::Key(key)]].concat();
    if !setting.is_object() || setting["enabled"] == false {
        edits.push(Edit { at: field("enabled"), value: true.into() });
    }
    let before = order_before(setting, name, detects_outliers, around);
    let rest = before.iter().filter(|key| !keys.contains(key));
    let all = keys.iter().chain(rest).map(|key| Value::String(key.clone())).collect();
    edits.push(Edit { at: field("failoverPriority"), value: Value::Array(all) });
    Ok(())
}

/// With outlier detection on, keys count; what we add ejects nobody.
fn keep_endpoints(policy: &Value, at: &[Step], edits: &mut Vec<Edit>) {
    if !policy["outlierDetection"].is_object() {
        let field = [at, &[Step::Key("outlierDetection"), Step::Key("consecutive5xxErrors")]].concat();
        edits.push(Edit { at: field, value: 0.into() });
    }
    count_ready(policy, at, edits);
}

/// Lets pods that are not ready count for nothing. Otherwise Istio names them to proxies since 1.31, and a rank with
/// less than five sevenths of its pods ready hands requests down to the next one: a baseline that rolls, to lanes.
///
/// Source: `supportsUnhealthyEndpoints` in Istio's pilot, Envoy's overprovisioning factor.
fn count_ready(policy: &Value, at: &[Step], edits: &mut Vec<Edit>) {
    if policy["outlierDetection"]["minHealthPercent"].as_u64().unwrap_or(0) == 0 {
        let field = [at, &[Step::Key("outlierDetection"), Step::Key("minHealthPercent")]].concat();
        edits.push(Edit { at: field, value: MIN_HEALTH_PERCENT.into() });
    }
}

/// The least that there is: as good as none, for as long as one of a hundred pods is healthy.
const MIN_HEALTH_PERCENT: u8 = 1;

/// By which keys endpoints ranked before ours came: those that were said, or those that were implied.
fn order_before(setting: &Value, name: &str, detects_outliers: bool, around: Around) -> Vec<String> {
    let listed = |key: &str| setting[key].as_array().filter(|list| !list.is_empty());
    if let Some(said) = listed("failoverPriority") {
        return said.iter().filter_map(Value::as_str).map(Into::into).collect();
    }
    // Zones are Envoy's business there, and regions stay Istio's wherever `failover` is said.
    if name == "zoneAwareLbSetting" || listed("failover").is_some() {
        return Vec::new();
    }
    let implied: &[&str] = match (setting.is_object(), around.distribution) {
        (false, Some(Distribution::SameZone)) => &[NETWORK, REGION, ZONE],
        (false, Some(Distribution::SameNode)) => &[NETWORK, REGION, ZONE, SUBZONE, NODE],
        (true, _) if detects_outliers && setting["enabled"] != false => &[REGION, ZONE, SUBZONE],
        (false, None) if detects_outliers && around.mesh.prefers_locality => &[REGION, ZONE, SUBZONE],
        _ => &[],
    };
    implied.iter().map(|key| (*key).into()).collect()
}

const NETWORK: &str = "topology.istio.io/network";
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
const NODE: &str = "kubernetes.io/hostname";
