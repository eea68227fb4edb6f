//! A real Prometheus beside the cluster, which asks proxies for what they count.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::shop::Shop;

/// How long it may take until it knows something of every proxy.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Debian's Prometheus, ended when dropped.
pub(crate) struct Prometheus {
    process: Child,
    /// Where pods reach it.
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that asks the proxies of a service's pods each second.
    pub(crate) fn of(shop: &Shop, service: &str) -> Self {
        let folder = std::env::var_os("CANARY_PROMETHEUS")
            .unwrap_or_else(|| panic!("CANARY_PROMETHEUS is not set: run `cargo xtask test cluster`"));
        let pods = shop.cluster().get(&["-n", shop.namespace(), "pods", "-l", &format!("app={service}")]);
        let mut config = "scrape_configs:\n- job_name: proxies\n  scrape_interval: 1s\n  \
             metrics_path: /stats/prometheus\n  static_configs:\n  - targets: ["
            .to_owned();
        for pod in pods["items"].as_array().expect("a list") {
            let address = pod["status"]["podIP"].as_str().expect("an address");
            write!(config, "'{address}:15090',").expect("written");
        }
        config += "]\n";
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("config.yml"), config).expect("written");
        let host = shop.cluster().node_address();
        let listener = TcpListener::bind((host.as_str(), 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let process = Command::new(Path::new(&folder).join("prometheus"))
            .arg(format!("--config.file={}", at("config.yml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .expect("prometheus runs");
        let prometheus = Self { process, url: format!("http://{address}"), _folder: directory };
        shop.cluster().until("Prometheus listens", READY_WITHIN, || {
            std::net::TcpStream::connect(address).ok().map(drop)
        });
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
