//! An OpenSSH server in a pod, and how a client gets there: the parts that kt-connect is made of.

use std::fs;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::cluster::Cluster;

/// The folder that has Debian's server unpacked in it.
const PROGRAMS_ENV: &str = "CANARY_BENCH_SSHD";
/// Where it listens in its pod.
pub(super) const PORT: u16 = 2222;

/// The keys of a server and its only client.
pub(super) struct Sshd {
    keys: TempDir,
}

impl Sshd {
    /// Brings one into a namespace, in an image that only has to be there: its programs are the machine's.
    #[track_caller]
    pub(super) fn start(cluster: &Cluster, namespace: &str, image: &str) -> Self {
        let programs = std::env::var(PROGRAMS_ENV)
            .unwrap_or_else(|_| panic!("{PROGRAMS_ENV} is set by cargo xtask bench"));
        let keys = TempDir::new().expect("a folder");
        let path = |name: &str| keys.path().join(name);
        for name in ["client", "host"] {
            let mut made = Command::new("ssh-keygen");
            made.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path(name));
            assert!(made.status().expect("OpenSSH's client is here").success(), "ssh-keygen");
        }
        let text = |name: &str| fs::read_to_string(path(name)).expect("a key");
        let metadata = |name: &str| json!({"name": name, "namespace": namespace});
        let folder = |path: &str| json!({"path": path, "type": "Directory"});
        let script = "chmod 755 /run/sshd && exec /server/usr/sbin/sshd -D -e -f /dev/null -h /keys/host \
                      -o AuthorizedKeysFile=/keys/client.pub -o StrictModes=no -o UsePAM=no -o PermitRootLogin=yes \
                      -o PidFile=none";
        let own_libraries = libraries(&programs);
        cluster.apply(&[
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": metadata("sshd"),
                "stringData": {"host": text("host"), "client.pub": text("client.pub")},
            }),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("sshd"),
                "data": {
                    "passwd": "root:x:0:0:root:/:/usr/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n",
                    "group": "root:x:0:\nnogroup:x:65534:\n",
                },
            }),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": metadata("sshd"),
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "sshd", "image": image,
                        "command": ["/usr/bin/sh", "-c", format!("{script} -p {PORT}")],
                        "env": [{"name": "LD_LIBRARY_PATH", "value": own_libraries}],
                        "volumeMounts": [
                            {"name": "usr", "mountPath": "/usr", "readOnly": true},
                            {"name": "lib", "mountPath": "/lib", "readOnly": true},
                            {"name": "lib64", "mountPath": "/lib64", "readOnly": true},
                            {"name": "server", "mountPath": "/server", "readOnly": true},
                            {"name": "etc", "mountPath": "/etc/passwd", "subPath": "passwd"},
                            {"name": "etc", "mountPath": "/etc/group", "subPath": "group"},
                            {"name": "keys", "mountPath": "/keys"},
                            {"name": "run", "mountPath": "/run/sshd"},
                        ],
                        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                    }],
                    "volumes": [
                        {"name": "usr", "hostPath": folder("/usr")},
                        {"name": "lib", "hostPath": folder("/lib")},
                        {"name": "lib64", "hostPath": folder("/lib64")},
                        {"name": "server", "hostPath": folder(&programs)},
                        {"name": "etc", "configMap": {"name": "sshd"}},
                        {"name": "keys", "secret": {"secretName": "sshd", "defaultMode": 0o400}},
                        {"name": "run", "emptyDir": {}},
                    ],
                },
            }),
        ]);
        Self { keys }
    }

    /// What `ssh` is told to be a SOCKS proxy at `proxy`, by a port of this machine; it says `ready` once it is.
    pub(super) fn args(&self, port: &str, proxy: &str) -> Vec<String> {
        let key = self.keys.path().join("client");
        let mut args = vec!["-N".to_owned(), "-F".into(), "/dev/null".into(), "-D".into(), proxy.into()];
        for option in [
            "PermitLocalCommand=yes",
            "LocalCommand=echo ready",
            "ExitOnForwardFailure=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "LogLevel=ERROR",
        ] {
            args.extend(["-o".into(), option.into()]);
        }
        args.extend([
            "-i".into(),
            key.display().to_string(),
            "-p".into(),
            port.into(),
            "root@127.0.0.1".into(),
        ]);
        args
    }
}

/// Where the server's own libraries are in its pod, beside those of the machine.
fn libraries(programs: &str) -> String {
    let folders = fs::read_dir(format!("{programs}/usr/lib")).into_iter().flatten().flatten();
    let folders = folders.map(|folder| format!("/server/usr/lib/{}", folder.file_name().to_string_lossy()));
    folders.collect::<Vec<_>>().join(":")
}
