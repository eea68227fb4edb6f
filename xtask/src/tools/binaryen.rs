//! Binaryen's `wasm-opt`, as the npm package that is itself WebAssembly: the same bytes out on every machine,
//! which matters since clusters pin the filter by its sha256, and no C++ build (that took over eight minutes).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Node;
use super::wheel::Scratch;
use crate::step::Step;
use crate::{filter, process, workspace};

const VERSION: &str = "132.0.0";
/// Of the package's tarball.
const SHA256: &str = "6543555fb29bb92548f325c7dc18e9ab7dbb1215edda25993d1e3f71d85b8618";

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
            fetch(&node, &dir).with_context(|| format!("npm cannot fetch binaryen {VERSION}"))?;
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

/// Takes only `wasm-opt` out of the package: the other programs are ten times its size.
fn fetch(node: &Node, dir: &Path) -> Result<()> {
    let scratch = Scratch::new("binaryen")?;
    process::capture(
        node.npm()
            .args(["pack", "--silent", &format!("binaryen@{VERSION}"), "--pack-destination"])
            .arg(scratch.path())
            .current_dir(scratch.path()),
    )?;
    let tarball = scratch.path().join(format!("binaryen-{VERSION}.tgz"));
    let bytes = std::fs::read(&tarball).with_context(|| format!("reading {}", tarball.display()))?;
    let sha256 = filter::sha256(&bytes);
    if sha256 != SHA256 {
        bail!("npm handed out another binaryen {VERSION} than the pinned one: sha256 {sha256}");
    }
    process::capture(Command::new("tar").arg("-xzf").arg(&tarball).arg("-C").arg(scratch.path()).args([
        "package/bin/wasm-opt",
        "package/bin/package.json",
        "package/LICENSE",
    ]))?;
    scratch.publish(&scratch.path().join("package"), dir)
}
