//! Debian's PostgreSQL: in a pod of the lab's node, which is this machine, and beside it.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::manifests::IMAGE;
use crate::shop::Shop;

/// What the Service's port is that says in its name what it speaks.
pub(crate) const PORT: u16 = 5432;
/// The one that does not.
pub(crate) const UNNAMED_PORT: u16 = 5433;
/// What every client is told: to read no file, to speak tersely, and who it is.
pub(crate) const PSQL_ARGS: &[&str] =
    &["-X", "-q", "-A", "-t", "-d", "dbname=postgres user=dev connect_timeout=10"];
/// Where Debian has a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Whom a server runs as: it refuses to be root. `nobody`, of whom `/etc/passwd` knows.
const NOBODY: u32 = 65534;
/// What a server and the programs that it starts need of this machine.
const THE_MACHINES: [&str; 5] = ["/usr", "/bin", "/lib", "/lib64", "/etc/passwd"];
/// How long a server may take to answer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Serves a database, which it makes where there is none: the programs' folder, the database's, the server's name, its
/// address and its port.
const SCRIPT: &str = r#"
set -e
if ! test -e "$2"; then
  "$1/initdb" --pgdata "$2" --username dev --auth trust --no-sync --encoding UTF8 --locale C
  echo 'host all all all trust' >> "$2/pg_hba.conf"
fi
exec "$1/postgres" -D "$2" -c "cluster_name=$3" -c "listen_addresses=$4" -c "port=$5" \
  -c unix_socket_directories= -c fsync=off -c jit=off -c max_connections=20
"#;

/// The newest version's programs.
#[track_caller]
fn programs() -> String {
    let folders = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let there = folders.map(|folder| folder.path()).filter(|path| path.join("bin/initdb").exists());
    let newest = there.max_by_key(|path| version(path));
    let newest = newest.unwrap_or_else(|| panic!("no PostgreSQL in {VERSIONS}: `canary-lab up` installs it"));
    format!("{}/bin", newest.display())
}

/// A server in a pod, `db`, of the server's name `pod`.
pub(crate) struct Pod<'s> {
    shop: &'s Shop,
}

impl<'s> Pod<'s> {
    /// Starts it, and waits until it answers. None where pods are not on this machine.
    #[track_caller]
    pub(crate) fn start(shop: &'s Shop) -> Option<Self> {
        if shop.cluster().lab().is_none() {
            eprintln!("no database is started: this is no lab of this machine");
            return None;
        }
        shop.cluster().apply(&[service(shop.namespace()), deployment(shop.namespace(), &programs())]);
        shop.rolled_out();
        Some(Self { shop })
    }

    /// Removes it, and waits until it is gone.
    #[track_caller]
    pub(crate) fn remove(self) {
        self.shop.kubectl(&["delete", "service/db", "deployment/db"]).ok();
        self.shop.kubectl(&["wait", "pods", "-l", "app=db", "--for=delete", "--timeout=60s"]).ok();
    }
}

fn service(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": namespace},
        "spec": {"selector": {"app": "db"}, "ports": [
            {"name": "tcp-postgres", "port": PORT, "targetPort": PORT},
            {"name": "sql", "port": UNNAMED_PORT, "targetPort": PORT},
        ]},
    })
}

fn deployment(namespace: &str, programs: &str) -> Value {
    let mut volumes = vec![json!({"name": "data", "emptyDir": {}})];
    let mut mounts = vec![json!({"name": "data", "mountPath": "/data"})];
    for (index, path) in THE_MACHINES.iter().enumerate() {
        let name = format!("machine-{index}");
        mounts.push(json!({"name": name, "mountPath": path, "readOnly": true}));
        volumes.push(json!({"name": name, "hostPath": {"path": path}}));
    }
    let port = PORT.to_string();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "db", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "db"}},
            "template": {
                "metadata": {"labels": {"app": "db"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": {"runAsUser": NOBODY, "runAsGroup": NOBODY},
                    "volumes": volumes,
                    "containers": [{
                        "name": "db", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                        "command": ["/usr/bin/sh", "-c", SCRIPT, "sh", programs, "/data/db", "pod", "*", port],
                        "ports": [{"containerPort": PORT}],
                        "volumeMounts": mounts,
                        "readinessProbe": {
                            "exec": {"command": [format!("{programs}/pg_isready"), "-h", "127.0.0.1", "-p", port]},
                            "periodSeconds": 1, "timeoutSeconds": 5,
                        },
                    }],
                },
            },
        },
    })
}

/// A server on this machine's loopback, as a developer runs it. Ends when dropped.
pub(crate) struct Local {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Local {
    /// Starts it, of the server's name `laptop`, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(shop: &Shop) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may do that");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let local = Self { process: serve(folder.path(), port), folder, port };
        local.answers(shop);
        local
    }

    /// Starts it again, where it was.
    #[track_caller]
    pub(crate) fn again(&mut self, shop: &Shop) {
        self.process = serve(self.folder.path(), self.port);
        self.answers(shop);
    }

    /// Where it listens.
    pub(crate) fn to(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[track_caller]
    fn answers(&self, shop: &Shop) {
        let (program, port) = (format!("{}/pg_isready", programs()), self.port.to_string());
        shop.cluster().until("the developer's server answers", READY_WITHIN, || {
            (shop.cluster().run(&program, &["-q", "-h", "127.0.0.1", "-p", &port], None).code == 0)
                .then_some(())
        });
    }

    /// Ends it as its owner does, sessions with it.
    pub(crate) fn stop(&mut self) {
        // It may have ended.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(folder: &Path, port: u16) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", &programs()]).arg(folder.join("data"));
    command.args(["laptop", "127.0.0.1", &port.to_string()]).current_dir(folder);
    command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}
