//! One VM: an instance of the filter on one thread, and what the host knows of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use wasmtime::{AsContextMut, Instance, Memory, Store, TypedFunc, WasmParams, WasmResults};

use super::context::{Context, ContextId, PluginContext, StreamContext};
use super::process::Process;
use super::{Callback, Cost, Crash, Module};

/// Envoy runs a filter on its main thread, which serves no requests, and on each worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Thread {
    /// Configures and ticks only.
    Main,
    /// Serves requests; numbered from 0.
    Worker(usize),
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main thread"),
            Self::Worker(number) => write!(f, "worker {number}"),
        }
    }
}

/// Everything that makes two plugins share their VMs, next to the code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VmOptions {
    pub(super) vm_id: String,
    pub(super) vm_configuration: Vec<u8>,
    pub(super) environment: Vec<(String, String)>,
}

/// The host's side of a VM, which host calls work on.
pub(super) struct Guest {
    pub(super) process: Rc<RefCell<Process>>,
    pub(super) options: Rc<VmOptions>,
    pub(super) thread: Thread,
    pub(super) contexts: BTreeMap<ContextId, Context>,
    /// The context whose callback runs, or that the filter chose for the rest of the callback.
    pub(super) current: ContextId,
    pub(super) callback: Callback,
    pub(super) cost: Cost,
    last_context: ContextId,
    memory: Option<Memory>,
    allocate: Option<TypedFunc<u32, u32>>,
}

impl Guest {
    pub(super) fn memory(&self) -> Option<Memory> {
        self.memory
    }

    pub(super) fn allocate(&self) -> Option<TypedFunc<u32, u32>> {
        self.allocate.clone()
    }

