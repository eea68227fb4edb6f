//! wasm-bindgen's programs: one writes the JavaScript around a module, one runs tests in Node.
//!
//! They must be of exactly the version that the code is compiled with, so that Cargo.lock pins them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step::Step;
use crate::{process, workspace};

const CLI: &str = "wasm-bindgen";
const RUNNER: &str = "wasm-bindgen-test-runner";

/// The programs, ready to run.
pub(crate) struct WasmBindgen {
    version: String,
    dir: PathBuf,
}

impl WasmBindgen {
    pub(crate) fn ensure() -> Result<Self> {
        let version = locked_version()?;
        let dir = workspace::tools_dir().join(format!("wasm-bindgen-cli-{version}"));
        let step = Step::start(CLI, &format!("looking for {version}"));
        let found = Self { version, dir };
        for program in [CLI, RUNNER] {
            if !found.program(program).is_file() {
                found.install(program)?;
            }
        }
        step.done(&found.version, &workspace::show(&found.dir));
        Ok(found)
    }

    /// Its version: what it writes depends on it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What writes the JavaScript around a module, ready for its arguments.
    pub(crate) fn cli(&self) -> Command {
        Command::new(self.program(CLI))
    }

    /// What runs tests.
    pub(crate) fn runner(&self) -> PathBuf {
        self.program(RUNNER)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    fn install(&self, program: &str) -> Result<()> {
        process::run(
            workspace::cargo()
                // Not with its lock file, which names versions that not every mirror of the registry has.
                .args(["install", "--quiet", "wasm-bindgen-cli", "--version", &self.version])
                // Without the default features: those fetch browsers' drivers, and bring a TLS stack for that.
                .args(["--no-default-features", "--bin", program, "--root"])
                .arg(&self.dir),
        )
    }
}

fn locked_version() -> Result<String> {
    let path = workspace::root().join("Cargo.lock");
    let lock = std::fs::read_to_string(&path).context("reading Cargo.lock")?;
    let package = lock.split("name = \"wasm-bindgen\"\nversion = \"").nth(1);
    let version = package.and_then(|rest| rest.split('"').next());
    version.map(str::to_owned).context("Cargo.lock has no wasm-bindgen, which the playground is built with")
}
