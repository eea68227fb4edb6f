//! `canaryctl connect --tun`: a whole machine in the cluster's network, and that machine as it was afterwards.
//!
//! The machine is a network and a mount namespace whose only way to the cluster is the API server's address.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use canary_localmesh::Tree;
use serde_json::json;

use crate::cluster::{Holding, Ran};
use crate::develop::Beside;
use crate::documents::shown_first;
use crate::shop::{GRAY_SERVICES, Shop};

/// How long a machine may take to be as it was.
const BACK_WITHIN: Duration = Duration::from_secs(15);
/// The link between the machine and the cluster's node.
const NEAR: &str = "192.168.77.2";
const FAR: &str = "192.168.77.1";
const LINK: &str = "laptop0";
/// The pods' range, as the node would say it.
const PODS: &str = "10.88.0.0/16";
/// The Services' range.
const SERVICES: &str = "10.96.0.0/12";
/// An address of the pods' range that the machine itself has, and what is there.
const OWN: &str = "10.88.3.7";
const OWN_PORT: &str = "8000";

/// What must be as it was.
#[derive(Debug, PartialEq, Eq)]
struct State {
    routes: String,
    links: String,
    hosts: String,
}

/// A machine, until dropped.
struct Machine<'s> {
    shop: &'s Shop,
    holder: Child,
    /// What the document tells people to type.
    typed: Vec<String>,
}

impl<'s> Machine<'s> {
    fn start(shop: &'s Shop) -> Self {
        Self::of(shop, "The whole machine")
    }

    /// Of whom a section of the document tells.
    fn of(shop: &'s Shop, section: &str) -> Self {
        // Of /etc it has a copy, whose hosts file has no final newline; Go's and curl's lookups ask files first.
        let script = "etc=$(mktemp -d) && cp -a /etc/. $etc/ && mount --bind $etc /etc && \
                      printf '127.0.0.1 localhost\\n10.1.2.3 other.example' >/etc/hosts && ip link set lo up && \
                      echo ready && exec sleep infinity";
        let mut command = shop.cluster().command("unshare");
        command.args(["--net", "--mount", "sh", "-c", script]).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        let typed = shown_first("develop.md", section);
        let machine = Self { shop, holder, typed };
        let id = machine.holder.id().to_string();
        let node = shop.cluster().node_address();
        shop.cluster()
            .run("ip", &["link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", &id], None)
            .ok();
        shop.cluster().run("ip", &["addr", "add", &format!("{FAR}/30"), "dev", LINK], None).ok();
        shop.cluster().run("ip", &["link", "set", LINK, "up"], None).ok();
        machine.run(&["ip", "addr", "add", &format!("{NEAR}/30"), "dev", "eth0"]).ok();
        machine.run(&["ip", "link", "set", "eth0", "up"]).ok();
        machine.run(&["ip", "route", "add", &format!("{node}/32"), "via", FAR]).ok();
        machine
    }

    fn inside(&self, command: &[&str]) -> Vec<String> {
        let id = self.holder.id().to_string();
        let enter = ["-t", &id, "--net", "--mount", "--"].map(str::to_owned);
        enter.into_iter().chain(command.iter().map(|word| (*word).to_owned())).collect()
    }

