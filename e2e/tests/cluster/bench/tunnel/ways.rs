//! The ways into a cluster that are measured, each with the program at its end that asks.

use std::io::{BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;

/// A way into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Direct,
    PortForward,
    Connect,
    Run,
}

pub(super) const WAYS: [Way; 4] = [Way::Direct, Way::PortForward, Way::Connect, Way::Run];

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::PortForward => "kubectl port-forward",
            Self::Connect => "canaryctl connect",
            Self::Run => "canaryctl run",
        }
    }
}

/// What all ways share.
pub(super) struct Place {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    /// The pod that serves, as the cluster has it.
    pub(super) pod: SocketAddr,
    /// The program that serves and asks.
    pub(super) program: String,
    pub(super) canaryctl: String,
    /// The image of that canaryctl.
    pub(super) image: &'static str,
}

/// Where the ends are from here: at once, or behind a long way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) api_server: SocketAddr,
    pub(super) pod: SocketAddr,
}

/// A way that is open, and the program that asks over it.
pub(super) struct Open {
    asks: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What keeps the way open, where that is another program.
    keeps: Option<Child>,
    /// From the first command to the first byte that came back.
    pub(super) took: Duration,
}

impl Open {
    /// Opens it.
    #[track_caller]
    pub(super) fn new(place: &Place, way: Way, ends: Ends) -> Self {
        let server = format!("https://{}", ends.api_server);
        let pod = place.pod.to_string();
        let agent = ["-n", &place.namespace, "--server", &server, "--image", place.image];
        let began = Instant::now();
        let (keeps, mut asks) = match way {
            Way::Direct => (None, start(place, &place.program, &["ask", &ends.pod.to_string()])),
            Way::PortForward => {
                let port = format!(":{}", place.pod.port());
                let args = ["-n", &place.namespace, "--server", &server, "port-forward", "pod/bytes", &port];
                let mut keeps = start(place, "kubectl", &args);
                let said = line(&mut BufReader::new(keeps.stdout.as_mut().expect("a pipe")));
                let local = said.split_whitespace().find(|word| word.starts_with("127.0.0.1:"));
                let local = local.unwrap_or_else(|| panic!("{said}")).to_owned();
                (Some(keeps), start(place, &place.program, &["ask", &local]))
            }
            Way::Connect => {
                let args = [&["connect", "--port", "0", "-o", "json"], agent.as_slice()].concat();
                let mut keeps = start(place, &place.canaryctl, &args);
                let mut events = BufReader::new(keeps.stdout.as_mut().expect("a pipe"));
                let proxy = std::iter::from_fn(|| Some(line(&mut events))).find_map(|said| {
                    let said: Value =
                        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
                    // What comes before it is what is waited for.
                    said["http"].as_str().map(|proxy| proxy.trim_start_matches("http://").to_owned())
                });
                let proxy = proxy.expect("it is ready");
                (Some(keeps), start(place, &place.program, &["ask", &pod, &proxy]))
            }
            Way::Run => {
                let range = format!("{}/32", place.pod.ip());
                let more = ["--cluster-range", &range, "--", &place.program, "ask", &pod];
                let args = [&["run"], agent.as_slice(), &more].concat();
                (None, start(place, &place.canaryctl, &args))
            }
        };
        let input = asks.stdin.take();
        let mut output = BufReader::new(asks.stdout.take().expect("a pipe"));
        assert_eq!(line(&mut output), "ready", "{}", way.name());
        Self { asks, input, output, keeps, took: began.elapsed() }
    }

    /// What the program answers.
    #[track_caller]
    pub(super) fn ask(&mut self, what: &str) -> Vec<f64> {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{what}").expect("it takes a line");
        let said = line(&mut self.output);
        let numbers = said.split(' ').map(|number| number.parse().unwrap_or_else(|_| panic!("{said}")));
        numbers.collect()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // It ends with its input, and takes its agent along.
        drop(self.input.take());
        let _ = self.asks.wait();
        if let Some(keeps) = &mut self.keeps {
            let pid = rustix::process::Pid::from_child(keeps);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let _ = keeps.wait();
        }
    }
}

#[track_caller]
fn start(place: &Place, program: &str, args: &[&str]) -> Child {
    let mut command = place.cluster.command(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// The next line; of a program that has ended, none.
fn line(output: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("text");
    line.trim_end().to_owned()
}
