//! Builds the playground: the rules for a page, as a module and the JavaScript around it, held to its size.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::filter::{self, Size};
use crate::step::{Step, kilobytes};
use crate::tools::{self, Binaryen, WasmBindgen};
use crate::{process, workspace};

/// Largest module, in bytes: a page on loopback has it in no time, a binary carries it.
const BYTES_MAX: usize = 300_000;
/// What its files are called: `rules.js` and `rules_bg.wasm`.
const NAME: &str = "rules";

/// A playground, ready to be embedded.
pub(crate) struct Playground {
    /// The folder of its two files.
    pub(crate) dir: PathBuf,
    size: Size,
}

impl Playground {
    /// Refuses one that is over its size. Only tests ask: too large a one still runs.
    pub(crate) fn check_size(&self) -> Result<()> {
        if self.size.whole > BYTES_MAX {
            bail!("the playground is too large: {}, but at most {}", self.size, kilobytes(BYTES_MAX));
        }
        Ok(())
    }
}

/// Builds it into `canary/playground/` of the target directory, unless it is there and fresh.
pub(crate) fn build() -> Result<Playground> {
    tools::ensure_rust_targets()?;
    let compiled = compile()?;
    let bindgen = WasmBindgen::ensure()?;
    let dir = workspace::target_dir().join("canary").join("playground");
    let (module, stamp) = (dir.join(format!("{NAME}_bg.wasm")), dir.join("made-from"));
    let wasm = std::fs::read(&compiled).with_context(|| format!("reading {}", compiled.display()))?;
    let recipe = format!(
        "{} wasm-bindgen {} binaryen {} {}\n",
        filter::sha256(&wasm),
        bindgen.version(),
        Binaryen::PIN,
        filter::WASM_OPT_ARGS.join(" ")
    );
    let is_fresh = std::fs::read_to_string(&stamp).is_ok_and(|made_from| made_from == recipe);
    if !(is_fresh && module.is_file()) {
        let binaryen = Binaryen::ensure()?;
        process::capture(
            bindgen
                .cli()
                .args(["--target", "web", "--no-typescript", "--out-name", NAME, "--out-dir"])
                .arg(&dir)
                .arg(&compiled),
        )?;
        let optimised = dir.join(format!("{NAME}.{}.wasm", std::process::id()));
        process::capture(
            binaryen.wasm_opt().args(filter::WASM_OPT_ARGS).arg(&module).arg("-o").arg(&optimised),
        )?;
        std::fs::rename(&optimised, &module).with_context(|| format!("writing {}", module.display()))?;
        std::fs::write(&stamp, recipe).with_context(|| format!("writing {}", stamp.display()))?;
    }
    let step = Step::start("playground", "measuring");
    let wasm = std::fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
    let size = Size::of(&wasm)?;
    step.done(if is_fresh { "ready" } else { "built" }, &format!("{}  {size}", workspace::show(&module)));
    Ok(Playground { dir, size })
}

fn compile() -> Result<PathBuf> {
    let step = Step::start("playground", "compiling for wasm32-unknown-unknown");
    let mut flags = filter::remapped_paths()?;
    // As in the filter: the loop instead of its rounds unrolled.
    flags.push("--cfg=sha2_backend_soft=\"compact\"".into());
    process::run(
        workspace::cargo()
            .arg("--config")
            .arg(format!("target.wasm32-unknown-unknown.rustflags = {flags:?}"))
            .args(["build", "--quiet", "--package", "canary-playground", "--profile", "playground"])
            .args(["--target", "wasm32-unknown-unknown"])
            // Either would silently replace the flags that the configuration gives.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS"),
    )?;
    let target = workspace::target_dir().join("wasm32-unknown-unknown").join("playground");
    let compiled = target.join("canary_playground.wasm");
    step.done("compiled", &workspace::show(&compiled));
    Ok(compiled)
}
