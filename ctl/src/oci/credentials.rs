//! Who one is to a registry: as told, or as docker's own configuration says.

use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::secrets::RegistryAuth;

use super::error::RegistryError;

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
            Self::Docker => match docker_credential::get_credential(registry) {
                Ok(DockerCredential::UsernamePassword(name, password)) => {
                    Ok(RegistryAuth::Basic(name, password))
                }
                // What such a token is exchanged for differs from registry to registry.
                Ok(DockerCredential::IdentityToken(_)) => {
                    Err(RegistryError::IdentityToken { registry: registry.into() })
                }
                Err(
                    CredentialRetrievalError::ConfigNotFound
                    | CredentialRetrievalError::ConfigReadError
                    | CredentialRetrievalError::NoCredentialConfigured,
                ) => Ok(RegistryAuth::Anonymous),
                Err(source) => Err(RegistryError::Docker { registry: registry.into(), source }),
            },
        }
    }
}
