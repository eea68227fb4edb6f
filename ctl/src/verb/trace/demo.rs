//! The demo's mesh: what its proxies tell is in the files that they log to.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use canary_rules::trace::TraceKey;
use canary_rules::wire::FilterConfig;
use canary_trace::{Pod, Record};

use crate::demo_mesh::{DemoMesh, DemoProxy};
use crate::traced::mesh::{Mesh, Told, Wanted};

/// A mesh on this machine, from now on.
pub(super) struct Demo {
    mesh: DemoMesh,
    /// How long each proxy's log was.
    from: Vec<u64>,
}

impl Demo {
    pub(super) fn new(mesh: DemoMesh) -> Self {
        let length = |proxy: &DemoProxy| std::fs::metadata(&proxy.log).map_or(0, |file| file.len());
        Self { from: mesh.proxies.iter().map(length).collect(), mesh }
    }
}

impl Mesh for Demo {
    const ASK_EVERY: Duration = Duration::from_millis(20);
    const TOLD_WITHIN: Duration = Duration::from_secs(3);

    fn key(&self) -> TraceKey {
        self.mesh.trace_key
    }

    fn edge(&self) -> Option<&FilterConfig> {
        Some(&self.mesh.edge)
    }

    fn client(&self) -> Option<&str> {
        Some("127.0.0.1")
    }

    fn pod(&self, name: &str) -> Option<Pod> {
        let proxy = self.mesh.proxies.iter().find(|proxy| proxy.name == name)?;
        let (service, version, lane) = (proxy.service.clone(), proxy.version.clone(), proxy.lane.clone());
        Some(Pod { name: name.into(), service, version, lane })
    }

    async fn told(&self, wanted: Wanted) -> Told {
        let mut told = Told::default();
        for (proxy, from) in self.mesh.proxies.iter().zip(&self.from) {
            let mut text = Vec::new();
            let read = std::fs::File::open(&proxy.log).and_then(|mut log| {
                log.seek(SeekFrom::Start(*from))?;
                log.read_to_end(&mut text)
            });
            // A log that is gone tells nothing, and its hop shows as one that is not told of.
            if read.is_ok() {
                let text = String::from_utf8_lossy(&text);
                told.records.extend(text.lines().filter_map(|line| Record::read(&proxy.name, line)));
            }
        }
        told.records.retain(|record| wanted.has(record));
        told
    }
}
