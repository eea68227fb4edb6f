//! A developer's machine beside the cluster: what it reaches, and what becomes of that when something dies.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use canary_localmesh::Tree;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::Ran;
use crate::documents::shown_first;
use crate::shop::{GRAY_SERVICES, Shop};

/// How long an agent may take to come, to come back, and to go.
const WITHIN: Duration = Duration::from_secs(90);

/// `canaryctl connect` or its like, ended when dropped as a machine that loses power ends it.
pub(crate) struct Beside<'s> {
    shop: &'s Shop,
    process: Child,
    events: Receiver<Value>,
    ready: Value,
}

impl<'s> Beside<'s> {
    /// `connect`, to a port that is free.
    #[track_caller]
    pub(crate) fn connected(shop: &'s Shop, more: &[&str]) -> Self {
        let args = ["connect", "-n", shop.namespace(), "--port", "0", "-o", "json"];
        Self::new(shop, &[args.as_slice(), more].concat())
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub(crate) fn new(shop: &'s Shop, args: &[&str]) -> Self {
        Self::of(shop, "canaryctl", args)
    }

    /// The same of a program that runs it.
    #[track_caller]
    pub(crate) fn of(shop: &'s Shop, program: &str, args: &[&str]) -> Self {
        let mut process = shop.cluster().start(program, args);
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let (told, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|_| Value::String(line));
                if told.send(event).is_err() {
                    break;
                }
            }
        });
        let mut beside = Self { shop, process, events, ready: Value::Null };
        beside.ready = beside.until("ready");
        beside
    }

    /// The next event of a kind; those before it are passed over.
    #[track_caller]
    pub(crate) fn until(&self, event: &str) -> Value {
        let deadline = Instant::now() + WITHIN;
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(found) if found["event"] == event => return found,
                Ok(other) => seen.push(other),
                Err(RecvTimeoutError::Timeout) => panic!("no {event} within {WITHIN:?}, but {seen:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without {event}, after {seen:?}"),
            }
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it said when it was ready.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// Ends it as a machine does that loses power.
    pub(crate) fn vanish(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it ends");
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        self.shop.cluster().run("kill", &[&format!("-{name}"), &self.process.id().to_string()], None).ok();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.wait().expect("it ends")
    }

    /// Ends it as Ctrl-C does.
    #[track_caller]
    pub(crate) fn interrupt(&mut self) -> ExitStatus {
        self.signal("INT");
        self.ended()
    }

    pub(crate) fn says(&self, kind: &str) -> &str {
        self.ready[kind].as_str().unwrap_or_else(|| panic!("no {kind}: {}", self.ready))
    }

    pub(crate) fn curl(&self, kind: &str, more: &[&str]) -> Ran {
        let args = ["-sS", "--fail-with-body", "--max-time", "20", "-x", self.says(kind)];
        self.shop.cluster().run("curl", &[args.as_slice(), more].concat(), None)
    }

    /// Who answered for a URL.
    #[track_caller]
    fn answered(&self, kind: &str, url: &str) -> Tree {
        let ran = self.curl(kind, &[url]).ok();
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error} in {ran}"))
    }

    /// The Job of the agent that there is.
    #[track_caller]
    fn job(&self) -> String {
        let jobs = self.shop.kubectl(&["get", "jobs", "-l", JOBS, "-o", "name"]).ok().stdout;
        jobs.trim().to_owned()
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.shop.kubectl(&["delete", "jobs", "-l", JOBS, "--wait=false"]);
    }
}

/// All agents.
const JOBS: &str = "app.kubernetes.io/managed-by=canaryctl";

