//! `canaryctl run`: programs of this machine that know of no proxy, in the cluster's network.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use canary_localmesh::Tree;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::cluster::Ran;
use crate::shop::{GRAY_SERVICES, Shop};

/// A program in the shop's namespace.
fn run(shop: &Shop, more: &[&str], program: &[&str]) -> Ran {
    let args = [&["run", "-n", shop.namespace()], more, &["--"], program].concat();
    shop.cluster().canaryctl(&args)
}

fn shell(shop: &Shop, more: &[&str], script: &str) -> Ran {
    run(shop, more, &["sh", "-c", script])
}

/// Services by their names and address under STRICT mutual TLS, a pod by its address, by programs that are linked with
/// the system's resolver and by one that is not.
pub(crate) async fn reach(shop: &Shop) {
    shop.installed();
    let namespace = shop.namespace();
    let service = shop.cluster().get(&["-n", namespace, "svc", "stock"]);
    let address = service["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    let hosts = [
        "stock".to_owned(),
        format!("stock.{namespace}"),
        format!("stock.{namespace}.svc.cluster.local"),
        address,
    ];
    let curl =
        hosts.iter().map(|host| format!("curl -sS --fail-with-body --max-time 20 http://{host}/ && echo"));
    // kubectl is linked statically, by Go.
    let go = hosts
        .iter()
        .map(|host| format!("kubectl --kubeconfig /dev/null -s http://{host} get --raw / && echo"));
    let script = curl.chain(go).collect::<Vec<_>>().join(" && ");
    let answers = shell(shop, &[], &script).ok().stdout;
    let trees: Vec<Tree> =
        answers.lines().map(|line| serde_json::from_str(line).expect("the service's answer")).collect();
    assert_eq!(trees.len(), 2 * hosts.len(), "{answers}");
    assert!(trees.iter().all(|tree| tree.service == format!("stock.{namespace}")), "{answers}");

    let pods = shop.cluster().get(&["-n", "istio-system", "pods", "-l", "app=istiod"]);
    let pod = pods["items"][0]["status"]["podIP"].as_str().expect("an address");
    let range = format!("{pod}/32");
    let version =
        run(shop, &["--cluster-range", &range], &["curl", "-sS", &format!("http://{pod}:15014/version")]);
    assert!(!version.ok().stdout.is_empty());

    let nowhere = run(shop, &[], &["curl", "-sS", &format!("http://nowhere.{namespace}.svc/")]);
    assert!(nowhere.code == 6 && nowhere.stderr.contains("Could not resolve"), "{nowhere}");
}

/// What is not the cluster's is reached as without canaryctl, this machine's loopback by a name; and who refuses a
/// connection is seen to refuse it.
pub(crate) async fn machine(shop: &Shop) {
    shop.installed();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let mut connection = tokio::io::BufReader::new(connection);
            // What is closed with a request unread is reset.
            let mut line = String::new();
            while connection.read_line(&mut line).await.is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = connection.write_all(b"HTTP/1.0 200 OK\r\n\r\nthe machine's own\n").await;
        }
    });
    let own = format!("http://host.canaryctl.internal:{port}/");
    let answer = tokio::task::block_in_place(|| run(shop, &[], &["curl", "-sS", &own])).ok();
    assert_eq!(answer.stdout, "the machine's own\n");
    serving.abort();
    let _ = serving.await;
    let refused = run(shop, &[], &["curl", "-sS", &own]);
    assert!(refused.code == 7, "{refused}");
}

/// A service that is run is reached from this machine by a port that is published, though it listens on its loopback alone.
pub(crate) async fn published(shop: &Shop) {
    shop.installed();
    let free =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let config = tempfile::NamedTempFile::new().expect("a file");
    let says = json!({
        "service": "own.here", "version": "laptop", "listen": "127.0.0.1:8080",
        "behaviour": {"calls": [], "forward": []},
    });
    std::fs::write(config.path(), says.to_string()).expect("written");
    let publish = format!("{free}:8080");
    let config = config.path().to_str().expect("a path");
    let mut command = shop.cluster().command("canaryctl");
    command.args(["run", "-n", shop.namespace(), "--publish", &publish, "--"]);
    let mut service = command.args(["canaryctl", "demo-app", "--config", config]).spawn().expect("it starts");
    let url = format!("http://127.0.0.1:{free}/");
    let answer = shop.cluster().until("the service answers", Duration::from_secs(90), || {
        let ran = shop.cluster().run("curl", &["-sS", "--max-time", "5", &url], None);
        (ran.code == 0).then_some(ran.stdout)
    });
    let tree: Tree = serde_json::from_str(&answer).expect("the service's answer");
    assert_eq!((tree.service.as_str(), tree.version.as_str()), ("own.here", "laptop"));
    shop.cluster().run("kill", &["-TERM", &service.id().to_string()], None).ok();
    service.wait().expect("it ends");
}

