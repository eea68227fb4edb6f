//! Flags of verbs that talk to a registry, and what its errors say to people.

use std::io::Read as _;

use crate::failure::{Code, Failure};
use crate::oci::{Credentials, Missing, Registry, RegistryError, Target};

/// How to reach a registry.
#[derive(Debug, Clone, clap::Args)]
pub struct RegistryArgs {
    /// Talk to the registry in the clear; on this machine that is the default.
    #[arg(long)]
    plain_http: bool,
    /// Who you are to the registry; default what `docker login` left.
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

impl RegistryArgs {
    /// The registry of an image.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn registry(&self, target: &Target) -> Result<Registry, Failure> {
        let credentials = match &self.username {
            None => Credentials::Docker,
            Some(name) => {
                let mut password = String::new();
                let read = std::io::stdin().read_to_string(&mut password);
                read.map_err(|error| {
                    Failure::new(Code::Failed, format!("cannot read the password: {error}"))
                })?;
                let password = password.trim_end_matches(['\r', '\n']).to_owned();
                Credentials::User { name: name.clone(), password }
            }
        };
        Ok(Registry::new(target, self.plain_http, credentials))
    }
}

/// A registry's error, with what to type next.
#[must_use]
pub fn failure(error: &RegistryError) -> Failure {
    let failure = Failure::from_error(Code::Failed, error);
    match error {
        RegistryError::NotLetIn { registry, .. } => {
            failure.help(format!("docker login {registry}, or --username NAME --password-stdin"))
        }
        RegistryError::IdentityToken { .. } | RegistryError::Helper { .. } | RegistryError::Docker { .. } => {
            failure.help("say who you are: --username NAME --password-stdin")
        }
        RegistryError::DockerConfig { .. } => {
            failure.help("mend it, or name a directory with another one: DOCKER_CONFIG=DIR")
        }
        RegistryError::Missing { what, .. } => failure.help(match what {
            Missing::Repository => "check its name; some registries want it made before the first push",
            Missing::Image => "check its tag or digest; canaryctl filter push makes one",
            Missing::Part => "push it again",
        }),
        RegistryError::Refused { registry, .. } => {
            failure.help(format!("try again later, or ask who runs {registry}"))
        }
        RegistryError::Unreachable { registry, .. } => {
            failure.help(format!("is {registry} right, and does it speak TLS? If it does not: --plain-http"))
        }
        RegistryError::Digest { .. } => {
            failure.help("somebody changed it on the way, or it is damaged: do not use it")
        }
        RegistryError::Index { .. } => {
            failure.help("name one of them by its digest: HOST/REPOSITORY@sha256:DIGEST")
        }
        RegistryError::NoModule { .. } => failure.help("canaryctl filter push makes one"),
    }
}
