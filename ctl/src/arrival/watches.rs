//! What proxies have subscribed to, as an istiod tells it: long, and read proxy by proxy as it comes. Pure.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::marker::Marked;

/// xDS types, as istiod names them.
pub(super) const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
pub(super) const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// A proxy, by what it has subscribed to on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watcher {
    /// `pod.namespace`.
    pub(super) name: String,
    /// Whether it can know of the marker.
    pub(super) in_sight: bool,
    /// Whether it has subscribed to the marker wherever it can.
    pub(super) has_marker: bool,
    /// Whether it gets clusters, or has not said yet what it wants.
    pub(super) asks_for_clusters: bool,
}

/// Reads an answer of `/debug/adsz`, as far as it matters to this marker. Of what a proxy has subscribed to, nothing
/// is kept.
///
/// # Errors
/// When it is no such answer, or breaks off.
pub(super) fn read(answer: impl Read, marked: &Marked) -> serde_json::Result<Vec<Watcher>> {
    let mut deserializer = serde_json::Deserializer::from_reader(answer);
    let watchers = Answer(marked).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(watchers)
}

/// A connection, as an answer has it.
#[derive(Deserialize)]
struct Connection {
    #[serde(rename = "connectionId")]
    id: String,
    #[serde(default)]
    watches: HashMap<String, Vec<String>>,
}

impl Connection {
    fn judge(&self, marked: &Marked) -> Watcher {
        // A connection is called after its proxy, with a number behind it.
        let name = self.id.rsplit_once('-').map_or(&*self.id, |(name, _)| name);
        let namespace = name.rsplit_once('.').map_or("", |(_, namespace)| namespace);
        let sees_ours = !marked.blind.contains(namespace);
        let counts = |host: &str| (sees_ours && host == marked.own) || marked.services.contains(host);
        let names = self.watches.get(ENDPOINTS).map_or(&[][..], Vec::as_slice);
        let clusters = names.iter().filter_map(|name| Cluster::read(name));
        let (mut bases, mut markers) = (BTreeSet::new(), BTreeSet::new());
        for cluster in clusters.filter(|cluster| counts(cluster.host)) {
            if cluster.subset.is_empty() {
                bases.insert((cluster.host, cluster.port));
            } else if cluster.subset == marked.subset {
                markers.insert((cluster.host, cluster.port));
            }
        }
        Watcher {
            name: name.to_owned(),
            in_sight: !bases.is_empty(),
            has_marker: bases.is_subset(&markers),
            asks_for_clusters: self.watches.is_empty() || self.watches.contains_key(CLUSTERS),
        }
    }
}

/// What Envoy calls a cluster: `outbound|80|canary-gray|stock.shop.svc.cluster.local`.
struct Cluster<'a> {
    port: &'a str,
    subset: &'a str,
    host: &'a str,
}

impl<'a> Cluster<'a> {
    fn read(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix("outbound|")?.splitn(3, '|');
        Some(Self { port: parts.next()?, subset: parts.next()?, host: parts.next()? })
    }
}

/// All of an answer.
struct Answer<'m>(&'m Marked);

/// Its connections.
struct Connections<'m>(&'m Marked);

impl<'de> DeserializeSeed<'de> for Answer<'_> {
    type Value = Vec<Watcher>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Answer<'_> {
    type Value = Vec<Watcher>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with clients")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut watchers = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "clients" {
                watchers = map.next_value_seed(Connections(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(watchers)
    }
}

impl<'de> DeserializeSeed<'de> for Connections<'_> {
    type Value = Vec<Watcher>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Connections<'_> {
    type Value = Vec<Watcher>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of connections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut watchers = Vec::new();
        while let Some(connection) = seq.next_element::<Connection>()? {
            watchers.push(connection.judge(self.0));
        }
        Ok(watchers)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn marked() -> Marked {
        Marked {
            subset: "m7".into(),
            services: BTreeSet::from(["stock".into()]),
            own: "ours".into(),
            blind: BTreeSet::from(["blind".into()]),
        }
    }

    fn watchers(answer: &Value) -> Vec<Watcher> {
        read(answer.to_string().as_bytes(), &marked()).expect("an answer")
    }

    #[track_caller]
    fn check(namespace: &str, watched: &[&str], in_sight: bool, has_marker: bool) {
        let id = format!("web-v1-7d4f-x2x.{namespace}-12");
        let answer = json!({"totalClients": 1, "clients": [{
            "connectionId": id, "address": "10.0.0.1:1", "watches": {ENDPOINTS: watched, CLUSTERS: []},
        }]});
        let name = format!("web-v1-7d4f-x2x.{namespace}");
        assert_eq!(watchers(&answer), [Watcher { name, in_sight, has_marker, asks_for_clusters: true }]);
    }

    #[test]
    fn the_marker_is_there_once_every_port_of_every_service_in_sight_has_it() {
        check("shop", &["outbound|80||ours"], true, false);
        check("shop", &["outbound|80||ours", "outbound|80|m7|ours"], true, true);
        check("shop", &["outbound|80||stock", "outbound|90||stock", "outbound|80|m7|stock"], true, false);
        check("shop", &["outbound|80||stock", "outbound|80|m6|stock"], true, false);
        check("shop", &["outbound|80||other", "inbound|80||", "agent"], false, true);
    }

    #[test]
    fn a_namespace_with_a_rule_of_its_own_does_not_see_ours() {
        check("blind", &["outbound|80||ours"], false, true);
        check("blind", &["outbound|80||ours", "outbound|80||stock"], true, false);
    }

    #[test]
    fn what_asks_for_no_clusters_is_told_from_what_has_not_said_yet() {
        let answer = json!({"clients": [
            {"connectionId": "a.shop-1"},
            {"connectionId": "b.shop-2", "watches": {"other": ["x"]}},
        ]});
        let asks: Vec<bool> = watchers(&answer).iter().map(|watcher| watcher.asks_for_clusters).collect();
        assert_eq!(asks, [true, false]);
        assert_eq!(watchers(&json!({"totalClients": 0})), []);
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        let whole = json!({"clients": [{"connectionId": "a.shop-1", "watches": {}}]}).to_string();
        for end in 0..whole.len() {
            read(&whole.as_bytes()[..end], &marked()).expect_err("it breaks off");
        }
        read(&b"not found"[..], &marked()).expect_err("no answer");
    }
}