    /// What stays until it is dropped.
    fn start_inside(&self, command: &[&str]) -> Holding {
        let args = self.inside(command);
        Holding(self.shop.cluster().start("nsenter", &args.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    fn run(&self, command: &[&str]) -> Ran {
        let args = self.inside(command);
        self.shop.cluster().run("nsenter", &args.iter().map(String::as_str).collect::<Vec<_>>(), None)
    }

    /// `connect --tun`, as the document has its user type it, and more.
    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let words =
            self.typed[0].split(' ').map(|word| if word == "shop" { self.shop.namespace() } else { word });
        words.chain(["--port", "0", "-o", "json"]).chain(more.iter().copied()).collect()
    }

    fn connected(&self, more: &[&str]) -> Beside<'s> {
        let args = self.inside(&self.args(more));
        Beside::of(self.shop, "nsenter", &args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn refused(&self, more: &[&str]) -> Ran {
        self.run(&self.args(more))
    }

    fn state(&self) -> State {
        let said = |command: &[&str]| self.run(command).ok().stdout;
        State {
            routes: said(&["ip", "route"]),
            links: said(&["ip", "-brief", "link"]),
            hosts: said(&["cat", "/etc/hosts"]),
        }
    }

    #[track_caller]
    fn is_back(&self, before: &State) {
        let mut last = None;
        for _ in 0..BACK_WITHIN.as_millis() / 100 {
            let now = self.state();
            if now == *before {
                return;
            }
            last = Some(now);
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(last.as_ref(), Some(before));
    }

    #[track_caller]
    fn curl(&self, url: &str) -> String {
        self.curl_by(&[], url)
    }

    #[track_caller]
    fn reaches_stock(&self, host: &str) {
        let tree: Tree = serde_json::from_str(&self.curl(&format!("http://{host}/"))).expect("an answer");
        assert_eq!(tree.service, format!("stock.{}", self.shop.namespace()), "{host}");
    }

    #[track_caller]
    fn curl_by(&self, way: &[&str], url: &str) -> String {
        let args = ["curl", "-sSk", "--fail-with-body", "--max-time", "20"];
        self.run(&[&args, way, &[url]].concat()).ok().stdout
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The helper that a process has started.
fn helper(shop: &Shop, of: u32) -> String {
    let found = shop.cluster().run("pgrep", &["-P", &of.to_string(), "-f", "tun-helper"], None).ok();
    found.stdout.trim().to_owned()
}

/// Services by every name and by address, a pod, a headless Service and what speaks no HTTP; and what else the machine
/// reaches, as before.
pub(crate) async fn reached(shop: &Shop) {
    shop.installed();
    let namespace = shop.namespace();
    shop.cluster().apply(&[json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "pilots", "namespace": "istio-system"},
        "spec": {"clusterIP": "None", "selector": {"app": "istiod"}, "ports": [{"name": "http", "port": 15014}]},
    })]);
    tokio::task::block_in_place(|| {
        let machine = Machine::start(shop);
        let before = machine.state();
        // A network that has its nodes' ranges elsewhere leaves them empty; what is said once stays.
        let range = json!({"spec": {"podCIDR": PODS, "podCIDRs": [PODS]}}).to_string();
        shop.cluster().kubectl(&["patch", "node", "node1", "--type", "merge", "-p", &range]);
        let mut connected = machine.connected(&[]);
        assert_eq!(connected.ready()["tun"]["names"], "hosts", "{}", connected.ready());
        assert!(connected.ready()["tun"]["ranges"].to_string().contains(PODS));

        let typed: Vec<&str> = machine.typed[1].split(' ').collect();
        assert!(machine.run(&typed).ok().stdout.contains(&format!("cart.{namespace}")));
        let service = shop.cluster().get(&["-n", namespace, "svc", "stock"]);
        let address = service["spec"]["clusterIP"].as_str().expect("an address");
        let full = format!("stock.{namespace}.svc.cluster.local");
        for host in ["stock", &format!("stock.{namespace}"), &full, address] {
            machine.reaches_stock(host);
        }
        let pods = shop.cluster().get(&["-n", "istio-system", "pods", "-l", "app=istiod"]);
        let pod = pods["items"][0]["status"]["podIP"].as_str().expect("an address");
        assert!(!machine.curl(&format!("http://{pod}:15014/version")).is_empty());
        assert!(!machine.curl("http://pilots.istio-system:15014/version").is_empty());
        // Of TLS nobody on the way knows what is in it.
        assert!(machine.curl("https://kubernetes.default.svc/version").contains("gitVersion"));

        // Names that were there stay, new ones come, and the API server is reached as before.
        assert!(machine.run(&["getent", "hosts", "other.example"]).ok().stdout.contains("10.1.2.3"));
        shop.cluster().apply(&[crate::manifests::http_service(namespace, "newcomer")]);
        shop.cluster().until("a new Service has a name", BACK_WITHIN, || {
            (machine.run(&["getent", "hosts", "newcomer"]).code == 0).then_some(())
        });
        let node = shop.cluster().node_address();
        assert!(machine.run(&["ip", "route", "get", &node]).ok().stdout.contains("eth0"));

        let second = machine.refused(&[]);
        assert!(
            second.code == 5 && second.stderr.contains(&format!("by process {}", connected.id())),
            "{second}"
        );
        assert_eq!(connected.interrupt().code(), Some(0));
        machine.is_back(&before);
    });
    shop.kubectl(&["delete", "service", "newcomer"]).ok();
    shop.cluster().kubectl(&["-n", "istio-system", "delete", "service", "pilots"]).ok();
}

/// A machine whose own networks have the cluster's addresses reaches both: its own by those, the cluster's by names and by
/// others, whichever way a program takes.
pub(crate) async fn translated(shop: &Shop) {
    shop.installed();
    let namespace = shop.namespace();
    tokio::task::block_in_place(|| {
        let machine = Machine::of(shop, "Overlapping ranges");
        for command in [
            &["ip", "link", "add", "own0", "type", "veth", "peer", "name", "own1"][..],
            &["ip", "addr", "add", &format!("{OWN}/24"), "dev", "own0"],
            &["ip", "link", "set", "own0", "up"],
            &["ip", "link", "set", "own1", "up"],
            &["ip", "route", "add", "10.96.0.0/16", "via", FAR],
        ] {
            machine.run(command).ok();
        }
        let server = format!(
            "exec python3 -m http.server --bind {OWN} --directory /etc/init.d {OWN_PORT} 2>/dev/null"
        );
        let _own = machine.start_inside(&["sh", "-c", &server]);
        let at_own = format!("http://{OWN}:{OWN_PORT}/");
        shop.cluster().until("the machine's own server answers", BACK_WITHIN, || {
            (machine.run(&["curl", "-sS", &at_own]).code == 0).then_some(())
        });
        let before = machine.state();
        let ranges = ["--cluster-range", PODS, "--cluster-range", SERVICES];
        let mut connected = machine.connected(&ranges);
        let tun = &connected.ready()["tun"];
        let want = json!([
            {"range": PODS, "here": "250.88.0.0/16"},
            {"range": SERVICES, "here": "250.96.0.0/12"},
        ]);
        assert_eq!((&tun["translated"], &tun["ranges"]), (&want, &json!([])));

        // By names, of which it knows where they lead here, and by addresses, each as this machine has it.
        let service = shop.cluster().get(&["-n", namespace, "svc", "stock"]);
        let address = service["spec"]["clusterIP"].as_str().expect("an address");
        let here = |there: &str| format!("250.{}", there.split_once('.').expect("an address").1);
        let known = machine.run(&["getent", "hosts", "stock"]).ok().stdout;
        assert!(known.starts_with(&format!("{} ", here(address))), "{known}");
        let full = format!("stock.{namespace}.svc.cluster.local");
        for host in ["stock", &format!("stock.{namespace}"), &full] {
            machine.reaches_stock(host);
        }
        assert!(machine.curl("https://kubernetes.default.svc/version").contains("gitVersion"));
        let pods = shop.cluster().get(&["-n", "istio-system", "pods", "-l", "app=istiod"]);
        let pod = pods["items"][0]["status"]["podIP"].as_str().expect("an address");
        let pod_here = here(pod);
        let version = machine.curl(&format!("http://{pod_here}:15014/version"));
        assert!(!version.is_empty());

        // The proxies know these addresses and the cluster's own, whoever looks a name up.
        let proxy = connected.says("socks").rsplit_once("//").expect("a URL").1.to_owned();
        for (scheme, host) in [("socks5", pod_here.as_str()), ("socks5h", pod), ("http", &pod_here)] {
            let url = format!("http://{host}:15014/version");
            assert_eq!(machine.curl_by(&["-x", &format!("{scheme}://{proxy}")], &url), version, "{scheme}");
        }
        let tree = machine.curl_by(&["-x", &format!("socks5://{proxy}")], "http://stock/");
        assert!(tree.contains(&format!("stock.{namespace}")), "{tree}");

        // What is this machine's stays its own.
        assert!(machine.curl(&at_own).contains("Directory listing"));
        assert!(machine.run(&["ip", "route", "get", "10.96.0.1"]).ok().stdout.contains("eth0"));
        assert_eq!(connected.interrupt().code(), Some(0));
        machine.is_back(&before);
    });
}

/// Every flow that starts on the machine is in the lane that it names, also once its agent has been replaced.
pub(crate) async fn in_a_lane(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    tokio::task::block_in_place(|| {
        let machine = Machine::start(shop);
        let before = machine.state();
        let versions = || {
            let tree: Tree = serde_json::from_str(&machine.curl("http://web/")).expect("an answer");
            tree.walk().map(|part| part.version.clone()).collect::<Vec<_>>().join(" ")
        };
        let mut connected =
            machine.connected(&["--lane", "gray", "--cluster-range", PODS, "--cluster-range", SERVICES]);
        assert_eq!(versions(), "gray v1 gray gray");
        let with = machine.state();
        let pod = connected.ready()["pod"].as_str().expect("a pod").to_owned();
        shop.kubectl(&["delete", "pod", &pod, "--force", "--grace-period=0"]).ok();
        connected.until("disconnected");
        connected.until("connected");
        assert_eq!(versions(), "gray v1 gray gray");
        assert_eq!(machine.state(), with, "its network has not noticed");
        assert_eq!(connected.interrupt().code(), Some(0));
        machine.is_back(&before);
    });
    shop.cluster().canaryctl_beside(&["disable", "gray"]).await.ok();
    shop.remove("gray");
}

/// What is refused touches nothing, and what is killed, its helper with it or not, leaves nothing.
pub(crate) async fn put_back(shop: &Shop) {
    shop.installed();
    tokio::task::block_in_place(|| {
        let machine = Machine::start(shop);
        machine.run(&["ip", "route", "add", "10.88.3.0/24", "via", FAR]).ok();
        // As in containers: what is mounted cannot be replaced.
        let mounted = "cp -a /etc/hosts /etc/mounted && mount --bind /etc/mounted /etc/hosts";
        machine.run(&["sh", "-c", mounted]).ok();
        let before = machine.state();

        let overlaps = machine.refused(&["--cluster-range", PODS]);
        let says = "10.88.0.0/16 overlaps 10.88.3.0/24, which this machine reaches by eth0";
        assert!(overlaps.code == 5 && overlaps.stderr.contains(says), "{overlaps}");
        assert!(overlaps.stderr.contains("--skip-range 10.88.3.0/24; or"), "{overlaps}");
        assert!(overlaps.stderr.contains("--translate"), "{overlaps}");
        machine.is_back(&before);
        let no_room = machine.refused(&["--cluster-range", PODS, "--translate=198.18.0.0/24"]);
        let says = "in 198.18.0.0/24 there is no room for the cluster's 10.88.0.0/16";
        assert!(no_room.code == 5 && no_room.stderr.contains(says), "{no_room}");
        machine.is_back(&before);
        let mut connected = machine.connected(&["--cluster-range", PODS, "--translate=198.18.0.0/15"]);
        let translated = &connected.ready()["tun"]["translated"];
        assert_eq!(translated, &json!([{"range": PODS, "here": "198.18.0.0/16"}]));
        assert_eq!(connected.interrupt().code(), Some(0));
        machine.is_back(&before);

        let with = ["--cluster-range", PODS, "--skip-range", "10.88.3.0/24"];
        let mut connected = machine.connected(&with);
        let during = machine.state();
        assert!(during.hosts.contains("stock") && during.links.contains("canaryctl0"), "{during:?}");
        connected.vanish();
        machine.is_back(&before);

        let mut connected = machine.connected(&with);
        // The helper first: it has no time to put back.
        let id = helper(shop, connected.id());
        shop.cluster().run("kill", &["-KILL", &id, &connected.id().to_string()], None).ok();
        connected.ended();
        shop.cluster().until("the device is gone", BACK_WITHIN, || {
            (!machine.state().links.contains("canaryctl0")).then_some(())
        });
        let left = machine.state();
        assert_eq!((&left.routes, &left.links), (&before.routes, &before.links));
        assert!(left.hosts.contains("# BEGIN canaryctl"), "the helper had no time: {left:?}");
        let mut connected = machine.connected(&with);
        shop.cluster().run("kill", &["-KILL", &helper(shop, connected.id())], None).ok();
        assert_eq!(connected.ended().code(), Some(1), "without its helper it ends");
        assert_eq!(machine.connected(&with).interrupt().code(), Some(0));
        machine.is_back(&before);
    });
}