/// Services by every name that they have, by SOCKS and by HTTP, under STRICT mutual TLS; and an end that leaves nothing.
pub(crate) async fn reached(shop: &Shop) {
    shop.installed();
    let mut connected = Beside::connected(shop, &[]);
    let namespace = shop.namespace();
    let service = shop.cluster().get(&["-n", namespace, "svc", "stock"]);
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    for host in
        ["stock", &format!("stock.{namespace}"), &format!("stock.{namespace}.svc.cluster.local"), address]
    {
        for kind in ["socks", "http"] {
            let tree = connected.answered(kind, &format!("http://{host}/"));
            assert_eq!(tree.service, format!("stock.{namespace}"), "{host} by {kind}");
        }
    }
    let tunnelled = connected.curl("http", &["--proxytunnel", "http://stock/"]).ok().stdout;
    assert!(tunnelled.contains(&format!("stock.{namespace}")), "{tunnelled}");
    let nowhere = connected.curl("http", &[&format!("http://nowhere.{namespace}.svc.cluster.local/")]);
    assert!(nowhere.code != 0 && nowhere.stdout.contains("no such name in the cluster"), "{nowhere}");

    let pods = shop.cluster().get(&["-n", namespace, "pods", "-l", "app=stock"]);
    let pod = pods["items"][0]["status"]["podIP"].as_str().expect("an address");
    let by_pod = connected.curl("http", &[&format!("http://{pod}:8080/")]);

    assert_eq!(connected.interrupt().code(), Some(0));
    shop.cluster().until("the agent's Job is gone", WITHIN, || connected.job().is_empty().then_some(()));
    // As for every pod of the mesh: its sidecar knows no service at that address, and sends plain text.
    assert!(by_pod.code != 0, "{by_pod}");
}

/// What a Service's port is on this machine, of such events.
#[track_caller]
fn on_this_machine(events: &Value, service: &str) -> SocketAddr {
    let all = events.as_array().map_or(&[][..], Vec::as_slice);
    let of = all.iter().find(|event| event["service"] == service);
    let local = of.and_then(|event| event["local"].as_str()).unwrap_or_else(|| panic!("{service}: {events}"));
    local.parse().expect("an address and a port")
}

/// Services at addresses of this machine, as the document has its user ask for it: those that there are, the same every
/// time, and one that comes and goes; with a port that takes root, and without.
pub(crate) async fn on_loopback(shop: &Shop) {
    shop.installed();
    let namespace = shop.namespace();
    let typed = shown_first("develop.md", "Services at addresses of this machine");
    let words = typed[0].split(' ').map(|word| if word == "shop" { namespace } else { word });
    let args: Vec<&str> = words.chain(["--port", "0", "-o", "json"]).collect();
    // As its line of the hosts file has it.
    let asked = |service: &str, port: u16, at: SocketAddr| {
        let (ip, here) = (at.ip().to_string(), at.port().to_string());
        let to = format!("{service}:{port}:{ip}:{here}");
        let url = format!("http://{service}:{port}/");
        shop.cluster().run("curl", &["-sS", "--max-time", "20", "--connect-to", &to, &url], None)
    };
    let answered = |service: &str, port: u16, at: SocketAddr| {
        let ran = asked(service, port, at).ok();
        serde_json::from_str::<Tree>(&ran.stdout).unwrap_or_else(|error| panic!("{error} in {ran}"))
    };
    let mut connected = Beside::new(shop, &args[1..]);
    let stock = on_this_machine(&connected.ready()["services"], "stock");
    assert_eq!(stock.port(), 80);
    assert!(stock.ip().is_loopback() && stock.ip() != Ipv4Addr::LOCALHOST, "{stock}");
    assert_eq!(answered("stock", 80, stock).service, format!("stock.{namespace}"));
    assert_ne!(on_this_machine(&connected.ready()["services"], "cart").ip(), stock.ip());

    shop.cluster().apply(&[json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "late", "namespace": namespace},
        "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 8000, "targetPort": 8080}]},
    })]);
    let late = on_this_machine(&json!([connected.until("service")]), "late");
    let tree = || serde_json::from_str::<Tree>(&asked("late", 8000, late).stdout).ok();
    let tree = shop.cluster().until("the mesh knows it, too", WITHIN, tree);
    assert_eq!(tree.service, format!("stock.{namespace}"));
    shop.kubectl(&["delete", "service/late"]).ok();
    // 7: nobody listens.
    shop.cluster().until("it is gone here", WITHIN, || (asked("late", 8000, late).code == 7).then_some(()));
    assert_eq!(connected.interrupt().code(), Some(0));
    assert_eq!(asked("stock", 80, stock).code, 7);

    let dropped = ["--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"];
    let mut plain = Beside::of(shop, "setpriv", &[dropped.as_slice(), &args].concat());
    let moved = on_this_machine(&plain.ready()["services"], "stock");
    assert_eq!(moved, SocketAddr::new(stock.ip(), 10_080));
    assert_eq!(answered("stock", 80, moved).service, format!("stock.{namespace}"));
    assert_eq!(plain.interrupt().code(), Some(0));
}

