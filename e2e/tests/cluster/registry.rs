//! The filter out of a real registry, and a registry that is not open to everyone.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use canary_localmesh::Protocol;

use crate::flows::Caller;
use crate::shop::{GRAY_SERVICES, INSTALL, Shop};

/// A registry of Debian's package, ended when dropped.
pub(crate) struct Registry {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

/// `user:secret`, as `htpasswd -nbB` writes it.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

impl Registry {
    pub(crate) fn start(shop: &Shop, host: &str, htpasswd: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let port =
            TcpListener::bind((host, 0)).and_then(|free| free.local_addr()).expect("a free port").port();
        let address = format!("{host}:{port}");
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: {address}\n",
            at("data").display()
        );
        if let Some(htpasswd) = htpasswd {
            std::fs::write(at("htpasswd"), htpasswd).expect("written");
            config += &format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", at("htpasswd").display());
        }
        std::fs::write(at("config.yaml"), config).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(at("config.yaml")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("Debian's docker-registry");
        let registry = Self { process, address, _directory: directory };
        shop.cluster().until("the registry listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(&registry.address).ok().map(drop)
        });
        registry
    }

    /// Puts the filter into it; returns what to install it with.
    #[track_caller]
    pub(crate) fn push_filter(&self, shop: &Shop) -> String {
        let image = format!("oci://{}/canary/filter:1", self.address);
        let push = ["filter", "push", &image, "--plain-http"];
        let pushed = shop.cluster().canaryctl(&push).ok();
        let again = shop.cluster().canaryctl(&push).ok();
        assert_eq!(pushed.stdout, again.stdout, "the same filter is the same image");
        let install = pushed.stdout.lines().find_map(|line| line.strip_prefix("Next: canaryctl "));
        install.expect("what to type").to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) async fn filter(shop: &Shop) {
    shop.installed();
    // Where pods reach it: the address that the gateway's pod has for its node.
    let registry = Registry::start(shop, &shop.cluster().node_address(), None);
    let install = registry.push_filter(shop);
    let args: Vec<&str> = install.split(' ').chain(["--yes"]).collect();
    shop.cluster().canaryctl(&args).ok();
    // A proxy that starts now has fetched it.
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    let caller = Caller::new(shop, Protocol::Http1);
    assert_eq!(caller.send(&[("cookie", "gray=1")]).await.path(), "web-gray cart-v1 stock-gray price-gray");
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
    shop.cluster().canaryctl(&INSTALL).ok();
}

pub(crate) async fn password(shop: &Shop) {
    let registry = Registry::start(shop, "127.0.0.1", Some(HTPASSWD));
    let image = format!("oci://{}/canary/filter:1", registry.address);
    let stranger = shop.cluster().canaryctl(&["filter", "push", &image]);
    assert_eq!(stranger.code, 1, "{stranger}");
    assert!(stranger.stderr.contains("does not let you in"), "{stranger}");
    assert!(stranger.stderr.contains("--password-stdin"), "{stranger}");
    let named = ["--username", "user", "--password-stdin"];
    let push = [&["filter", "push", &image][..], &named].concat();
    let wrong = shop.cluster().run("canaryctl", &push, Some("guess\n"));
    assert!(wrong.code == 1 && wrong.stderr.contains("does not let you in"), "{wrong}");
    shop.cluster().run("canaryctl", &push, Some("secret\n")).ok();
    let sidecar = format!("{image}-sidecar");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().to_str().expect("a path").to_owned();
    let pull = [&["filter", "pull", &sidecar, "-o", &path][..], &named].concat();
    let pulled = shop.cluster().run("canaryctl", &pull, Some("secret\n")).ok();
    let embedded = shop.cluster().canaryctl(&["filter", "inspect", "-o", "json"]).ok().json();
    let sha256 = embedded[1]["module"]["sha256"].as_str().expect("a digest");
    assert!(pulled.stdout.contains(sha256), "{pulled}");
    file.flush().expect("written");
    let lost = format!("oci://{}/canary/filter@sha256:{}", registry.address, "0".repeat(64));
    let inspect = [&["filter", "inspect", &lost][..], &named].concat();
    assert_eq!(shop.cluster().run("canaryctl", &inspect, Some("secret\n")).code, 1);
}
