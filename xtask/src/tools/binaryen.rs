//! Binaryen's `wasm-opt`, as the npm package that is itself WebAssembly: the same bytes out on every machine,
//! which matters since clusters pin the filter by its sha256, and no C++ build (that took over eight minutes).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::Node;
use super::npm::Package;
use crate::step::Step;
use crate::workspace;

const VERSION: &str = "132.0.0";
const PACKAGE: Package = Package {
    name: "binaryen",
    version: VERSION,
    sha256: "6543555fb29bb92548f325c7dc18e9ab7dbb1215edda25993d1e3f71d85b8618",
};

/// The other programs of the package are ten times the size of `wasm-opt`.
const FILES: [&str; 3] = ["bin/wasm-opt", "bin/package.json", "LICENSE"];

/// `wasm-opt`, ready to run.
pub(crate) struct Binaryen {
    node: Node,
    wasm_opt: PathBuf,
}

impl Binaryen {
    /// What its output depends on: part of what decides whether a built filter is up to date.
    pub(crate) const PIN: &str = VERSION;

    pub(crate) fn ensure() -> Result<Self> {
        let node = Node::ensure()?;
        let step = Step::start("binaryen", &format!("looking for Binaryen {VERSION}"));
        let dir = workspace::tools_dir().join(format!("binaryen-{VERSION}"));
        if !dir.is_dir() {
            PACKAGE
                .fetch(&node, &FILES, &dir)
                .with_context(|| format!("npm cannot fetch binaryen {VERSION}"))?;
        }
        let wasm_opt = dir.join("bin").join("wasm-opt");
        step.done(VERSION, &workspace::show(&wasm_opt));
        Ok(Self { node, wasm_opt })
    }

    /// `wasm-opt`, ready for its arguments.
    pub(crate) fn wasm_opt(&self) -> Command {
        let mut command = self.node.command();
        command.arg(&self.wasm_opt);
        command
    }
}
