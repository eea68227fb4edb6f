//! A database's own protocol: PostgreSQL's server as a pod's workload and as what a developer runs, and its client.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster::{Cluster, Ran};
use crate::develop::Beside;
use crate::laptop::{ALICE, BACK_WITHIN};
use crate::postgres::{self, PORT, PSQL_ARGS, UNNAMED_PORT};
use crate::shop::Shop;

/// How long until new connections go elsewhere once that is said: kube-proxy's second, and its work.
const TURNED_WITHIN: Duration = Duration::from_secs(5);
/// How long rules may stay that nobody reads any more.
const COLLECTED_WITHIN: Duration = Duration::from_secs(60);
/// How long an answer may take, a connection and an agent before it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to hear that there is no server: less than a client waits by itself.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);
/// How long a query may take to begin, and to be cancelled.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// How long an idle session is left alone at the least.
const IDLE_MIN: Duration = Duration::from_secs(3);

/// The Service's ports.
const BOTH: [u16; 2] = [PORT, UNNAMED_PORT];
/// A port of the Service that has requests, so that a rule can be for it.
const HTTP_PORT: u16 = 9187;
/// Who else develops.
const BOB: [&str; 4] = ["--as", "bob", "--as-group", "system:masters"];
/// Some clients, one after the other.
const CALLS_SOME: usize = 4;

/// Ten megabytes, as a table.
const ROWS: &str = "select i, md5(i::text) as m from generate_series(1, 250000) as s(i)";
/// Fewest bytes that these are as text.
const BYTES_MIN: usize = 9_500_000;
/// The server's opinion of what rows are as text.
const SUM: &str =
    r"encode(sha256(convert_to(string_agg(i || E'\t' || m || E'\n', '' order by i), 'UTF8')), 'hex')";
const WHO: &str = "select current_setting('cluster_name')";

