//! The SDK's callbacks, handed to the streams. Nothing else: what a callback does is elsewhere.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use crate::host::envoy::Envoy;
use crate::root::{Root, Stream};
use crate::stream::Next;
use crate::vm::Vm;

thread_local! {
    /// A VM has one thread; what is here outlives every configuration.
    static VM: Rc<Vm> = Rc::default();
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::new(Envoy, VM.with(Rc::clone))));
}}

impl From<Next> for Action {
    fn from(next: Next) -> Self {
        match next {
            Next::Continue => Self::Continue,
            Next::Stop => Self::Pause,
        }
    }
}

impl Context for Root<Envoy> {}

impl RootContext for Root<Envoy> {
    fn on_configure(&mut self, _plugin_configuration_size: usize) -> bool {
        Root::on_configure(self);
        true
    }

    fn on_tick(&mut self) {
        Root::on_tick(self);
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match self.stream() {
            Stream::Passthrough => Box::new(Passthrough),
            stream => Box::new(stream),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// A stream with which nothing is done. Has no size, so its box allocates nothing.
struct Passthrough;

impl Context for Passthrough {}

impl HttpContext for Passthrough {}

// One type for all other roles: each type would bring its own copy of the SDK's sixty callbacks.
impl Context for Stream<Envoy> {}

impl HttpContext for Stream<Envoy> {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.on_request_headers().into()
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.on_response_headers().into()
    }
}
