//! Builds the Wasm filter: compile, drop the callbacks it does not use, optimise, hold it to its size.
//!
//! The result is the same bytes for the same sources on every machine: clusters pin it by its sha256.

mod exports;
mod size;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use size::Budget;
pub(crate) use size::Size;

use crate::step::Step;
use crate::tools::{self, Binaryen};
use crate::{process, workspace};

/// The filter's target: see `wasm-target.toml`.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What Envoy's V8 takes, and what rustc emits for the target: naming them keeps Binaryen from assuming
/// either less (it refuses the module) or, with `--all-features`, more (Envoy refuses its output).
pub(crate) const WASM_OPT_ARGS: [&str; 7] = [
    "-Oz",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// A filter, ready to be embedded in `canaryctl` and loaded by Envoy; beside it lies the part of it that
/// sidecars need.
pub(crate) struct Filter {
    pub(crate) path: PathBuf,
    sizes: Vec<(Variant, Size)>,
}

impl Filter {
    /// Refuses a filter over its size budget. Only builds and tests ask: too large a filter still runs.
    pub(crate) fn check_size(&self) -> Result<()> {
        self.sizes.iter().try_for_each(|(variant, size)| variant.budget.holds(variant.name, *size))
    }
}

/// A build of the filter.
#[derive(Clone, Copy)]
struct Variant {
    /// The file's name, without its ending.
    name: &'static str,
    /// Cargo's arguments for its features.
    features: &'static [&'static str],
    budget: Budget,
}

/// Every role; for gateways.
const WHOLE: Variant = Variant { name: "canary-filter", features: &[], budget: Budget::OF_A_GATEWAY };

/// The roles of sidecars, of which a mesh has many: no rules, no matching, no signing.
const SIDECAR: Variant = Variant {
    name: "canary-filter-sidecar",
    features: &["--no-default-features"],
    budget: Budget::OF_A_SIDECAR,
};

/// Builds the filter into `canary/` of the target directory, unless it is there and fresh.
pub(crate) fn build() -> Result<Filter> {
    tools::ensure_rust_targets()?;
    let (_, sidecar) = build_variant(SIDECAR)?;
    let (path, whole) = build_variant(WHOLE)?;
    Ok(Filter { path, sizes: vec![(SIDECAR, sidecar), (WHOLE, whole)] })
}

fn build_variant(variant: Variant) -> Result<(PathBuf, Size)> {
    let compiled = compile(variant)?;
    let wasm = std::fs::read(&compiled).with_context(|| format!("reading {}", compiled.display()))?;
    optimise(variant, &wasm)
}

fn compile(variant: Variant) -> Result<PathBuf> {
    let step = Step::start("filter", &format!("{}: compiling for {TARGET}", variant.name));
    process::run(
        workspace::cargo()
            .args(["--config", "wasm-target.toml", "--config"])
            .arg(format!("target.{TARGET}.rustflags = {:?}", remapped_paths()?))
            .args(["build", "--quiet", "--package", "canary-filter", "--profile", "filter"])
            .args(["--target", TARGET])
            .args(variant.features)
            // Either would silently replace the flags that the configuration gives.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    let compiled = workspace::target_dir().join(TARGET).join("filter").join("canary_filter.wasm");
    step.done("compiled", &workspace::show(&compiled));
    Ok(compiled)
}

/// Panic messages name source files; without this they would carry this machine's directories.
pub(crate) fn remapped_paths() -> Result<Vec<String>> {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let sysroot = process::capture(
        std::process::Command::new("rustc").args(["--print", "sysroot"]).current_dir(workspace::root()),
    )?;
    let remap = |from: &str, to: &str| format!("--remap-path-prefix={from}={to}");
    Ok(vec![
        remap(&workspace::root().display().to_string(), "/canaryctl"),
        remap(&cargo_home.display().to_string(), "/cargo"),
        remap(sysroot.trim(), "/rust"),
    ])
}

fn optimise(variant: Variant, compiled: &[u8]) -> Result<(PathBuf, Size)> {
    let name = variant.name;
    let dir = workspace::target_dir().join("canary");
    let path = dir.join(format!("{name}.wasm"));
    let stamp = dir.join(format!("{name}.from"));
    let recipe = format!(
        "{} binaryen {} {} keep {}\n",
        sha256(compiled),
        Binaryen::PIN,
        WASM_OPT_ARGS.join(" "),
        exports::KEPT.join(" ")
    );
    if path.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == recipe) {
        let size = measure(Step::start("filter", "measuring"), "ready", &path)?;
        return Ok((path, size));
    }

    let binaryen = Binaryen::ensure()?;
    let step = Step::start("filter", &format!("{name}: dropping unused callbacks, optimising"));
    std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let pruned = dir.join(format!("{name}.pruned.wasm"));
    write(&pruned, &exports::prune(compiled)?)?;
    let optimised = dir.join(format!("{name}.{}.wasm", std::process::id()));
    process::capture(binaryen.wasm_opt().args(WASM_OPT_ARGS).arg(&pruned).arg("-o").arg(&optimised))?;
    std::fs::rename(&optimised, &path).with_context(|| format!("writing {}", path.display()))?;
    write(&stamp, recipe.as_bytes())?;
    let size = measure(step, "built", &path)?;
    Ok((path, size))
}

fn measure(step: Step, state: &str, path: &Path) -> Result<Size> {
    let wasm = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let size = Size::of(&wasm)?;
    step.done(state, &format!("{}  {size}  sha256:{}", workspace::show(path), sha256(&wasm)));
    Ok(size)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// Lower-case hexadecimal, as clusters and package registries write it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
