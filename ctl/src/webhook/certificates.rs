//! The webhook's certificates: roots that the API server trusts, and what every replica shows it.
//!
//! A root is announced before it signs: its certificate is in the API server's bundle some time before a replica
//! shows one of its own. What is replaced stays trusted until it ends. Pure but for the keys' randomness.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::names;

/// The Secret's one entry.
const ENTRY: &str = "certificates.json";
/// A certificate is replaced when less than this part of its life is left.
const LEFT_MIN: u64 = 3;
/// Clocks may differ by this much.
const SKEW: Duration = Duration::from_secs(3600);

/// How long certificates live.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// A root.
    pub root: Duration,
    /// What replicas show.
    pub serving: Duration,
    /// How long a root is in the bundle before it signs.
    pub announced: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self { root: DAY * 5 * 365, serving: DAY * 90, announced: Duration::from_secs(600) }
    }
}

/// All of them, with their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificates {
    /// The oldest first; never empty.
    roots: Vec<Pair>,
    serving: Pair,
    /// When the root that signed it was made.
    signed_by_unix_s: i64,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS #8.
    pub key: String,
    made_unix_s: i64,
    ends_unix_s: i64,
}

/// Why certificates cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library refuses.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The Secret is not as we write it.
    #[error("Secret {} is not as canaryctl writes it", names::WEBHOOK)]
    Shape,
}

impl Certificates {
    /// New ones, for the webhook in a namespace.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn new(namespace: &str, lives: Lives, now_unix_s: i64) -> Result<Self, CertificateError> {
        let root = root(lives, now_unix_s)?;
        let serving = serving(namespace, &root, lives, now_unix_s)?;
        Ok(Self { roots: vec![root], serving, signed_by_unix_s: now_unix_s })
    }

    /// What replaces them now; none while they are good.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn next(
        &self,
        namespace: &str,
        lives: Lives,
        now_unix_s: i64,
    ) -> Result<Option<Self>, CertificateError> {
        let mut next = self.clone();
        next.roots.retain(|root| root.ends_unix_s > now_unix_s);
        if next.roots.last().is_none_or(|root| root.is_late(now_unix_s)) {
            next.roots.push(root(lives, now_unix_s)?);
        }
        let announced = |root: &&Pair| now_unix_s - root.made_unix_s >= seconds(lives.announced);
        let signer = next.roots.iter().rev().find(announced).or(next.roots.first());
        let signer = signer.ok_or(CertificateError::Shape)?;
        if next.serving.is_late(now_unix_s) || next.signed_by_unix_s < signer.made_unix_s {
            next.signed_by_unix_s = signer.made_unix_s;
            next.serving = serving(namespace, signer, lives, now_unix_s)?;
        }
        Ok((next != *self).then_some(next))
    }

    /// What replicas show.
    #[must_use]
    pub fn serving(&self) -> &Pair {
        &self.serving
    }

    /// What the API server trusts: PEM.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.roots.iter().map(|root| root.certificate.as_str()).collect()
    }

    /// The same as a webhook's `caBundle`.
    #[must_use]
    pub fn ca_bundle(&self) -> String {
        STANDARD.encode(self.bundle())
    }

    /// The Secret that keeps them.
    #[must_use]
    pub fn secret(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": names::WEBHOOK, "namespace": namespace},
            "data": {ENTRY: STANDARD.encode(json!(self).to_string())},
        })
    }

    /// What a Secret keeps.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn from_secret(secret: &Value) -> Result<Self, CertificateError> {
        let text = secret["data"][ENTRY].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).map_err(|_| CertificateError::Shape)?;
        serde_json::from_slice(&bytes).map_err(|_| CertificateError::Shape)
    }
}

impl Pair {
    /// When it ends, Unix, in seconds.
    #[must_use]
    pub fn ends_unix_s(&self) -> i64 {
        self.ends_unix_s
    }

