//! Where things are: the checkout, cargo's target directory, and the cache that outlives a checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout that this xtask was built from.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

/// Cargo's target directory: `CARGO_TARGET_DIR` if set, else `target/` of the checkout.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where downloaded tools are kept: `CANARY_TOOLS`, else the user's cache directory, else the target directory.
pub(crate) fn tools_dir() -> PathBuf {
    let non_empty = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = non_empty("CANARY_TOOLS") {
        return dir;
    }
    match non_empty("XDG_CACHE_HOME").or_else(|| non_empty("HOME").map(|home| home.join(".cache"))) {
        Some(cache) => cache.join("canaryctl").join("tools"),
        None => target_dir().join("tools"),
    }
}

/// `cargo`, run in the checkout. It is the same cargo that started this xtask.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // Set by the outer cargo for this process; an inner cargo would hand them on to build scripts and tests
    // of other packages, which makes their fingerprints differ from those of a cargo started by hand.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME" {
            cargo.env_remove(&*name);
        }
    }
    cargo
}

/// `cargo VERB` of all packages with all their features, for checks: cargo chooses the features of dependencies by the
/// packages that are selected, so that with all of them each dependency is built once, whatever targets are chosen then.
pub(crate) fn cargo_of_all(verb: &str) -> Command {
    let mut cargo = cargo();
    cargo.args([verb, "--workspace", "--all-features"]);
    cargo
}

/// `cargo build` of a program of any package, with dependencies as tests have them.
pub(crate) fn build_of_all(program: &str) -> Command {
    let mut cargo = cargo_of_all("build");
    // With a test among the targets, dependencies have the features that tests want of them, too.
    cargo.args(["--bin", program, "--test", "shapes"]);
    cargo
}

/// `path` as people would type it from the checkout or their home.
pub(crate) fn show(path: &Path) -> String {
    if let Ok(inside) = path.strip_prefix(root()) {
        return inside.display().to_string();
    }
    if let Some(home) = std::env::var_os("HOME")
        && let Ok(inside) = path.strip_prefix(&home)
    {
        return format!("~/{}", inside.display());
    }
    path.display().to_string()
}
