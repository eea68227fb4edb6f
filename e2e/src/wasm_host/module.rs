//! A compiled filter. Compiling takes seconds; tests share one.

use std::sync::Arc;

use wasmtime::{Config, Engine, InstancePre, Linker};

use super::vm::Guest;
use super::{env_imports, wasi_imports};

/// A filter's code, ready to be run in any number of VMs.
#[derive(Clone)]
pub struct Module {
    pre: InstancePre<Guest>,
    metered: bool,
    /// Two modules of the same code share VMs in Envoy; here the code itself tells them apart.
    code: Arc<[u8]>,
}

/// Why code cannot be run as a filter.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Not valid Wasm, or of features that Envoy's V8 is not known to take.
    #[error("cannot compile the module")]
    Compile(#[source] wasmtime::Error),
    /// An import with another signature than the ABI's.
    #[error("cannot link the module")]
    Link(#[source] wasmtime::Error),
}

impl Module {
    /// Compiles a binary (or text) module. Counts host calls, but no instructions.
    ///
    /// # Errors
    /// The module is invalid. An import that no Envoy offers is no error until the filter calls it.
    pub fn compile(wasm: &[u8]) -> Result<Self, ModuleError> {
        Self::compile_with(wasm, false)
    }

    /// As [`compile`](Self::compile), and counts instructions, which makes the filter run a little slower.
    ///
    /// # Errors
    /// As for [`compile`](Self::compile).
    pub fn compile_metered(wasm: &[u8]) -> Result<Self, ModuleError> {
        Self::compile_with(wasm, true)
    }

    fn compile_with(wasm: &[u8], metered: bool) -> Result<Self, ModuleError> {
        let mut config = Config::new();
        config.consume_fuel(metered);
        let engine = Engine::new(&config).map_err(ModuleError::Compile)?;
        let module = wasmtime::Module::new(&engine, wasm).map_err(ModuleError::Compile)?;
        let mut linker = Linker::new(&engine);
        env_imports::offer(&mut linker).map_err(ModuleError::Link)?;
        wasi_imports::offer(&mut linker).map_err(ModuleError::Link)?;
        linker.define_unknown_imports_as_traps(&module).map_err(ModuleError::Link)?;
        let pre = linker.instantiate_pre(&module).map_err(ModuleError::Link)?;
        Ok(Self { pre, metered, code: wasm.into() })
    }

    /// The functions that the module imports, as `module.name`.
    pub fn imports(&self) -> impl Iterator<Item = String> + '_ {
        self.pre.module().imports().map(|import| format!("{}.{}", import.module(), import.name()))
    }

    /// The names that the module exports.
    pub fn exports(&self) -> impl Iterator<Item = &str> {
        self.pre.module().exports().map(|export| export.name())
    }

    pub(super) fn is_metered(&self) -> bool {
        self.metered
    }

    pub(super) fn pre(&self) -> &InstancePre<Guest> {
        &self.pre
    }

    pub(super) fn code(&self) -> &Arc<[u8]> {
        &self.code
    }
}