    fn is_late(&self, now_unix_s: i64) -> bool {
        let life = self.ends_unix_s - self.made_unix_s;
        (self.ends_unix_s - now_unix_s).saturating_mul(LEFT_MIN as i64) < life
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn root(lives: Lives, now_unix_s: i64) -> Result<Pair, CertificateError> {
    let key = KeyPair::generate()?;
    let ends = now_unix_s.saturating_add(seconds(lives.root));
    let certificate = root_params(now_unix_s, ends)?.self_signed(&key)?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        made_unix_s: now_unix_s,
        ends_unix_s: ends,
    })
}

/// Made from two times alone, so that they need not be read back from the certificate.
fn root_params(made_unix_s: i64, ends_unix_s: i64) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Roots of different names are never taken for each other.
    params.distinguished_name.push(DnType::CommonName, format!("{} {made_unix_s}", names::WEBHOOK));
    last(&mut params, made_unix_s, ends_unix_s);
    Ok(params)
}

fn serving(namespace: &str, root: &Pair, lives: Lives, now_unix_s: i64) -> Result<Pair, CertificateError> {
    let issuer = Issuer::new(root_params(root.made_unix_s, root.ends_unix_s)?, KeyPair::from_pem(&root.key)?);
    let key = KeyPair::generate()?;
    let name = format!("{}.{namespace}.svc", names::WEBHOOK);
    let ends = now_unix_s.saturating_add(seconds(lives.serving)).min(root.ends_unix_s);
    let mut params = CertificateParams::new(vec![name.clone()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    last(&mut params, now_unix_s, ends);
    Ok(Pair {
        certificate: params.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
        made_unix_s: now_unix_s,
        ends_unix_s: ends,
    })
}

fn last(params: &mut CertificateParams, from_unix_s: i64, to_unix_s: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    params.not_before = epoch + since(from_unix_s).saturating_sub(SKEW);
    params.not_after = epoch + since(to_unix_s);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const LIVES: Lives = Lives {
        root: Duration::from_secs(3000),
        serving: Duration::from_secs(300),
        announced: Duration::from_secs(20),
    };

    fn new() -> Certificates {
        Certificates::new("ns", LIVES, NOW).expect("certificates")
    }

    fn after(from: &Certificates, seconds: i64) -> Option<Certificates> {
        from.next("ns", LIVES, NOW + seconds).expect("certificates")
    }

    #[test]
    fn they_are_read_back() {
        let made = new();
        assert_eq!(Certificates::from_secret(&made.secret("ns")).expect("ours"), made);
        Certificates::from_secret(&json!({"data": {}})).expect_err("nothing");
    }

    #[test]
    fn what_is_shown_is_replaced_well_before_its_end() {
        let first = new();
        assert_eq!(after(&first, 200), None);
        let second = after(&first, 201).expect("another");
        assert_ne!(second.serving, first.serving);
        assert_eq!(second.bundle(), first.bundle(), "the API server need not hear of it");
        assert_eq!(after(&second, 202), None);
    }

    #[test]
    fn a_root_is_announced_before_it_signs() {
        let mut old = new();
        old.serving.ends_unix_s = NOW + 10_000;
        assert_eq!(after(&old, 2000), None);
        let announced = after(&old, 2001).expect("a root");
        assert_eq!(announced.serving, old.serving);
        assert_eq!(announced.roots.len(), 2);
        assert!(announced.bundle().starts_with(&old.bundle()));
        assert_eq!(after(&announced, 2020), None);
        let signed = after(&announced, 2021).expect("a certificate of the new root");
        assert_ne!(signed.serving, old.serving);
        assert_eq!(signed.bundle(), announced.bundle(), "the old one stays trusted");
        let kept =
            Certificates { serving: Pair { ends_unix_s: NOW + 99_999, ..signed.serving.clone() }, ..signed };
        let ended = after(&kept, 3000).expect("the old one goes");
        assert_eq!(ended.roots.len(), 1);
    }

    #[test]
    fn an_installation_that_slept_too_long_starts_anew() {
        let anew = after(&new(), 5000).expect("new ones");
        assert_eq!(anew.roots.len(), 1);
        assert_eq!(anew.signed_by_unix_s, anew.roots[0].made_unix_s);
        assert_eq!(after(&anew, 5001), None);
    }
}
