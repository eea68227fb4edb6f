//! Every callback of every role against the fake proxy.

mod configure;
mod documented;
#[cfg(feature = "edge")]
mod edge;
mod inbound;
mod map;
mod outbound;
mod passthrough;
mod tick;
mod trace;

use std::rc::Rc;

use canary_rules::wire::{FilterConfig, Role};

use crate::host::fake::{Fake, Lines, World};
use crate::root::{Root, Stream};
use crate::stream::Next;
use crate::vm::Vm;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER_TRACE: &str = "00-00000000000000000000000000000001-00f067aa0ba902b7-01";
const UUID: &str = "7f2d8f4e-93ab-4c11-8d3e-0123456789ab";

/// A worker of a proxy: one VM, and the roots in it.
struct Worker {
    fake: Fake,
    vm: Rc<Vm>,
}

impl Worker {
    /// The only worker of a proxy that has run for a while.
    fn new() -> Self {
        let fake = Fake::default();
        {
            let mut world = fake.world_mut();
            world.now_ms = 1_000_000;
            world.unix_s = 1_790_000_000;
        }
        Self::of(&fake)
    }

    /// A worker of a proxy that has others.
    fn of(fake: &Fake) -> Self {
        Self { fake: fake.clone(), vm: Rc::default() }
    }

    /// A plugin with this configuration.
    fn plugin(&self, config: &FilterConfig) -> Root<Fake> {
        self.fake
            .world_mut()
            .properties
            .insert("plugin_name".to_owned(), format!("{:?}", config.role).into_bytes());
        self.configured(config.to_json().as_bytes())
    }

    /// A plugin with this text for a configuration.
    fn configured(&self, configuration: &[u8]) -> Root<Fake> {
        let mut root = Root::new(self.fake.clone(), Rc::clone(&self.vm));
        self.fake.world_mut().configuration = configuration.to_vec();
        root.on_configure();
        self.fake.world_mut().calls.clear();
        root
    }

    /// Time passes, with a tick a second.
    fn wait(&self, root: &Root<Fake>, seconds: u32) {
        for _ in 0..seconds {
            self.pause(1);
            root.on_tick();
        }
    }

    /// Time passes without a tick.
    fn pause(&self, seconds: u64) {
        let mut world = self.fake.world_mut();
        world.now_ms += seconds * 1_000;
        world.unix_s += seconds;
    }

    /// What a counter has come to; ticks to get there.
    #[track_caller]
    fn count(&self, name: &str) -> u64 {
        self.vm.metrics.flush(&self.fake);
        *self.fake.world().counters.get(name).unwrap_or_else(|| panic!("no counter {name}"))
    }
}

/// A pod: both sidecar plugins in one VM.
struct Pod {
    worker: Worker,
    inbound: Root<Fake>,
    outbound: Root<Fake>,
}

impl Pod {
    /// In a mesh with lane gray.
    fn new() -> Self {
        Self::on(Worker::new())
    }

    fn on(worker: Worker) -> Self {
        Self::told(worker, gray)
    }

    /// Each plugin is told this.
    fn told(worker: Worker, config: fn(Role) -> FilterConfig) -> Self {
        mesh_peer(&mut worker.fake.world_mut());
        let inbound = worker.plugin(&config(Role::Inbound));
        let outbound = worker.plugin(&config(Role::Outbound));
        Self { worker, inbound, outbound }
    }

    fn receives(&self, headers: &[(&str, &str)]) -> Passed {
        pass(&self.inbound, &self.worker.fake, headers)
    }

    fn sends(&self, headers: &[(&str, &str)]) -> Passed {
        pass(&self.outbound, &self.worker.fake, headers)
    }
}

/// A stream, what its request came to, and what it cost.
struct Passed {
    next: Next,
    request: Lines,
    calls: Vec<&'static str>,
    stream: Stream<Fake>,
}

/// Sends a request through a plugin.
fn pass<V: AsRef<[u8]>>(root: &Root<Fake>, fake: &Fake, headers: &[(&str, V)]) -> Passed {
    {
        let mut world = fake.world_mut();
        world.request = headers.iter().map(|(n, v)| ((*n).to_owned(), v.as_ref().to_vec())).collect();
        world.calls.clear();
    }
    let mut stream = root.stream();
    let next = stream.on_request_headers();
    let mut world = fake.world_mut();
    Passed { next, request: world.request.clone(), calls: std::mem::take(&mut world.calls), stream }
}

impl Passed {
    /// The lines of a header that goes on.
    fn lines(&self, name: &str) -> Vec<String> {
        let named = self.request.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The tag that goes on.
    fn tag(&self) -> Vec<String> {
        self.lines("x-canary-lane")
    }
}

/// The response of a stream passes.
fn respond(stream: &mut Stream<Fake>, fake: &Fake, headers: &[(&str, &str)]) -> Vec<(String, String)> {
    fake.world_mut().response =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    fake.world_mut().calls.clear();
    assert_eq!(stream.on_response_headers(), Next::Continue);
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
    fake.world().response.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A configuration with these lanes and a key.
fn config(role: Role, lanes: &[&str]) -> FilterConfig {
    let lanes: Vec<String> = lanes.iter().map(|lane| format!(r#"{{"name":"{lane}"}}"#)).collect();
    let json = format!(
        r#"{{"version":1,"role":"edge","lanes":[{}],
            "keys":[{{"id":"k1","secret":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}}]}}"#,
        lanes.join(",")
    );
    let mut config = FilterConfig::parse(json.as_bytes()).expect("a configuration");
    config.role = role;
    config
}

/// The lanes most tests have.
fn gray(role: Role) -> FilterConfig {
    config(role, &["gray", "blue"])
}

/// Makes the peer of the next streams one that mutual TLS shows to be a mesh member.
fn mesh_peer(world: &mut World) {
    world.properties.insert("connection/mtls".to_owned(), vec![1]);
}

fn colour(world: &mut World, lane: &str) {
    let path = "xds/node/metadata/LABELS/canaryctl.io/lane".to_owned();
    world.properties.insert(path, lane.as_bytes().to_vec());
}
