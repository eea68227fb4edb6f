//! A proxy with Envoy's semantics, for native tests: shared data without delete, versions as the real
//! ones behave, replacing and adding of header lines, counters by name.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{CounterId, HeaderMap, Host, SetError, Shared};
use crate::pairs::{HeaderPairs, Line};

/// A handle to a proxy; clones are the same proxy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Rc<RefCell<World>>);

/// Header lines in order.
pub(crate) type Lines = Vec<(String, Vec<u8>)>;

/// A proxy's state.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// The current stream's request headers.
    pub(crate) request: Lines,
    /// The current stream's response headers.
    pub(crate) response: Lines,
    /// Whether the proxy refuses to show header maps.
    pub(crate) hides_headers: bool,
    /// Properties, their path joined with slashes.
    pub(crate) properties: HashMap<String, Vec<u8>>,
    /// Shared data: value and version. No key ever goes.
    pub(crate) shared: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    /// How many of the next writes another worker is quicker than.
    pub(crate) contended: u32,
    /// What the next configure callback reads.
    pub(crate) configuration: Vec<u8>,
    /// Counters by name; defined ones from 0.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Answers given in the upstream's place.
    pub(crate) answers: Vec<(u32, Lines)>,
    /// Lines logged.
    pub(crate) log: Vec<String>,
    /// The clock that never steps, in milliseconds.
    pub(crate) now_ms: u64,
    /// Seconds since 1970.
    pub(crate) unix_s: u64,
    /// Period of the tick that was asked for, in milliseconds.
    pub(crate) tick_ms: u32,
    /// Every host call since the last time a test emptied this, by name.
    pub(crate) calls: Vec<&'static str>,
    counter_names: Vec<String>,
    last_cas: u32,
    entropy: u8,
}

impl Fake {
    /// The proxy's state, to look at.
    #[track_caller]
    pub(crate) fn world(&self) -> Ref<'_, World> {
        self.0.borrow()
    }

    /// The proxy's state, to set up.
    #[track_caller]
    pub(crate) fn world_mut(&self) -> RefMut<'_, World> {
        self.0.borrow_mut()
    }

    fn call(&self, name: &'static str) -> RefMut<'_, World> {
        let mut world = self.0.borrow_mut();
        world.calls.push(name);
        world
    }
}

impl World {
    fn headers_mut(&mut self, map: HeaderMap) -> &mut Lines {
        match map {
            HeaderMap::Request => &mut self.request,
            HeaderMap::Response => &mut self.response,
        }
    }

    fn next_cas(&mut self) -> u32 {
        self.last_cas += 1;
        self.last_cas
    }

    fn write(&mut self, key: &[u8], value: &[u8]) {
        let cas = self.next_cas();
        self.shared.insert(key.to_vec(), (value.to_vec(), cas));
    }
}

impl Host for Fake {
    fn headers(&self, map: HeaderMap) -> Option<HeaderPairs> {
        let mut world = self.call("headers");
        if world.hides_headers {
            return None;
        }
        let lines: Vec<Line<'_>> =
            world.headers_mut(map).iter().map(|(name, value)| (name.as_bytes(), &value[..])).collect();
        Some(HeaderPairs::new(HeaderPairs::encode(&lines)))
    }

    fn set_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> bool {
        let mut world = self.call("set_header");
        let headers = world.headers_mut(map);
        headers.retain(|(known, _)| known != name);
        headers.push((name.to_owned(), value.to_vec()));
        true
    }

    fn add_header(&self, map: HeaderMap, name: &str, value: &[u8]) -> bool {
        self.call("add_header").headers_mut(map).push((name.to_owned(), value.to_vec()));
        true
    }

    fn remove_header(&self, map: HeaderMap, name: &str) -> bool {
        self.call("remove_header").headers_mut(map).retain(|(known, _)| known != name);
        true
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.call("property").properties.get(&path.join("/")).cloned()
    }

    fn shared(&self, key: &[u8]) -> Option<Shared> {
        let world = self.call("shared");
        world.shared.get(key).map(|(value, cas)| Shared { value: value.clone(), cas: *cas })
    }

    fn set_shared(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), SetError> {
        let mut world = self.call("set_shared");
        if world.contended > 0 {
            world.contended -= 1;
            let now = world.shared.get(key).map(|(value, _)| value.clone()).unwrap_or_default();
            world.write(key, &now);
        }
        // Envoy: 0 writes in any case, and a missing key takes any version.
        let current = world.shared.get(key).map(|(_, cas)| *cas);
        if cas != 0 && current.is_some_and(|current| current != cas) {
            return Err(SetError::CasMismatch);
        }
        world.write(key, value);
        Ok(())
    }

    fn respond(&self, status: u32, headers: &[(&str, &[u8])]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        self.call("respond").answers.push((status, headers));
    }

    fn configuration(&self) -> Vec<u8> {
        self.call("configuration").configuration.clone()
    }

    fn tick_every_ms(&self, period_ms: u32) {
        self.call("tick_every_ms").tick_ms = period_ms;
    }

    fn define_counter(&self, name: &str) -> Option<CounterId> {
        let mut world = self.call("define_counter");
        world.counters.entry(name.to_owned()).or_default();
        world.counter_names.push(name.to_owned());
        u32::try_from(world.counter_names.len() - 1).ok().map(CounterId)
    }

    fn define_gauge(&self, name: &str) -> Option<CounterId> {
        self.define_counter(name)
    }

    fn count(&self, CounterId(id): CounterId, by: i64) {
        let mut world = self.call("count");
        let name = world.counter_names[id as usize].clone();
        let value = world.counters.entry(name).or_default();
        *value = value.saturating_add_signed(by);
    }

    fn value(&self, CounterId(id): CounterId) -> Option<u64> {
        let world = self.call("value");
        world.counters.get(&world.counter_names[id as usize]).copied()
    }

    fn unix_us(&self) -> u64 {
        self.call("unix_us").unix_s * 1_000_000
    }

    fn monotonic_ms(&self) -> u64 {
        self.call("monotonic_ms").now_ms
    }

    fn entropy(&self) -> [u8; 16] {
        let mut world = self.call("entropy");
        world.entropy += 1;
        [world.entropy; 16]
    }

    fn warn(&self, text: &str) {
        self.call("warn").log.push(text.to_owned());
    }
}