/// A client that stays connected. Ends when dropped.
struct Session {
    process: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Session {
    /// By a program, and arguments before those of `psql`.
    #[track_caller]
    fn open(shop: &Shop, program: &str, before: &[&str], server: &[&str]) -> Self {
        let mut command = shop.cluster().command(program);
        command.args(before).args(PSQL_ARGS).args(server).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let (told, lines) = channel();
        std::thread::spawn(move || {
            let all = output.lines().map_while(Result::ok);
            // Nobody may want more of them.
            all.map(|line| told.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Self { process, input, lines }
    }

    /// The only line of an answer; none where the session has ended.
    #[track_caller]
    fn asked(&mut self, query: &str) -> Option<String> {
        // Who has ended reads nothing, and says no more.
        let _ = writeln!(self.input, "{query};");
        match self.lines.recv_timeout(ANSWERED_WITHIN) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("after {ANSWERED_WITHIN:?} no answer to: {query}"),
        }
    }

    #[track_caller]
    fn ask(&mut self, query: &str) -> String {
        self.asked(query).unwrap_or_else(|| panic!("the session has ended before: {query}"))
    }

    #[track_caller]
    fn signal(&self, shop: &Shop, name: &str) {
        shop.cluster().run("kill", &[&format!("-{name}"), &self.process.id().to_string()], None).ok();
    }

    /// Ends it as whoever closes a terminal does.
    fn end(mut self) -> ExitStatus {
        let _ = writeln!(self.input, r"\quit");
        self.process.wait().expect("it ends")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One query by a client of its own, at an address.
fn query(cluster: &Cluster, host: &str, port: u16, text: &str) -> Ran {
    let port = port.to_string();
    let args = [PSQL_ARGS, &["-h", host, "-p", &port, "-c", text]].concat();
    cluster.run("psql", &args, None)
}

/// Which server a new session meets.
#[track_caller]
fn who(shop: &Shop, host: &str, port: u16) -> String {
    query(shop.cluster(), host, port, WHO).ok().stdout.trim().to_owned()
}

/// Clients that come and go one after the other, at each of some ports, until dropped.
struct Callers {
    cluster: Cluster,
    ends: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    calling: Option<JoinHandle<Vec<Ran>>>,
}

impl Callers {
    fn start(shop: &Shop, host: &str, ports: &[u16]) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (cluster, host, is_over) = (shop.cluster().clone(), host.to_owned(), ends.clone());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let ports = ports.to_vec();
        let calling = std::thread::spawn(move || {
            let ports = ports.into_iter().cycle();
            let called = ports.map(|port| query(&cluster, &host, port, WHO));
            let called = called.inspect(|_| {
                counted.fetch_add(1, Ordering::Relaxed);
            });
            called.take_while(|_| !is_over.load(Ordering::Relaxed)).collect()
        });
        let callers = Self { cluster: shop.cluster().clone(), ends, count, calling: Some(calling) };
        callers.more();
        callers
    }

    /// Waits until some have come and gone.
    #[track_caller]
    fn more(&self) {
        let wanted = self.count.load(Ordering::Relaxed) + CALLS_SOME;
        let is_so = || (self.count.load(Ordering::Relaxed) >= wanted).then_some(());
        self.cluster.until("clients come and go", ANSWERED_WITHIN, is_so);
    }

    /// Ends it: how many met which server, where none failed.
    #[track_caller]
    fn end(mut self) -> BTreeMap<String, usize> {
        self.ends.store(true, Ordering::Relaxed);
        let mut met = BTreeMap::new();
        let called = self.calling.take().map(|calling| calling.join().expect("it calls"));
        for ran in called.into_iter().flatten() {
            *met.entry(ran.ok().stdout.trim().to_owned()).or_default() += 1;
        }
        met
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Waits until new sessions meet a server, and no other.
#[track_caller]
fn turned(shop: &Shop, host: &str, ports: &[u16], to: &str) {
    turned_by(shop, host, ports, to, Instant::now() + TURNED_WITHIN);
}

/// The same, where the last session that meets another is over by a moment.
#[track_caller]
fn turned_by(shop: &Shop, host: &str, ports: &[u16], to: &str, deadline: Instant) {
    for &port in ports {
        let mut in_a_row = 0;
        while in_a_row < 5 {
            let met = who(shop, host, port);
            in_a_row = if met == to { in_a_row + 1 } else { 0 };
            assert!(met == to || Instant::now() < deadline, "new sessions at {port} are still the {met}'s");
        }
    }
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// In the mesh, by the Service's name: a session that waits, what comes and goes in bulk, transactions, and a query that
/// is cancelled, which is a connection of its own.
pub(crate) async fn reached(shop: &Shop) {
    shop.installed();
    let Some(database) = postgres::Pod::start(shop) else { return };
    let run = ["run", "-n", shop.namespace(), "--", "psql"];
    let by_name = ["-h", "db"];
    let mut idle = Session::open(shop, "canaryctl", &run, &by_name);
    let backend = idle.ask("select pg_backend_pid()");
    let since = Instant::now();

    let copy = format!("copy ({ROWS}) to stdout");
    let args =
        [run.as_slice(), PSQL_ARGS, &by_name, &["-c", &copy, "-c", &format!("select {SUM} from ({ROWS}) r")]];
    let came = shop.cluster().canaryctl(&args.concat()).ok().stdout;
    let (rows, told) = came.trim_end().rsplit_once('\n').expect("rows and their sum");
    let rows = format!("{rows}\n");
    assert!(rows.len() > BYTES_MIN, "{} bytes", rows.len());
    assert_eq!(sum(&rows), told);

    // And back by the port that does not say what it speaks, beside statements that fail and that are undone.
    let script = format!(
        "create table back (i int primary key, m text);\ncopy back from stdin;\n{rows}\\.\n\
         begin;\ndelete from back;\nsavepoint here;\nselect 1/0;\nrollback to here;\n\
         select count(*) from back;\nrollback;\nselect {SUM} from back;\n",
    );
    let unnamed = UNNAMED_PORT.to_string();
    let args = [run.as_slice(), PSQL_ARGS, &by_name, &["-p", &unnamed]].concat();
    let went = shop.cluster().run("canaryctl", &args, Some(&script));
    assert!(went.stderr.contains("division by zero"), "{}", went.stderr);
    assert_eq!(went.ok().stdout.lines().collect::<Vec<_>>(), ["0", told]);

    let sleeper = "select pg_sleep(600)";
    let mut sleeping = Session::open(shop, "canaryctl", &[&run, &["-c", sleeper][..]].concat(), &by_name);
    let sleepers =
        format!("select count(*) from pg_stat_activity where query = '{sleeper}' and state = 'active'");
    let sleeps = |idle: &mut Session, count: &str| {
        shop.cluster()
            .until("it sleeps, or not", SEEN_WITHIN, || (idle.ask(&sleepers) == count).then_some(()));
    };
    assert!(since.elapsed() > IDLE_MIN, "{:?} is not idle", since.elapsed());
    assert_eq!(idle.ask("select pg_backend_pid()"), backend, "the session that was idle");
    sleeps(&mut idle, "1");
    sleeping.signal(shop, "INT");
    sleeps(&mut idle, "0");
    assert_eq!(
        sleeping.process.wait().expect("it ends").code(),
        Some(1),
        "psql's own, of a query that failed"
    );
    assert_eq!(idle.end().code(), Some(0));

    // By a port of this machine.
    let forwarded = Beside::new(shop, &["forward", "-n", shop.namespace(), "db", "0:5432", "-o", "json"]);
    let (host, port) = forwarded.says("local").rsplit_once(':').expect("a port");
    assert_eq!(who(shop, host, port.parse().expect("a number")), "pod");
    drop(forwarded);
    database.remove();
}

/// Outside the mesh a developer's own server has the Service's new sessions, whatever the port says that it speaks.
pub(crate) async fn exchanged(shop: &Shop) {
    shop.installed();
    let shop = &Shop::outside_the_mesh(shop.cluster()).await;
    let Some(_database) = postgres::Pod::start(shop) else { return shop.close() };
    let before = things(shop);
    let spec = spec(shop);
    let ip = spec["clusterIP"].as_str().expect("an address");
    let by_address = ["-h", ip];
    let mut laptop = postgres::Local::start(shop);
    turned(shop, ip, &BOTH, "pod");
    let mut from_before = Session::open(shop, "psql", &[], &by_address);
    assert_eq!(from_before.ask(WHO), "pod");
    from_before.ask("begin; select pg_backend_pid()");

    let to = laptop.to();
    let args = ["exchange", "db", "-n", shop.namespace(), "--to", &to, "--keep", "3s", "-o", "json"];
    let args = [args.as_slice(), &ALICE].concat();
    let callers = Callers::start(shop, ip, &BOTH);
    let mut alice = Beside::new(shop, &args);
    assert_eq!(alice.ready()["curl"], Value::Null, "nobody asks a database so");
    turned(shop, ip, &BOTH, "laptop");
    let copy = query(shop.cluster(), ip, PORT, &format!("copy ({ROWS}) to stdout")).ok().stdout;
    let told =
        query(shop.cluster(), ip, UNNAMED_PORT, &format!("select {SUM} from ({ROWS}) as r")).ok().stdout;
    assert_eq!((copy.len() > BYTES_MIN, sum(&copy).as_str()), (true, told.trim_end()));
    let run = ["run", "-n", shop.namespace(), "--", "psql"];
    let by_name = [run.as_slice(), PSQL_ARGS, &["-h", "db", "-c", WHO]].concat();
    assert_eq!(shop.cluster().canaryctl(&by_name).ok().stdout.trim_end(), "laptop");

    // Nobody listens there for a while; who is there then is sent away by the server itself.
    callers.more();
    let met = callers.end();
    assert!(met["laptop"] >= CALLS_SOME && met["pod"] >= CALLS_SOME, "{met:?}");
    laptop.stop();
    turned(shop, ip, &BOTH, "pod");
    laptop.again(shop);
    turned(shop, ip, &BOTH, "laptop");
    let mut meanwhile = Session::open(shop, "psql", &[], &by_address);
    assert_eq!(meanwhile.ask(WHO), "laptop");

    let callers = Callers::start(shop, ip, &BOTH);
    let ended = alice.interrupt();
    assert_eq!(ended.code(), Some(0));
    turned(shop, ip, &BOTH, "pod");
    assert_eq!(meanwhile.asked(WHO), None, "a session goes with whoever had it");
    assert_eq!(from_before.ask(WHO), "pod");
    assert_eq!(from_before.end().code(), Some(0));
    callers.more();
    let met = callers.end();
    assert!(met["pod"] >= CALLS_SOME, "{met:?}");
    shop.cluster().until("nothing is left", BACK_WITHIN, || (things(shop) == before).then_some(()));
    assert_eq!(self::spec(shop), spec, "as it was");

    // Gone without a word: what it had open ends, too.
    let mut again = Beside::new(shop, &args);
    turned(shop, ip, &BOTH, "laptop");
    let mut meanwhile = Session::open(shop, "psql", &[], &by_address);
    assert_eq!(meanwhile.ask(WHO), "laptop");
    again.vanish();
    let vanished = Instant::now();
    assert_eq!(meanwhile.asked(WHO), None, "it does not wait for a machine that is gone");
    let knew = vanished.elapsed();
    assert!(knew < BACK_WITHIN, "a session knew it after {knew:?}");
    turned_by(shop, ip, &BOTH, "pod", vanished + BACK_WITHIN);
    println!(
        "a laptop that vanished: its session ended after {knew:?}, new ones were the pod's after {:?}",
        vanished.elapsed()
    );
    shop.close();
}

/// In the mesh a developer's own server has the Service's new sessions whichever proxy they come by, beside another's lane at
/// a port that has requests; clients without a sidecar meet either server, and none is turned away.
pub(crate) async fn exchanged_in_the_mesh(shop: &Shop) {
    shop.installed();
    let shop = &Shop::open_to_all(shop.cluster()).await;
    let Some(_database) = postgres::Pod::start(shop) else { return shop.close() };
    let ports = json!([
        {"name": "tcp-postgres", "port": PORT, "targetPort": PORT},
        {"name": "http-metrics", "port": HTTP_PORT, "targetPort": HTTP_PORT},
    ]);
    let patch = json!({"spec": {"ports": ports}}).to_string();
    shop.kubectl(&["patch", "service/db", "--type=merge", "-p", &patch]).ok();
    let ip = spec(shop)["clusterIP"].as_str().expect("an address").to_owned();
    let forwarded = Beside::new(shop, &["forward", "-n", shop.namespace(), "db", "0:5432", "-o", "json"]);
    let (host, port) = forwarded.says("local").rsplit_once(':').expect("a port");
    let by_proxy = [port.parse::<u16>().expect("a number")];
    turned(shop, host, &by_proxy, "pod");
    turned(shop, &ip, &[PORT], "pod");
    let (before, rules) = (kinds(shop), rules(shop));
    let mut from_before = Session::open(shop, "psql", &[], &["-h", host, "-p", port]);
    assert_eq!(from_before.ask(WHO), "pod");
    from_before.ask("begin; select pg_backend_pid()");
    let mut laptop = postgres::Local::start(shop);
    let to = laptop.to();
    let end = ["-n", shop.namespace(), "--to", &to, "--keep", "3s", "-o", "json"];
    refused(shop, &to);

    // Requests that a rule matches are taken; sessions go on to the pod, by the agent as well.
    let callers = Callers::start(shop, host, &by_proxy);
    let strangers = Callers::start(shop, &ip, &[PORT]);
    let mesh = [&["mesh", "db", "--cookie", "dev=bob"], end.as_slice(), &BOB].concat();
    let mut bob = Beside::new(shop, &mesh);
    bob.ready();
    for calls in [&callers, &strangers] {
        (0..5).for_each(|_| calls.more());
    }
    for met in [callers.end(), strangers.end()] {
        assert_eq!(met.keys().collect::<Vec<_>>(), ["pod"], "{met:?}");
    }

    let callers = Callers::start(shop, host, &by_proxy);
    let strangers = Callers::start(shop, &ip, &[PORT]);
    let args = [&["exchange", "db", "--port", "5432"], end.as_slice(), &ALICE].concat();
    let mut alice = Beside::new(shop, &args);
    assert_eq!(alice.ready()["curl"], Value::Null, "nobody asks a database so");
    turned(shop, host, &by_proxy, "laptop");
    let copy = query(shop.cluster(), host, by_proxy[0], &format!("copy ({ROWS}) to stdout")).ok().stdout;
    assert!(copy.len() > BYTES_MIN, "{} bytes", copy.len());
    callers.more();
    strangers.more();
    let (met, strangers_met) = (callers.end(), strangers.end());
    assert!(met["laptop"] >= CALLS_SOME && met["pod"] >= CALLS_SOME, "{met:?}");
    println!("clients without a sidecar met {strangers_met:?}");

    // Nobody listens there for a while: what comes to the agent goes on to the pod.
    laptop.stop();
    turned(shop, host, &by_proxy, "pod");
    turned(shop, &ip, &[PORT], "pod");
    laptop.again(shop);
    turned(shop, host, &by_proxy, "laptop");

    // Another pod is the Service's only one: it is the new one then.
    let names = || shop.kubectl(&["get", "pods", "-l", "app=db", "-o", "name"]).ok().stdout;
    let old = names().lines().find(|name| name.starts_with("pod/db-")).expect("a pod").to_owned();
    shop.kubectl(&["rollout", "restart", "deployment/db"]).ok();
    shop.rolled_out();
    shop.kubectl(&["wait", &old, "--for=delete", "--timeout=60s"]).ok();
    laptop.stop();
    turned(shop, host, &by_proxy, "pod");
    turned(shop, &ip, &[PORT], "pod");
    assert_eq!(from_before.asked(WHO), None, "its server is gone");

    // Neither is there: whoever calls hears so, and what the agent hands on does not come back to it.
    shop.kubectl(&["scale", "deployment/db", "--replicas=0"]).ok();
    shop.cluster().until("the server's pods are gone", SEEN_WITHIN, || {
        names().lines().all(|name| !name.starts_with("pod/db-")).then_some(())
    });
    for (host, port) in [(host, by_proxy[0]), (ip.as_str(), PORT)] {
        let asked = Instant::now();
        let ran = query(shop.cluster(), host, port, WHO);
        assert!(ran.code != 0 && asked.elapsed() < REFUSED_WITHIN, "after {:?}: {ran}", asked.elapsed());
    }
    shop.kubectl(&["scale", "deployment/db", "--replicas=1"]).ok();
    shop.rolled_out();
    for (host, port) in [(host, by_proxy[0]), (ip.as_str(), PORT)] {
        shop.cluster().until("somebody answers again", TURNED_WITHIN, || {
            (query(shop.cluster(), host, port, WHO).code == 0).then_some(())
        });
    }
    turned(shop, host, &by_proxy, "pod");
    turned(shop, &ip, &[PORT], "pod");
    laptop.again(shop);
    turned(shop, host, &by_proxy, "laptop");

    let callers = Callers::start(shop, host, &by_proxy);
    let strangers = Callers::start(shop, &ip, &[PORT]);
    assert_eq!(bob.interrupt().code(), Some(0));
    assert_eq!(alice.interrupt().code(), Some(0));
    turned(shop, host, &by_proxy, "pod");
    turned(shop, &ip, &[PORT], "pod");
    for calls in [callers, strangers] {
        calls.more();
        let met = calls.end();
        assert!(met["pod"] >= CALLS_SOME, "{met:?}");
    }
    shop.cluster().until("nothing is left", BACK_WITHIN, || (kinds(shop) == before).then_some(()));
    let is_as_before = || (self::rules(shop) == rules).then_some(());
    shop.cluster().until("the mesh is as before", COLLECTED_WITHIN, is_as_before);

    // Gone without a word.
    let mut again = Beside::new(shop, &args);
    turned(shop, host, &by_proxy, "laptop");
    again.vanish();
    let vanished = Instant::now();
    turned_by(shop, host, &by_proxy, "pod", vanished + BACK_WITHIN);
    println!("a laptop that vanished: new sessions are the pod's after {:?}", vanished.elapsed());
    drop(forwarded);
    shop.close();
}

/// Sessions are nothing that a rule could match.
fn refused(shop: &Shop, to: &str) {
    let args = ["mesh", "db", "-n", shop.namespace(), "--to", to, "--port", "5432"];
    let refused = shop.cluster().canaryctl(&[args.as_slice(), &ALICE].concat());
    let says = format!("cannot take {}/db: its port 5432 is not HTTP", shop.namespace());
    assert!(refused.code == 1 && refused.stderr.contains(&says), "{refused}");
    assert!(refused.stderr.contains("exchange db --port 5432 --to PORT"), "{refused}");
}

/// How many things of each kind there are.
fn kinds(shop: &Shop) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for name in things(shop).lines() {
        *kinds.entry(name.split('/').next().unwrap_or(name).to_owned()).or_default() += 1;
    }
    kinds
}

/// The namespace's rules, as the mesh has them.
fn rules(shop: &Shop) -> Value {
    let found = shop.cluster().get(&["-n", shop.namespace(), "destinationrules"]);
    let all = found["items"].as_array().into_iter().flatten();
    all.map(|rule| json!([rule["metadata"]["name"], rule["spec"]])).collect()
}

/// What there is of the namespace's workloads, Services and what is the developer's.
fn things(shop: &Shop) -> String {
    shop.kubectl(&["get", "pods,jobs,services,takeovers,endpointslices", "-o", "name"]).ok().stdout
}

fn spec(shop: &Shop) -> Value {
    shop.cluster().get(&["-n", shop.namespace(), "service/db"])["spec"].clone()
}