/// What a program has written arrives whole, although it has ended and the other end takes it slowly and has nothing to say.
pub(crate) async fn written(shop: &Shop) {
    const BYTES: usize = 16 << 20;
    shop.installed();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let reading = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        connection.shutdown().await.expect("told");
        let (mut count, mut buffer) = (0, vec![0; 64 << 10]);
        loop {
            match connection.read(&mut buffer).await.expect("bytes") {
                0 => break count,
                read => count += read,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let script =
        format!("exec 3<>/dev/tcp/host.canaryctl.internal/{port}; cat <&3; head -c {BYTES} /dev/zero >&3");
    tokio::task::block_in_place(|| run(shop, &[], &["bash", "-c", &script])).ok();
    assert_eq!(reading.await.expect("it reads"), BYTES);
}

/// Every flow of the program's is in the lane that is named.
pub(crate) async fn in_a_lane(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    let answer = run(shop, &["--lane", "gray"], &["curl", "-sS", "http://web/"]).ok().stdout;
    let tree: Tree = serde_json::from_str(&answer).expect("the service's answer");
    let versions = tree.walk().map(|part| part.version.clone()).collect::<Vec<_>>().join(" ");
    assert_eq!(versions, "gray v1 gray gray");
    shop.cluster().canaryctl_beside(&["disable", "gray"]).await.ok();
    shop.remove("gray");
}

/// A program is run as if it were run directly: its input, its end, its signals, its user; and none is left behind.
pub(crate) async fn as_directly(shop: &Shop) {
    shop.installed();
    assert_eq!(shell(shop, &[], "exit 42").code, 42);
    assert_eq!(shell(shop, &[], "kill -KILL $$").code, 128 + 9);
    let none = run(shop, &[], &["/no/such/program"]);
    assert!(none.code == 127 && none.stderr.contains("cannot run /no/such/program"), "{none}");

    let mut cat = started(shop, &["cat"]);
    cat.stdin.take().expect("a pipe").write_all(b"what is typed\n").expect("written");
    let mut echoed = String::new();
    Read::read_to_string(&mut cat.stdout.take().expect("a pipe"), &mut echoed).expect("read");
    assert_eq!((echoed.as_str(), cat.wait().expect("it ends").code()), ("what is typed\n", Some(0)));

    // It is asked to end, and ends as it likes.
    let mut polite =
        started(shop, &["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"]);
    said(&mut polite);
    shop.cluster().run("kill", &["-TERM", &polite.id().to_string()], None).ok();
    assert_eq!(polite.wait().expect("it ends").code(), Some(7));

    // It goes with us.
    let mut lost = started(shop, &["sh", "-c", "echo $$; while :; do sleep 0.1; done"]);
    let program = said(&mut lost);
    lost.kill().expect("killed");
    lost.wait().expect("it ends");
    let place = format!("/proc/{program}");
    shop.cluster().until("the program is gone", Duration::from_secs(5), || {
        (!std::path::Path::new(&place).exists()).then_some(())
    });
    shop.kubectl(&["delete", "jobs", "-l", "app.kubernetes.io/managed-by=canaryctl", "--wait=false"]).ok();
}

/// A workload's environment is handed on; of Secrets only where that is said.
pub(crate) async fn with_environment(shop: &Shop) {
    shop.installed();
    let namespace = shop.namespace();
    let metadata = |name: &str| json!({"name": name, "namespace": namespace});
    let from = |kind: &str, name: &str, key: &str| json!({(kind): {"name": name, "key": key}});
    shop.cluster().apply(&[
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata("looks"), "data": {"colour": "gray"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata("api"), "stringData": {"token": "s3cr3t"}}),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("dressed"),
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"app": "dressed"}},
                "template": {
                    "metadata": {"labels": {"app": "dressed"}},
                    "spec": {"volumes": [
                        {"name": "looks", "configMap": {"name": "looks"}}, {"name": "api", "secret": {"secretName": "api"}},
                    ], "containers": [{
                        "name": "app", "image": "none",
                        "volumeMounts": [
                            {"name": "looks", "mountPath": "/etc/app"}, {"name": "api", "mountPath": "/run/api"},
                        ],
                        "env": [
                            {"name": "COLOUR", "valueFrom": from("configMapKeyRef", "looks", "colour")},
                            {"name": "SHADE", "value": "dark $(COLOUR)"},
                            {"name": "TOKEN", "valueFrom": from("secretKeyRef", "api", "token")},
                            {"name": "PATH", "value": "/nowhere"},
                        ],
                    }]},
                },
            },
        }),
    ]);
    let script = "echo $SHADE/$TOKEN";
    let plain = shell(shop, &["--env-of", "dressed"], script).ok();
    assert_eq!(plain.stdout, "dark gray/\n");
    assert!(plain.stderr.contains("without TOKEN: --with-secrets"), "{plain}");
    let secret = shell(shop, &["--env-of", "deploy/dressed", "--with-secrets"], script).ok();
    assert_eq!(secret.stdout, "dark gray/s3cr3t\n");

    let written = shop.cluster().canaryctl(&["-n", namespace, "dev", "env", "dressed"]).ok();
    assert_eq!(written.stdout, "COLOUR=gray\nSHADE='dark gray'\nPATH=/nowhere\n");
    let folder = tempfile::tempdir().expect("a folder");
    let files =
        ["-n", namespace, "dev", "env", "dressed", "--files", folder.path().to_str().expect("a path")];
    let file = |path: &str| std::fs::read_to_string(folder.path().join(path)).ok();
    let plain = shop.cluster().canaryctl(&files).ok();
    assert!(plain.stderr.contains("without /run/api: --with-secrets"), "{plain}");
    assert_eq!((file("etc/app/colour").as_deref(), file("run/api/token")), (Some("gray"), None));
    shop.cluster().canaryctl(&[&files[..], &["--with-secrets"]].concat()).ok();
    assert_eq!(file("run/api/token").as_deref(), Some("s3cr3t"));
    let none = shop.cluster().canaryctl(&["-n", namespace, "dev", "env", "nobody"]);
    assert!(none.code == 1 && none.stderr.contains(&format!("no Deployment {namespace}/nobody")), "{none}");
    shop.kubectl(&["delete", "deployment/dressed", "configmap/looks", "secret/api"]).ok();
}

