//! One Envoy process: workers, their VMs, shared data, metrics, a clock.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::process::Process;
use super::property::Property;
use super::vm::VmOptions;
use super::vm_set::VmSet;
use super::{Cost, Crash, HeaderMap, Module, Plugin, PluginSpec, SharedData, Thread};

/// A proxy that runs one filter, or several versions of it. Cloning gives another handle to the same proxy.
#[derive(Clone)]
pub struct Proxy {
    module: Module,
    workers: usize,
    process: Rc<RefCell<Process>>,
    vm_sets: Rc<RefCell<Vec<Rc<VmSet>>>>,
}

impl Proxy {
    /// A proxy with this many worker threads (and the main thread, which serves nothing).
    #[must_use]
    pub fn load(module: &Module, workers: usize) -> Self {
        Self {
            module: module.clone(),
            workers,
            process: Rc::new(RefCell::new(Process::new())),
            vm_sets: Rc::default(),
        }
    }

    /// Gives the node a property, which every context can read.
    #[must_use]
    pub fn with_property(self, path: &str, value: &Property) -> Self {
        self.process.borrow_mut().properties.set(path, value);
        self
    }

    /// Configures a plugin with everything else left as Istio leaves it.
    #[must_use]
    pub fn plugin(&self, configuration: &[u8]) -> Plugin {
        self.install(PluginSpec::new(configuration))
    }

    /// Configures a plugin, in VMs that it shares with others of the same code, `vm_id` and environment.
    #[must_use]
    pub fn install(&self, spec: PluginSpec) -> Plugin {
        let vms = self.vm_set(spec.module.as_ref().unwrap_or(&self.module), &spec.vm);
        Plugin::load(vms, spec)
    }

    /// Calls every plugin's tick once on every thread, as if its period had just passed. Time stands still.
    pub fn tick(&self) {
        self.vm_sets().iter().for_each(|vms| vms.tick_all());
    }

    /// Moves the clock and calls each tick when it is due.
    pub fn advance(&self, by: Duration) {
        let end =
            self.process.borrow().now_ns.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        loop {
            let due = self.vm_sets().iter().filter_map(|vms| vms.next_tick_ns()).min();
            let Some(due) = due.filter(|due| *due <= end) else { break };
            // A tick never comes early, but may have been due while nobody moved the clock.
            let now = due.max(self.process.borrow().now_ns);
            self.process.borrow_mut().now_ns = now;
            self.vm_sets().iter().for_each(|vms| vms.tick_due(now));
        }
        self.process.borrow_mut().now_ns = end;
    }

    /// Seconds since 1970 on the proxy's clock.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.process.borrow().now_ns / 1_000_000_000
    }

    /// What all VMs together have used up so far.
    #[must_use]
    pub fn counters(&self) -> Cost {
        let mut sum = Cost::default();
        self.vm_sets().iter().for_each(|vms| sum += vms.cost());
        sum
    }

    /// A metric's value over all workers; `None` if no VM defined it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        self.process.borrow().metrics.all().get(name).copied()
    }

    /// Every metric that was defined, with its value, in the order of names.
    #[must_use]
    pub fn metrics(&self) -> Vec<(String, u64)> {
        self.process.borrow().metrics.all().iter().map(|(name, value)| (name.clone(), *value)).collect()
    }

    /// The memory that VMs of one `vm_id` share.
    #[must_use]
    pub fn shared_data(&self) -> Ref<'_, SharedData> {
        Ref::map(self.process.borrow(), |process| &process.shared)
    }

    /// Changes shared data behind the filter's back.
    pub fn change_shared_data(&self, change: impl FnOnce(&mut SharedData)) {
        change(&mut self.process.borrow_mut().shared);
    }

    /// What filters logged, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.borrow().log.clone()
    }

    /// VMs that trapped, oldest first.
    #[must_use]
    pub fn crashes(&self) -> Vec<Crash> {
        self.process.borrow().crashes.clone()
    }

    /// How many VMs there are, dead ones included. (Envoy has one more per set, from which it clones.)
    #[must_use]
    pub fn vms(&self) -> usize {
        self.vm_sets().iter().map(|vms| vms.threads().count()).sum()
    }

    /// The memory of all VMs together, in bytes.
    #[must_use]
    pub fn vm_memory_bytes(&self) -> usize {
        self.vm_sets().iter().map(|vms| vms.memory_bytes()).sum()
    }

    /// # Panics
    /// When a VM trapped.
    #[track_caller]
    pub fn assert_sound(&self) {
        let crashes = self.crashes();
        assert!(crashes.is_empty(), "the filter trapped: {crashes:#?}");
    }

    fn vm_sets(&self) -> Vec<Rc<VmSet>> {
        self.vm_sets.borrow().clone()
    }

    fn vm_set(&self, module: &Module, options: &VmOptions) -> Rc<VmSet> {
        let known = self.vm_sets().into_iter().find(|vms| vms.is_for(module, options));
        known.unwrap_or_else(|| {
            let threads = std::iter::once(Thread::Main).chain((0..self.workers).map(Thread::Worker));
            let vms = Rc::new(VmSet::start(module, &self.process, options, threads));
            self.vm_sets.borrow_mut().push(Rc::clone(&vms));
            vms
        })
    }
}

/// Headers in the form that tests write them.
pub(super) fn headers<N: AsRef<[u8]>, V: AsRef<[u8]>>(lines: impl IntoIterator<Item = (N, V)>) -> HeaderMap {
    lines.into_iter().collect()
}
