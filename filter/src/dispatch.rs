//! The proxy's callbacks, handed to plugins and streams. Nothing else: what a callback does is elsewhere.
//!
//! The SDK's dispatcher keeps sixty callbacks for each kind of context, a sixth of the module, and
//! ends the VM over a number that it does not know. Here such a number has nothing done for it.
//!
//! Source: proxy-wasm/spec, abi-versions/v0.2.1.

#![allow(unsafe_code, reason = "callbacks are exported by name")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::host::Host;
use crate::host::envoy::Envoy;
use crate::root::{Root, Stream};
use crate::stream::Next;
use crate::streams::Streams;
use crate::vm::Vm;

/// Everything of a VM that has a number.
struct Contexts {
    /// Outlives every plugin.
    vm: Option<Rc<Vm>>,
    plugins: Vec<(u32, Root<Envoy>)>,
    /// Streams with which nothing is done are not in here.
    streams: Streams<Stream<Envoy>>,
}

thread_local! {
    /// A VM has one thread.
    static CONTEXTS: RefCell<Contexts> =
        const { RefCell::new(Contexts { vm: None, plugins: Vec::new(), streams: Streams::new() }) };
}

/// Status of a callback that the proxy asks for one: all is well.
const CONTENT: u32 = 1;
/// To the next filter, or no further.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

impl Contexts {
    fn create(&mut self, number: u32, parent: u32) {
        if parent == 0 {
            let vm = self.vm.get_or_insert_default();
            self.plugins.push((number, Root::new(Envoy, Rc::clone(vm))));
        } else {
            match self.plugin(parent).map(|plugin| plugin.stream()) {
                Some(Stream::Passthrough) | None => {}
                Some(stream) => self.streams.open(number, stream),
            }
        }
    }

    fn plugin(&mut self, number: u32) -> Option<&mut Root<Envoy>> {
        self.plugins.iter_mut().find(|(known, _)| *known == number).map(|(_, plugin)| plugin)
    }

    fn delete(&mut self, number: u32) {
        if self.streams.close(number).is_none() {
            self.plugins.retain(|(known, _)| *known != number);
        }
    }
}

/// The proxy enters a VM once at a time, so what is here is never in use already.
fn contexts<R: Default>(callback: impl FnOnce(&mut Contexts) -> R) -> R {
    let entered =
        CONTEXTS.try_with(|contexts| contexts.try_borrow_mut().ok().map(|mut all| callback(&mut all)));
    entered.ok().flatten().unwrap_or_default()
}

fn on_headers(number: u32, callback: fn(&mut Stream<Envoy>) -> Next) -> u32 {
    contexts(|all| match all.streams.get_mut(number).map(callback) {
        Some(Next::Stop) => PAUSE,
        Some(Next::Continue) | None => CONTINUE,
    })
}

// SAFETY of the exports: each name is the ABI's, with the ABI's signature, and no other crate exports it.

unsafe extern "C" {
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the linker's; the proxy calls this once, before everything else.
    unsafe { __wasm_call_ctors() }
    // The target has no standard error to print this to.
    std::panic::set_hook(Box::new(|panic| Envoy.warn(&format!("canaryctl: {panic}"))));
}

/// Says by its name which ABI the module is of. With this one Envoy chooses a request's route anew when its
/// headers change; a module of a later one would have to ask for it.
///
/// Source: Envoy, changelogs of 1.17.0 and 1.33.0; source/extensions/common/wasm/context.cc.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(number: u32, parent: u32) {
    contexts(|all| all.create(number, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_plugin: u32, _configuration_size: u32) -> u32 {
    CONTENT
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(plugin: u32, _configuration_size: u32) -> u32 {
    contexts(|all| all.plugin(plugin).map(Root::on_configure));
    CONTENT
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(plugin: u32) {
    contexts(|all| all.plugin(plugin).map(|plugin| plugin.on_tick()));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _count: u32, _end_of_stream: u32) -> u32 {
    on_headers(stream, Stream::on_request_headers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(stream: u32, _count: u32, _end_of_stream: u32) -> u32 {
    on_headers(stream, Stream::on_response_headers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(number: u32) {
    contexts(|all| all.delete(number));
}