/// Every flow that starts on the developer's machine is in the lane that they say.
pub(crate) async fn in_a_lane(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    let versions = |tree: &Tree| tree.walk().map(|part| part.version.clone()).collect::<Vec<_>>().join(" ");
    let coloured = Beside::connected(shop, &["--lane", "gray"]);
    assert_eq!(versions(&coloured.answered("socks", "http://web/")), "gray v1 gray gray");
    drop(coloured);
    let plain = Beside::connected(shop, &[]);
    assert_eq!(versions(&plain.answered("socks", "http://web/")), "v1 v1 v1 v1");
    drop(plain);
    shop.cluster().canaryctl_beside(&["disable", "gray"]).await.ok();
    shop.remove("gray");
}

/// A machine that is gone without a word leaves an agent that ends by itself, its sidecar with it.
pub(crate) async fn killed(shop: &Shop) {
    shop.installed();
    let mut connected = Beside::connected(shop, &["--keep", "3s"]);
    let job = connected.job();
    connected.vanish();
    shop.cluster().until("the Job has ended", WITHIN, || {
        let found = shop.kubectl(&["get", &job, "-o", "json"]);
        (found.code != 0 || found.json()["status"]["succeeded"] == 1).then_some(())
    });
}

/// An agent that dies is followed by another; what is dialled meanwhile waits for it.
pub(crate) async fn replaced(shop: &Shop) {
    shop.installed();
    let connected = Beside::connected(shop, &[]);
    connected.answered("socks", "http://stock/");
    let pod = connected.ready["pod"].as_str().expect("a pod").to_owned();
    shop.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"]).ok();
    connected.until("disconnected");
    connected.until("connected");
    connected.answered("socks", "http://stock/");
    let pods = shop.kubectl(&["get", "pods", "-l", JOBS, "-o", "name"]).ok().stdout;
    assert!(!pods.contains(&pod), "{pods}");
}

/// A way to the API server that breaks is taken again, to the same agent.
pub(crate) async fn resumed(shop: &Shop) {
    shop.installed();
    let view = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
    let server = shop.cluster().kubectl(&view).ok().stdout;
    let server: SocketAddr = server.trim_start_matches("https://").parse().expect("an address");
    // The certificate is for the address, whatever the port.
    let relay = TcpListener::bind((server.ip(), 0)).await.expect("a port");
    let through = relay.local_addr().expect("an address");
    let (cut, cuts) = watch::channel(0);
    let relaying = tokio::spawn(async move {
        while let Ok((mut near, _)) = relay.accept().await {
            let mut cuts = cuts.clone();
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(server).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    let connected =
        tokio::task::block_in_place(|| Beside::connected(shop, &["--server", &format!("https://{through}")]));
    let job = connected.job();
    for round in 1..=3 {
        tokio::task::block_in_place(|| connected.answered("socks", "http://stock/"));
        cut.send_replace(round);
        tokio::task::block_in_place(|| {
            connected.until("disconnected");
            connected.until("connected");
            connected.answered("socks", "http://stock/");
        });
    }
    assert_eq!(connected.job(), job);
    relaying.abort();
}
