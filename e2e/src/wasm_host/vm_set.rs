//! The VMs that plugins share, and the plugins' root contexts in them.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::context::{Context, ContextId, PluginContext};
use super::process::Process;
use super::vm::{Vm, VmOptions};
use super::{Cost, Module, Thread};

/// The VMs of one `vm_id`, code and environment: one per thread.
pub(super) struct VmSet {
    module: Module,
    options: Rc<VmOptions>,
    vms: Vec<(Thread, RefCell<Vm>)>,
    configured: RefCell<Vec<Weak<Roots>>>,
}

/// A configuration in force: its root context in each VM. Ends with its last holder, plugin or stream.
pub(super) struct Roots {
    name: String,
    configuration: Rc<[u8]>,
    contexts: Vec<ContextId>,
    vms: Weak<VmSet>,
}

impl VmSet {
    pub(super) fn start(
        module: &Module,
        process: &Rc<RefCell<Process>>,
        options: &VmOptions,
        threads: impl Iterator<Item = Thread>,
    ) -> Self {
        let options = Rc::new(options.clone());
        let vms = threads
            .map(|thread| (thread, RefCell::new(Vm::start(module, process, &options, thread))))
            .collect();
        Self { module: module.clone(), options, vms, configured: RefCell::default() }
    }

    pub(super) fn is_for(&self, module: &Module, options: &VmOptions) -> bool {
        self.module.code() == module.code() && *self.options == *options
    }

    pub(super) fn threads(&self) -> impl Iterator<Item = Thread> + '_ {
        self.vms.iter().map(|(thread, _)| *thread)
    }

    /// # Panics
    /// When the proxy has no such worker: the test is wrong.
    pub(super) fn vm(&self, thread: Thread) -> &RefCell<Vm> {
        match self.vms.iter().find(|(of, _)| *of == thread) {
            Some((_, vm)) => vm,
            None => panic!("this proxy has no {thread}"),
        }
    }

    pub(super) fn cost(&self) -> Cost {
        let mut sum = Cost::default();
        self.vms.iter().for_each(|(_, vm)| sum += vm.borrow().cost());
        sum
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.vms.iter().map(|(_, vm)| vm.borrow().memory_bytes()).sum()
    }

    pub(super) fn tick_all(&self) {
        self.tick_where(|_| true);
    }

    /// Calls each tick that is due, and sets when it is due next.
    pub(super) fn tick_due(&self, now_ns: u64) {
        self.tick_where(|due_ns| due_ns <= now_ns);
    }

    pub(super) fn next_tick_ns(&self) -> Option<u64> {
        self.vms
            .iter()
            .filter_map(|(_, vm)| ticks(&mut vm.borrow_mut()).map(|(_, due_ns)| due_ns).min())
            .min()
    }

    fn tick_where(&self, is_due: impl Fn(u64) -> bool) {
        for (_, vm) in &self.vms {
            let vm = &mut vm.borrow_mut();
            let due: Vec<ContextId> =
                ticks(vm).filter(|(_, due_ns)| is_due(*due_ns)).map(|(id, _)| id).collect();
            for plugin in due {
                vm.on_tick(plugin);
                if let Some(Context::Plugin(PluginContext { tick: Some(tick), .. })) =
                    vm.guest().contexts.get_mut(&plugin)
                {
                    tick.due_ns += tick.period_ns;
                }
            }
        }
    }

    /// Creates and configures a plugin's root contexts, or finds those that have the same name and
    /// configuration. `None` if the filter refuses on any thread.
    pub(super) fn configure(this: &Rc<Self>, name: &str, configuration: &Rc<[u8]>) -> Option<Rc<Roots>> {
        let is_same = |roots: &Rc<Roots>| roots.name == name && roots.configuration == *configuration;
        if let Some(same) = this.configured.borrow().iter().filter_map(Weak::upgrade).find(is_same) {
            return Some(same);
        }
        let mut refused = false;
        let contexts = this.vms.iter().map(|(_, vm)| {
            let (plugin, content) = start_plugin(&mut vm.borrow_mut(), name, configuration);
            refused |= !content;
            plugin
        });
        let roots = Rc::new(Roots {
            name: name.to_owned(),
            configuration: Rc::clone(configuration),
            contexts: contexts.collect(),
            vms: Rc::downgrade(this),
        });
        if refused {
            return None;
        }
        this.configured.borrow_mut().push(Rc::downgrade(&roots));
        Some(roots)
    }
}

fn start_plugin(vm: &mut Vm, name: &str, configuration: &Rc<[u8]>) -> (ContextId, bool) {
    let context =
        PluginContext { configuration: Some(Rc::clone(configuration)), name: name.into(), tick: None };
    let plugin = vm.add_context(Context::Plugin(context));
    vm.on_context_create(plugin, 0);
    let content = vm.on_vm_start(plugin) && vm.on_configure(plugin, configuration);
    if let Some(Context::Plugin(context)) = vm.guest().contexts.get_mut(&plugin) {
        context.configuration = None;
    }
    (plugin, content)
}

/// The plugins of a VM that want ticks, and when the next is due.
fn ticks(vm: &mut Vm) -> impl Iterator<Item = (ContextId, u64)> + '_ {
    let alive = vm.is_alive();
    vm.guest().contexts.iter().filter(move |_| alive).filter_map(|(id, context)| match context {
        Context::Plugin(plugin) => plugin.tick.map(|tick| (*id, tick.due_ns)),
        Context::Stream(_) => None,
    })
}

impl Roots {
    /// The root context on a thread.
    pub(super) fn on(&self, vms: &VmSet, thread: Thread) -> ContextId {
        let place = vms.threads().position(|of| of == thread);
        place.and_then(|place| self.contexts.get(place)).copied().unwrap_or(0)
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        let Some(vms) = self.vms.upgrade() else { return };
        for ((_, vm), context) in vms.vms.iter().zip(&self.contexts) {
            // Not in reach while a panicking test unwinds out of the VM.
            if let Ok(mut vm) = vm.try_borrow_mut() {
                vm.end_context(*context);
            }
        }
    }
}
