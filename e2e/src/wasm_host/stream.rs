//! One request and its response on their way through the filter.

use std::rc::Rc;

use super::context::{Context, ContextId, StreamContext};
use super::property::Properties;
use super::proxy::headers;
use super::vm_set::{Roots, VmSet};
use super::{Callback, Cost, FailurePolicy, HeaderMap, Thread};

/// What the filter wants done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// On to the next filter.
    Continue,
    /// Wait.
    Pause,
}

/// An answer that does not come from upstream: the filter's own, or Envoy's because the filter failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status code.
    pub status: u32,
    /// What Envoy puts into its access log.
    pub details: String,
    /// The body.
    pub body: Vec<u8>,
    /// Headers in addition to those that Envoy sets.
    pub headers: HeaderMap,
    /// -1 where Envoy is to derive it.
    pub grpc_status: i32,
}

impl LocalResponse {
    fn of_envoy(status: u32, details: &str) -> Self {
        Self {
            status,
            details: details.to_owned(),
            body: Vec::new(),
            headers: HeaderMap::default(),
            grpc_status: -1,
        }
    }
}

/// A stream in flight. Ends when dropped, if not before.
pub struct Stream {
    vms: Rc<VmSet>,
    thread: Thread,
    policy: FailurePolicy,
    /// `None` where the filter does not see the stream, or sees it no more.
    open: Option<Open>,
    action: Action,
    headers: HeaderMap,
    response: Option<HeaderMap>,
    local_response: Option<LocalResponse>,
    route_cache_clears: u32,
    cost: Cost,
}

struct Open {
    context: ContextId,
    /// Keeps the configuration alive that the stream began under.
    _roots: Rc<Roots>,
}

impl Stream {
    pub(super) fn start(
        vms: Rc<VmSet>,
        roots: Option<Rc<Roots>>,
        worker: usize,
        policy: FailurePolicy,
        headers: HeaderMap,
        properties: Properties,
    ) -> Self {
        let mut stream = Self {
            vms,
            thread: Thread::Worker(worker),
            policy,
            open: None,
            action: Action::Continue,
            headers,
            response: None,
            local_response: None,
            route_cache_clears: 0,
            cost: Cost::default(),
        };
        match roots {
            None => stream.answer(LocalResponse::of_envoy(500, "filter_config_not_available")),
            Some(_) if !stream.vm_is_alive() => {
                if policy == FailurePolicy::Closed {
                    stream.fail();
                }
            }
            Some(roots) => stream.open(roots, properties),
        }
        stream
    }

    /// What the filter wants done with the request.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The request headers as they go on, or as they were when the filter answered itself.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The response headers as they go on, once there was a response.
    #[must_use]
    pub fn response_headers(&self) -> Option<&HeaderMap> {
        self.response.as_ref()
    }

    /// The answer that upstream has no part in, if that is how the stream ended.
    #[must_use]
    pub fn local_response(&self) -> Option<&LocalResponse> {
        self.local_response.as_ref()
    }

    /// How often a change of the request headers had the route chosen anew.
    #[must_use]
    pub fn route_cache_clears(&self) -> u32 {
        self.route_cache_clears
    }

    /// What all callbacks of the stream used up so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Sends response headers through the filter and returns them as they go on.
    pub fn response<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        lines: impl IntoIterator<Item = (N, V)>,
    ) -> &HeaderMap {
        let mut response = headers(lines);
        if let Some(Open { context, .. }) = self.open {
            match self.vm_is_alive() {
                true => response = self.headers_callback(Callback::ResponseHeaders, context, response),
                // The VM died of another stream: this one has a response, and its client never sees it.
                false if self.policy != FailurePolicy::LegacyOpen => self.fail(),
                false => {}
            }
        }
        self.response.insert(response)
    }

    /// The stream is over: the filter forgets it. Returns what it used up in all.
    pub fn end(mut self) -> Cost {
        self.close();
        self.cost
    }

    fn open(&mut self, roots: Rc<Roots>, properties: Properties) {
        let root = roots.on(&self.vms, self.thread);
        let vms = Rc::clone(&self.vms);
        let context = {
            let vm = &mut vms.vm(self.thread).borrow_mut();
            let before = vm.cost();
            let stream = StreamContext { plugin: root, properties, ..StreamContext::default() };
            let context = vm.add_context(Context::Stream(Box::new(stream)));
            vm.on_context_create(context, root);
            self.cost += vm.cost() - before;
            context
        };
        self.open = Some(Open { context, _roots: roots });
        if !self.vm_is_alive() {
            return self.trapped();
        }
        let headers = std::mem::take(&mut self.headers);
        self.headers = self.headers_callback(Callback::RequestHeaders, context, headers);
    }

    /// Lends a map to the filter for the time of a callback.
    fn headers_callback(&mut self, callback: Callback, context: ContextId, map: HeaderMap) -> HeaderMap {
        let vms = Rc::clone(&self.vms);
        let vm = &mut vms.vm(self.thread).borrow_mut();
        let before = vm.cost();
        let (lines, original) = (map.len(), map.clone());
        with_stream(vm, context, |stream| match callback {
            Callback::ResponseHeaders => stream.response = Some(map),
            _ => stream.request = Some(map),
        });
        let action = vm.on_headers(callback, context, lines);
        self.cost += vm.cost() - before;
        let lent = with_stream(vm, context, |stream| {
            self.route_cache_clears = stream.route_cache_clears;
            if let Some(answer) = stream.local_response.take() {
                self.local_response = Some(answer);
            }
            match callback {
                Callback::ResponseHeaders => stream.response.take(),
                _ => stream.request.take(),
            }
        });
        if !vm.is_alive() {
            self.trapped();
            // What a dying filter did to the headers is of no consequence; nothing goes on.
            return original;
        }
        let paused = action.is_some_and(|action| action != 0) || self.local_response.is_some();
        self.action = if paused { Action::Pause } else { Action::Continue };
        lent.flatten().unwrap_or(original)
    }

    fn vm_is_alive(&self) -> bool {
        self.vms.vm(self.thread).borrow().is_alive()
    }

    /// The filter trapped in one of this stream's callbacks.
    fn trapped(&mut self) {
        if self.policy != FailurePolicy::LegacyOpen {
            self.fail();
        }
    }

    fn fail(&mut self) {
        self.answer(LocalResponse::of_envoy(503, "wasm_fail_stream"));
    }

    fn answer(&mut self, answer: LocalResponse) {
        self.action = Action::Pause;
        self.local_response = Some(answer);
    }

    fn close(&mut self) {
        let Some(Open { context, _roots }) = self.open.take() else { return };
        if let Ok(mut vm) = self.vms.vm(self.thread).try_borrow_mut() {
            let before = vm.cost();
            vm.end_context(context);
            self.cost += vm.cost() - before;
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

fn with_stream<T>(
    vm: &mut super::vm::Vm,
    context: ContextId,
    work: impl FnOnce(&mut StreamContext) -> T,
) -> Option<T> {
    match vm.guest().contexts.get_mut(&context) {
        Some(Context::Stream(stream)) => Some(work(stream)),
        _ => None,
    }
}
