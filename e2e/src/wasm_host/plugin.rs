//! Plugins: configurations of a filter, as `WasmPlugin` and `EnvoyFilter` give them.

use std::cell::RefCell;
use std::rc::Rc;

use super::Module;
use super::property::{Properties, Property};
use super::proxy::headers;
use super::stream::Stream;
use super::vm::VmOptions;
use super::vm_set::{Roots, VmSet};

/// What Envoy does with streams once a VM has trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// 503 for the stream that trapped, for those in flight, and for all that follow.
    Closed,
    /// 503 for the stream that trapped and those in flight; the plugin is off for all that follow. What Istio
    /// from 1.25 on sends for `FAIL_OPEN`.
    #[default]
    Open,
    /// The plugin is off from the trap on. What Istio before 1.25 sends for `FAIL_OPEN`.
    LegacyOpen,
}

/// A plugin to be: its configuration, and what `WasmPlugin` or `EnvoyFilter` would say beside it.
#[derive(Clone, Default)]
pub struct PluginSpec {
    pub(super) configuration: Rc<[u8]>,
    pub(super) name: String,
    pub(super) vm: VmOptions,
    pub(super) module: Option<Module>,
    pub(super) policy: FailurePolicy,
    pub(super) properties: Properties,
}

impl PluginSpec {
    /// No name, no `vm_id`, fails open: as Istio does it.
    #[must_use]
    pub fn new(configuration: &[u8]) -> Self {
        Self { configuration: configuration.into(), ..Self::default() }
    }

    /// Two plugins of one VM with the same name and configuration are one to the filter.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Plugins share data by this alone, and VMs by this, code and environment.
    #[must_use]
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        vm_id.clone_into(&mut self.vm.vm_id);
        self
    }

    /// Sets an environment variable of the VM.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.vm.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs other code than the proxy's.
    #[must_use]
    pub fn module(mut self, module: &Module) -> Self {
        self.module = Some(module.clone());
        self
    }

    /// What becomes of streams when the filter traps.
    #[must_use]
    pub fn failure_policy(mut self, policy: FailurePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Gives every stream of the plugin a property. `path` is dotted.
    #[must_use]
    pub fn property(mut self, path: &str, value: &Property) -> Self {
        self.properties.set(path, value);
        self
    }
}

/// A configured plugin. Cloning gives another handle to it.
#[derive(Clone)]
pub struct Plugin {
    spec: Rc<PluginSpec>,
    vms: Rc<VmSet>,
    /// The configuration in force; `None` after one that was refused when the proxy had none before.
    roots: Rc<RefCell<Option<Rc<Roots>>>>,
}

impl Plugin {
    pub(super) fn load(vms: Rc<VmSet>, spec: PluginSpec) -> Self {
        let roots = VmSet::configure(&vms, &spec.name, &spec.configuration);
        Self { spec: Rc::new(spec), vms, roots: Rc::new(RefCell::new(roots)) }
    }

    /// Whether the filter took the first configuration. If not, Envoy answers every request with 500.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.roots.borrow().is_some()
    }

    /// Sends another configuration, as a change of the `WasmPlugin` does. Streams in flight keep the old one.
    ///
    /// Returns whether the filter took it; if not, what was in force stays.
    pub fn update(&self, configuration: &[u8]) -> bool {
        let roots = VmSet::configure(&self.vms, &self.spec.name, &configuration.into());
        let taken = roots.is_some();
        if taken {
            // The old roots end here, or with their last stream; the borrow must be over by then.
            let old = self.roots.replace(roots);
            drop(old);
        }
        taken
    }

    /// Sends request headers through the filter on a worker.
    #[must_use]
    pub fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        worker: usize,
        lines: impl IntoIterator<Item = (N, V)>,
    ) -> Stream {
        self.request_with(worker, lines, [])
    }

    /// As [`request`](Self::request), with properties of this stream alone. Paths are dotted.
    #[must_use]
    pub fn request_with<'a, N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        worker: usize,
        lines: impl IntoIterator<Item = (N, V)>,
        properties: impl IntoIterator<Item = (&'a str, Property)>,
    ) -> Stream {
        let mut all = self.spec.properties.clone();
        properties.into_iter().for_each(|(path, value)| all.set(path, &value));
        let roots = self.roots.borrow().clone();
        Stream::start(Rc::clone(&self.vms), roots, worker, self.spec.policy, headers(lines), all)
    }
}
