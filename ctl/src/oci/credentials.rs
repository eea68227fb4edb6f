//! Who one is to a registry: as told, or as docker's own configuration says.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;

use super::error::RegistryError;

/// What a credential helper says of a registry that it does not know.
/// Source: docker-credential-helpers 0.9, `credentials/error.go`.
const UNKNOWN_TO_HELPER: &str = "credentials not found in native keychain";

/// Who one is to a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// As docker's configuration says, or nobody.
    #[default]
    Docker,
    /// This user.
    User {
        /// The name.
        name: String,
        /// The password or token.
        password: String,
    },
}

impl Credentials {
    pub(super) fn for_registry(&self, registry: &str) -> Result<RegistryAuth, RegistryError> {
        match self {
            Self::User { name, password } => Ok(RegistryAuth::Basic(name.clone(), password.clone())),
            Self::Docker => match docker_configuration() {
                Some(file) => of_docker(&file, registry),
                None => Ok(RegistryAuth::Anonymous),
            },
        }
    }
}

/// Docker's configuration, where docker looks for it.
fn docker_configuration() -> Option<PathBuf> {
    let of_home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
    let directory = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(of_home);
    directory.map(|directory| directory.join("config.json"))
}

fn of_docker(file: &Path, registry: &str) -> Result<RegistryAuth, RegistryError> {
    let broken = |source| RegistryError::DockerConfig { file: file.into(), source };
    let config = match std::fs::read(file) {
        Ok(config) => config,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(RegistryAuth::Anonymous);
        }
        Err(error) => return Err(broken(error)),
    };
    serde_json::from_slice::<serde::de::IgnoredAny>(&config).map_err(|error| broken(error.into()))?;
    match docker_credential::get_credential_from_reader(&config[..], registry) {
        Ok(DockerCredential::UsernamePassword(name, password)) => Ok(RegistryAuth::Basic(name, password)),
        // What such a token is exchanged for differs from registry to registry.
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(RegistryError::IdentityToken { registry: registry.into() })
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(CredentialRetrievalError::ConfigReadError) => {
            Err(broken(Error::new(ErrorKind::InvalidData, "it is JSON, but not as docker writes it")))
        }
        Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.trim() == UNKNOWN_TO_HELPER => {
            Ok(RegistryAuth::Anonymous)
        }
        Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
            let said = format!("{} {}", stdout.trim(), stderr.trim()).trim().to_owned();
            Err(RegistryError::Helper { helper, registry: registry.into(), said })
        }
        Err(source) => Err(RegistryError::Docker { registry: registry.into(), source }),
    }
}
