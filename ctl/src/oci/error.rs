//! Why a registry does not do what it is asked.

use std::path::PathBuf;

use docker_credential::CredentialRetrievalError;
use oci_client::errors::{DigestError, OciDistributionError, OciEnvelope, OciErrorCode};

use super::registry::Target;

/// Why a registry does not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It wants to know who one is, or does not let one in.
    #[error("registry {registry} does not let you in")]
    NotLetIn {
        /// The registry.
        registry: String,
        /// What it said.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// Nobody answers, or not as a registry would.
    #[error("cannot reach registry {registry}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// It does not have what was asked for.
    #[error("{target} {}", what.phrase())]
    Missing {
        /// The image.
        target: String,
        /// What it does not have.
        what: Missing,
        /// What it said.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// It refuses.
    #[error("registry {registry} does not {} {target}", tried.verb())]
    Refused {
        /// The registry.
        registry: String,
        /// What was tried.
        tried: Tried,
        /// The image.
        target: String,
        /// What it said.
        #[source]
        source: Box<OciDistributionError>,
    },
    /// What it gave is not what its digest says.
    #[error("{target} is not what its digest says: wanted {wanted}, got {got}")]
    Digest {
        /// The image.
        target: String,
        /// The digest asked for.
        wanted: String,
        /// The digest of what came.
        got: String,
    },
    /// It is several images.
    #[error("{target} is an index of several images, none of them for this machine")]
    Index {
        /// The index.
        target: String,
    },
    /// It is no image of a module.
    #[error("{target} is no image of a Wasm module")]
    NoModule {
        /// The image.
        target: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Docker keeps a token for it that is to be exchanged first.
    #[error("docker keeps an identity token for {registry}, which is of no use here")]
    IdentityToken {
        /// The registry.
        registry: String,
    },
    /// Docker's configuration cannot be read.
    #[error("cannot read docker's configuration {}", file.display())]
    DockerConfig {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Docker's helper does not give what it has.
    #[error("{helper} does not give credentials for {registry}: {said}")]
    Helper {
        /// The helper's program.
        helper: String,
        /// The registry.
        registry: String,
        /// What it said.
        said: String,
    },
    /// Docker's helper is not there, or what is kept makes no sense.
    #[error("docker's credentials for {registry} cannot be read")]
    Docker {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        source: CredentialRetrievalError,
    },
}

/// What a registry is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// To take an image.
    Push,
    /// To give one.
    Pull,
}

impl Tried {
    fn verb(self) -> &'static str {
        match self {
            Self::Push => "take",
            Self::Pull => "give",
        }
    }
}

/// What a registry does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The repository.
    Repository,
    /// An image of this tag or digest.
    Image,
    /// Something that the image's manifest names.
    Part,
}

impl Missing {
    fn phrase(self) -> &'static str {
        match self {
            Self::Repository => "is not there: the registry has no such repository",
            Self::Image => "is not there: the registry has no such image",
            Self::Part => "is not whole: the registry has only a part of it",
        }
    }
}

/// What an answer of a registry means.
pub(super) fn refused(target: &Target, tried: Tried, source: OciDistributionError) -> RegistryError {
    let registry = target.registry().to_owned();
    let target = target.to_string();
    if let OciDistributionError::DigestError(DigestError::VerificationError { expected, actual }) = source {
        return RegistryError::Digest { target, wanted: expected, got: actual };
    }
    if let OciDistributionError::ImageManifestNotFoundError(_) = source {
        return RegistryError::Index { target };
    }
    let (missing, source) = (missing(&source, tried), Box::new(source));
    if is_locked(&source) {
        RegistryError::NotLetIn { registry, source }
    } else if is_unreachable(&source) {
        RegistryError::Unreachable { registry, source }
    } else if let Some(what) = missing {
        RegistryError::Missing { target, what, source }
    } else {
        RegistryError::Refused { registry, tried, target, source }
    }
}

fn is_locked(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::AuthenticationFailure(_) | OciDistributionError::UnauthorizedError { .. } => {
            true
        }
        OciDistributionError::ServerError { code: 401 | 403, .. } => true,
        other => says(other, &[OciErrorCode::Unauthorized, OciErrorCode::Denied]),
    }
}

fn is_unreachable(error: &OciDistributionError) -> bool {
    matches!(error, OciDistributionError::RequestError(error) if error.is_connect())
}

fn missing(error: &OciDistributionError, tried: Tried) -> Option<Missing> {
    let is_404 = matches!(error, OciDistributionError::ServerError { code: 404, .. });
    if says(error, &[OciErrorCode::NameUnknown]) {
        Some(Missing::Repository)
    } else if says(error, &[OciErrorCode::BlobUnknown, OciErrorCode::ManifestBlobUnknown]) {
        Some(Missing::Part)
    } else if is_404 || says(error, &[OciErrorCode::ManifestUnknown, OciErrorCode::NotFound]) {
        // What is pushed needs no image to be there, but a repository.
        Some(if tried == Tried::Push { Missing::Repository } else { Missing::Image })
    } else {
        None
    }
}

/// Whether a registry says one of these in its own words. Source: OCI distribution specification 1.1, "Error codes".
fn says(error: &OciDistributionError, codes: &[OciErrorCode]) -> bool {
    let has = |envelope: &OciEnvelope| envelope.errors.iter().any(|error| codes.contains(&error.code));
    match error {
        OciDistributionError::RegistryError { envelope, .. } => has(envelope),
        OciDistributionError::ServerError { message, .. } => {
            serde_json::from_str(message).is_ok_and(|envelope| has(&envelope))
        }
        _ => false,
    }
}