/// Nobody need be root: the user has no right on this machine but to open the device, as most systems have it.
pub(crate) async fn without_root(shop: &Shop) {
    shop.installed();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let (device, config) = (path("tun"), path("kubeconfig"));
    let view = shop.cluster().kubectl(&["config", "view", "--raw", "--flatten"]).ok().stdout;
    std::fs::write(&config, view).expect("written");
    let script = format!(
        "mknod -m 666 {device} c 10 200 && mount --bind {device} /dev/net/tun && chmod 755 {folder} && \
         chmod 644 {config} && cp $(command -v canaryctl) {folder}/canaryctl && \
         exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all env KUBECONFIG={config} HOME=/ \
         {folder}/canaryctl run -n {namespace} -- sh -c 'id -u && curl -sS http://stock/'",
        folder = folder.path().display(),
        namespace = shop.namespace(),
    );
    let ran = shop.cluster().run("unshare", &["--mount", "sh", "-c", &script], None).ok();
    let (user, answer) = ran.stdout.split_once('\n').expect("two lines");
    assert_eq!(user, "65534");
    let tree: Tree = serde_json::from_str(answer).expect("the service's answer");
    assert_eq!(tree.service, format!("stock.{}", shop.namespace()));
}

fn started(shop: &Shop, program: &[&str]) -> Child {
    let mut command: Command = shop.cluster().command("canaryctl");
    command.args(["run", "-n", shop.namespace(), "--"]).args(program);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts")
}

/// The first line that a program says.
fn said(program: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(program.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    line.trim().to_owned()
}