    pub(super) fn current_stream(&mut self) -> Option<&mut StreamContext> {
        match self.contexts.get_mut(&self.current) {
            Some(Context::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    /// A property that is neither the stream's nor the node's, but the plugin's own.
    pub(super) fn property_of_plugin(&self, path: &[u8]) -> Option<Vec<u8>> {
        let id = match self.contexts.get(&self.current)? {
            Context::Stream(stream) => stream.plugin,
            Context::Plugin(_) => self.current,
        };
        let Some(Context::Plugin(plugin)) = self.contexts.get(&id) else { return None };
        match path {
            b"plugin_name" => Some(plugin.name.as_bytes().to_vec()),
            b"plugin_root_id" => Some(Vec::new()),
            b"plugin_vm_id" => Some(self.options.vm_id.clone().into_bytes()),
            _ => None,
        }
    }

    pub(super) fn current_plugin(&mut self) -> Option<&mut PluginContext> {
        match self.contexts.get_mut(&self.current) {
            Some(Context::Plugin(plugin)) => Some(plugin),
            _ => None,
        }
    }
}

/// The callbacks that the module exports; Envoy passes over those that it does not.
struct Callbacks {
    context_create: Option<TypedFunc<(u32, u32), ()>>,
    vm_start: Option<TypedFunc<(u32, u32), u32>>,
    configure: Option<TypedFunc<(u32, u32), u32>>,
    tick: Option<TypedFunc<u32, ()>>,
    request_headers: Option<TypedFunc<(u32, u32, u32), u32>>,
    response_headers: Option<TypedFunc<(u32, u32, u32), u32>>,
    done: Option<TypedFunc<u32, u32>>,
    log: Option<TypedFunc<u32, ()>>,
    delete: Option<TypedFunc<u32, ()>>,
}

/// Fuel that never runs out: it is there to be counted.
const FUEL: u64 = u64::MAX;

pub(super) struct Vm {
    store: Store<Guest>,
    callbacks: Option<Callbacks>,
    metered: bool,
}

impl Vm {
    /// Instantiates the module and runs its constructors. A trap in them leaves a dead VM.
    pub(super) fn start(
        module: &Module,
        process: &Rc<RefCell<Process>>,
        options: &Rc<VmOptions>,
        thread: Thread,
    ) -> Self {
        let guest = Guest {
            process: Rc::clone(process),
            options: Rc::clone(options),
            thread,
            contexts: BTreeMap::new(),
            current: 0,
            callback: Callback::Initialize,
            cost: Cost::default(),
            last_context: 0,
            memory: None,
            allocate: None,
        };
        let mut vm = Self {
            store: Store::new(module.pre().module().engine(), guest),
            callbacks: None,
            metered: module.is_metered(),
        };
        if vm.metered {
            // Cannot fail: the engine was configured to consume fuel.
            let _ = vm.store.set_fuel(FUEL);
        }
        match module.pre().instantiate(vm.store.as_context_mut()) {
            Ok(instance) => vm.adopt(&instance),
            Err(error) => vm.crash(&error),
        }
        vm
    }

    fn adopt(&mut self, instance: &Instance) {
        let store = &mut self.store;
        let allocate = ["proxy_on_memory_allocate", "malloc"];
        let allocate = allocate.iter().find_map(|name| instance.get_typed_func(&mut *store, name).ok());
        let memory = instance.get_memory(&mut *store, "memory");
        let guest = store.data_mut();
        (guest.memory, guest.allocate) = (memory, allocate);
        let initialize: Option<TypedFunc<(), ()>> = self.export(instance, Callback::Initialize);
        self.callbacks = Some(Callbacks {
            context_create: self.export(instance, Callback::ContextCreate),
            vm_start: self.export(instance, Callback::VmStart),
            configure: self.export(instance, Callback::Configure),
            tick: self.export(instance, Callback::Tick),
            request_headers: self.export(instance, Callback::RequestHeaders),
            response_headers: self.export(instance, Callback::ResponseHeaders),
            done: self.export(instance, Callback::Done),
            log: self.export(instance, Callback::Log),
            delete: self.export(instance, Callback::Delete),
        });
        self.call(Callback::Initialize, 0, initialize, ());
    }

    fn export<P: WasmParams, R: WasmResults>(
        &mut self,
        instance: &Instance,
        callback: Callback,
    ) -> Option<TypedFunc<P, R>> {
        instance.get_typed_func(&mut self.store, callback.name()).ok()
    }

    /// A dead VM stays dead: nothing in Envoy restarts it under the failure policies modelled.
    pub(super) fn is_alive(&self) -> bool {
        self.callbacks.is_some()
    }

    pub(super) fn cost(&self) -> Cost {
        self.store.data().cost
    }

    pub(super) fn guest(&mut self) -> &mut Guest {
        self.store.data_mut()
    }

    /// The module's memory as it stands, in bytes: what the VM has grown to.
    pub(super) fn memory_bytes(&self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    pub(super) fn add_context(&mut self, context: Context) -> ContextId {
        let guest = self.store.data_mut();
        guest.last_context += 1;
        guest.contexts.insert(guest.last_context, context);
        guest.last_context
    }

    pub(super) fn on_context_create(&mut self, context: ContextId, parent: ContextId) {
        let function = self.callbacks.as_ref().and_then(|callbacks| callbacks.context_create.clone());
        self.call(Callback::ContextCreate, context, function, (context, parent));
    }

    /// Whether the filter is content; one without the callback is.
    pub(super) fn on_vm_start(&mut self, plugin: ContextId) -> bool {
        let function = self.callbacks.as_ref().and_then(|callbacks| callbacks.vm_start.clone());
        let length = length(&self.store.data().options.vm_configuration);
        self.call(Callback::VmStart, plugin, function, (plugin, length)).is_none_or(|content| content != 0)
    }

    pub(super) fn on_configure(&mut self, plugin: ContextId, configuration: &[u8]) -> bool {
        let function = self.callbacks.as_ref().and_then(|callbacks| callbacks.configure.clone());
        let params = (plugin, length(configuration));
        self.call(Callback::Configure, plugin, function, params).is_none_or(|content| content != 0)
    }

    pub(super) fn on_tick(&mut self, plugin: ContextId) {
        let function = self.callbacks.as_ref().and_then(|callbacks| callbacks.tick.clone());
        self.call(Callback::Tick, plugin, function, plugin);
    }

    /// `None` where the module has no such callback, or did not survive it.
    pub(super) fn on_headers(&mut self, callback: Callback, stream: ContextId, lines: u32) -> Option<u32> {
        let callbacks = self.callbacks.as_ref()?;
        let function = match callback {
            Callback::ResponseHeaders => callbacks.response_headers.clone(),
            _ => callbacks.request_headers.clone(),
        };
        let end_of_stream = 1;
        self.call(callback, stream, function, (stream, lines, end_of_stream))
    }

    /// Done, log and delete, in Envoy's order; then the context is no more.
    pub(super) fn end_context(&mut self, context: ContextId) {
        if let Some(Callbacks { done, log, delete, .. }) = &self.callbacks {
            let (done, log, delete) = (done.clone(), log.clone(), delete.clone());
            self.call(Callback::Done, context, done, context);
            self.call(Callback::Log, context, log, context);
            self.call(Callback::Delete, context, delete, context);
        }
        self.store.data_mut().contexts.remove(&context);
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        callback: Callback,
        context: ContextId,
        function: Option<TypedFunc<P, R>>,
        params: P,
    ) -> Option<R> {
        let function = function.filter(|_| self.is_alive())?;
        let guest = self.store.data_mut();
        (guest.current, guest.callback) = (context, callback);
        let fuel_before = self.fuel();
        let result = function.call(self.store.as_context_mut(), params);
        self.store.data_mut().cost.instructions += fuel_before - self.fuel();
        match result {
            Ok(result) => Some(result),
            Err(error) => {
                self.crash(&error);
                None
            }
        }
    }

    fn fuel(&self) -> u64 {
        if self.metered { self.store.get_fuel().unwrap_or(0) } else { 0 }
    }

    fn crash(&mut self, error: &wasmtime::Error) {
        self.callbacks = None;
        let guest = self.store.data();
        let mut process = guest.process.borrow_mut();
        let last_words =
            process.log.last().map(|line| format!(", after logging {line:?}")).unwrap_or_default();
        let message = format!("{error:?}{last_words}");
        let (thread, callback) = (guest.thread, guest.callback);
        process.crashes.push(Crash { thread, callback, message });
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
