//! Pushes images to a registry and pulls modules from one.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::{Reference, RegistryOperation};
use serde_json::Value;

use super::credentials::Credentials;
use super::error::{RegistryError, Tried, refused};
use super::image::{CONFIG, Image, LAYER, MANIFEST, PLUGIN, digest, file_in};

/// How long to wait for a connection, in seconds.
const CONNECT_TIMEOUT_S: u64 = 10;
/// Scheme of addresses of images, as Istio writes it.
const SCHEME: &str = "oci://";

/// An image's address: `[oci://]HOST/REPOSITORY[:TAG][@sha256:DIGEST]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Reference);

/// A text that is no address of an image, or none to push to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is no address.
    #[error("`{0}` is no address of an image: wanted [oci://]HOST/REPOSITORY[:TAG]")]
    NoAddress(String),
    /// It has a digest, which nobody chooses.
    #[error("a digest is what a push results in; name a tag instead: {tagged}")]
    Digest {
        /// The same with a tag.
        tagged: String,
    },
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let plain = text.strip_prefix(SCHEME).unwrap_or(text);
        // Without a host the library would mean a registry that nobody named.
        let names_host =
            plain.split_once('/').is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost");
        let reference = Reference::from_str(plain).ok().filter(|_| names_host);
        reference.map(Self).ok_or_else(|| TargetError::NoAddress(text.into()))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}", self.0)
    }
}

impl Target {
    /// The address that a text gives to an image that is yet to be: of a tag, not of a digest.
    ///
    /// # Errors
    /// When it is no address, or has a digest.
    pub fn to_push(text: &str) -> Result<Self, TargetError> {
        let Self(image) = text.parse()?;
        if image.digest().is_none() {
            return Ok(Self(image));
        }
        let tag = image.tag().unwrap_or("TAG");
        Err(TargetError::Digest { tagged: format!("{}/{}:{tag}", image.registry(), image.repository()) })
    }

    /// The same repository, with this added to the tag.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let tag = self.0.tag().unwrap_or("latest");
        Self(Reference::with_tag(
            self.0.registry().into(),
            self.0.repository().into(),
            format!("{tag}-{suffix}"),
        ))
    }

    /// The same repository, at this digest: an address that always means the same image.
    #[must_use]
    pub fn at(&self, digest: &str) -> Self {
        Self(Reference::with_digest(self.0.registry().into(), self.0.repository().into(), digest.into()))
    }

    /// The registry, as `HOST[:PORT]`.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// Whether the registry is on this machine, where nobody listens in.
    fn is_local(&self) -> bool {
        let host = self.0.registry();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// A module from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Digest of the image's manifest.
    pub digest: String,
    /// Digest of the index that the address means, of which the image is the one for this machine.
    pub index: Option<String>,
    /// The manifest.
    pub manifest: Value,
    /// The module.
    pub wasm: Vec<u8>,
}

/// A registry, as reached for one image.
pub struct Registry {
    client: Client,
    credentials: Credentials,
}

impl Registry {
    /// The way to an image's registry: TLS, unless it is on this machine or was said to be plain.
    #[must_use]
    pub fn new(target: &Target, plain_http: bool, credentials: Credentials) -> Self {
        // There may be one already; either will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let protocol =
            if plain_http || target.is_local() { ClientProtocol::Http } else { ClientProtocol::Https };
        let config = ClientConfig {
            protocol,
            // Some registries take chunks of no size but their own.
            use_monolithic_push: true,
            connect_timeout: Some(Duration::from_secs(CONNECT_TIMEOUT_S)),
            ..ClientConfig::default()
        };
        Self { client: Client::new(config), credentials }
    }

    /// Pushes an image and returns the address by its digest.
    ///
    /// # Errors
    /// What the registry says.
    pub async fn push(&self, target: &Target, image: &Image) -> Result<Target, RegistryError> {
        let auth = self.credentials.for_registry(target.registry())?;
        let said = |source| refused(target, Tried::Push, source);
        self.client.auth(&target.0, &auth, RegistryOperation::Push).await.map_err(said)?;
        let layer = ImageLayer::new(Bytes::from(image.layer.clone()), LAYER.into(), None);
        let config = Config::new(Bytes::from(image.config.clone()), CONFIG.into(), None);
        for (content, media) in [(&layer.data, &layer.media_type), (&config.data, &config.media_type)] {
            tracing::debug!(media, bytes = content.len(), "pushing");
            let pushed = self.client.push_blob(&target.0, content.clone(), &digest(content)).await;
            pushed.map_err(said)?;
        }
        let (manifest, media) = (image.manifest.clone(), HeaderValue::from_static(MANIFEST));
        self.client.push_manifest_raw(&target.0, manifest, media).await.map_err(said)?;
        let kept = self.client.fetch_manifest_digest(&target.0, &auth).await.map_err(said)?;
        if kept != image.digest() {
            let target = target.to_string();
            return Err(RegistryError::Digest { target, wanted: image.digest(), got: kept });
        }
        Ok(target.at(&kept))
    }

    /// Pulls a module. What comes is what the digests say, or nothing.
    ///
    /// # Errors
    /// What the registry says, or what is wrong with the image.
    pub async fn pull(&self, target: &Target) -> Result<Pulled, RegistryError> {
        let auth = self.credentials.for_registry(target.registry())?;
        let said = |source| refused(target, Tried::Pull, source);
        let pulled = self.client.pull_image_manifest_and_list_digest(&target.0, &auth).await;
        let (manifest, kept, index) = pulled.map_err(said)?;
        let no_module = |source| RegistryError::NoModule { target: target.to_string(), source };
        let missing = || std::io::Error::new(std::io::ErrorKind::NotFound, "it has no layer");
        let last = manifest.layers.last().ok_or_else(missing).map_err(no_module)?;
        let mut layer = Vec::new();
        self.client.pull_blob(&target.0, last, &mut layer).await.map_err(said)?;
        let wasm = file_in(&layer, PLUGIN).map_err(no_module)?;
        let manifest = serde_json::to_value(&manifest)
            .map_err(|error| no_module(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        Ok(Pulled { digest: kept, index, manifest, wasm })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        assert_eq!(text.parse::<Target>().ok().map(|target| target.to_string()).as_deref(), want, "{text}");
    }

    #[test]
    fn an_address_names_its_registry() {
        check("oci://registry.example/mesh/filter:1", Some("oci://registry.example/mesh/filter:1"));
        check("registry.example:5000/filter", Some("oci://registry.example:5000/filter:latest"));
        check("localhost/filter:1", Some("oci://localhost/filter:1"));
        for text in ["", "filter", "mesh/filter:1", "oci://", "registry.example/UPPER"] {
            check(text, None);
        }
    }

    #[test]
    fn only_this_machine_is_reached_in_the_clear_unasked() {
        for (text, want) in [
            ("127.0.0.1:5000/f", true),
            ("localhost:5000/f", true),
            ("10.0.0.1:5000/f", false),
            ("localhost.example/f", false),
        ] {
            assert_eq!(text.parse::<Target>().expect("an address").is_local(), want, "{text}");
        }
    }

    #[test]
    fn builds_lie_beside_each_other() {
        let target: Target = "r.example/filter:1.2".parse().expect("an address");
        assert_eq!(target.with_suffix("sidecar").to_string(), "oci://r.example/filter:1.2-sidecar");
    }
}
