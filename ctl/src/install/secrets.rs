//! What an installation keeps secret.

use canary_rules::signing::KeyRing;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;

use crate::cluster::api_failure;
use crate::failure::{Code, Failure};
use crate::webhook::certificates::{Certificates, Lives};
use crate::{names, settings, world};

/// The keys that sign cookies, and the webhook's certificates.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// The former.
    pub keys: KeyRing,
    /// The latter.
    pub certificates: Certificates,
}

impl Secrets {
    /// New ones.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(namespace: &str) -> Result<Self, Failure> {
        let keys = settings::new_keys().map_err(|error| Failure::from_error(Code::Failed, &error))?;
        Ok(Self { keys, certificates: new_certificates(namespace)? })
    }

    /// Those of an installation that is there; new ones for what it lacks.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn of(client: &Client, namespace: &str) -> Result<Self, Failure> {
        let found = async |name: &str, what: &str| -> Result<Option<Value>, Failure> {
            let found = world::get(client, "v1", "Secret", Some(namespace), name).await;
            found.map_err(|error| api_failure(&format!("read {what}"), &error))
        };
        let keys = match found(names::KEYS, "the signing keys").await? {
            // Users' cookies are signed with them: they outlive an upgrade.
            Some(secret) => settings::keys_from_secret(&secret),
            None => settings::new_keys(),
        };
        let keys = keys.map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let certificates = match found(names::WEBHOOK, "the webhook's certificates").await? {
            Some(secret) => Certificates::from_secret(&secret).ok(),
            None => None,
        };
        let certificates = match certificates {
            Some(found) => found,
            None => new_certificates(namespace)?,
        };
        Ok(Self { keys, certificates })
    }
}

fn new_certificates(namespace: &str) -> Result<Certificates, Failure> {
    let made = Certificates::new(namespace, Lives::default(), Timestamp::now().as_second());
    made.map_err(|error| Failure::from_error(Code::Failed, &error))
}
