//! What an installation decides once for the mesh, as a ConfigMap and a Secret keep it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canary_istio::plugins::Presence;
use canary_rules::settings::MeshSettings;
use canary_rules::signing::{Key, KeyError, KeyId, KeyRing};
use canary_rules::wire::{Carriers, EdgeSettings, LINGER_S_DEFAULT, Peers};
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::names;
use crate::world;

/// The ConfigMap's and the Secret's one entry.
const ENTRY: &str = "settings.json";
const KEYS_ENTRY: &str = "keys.json";
/// Length of a signing key that we make, in bytes.
const SECRET_BYTES: usize = 32;

/// The ConfigMap's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Which proxies run the filter.
    pub presence: Presence,
    /// Where tags ride.
    #[serde(default)]
    pub carriers: Carriers,
    /// Whose tags sidecars believe.
    #[serde(default)]
    pub peers: Peers,
    /// Life of a flow's correlation ids beyond its response, in seconds.
    #[serde(default = "linger_s_default")]
    pub linger_s: u32,
    /// What edges need beyond that.
    #[serde(default)]
    pub edge: EdgeSettings,
}

fn linger_s_default() -> u32 {
    LINGER_S_DEFAULT
}

/// Why an installation cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The object has no such entry.
    #[error("{object} has no entry {entry}")]
    Missing {
        /// The object.
        object: &'static str,
        /// The entry.
        entry: &'static str,
    },
    /// It is not what we write.
    #[error("{object} is not as canaryctl writes it")]
    Shape {
        /// The object.
        object: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The Secret's entry is no base64.
    #[error("the entry of Secret {} is no base64", names::KEYS)]
    Encoding(#[source] base64::DecodeError),
    /// No random bytes are to be had.
    #[error("the system gives no random bytes for a key: {0}")]
    Random(getrandom::Error),
    /// The keys are none.
    #[error("the keys of Secret {} are refused", names::KEYS)]
    Keys(#[source] KeyError),
}

/// Why a cluster's installation cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server does not give it.
    #[error("cannot read {what}")]
    Api {
        /// What of it.
        what: &'static str,
        /// What the API server said.
        #[source]
        source: Box<kube::Error>,
    },
    /// It is not as we write it.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Installation {
    /// The defaults, for this presence.
    #[must_use]
    pub fn new(presence: Presence) -> Self {
        Self {
            presence,
            carriers: Carriers::default(),
            peers: Peers::default(),
            linger_s: LINGER_S_DEFAULT,
            edge: EdgeSettings::default(),
        }
    }

    /// What every role's configuration is made from.
    #[must_use]
    pub fn mesh(&self, keys: KeyRing) -> MeshSettings {
        MeshSettings {
            carriers: self.carriers.clone(),
            keys,
            peers: self.peers,
            linger_s: self.linger_s,
            edge: self.edge.clone(),
            trace: None,
        }
    }

    /// The ConfigMap.
    ///
    /// # Errors
    /// When the settings cannot be written as JSON.
    pub fn config_map(&self, namespace: &str) -> Result<Value, SettingsError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|source| SettingsError::Shape { object: names::SETTINGS, source })?;
        Ok(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names::SETTINGS, "namespace": namespace},
            "data": {ENTRY: text},
        }))
    }

    /// What a cluster's installation decided, and what its plugins are told; none where it is not all there.
    ///
    /// # Errors
    /// When it cannot be read, or is not as we write it.
    pub async fn read(client: &Client, namespace: &str) -> Result<Option<(Self, MeshSettings)>, ReadError> {
        let map = world::get(client, "v1", "ConfigMap", Some(namespace), names::SETTINGS).await;
        let map = map.map_err(|source| ReadError::Api { what: "the settings", source: Box::new(source) })?;
        let keys = world::get(client, "v1", "Secret", Some(namespace), names::KEYS).await;
        let keys =
            keys.map_err(|source| ReadError::Api { what: "the signing keys", source: Box::new(source) })?;
        let (Some(map), Some(keys)) = (map, keys) else { return Ok(None) };
        let found = Self::from_config_map(&map)?;
        let mesh = found.mesh(keys_from_secret(&keys)?);
        Ok(Some((found, mesh)))
    }

    /// What a ConfigMap holds.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn from_config_map(object: &Value) -> Result<Self, SettingsError> {
        let text = object["data"][ENTRY].as_str();
        let text = text.ok_or(SettingsError::Missing { object: names::SETTINGS, entry: ENTRY })?;
        serde_json::from_str(text).map_err(|source| SettingsError::Shape { object: names::SETTINGS, source })
    }
}

/// A new ring of one random key.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_keys() -> Result<KeyRing, SettingsError> {
    let mut secret = vec![0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(SettingsError::Random)?;
    let id = KeyId::new("k1").map_err(SettingsError::Keys)?;
    KeyRing::new([Key::new(id, secret).map_err(SettingsError::Keys)?]).map_err(SettingsError::Keys)
}

/// The Secret that keeps a ring.
///
/// # Errors
/// When the keys cannot be written as JSON.
pub fn keys_secret(ring: &KeyRing, namespace: &str) -> Result<Value, SettingsError> {
    let text =
        serde_json::to_string(ring).map_err(|source| SettingsError::Shape { object: names::KEYS, source })?;
    let data = BTreeMap::from([(KEYS_ENTRY, STANDARD.encode(text))]);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": names::KEYS, "namespace": namespace},
        "data": data,
    }))
}

/// The ring in a Secret.
///
/// # Errors
/// When it is none of ours.
pub fn keys_from_secret(object: &Value) -> Result<KeyRing, SettingsError> {
    let text = object["data"][KEYS_ENTRY].as_str();
    let text = text.ok_or(SettingsError::Missing { object: names::KEYS, entry: KEYS_ENTRY })?;
    let bytes = STANDARD.decode(text).map_err(SettingsError::Encoding)?;
    serde_json::from_slice(&bytes).map_err(|source| SettingsError::Shape { object: names::KEYS, source })
}

#[cfg(test)]
mod tests {
    use canary_istio::plugins::{EdgeGateway, FilterSource};

    use super::*;

    #[test]
    fn what_an_installation_decided_is_read_back() {
        let source =
            FilterSource { url: "http://f/x".into(), sha256: "00".into(), pull_secret: Some("pull".into()) };
        let presence = Presence {
            root_namespace: "istio-system".into(),
            edges: vec![EdgeGateway { namespace: "a".into(), labels: BTreeMap::default() }],
            namespaces: vec!["shop".into()],
            gateway_filter: source.clone(),
            sidecar_filter: source,
        };
        let installation = Installation::new(presence);
        let object = installation.config_map("ns").expect("a ConfigMap");
        assert_eq!(Installation::from_config_map(&object).expect("ours"), installation);
    }

    #[test]
    fn keys_are_read_back() {
        let ring = new_keys().expect("random");
        let secret = keys_secret(&ring, "ns").expect("a Secret");
        assert_eq!(keys_from_secret(&secret).expect("ours"), ring);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = keys_from_secret(&json!({"data": {}})).expect_err("no keys");
        assert_eq!(error.to_string(), "canaryctl-keys has no entry keys.json");
    }
}
