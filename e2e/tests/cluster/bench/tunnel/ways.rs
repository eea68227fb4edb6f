//! The ways into a cluster that are measured, each with the program at its end that asks.

use std::io::BufReader;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::sshd::{PORT as SSH_PORT, Sshd};
use crate::bytes::{Asks, line};
use crate::cluster::Cluster;
use crate::link::{self, Link};

/// A way into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    PortForward,
    /// As kt-connect has it: `ssh -D` to a pod, through a forwarded port.
    Ssh,
    Connect,
    Run,
}

pub(super) const WAYS: [Way; 5] = [Way::Direct, Way::PortForward, Way::Ssh, Way::Connect, Way::Run];

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::PortForward => "kubectl port-forward",
            Self::Ssh => "ssh -D",
            Self::Connect => "canaryctl connect",
            Self::Run => "canaryctl run",
        }
    }
}

/// What all ways share.
pub(super) struct Place {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    /// The pod that serves.
    pub(super) pod: SocketAddr,
    /// The program that serves and asks.
    pub(super) program: String,
    pub(super) canaryctl: String,
    /// The image of that canaryctl.
    pub(super) image: &'static str,
    pub(super) sshd: Sshd,
}

/// A way that is open, and the program that asks over it.
pub(super) struct Open {
    asks: Option<Asks>,
    /// What keeps the way open, where those are other programs; the last one was started last.
    keeps: Vec<Child>,
    /// From the first command to the first byte that came back.
    pub(super) took: Duration,
}

impl Open {
    /// Opens it from the node, or from the other end of a link.
    #[track_caller]
    pub(super) fn new(place: &Place, way: Way, from: Option<&Link>) -> Self {
        let start = |program: &str, args: &[&str]| start(place, from, program, args);
        let pod = place.pod.to_string();
        let agent = ["-n", &place.namespace, "--image", place.image];
        let forwarded = |name: &str, port: u16| {
            let args = ["-n", &place.namespace, "port-forward", &format!("pod/{name}"), &format!(":{port}")];
            let mut keeps = start("kubectl", &args);
            let said = line(&mut BufReader::new(keeps.stdout.as_mut().expect("a pipe")));
            let local = said.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
            (keeps, local.unwrap_or_else(|| panic!("{said}")).to_owned())
        };
        let began = Instant::now();
        let (keeps, asks) = match way {
            Way::Direct => (Vec::new(), start(&place.program, &["ask", &pod])),
            Way::PortForward => {
                let (keeps, local) = forwarded("bytes", place.pod.port());
                (vec![keeps], start(&place.program, &["ask", &local]))
            }
            Way::Ssh => {
                let (keeps, local) = forwarded("sshd", SSH_PORT);
                let port = local.rsplit(':').next().unwrap_or_default();
                let proxy = format!("127.0.0.1:{}", fastrand::u16(20_000..30_000));
                let args = place.sshd.args(port, &proxy);
                let mut ssh = start("ssh", &args.iter().map(String::as_str).collect::<Vec<_>>());
                let said = line(&mut BufReader::new(ssh.stdout.as_mut().expect("a pipe")));
                assert_eq!(said, "ready", "ssh");
                let proxy = format!("socks5://{proxy}");
                (vec![keeps, ssh], start(&place.program, &["ask", &pod, &proxy]))
            }
            Way::Connect => {
                let args = [&["connect", "--port", "0", "-o", "json"], agent.as_slice()].concat();
                let mut keeps = start(&place.canaryctl, &args);
                let mut events = BufReader::new(keeps.stdout.as_mut().expect("a pipe"));
                let proxy = std::iter::from_fn(|| Some(line(&mut events))).find_map(|said| {
                    let said: Value =
                        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
                    // What comes before it is what is waited for.
                    said["http"].as_str().map(str::to_owned)
                });
                let proxy = proxy.expect("it is ready");
                (vec![keeps], start(&place.program, &["ask", &pod, &proxy]))
            }
            Way::Run => {
                let range = format!("{}/32", place.pod.ip());
                let more = ["--cluster-range", &range, "--", &place.program, "ask", &pod];
                let args = [&["run"], agent.as_slice(), &more].concat();
                (Vec::new(), start(&place.canaryctl, &args))
            }
        };
        let asks = Asks::of(asks, way.name());
        Self { asks: Some(asks), keeps, took: began.elapsed() }
    }

    /// What the program answers.
    #[track_caller]
    pub(super) fn ask(&mut self, what: &str) -> Vec<f64> {
        self.asks.as_mut().expect("it is open").ask(what)
    }

    /// The programs that a user has running for it, but for the one that asks.
    pub(super) fn programs(&self, way: Way) -> Vec<u32> {
        let own = self.asks.as_ref().filter(|_| way == Way::Run).map(Asks::id);
        self.keeps.iter().map(Child::id).chain(own).collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Before what keeps its way open.
        drop(self.asks.take());
        for keeps in self.keeps.iter_mut().rev() {
            let pid = rustix::process::Pid::from_child(keeps);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let _ = keeps.wait();
        }
    }
}

#[track_caller]
fn start(place: &Place, from: Option<&Link>, program: &str, args: &[&str]) -> Child {
    let mut command = link::command(&place.cluster, from, program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}
