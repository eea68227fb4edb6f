//! The cluster that tests run on, by what people type: kubectl and canaryctl.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use canary_lab::{Lab, LabName};
use serde_json::Value;

/// The label of what tests make that no namespace of theirs takes with it, and of those namespaces.
pub(crate) const OF_TESTS: (&str, &str) = ("canary-test", "yes");
/// How long before a condition is looked at again, at least.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long before a flow was seen to go wrong matters, in seconds: one that has no answer began a while ago.
const BEFORE_S: i64 = 35;
/// How long proxies keep to themselves what they say.
const SAID_WITHIN: Duration = Duration::from_secs(2);
/// How long proxies' words may be asked for in vain.
const ASKED_FOR: Duration = Duration::from_secs(30);

/// A cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    access: Access,
}

#[derive(Clone)]
enum Access {
    Lab(Lab),
    Kubeconfig(PathBuf),
}

/// What selects all that has [`OF_TESTS`].
pub(crate) fn of_tests() -> String {
    format!("{}={}", OF_TESTS.0, OF_TESTS.1)
}

/// A program that is ended when dropped.
pub(crate) struct Holding(pub(crate) Child);

impl Drop for Holding {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) command: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The same, for a command that must have worked.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self}"))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} exited with {}\n{}{}", self.command, self.code, self.stdout, self.stderr)
    }
}

impl Cluster {
    /// The cluster that the environment names; a lab is entered.
    pub(crate) fn find() -> Self {
        let access = match (std::env::var("CANARY_LAB"), std::env::var_os("CANARY_KUBECONFIG")) {
            (_, Some(kubeconfig)) => Access::Kubeconfig(kubeconfig.into()),
            (Ok(name), None) => {
                let name: LabName = name.parse().expect("CANARY_LAB is a lab's name");
                let lab = Lab::running(&name).expect("the lab is up");
                lab.enter().expect("root may enter it");
                Access::Lab(lab)
            }
            (Err(_), None) => {
                panic!("CANARY_LAB or CANARY_KUBECONFIG names a cluster: cargo xtask test cluster")
            }
        };
        Self { access }
    }

    /// The lab, if it is one of this machine.
    pub(crate) fn lab(&self) -> Option<&Lab> {
        match &self.access {
            Access::Lab(lab) => Some(lab),
            Access::Kubeconfig(_) => None,
        }
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> Ran {
        self.run("kubectl", args, None)
    }

    pub(crate) fn canaryctl(&self, args: &[&str]) -> Ran {
        self.run("canaryctl", args, None)
    }

    /// What `canaryctl` shows a person, the results and what it says of its way there in their order.
    #[track_caller]
    pub(crate) fn canaryctl_as_shown(&self, args: &[&str]) -> String {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = self.command("canaryctl");
        command.args(args).stdin(Stdio::null());
        command.stdout(writer.try_clone().expect("another end")).stderr(writer);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("canaryctl: {error}"));
        // It holds the ends that write.
        drop(command);
        let mut shown = String::new();
        reader.read_to_string(&mut shown).expect("it is text");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "canaryctl {} ended with {status}\n{shown}", args.join(" "));
        shown
    }

    /// `canaryctl`, while requests go on.
    pub(crate) async fn canaryctl_beside(&self, args: &[&str]) -> Ran {
        let (cluster, args) = (self.clone(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let run = tokio::task::spawn_blocking(move || {
            cluster.canaryctl(&args.iter().map(String::as_str).collect::<Vec<_>>())
        });
        run.await.expect("it runs")
    }

    /// Applies objects as users do.
    #[track_caller]
    pub(crate) fn apply(&self, objects: &[Value]) {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.run("kubectl", &["apply", "-f", "-"], Some(&list.to_string())).ok();
    }

    /// An object as JSON.
    #[track_caller]
    pub(crate) fn get(&self, args: &[&str]) -> Value {
        self.kubectl(&[&["get", "-o", "json"], args].concat()).ok().json()
    }

    pub(crate) fn run(&self, program: &str, args: &[&str], input: Option<&str>) -> Ran {
        let mut command = self.command(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            // Who does not read it says why.
            let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
        }
        let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            command: format!("{program} {}", args.join(" ")),
            code: status.code().unwrap_or(-1),
            stdout: text(&stdout),
            stderr: text(&stderr),
        }
    }

    /// Starts a program whose output is read while it runs.
    #[track_caller]
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Child {
        let mut command = self.command(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// A program that talks to this cluster.
    pub(crate) fn command(&self, program: &str) -> Command {
        match &self.access {
            Access::Lab(lab) => lab.command(program),
            Access::Kubeconfig(file) => {
                let own = std::env::var_os("CANARY_CTL").filter(|_| program == "canaryctl");
                let mut command = Command::new(own.unwrap_or_else(|| program.into()));
                command.env("KUBECONFIG", file);
                command
            }
        }
    }

    /// Waits until something is so; says what did not become so.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, limit: Duration, mut is_so: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            let looked = Instant::now();
            if let Some(found) = is_so() {
                return found;
            }
            assert!(Instant::now() < deadline, "after {limit:?} still not so: {what}");
            // A look is a program's run: on a busy machine looking must not be what keeps it busy.
            std::thread::sleep(LOOK_AGAIN_AFTER.max(looked.elapsed()));
        }
    }

    /// Ends every controller at once, as a node that fails does.
    #[track_caller]
    pub(crate) fn kill_controllers(&self) {
        let controllers = ["-l", "app.kubernetes.io/name=canaryctl-controller"];
        let at_once = ["-n", "canaryctl-system", "delete", "pods", "--force", "--grace-period=0"];
        self.kubectl(&[at_once.as_slice(), &controllers].concat()).ok();
    }

    /// Ends releases and lanes that a failed test left, so that the next one finds none.
    pub(crate) fn forget_lanes(&self) {
        self.kubectl(&["delete", "releases", "--all", "--timeout=60s"]);
        self.kubectl(&["delete", "takeovers", "--all", "-A", "--timeout=60s"]);
        let there = self.kubectl(&["get", "lanes", "-o", "name"]);
        if there.code == 0 && !there.stdout.trim().is_empty() {
            self.canaryctl(&["disable", "--all", "--timeout", "30s"]);
        }
    }

    /// The address that the first node has for itself: where pods reach this machine.
    #[track_caller]
    pub(crate) fn node_address(&self) -> String {
        let node = self.get(&["nodes"]);
        let addresses = node["items"][0]["status"]["addresses"].as_array().expect("addresses");
        let own = addresses.iter().find(|address| address["type"] == "InternalIP");
        own.and_then(|own| own["address"].as_str()).expect("one of the node's own").to_owned()
    }

    /// What the cluster is like, in a file; returns where.
    pub(crate) fn dump(&self, namespace: &str) -> String {
        let mut text = String::new();
        for args in [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "vs,dr", "-A", "-o", "yaml"],
            &["get", "lanes,wasmplugins", "-A", "-o", "yaml"],
            &["get", "events", "-n", namespace],
            &[
                "logs",
                "-n",
                "canaryctl-system",
                "-l",
                "app.kubernetes.io/name=canaryctl-controller",
                "--tail=500",
            ],
            &["logs", "-n", namespace, "-l", "shop=yes", "-c", "istio-proxy", "--tail=50", "--prefix"],
        ] {
            let ran = self.kubectl(args);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "── {ran}");
        }
        kept("cluster", "what the cluster was like", &text)
    }

    /// What a shop's proxies have just said, and which of its pods were ready, in a file; returns where.
    pub(crate) fn proxies_said(&self, namespace: &str) -> String {
        let now = jiff::Timestamp::now();
        let since = format!("--since-time={:.0}", now - jiff::SignedDuration::from_secs(BEFORE_S));
        let logs =
            ["logs", "-n", namespace, "-l", "shop=yes", "-c", "istio-proxy", "--prefix", "--tail=-1", &since];
        let gateway = ["logs", "-n", "istio-system", "-l", "istio=ingressgateway", "--tail=-1", &since];
        let slices = ["get", "endpointslices,pods", "-n", namespace, "-o", "yaml"];
        std::thread::sleep(SAID_WITHIN);
        let deadline = Instant::now() + ASKED_FOR;
        // The API server may be what is away.
        let asked = |args: &[&str]| loop {
            let ran = self.kubectl(args);
            if ran.code == 0 || Instant::now() > deadline {
                return ran;
            }
            std::thread::sleep(Duration::from_millis(500));
        };
        let all = [&slices[..], &logs, &gateway].map(|args| format!("── {}\n", asked(args)));
        kept(
            &format!("flow-{}", now.as_second()),
            "what the proxies said as a flow first went wrong",
            &all.concat(),
        )
    }
}

/// Writes down what is needed to understand a failure, in a file of this process; returns where, in words.
fn kept(name: &str, what: &str, text: &str) -> String {
    let file = std::env::temp_dir().join(format!("canary-{name}-{}.txt", std::process::id()));
    match std::fs::write(&file, text) {
        Ok(()) => format!("{what}: {}", file.display()),
        Err(error) => format!("cannot write {}: {error}", file.display()),
    }
}
