//! What an app does when it is in a pod: it is told everything on its command line, looks names up by itself,
//! prints what it has answered and serves on for a while when it is told to end.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use canary_localmesh::app::Access;
use canary_localmesh::{Client, Protocol};
use serde_json::{Value, json};

/// How long the app may take to start or to end, in seconds.
const LIMIT_S: u64 = 20;

struct App {
    process: Child,
    address: SocketAddr,
}

impl App {
    async fn start(behaviour: Value) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let config = json!({
            "service": "web.shop",
            "version": "v1",
            "instance": "web-1",
            "listen": port.to_string(),
            "behaviour": behaviour,
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_canary-mesh-app"));
        command.arg("--config-json").arg(config.to_string()).stdout(Stdio::piped());
        let app = Self { process: command.spawn().expect("it starts"), address: port };
        let deadline = Instant::now() + Duration::from_secs(LIMIT_S);
        while app.get().await.is_none() {
            assert!(Instant::now() < deadline, "it does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        app
    }

    /// On a connection of its own: the status.
    async fn get(&self) -> Option<u16> {
        let client = Client::new(self.address, Protocol::Http1);
        client.get("web.shop", "/a?b=c", &[("x-canary-lane", "gray")]).await.ok().map(|r| r.status.as_u16())
    }

    fn tell_to_end(&self) {
        let killed = Command::new("kill").arg(self.process.id().to_string()).status();
        assert!(killed.expect("kill").success());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn it_prints_what_it_has_answered() {
    let mut app = App::start(json!({"accessLog": ["x-canary-lane", "baggage"]})).await;
    let mut lines = BufReader::new(app.process.stdout.take().expect("a pipe")).lines();
    let line = lines.next().expect("a line").expect("text");
    let access: Access = serde_json::from_str(&line).expect("JSON");
    let headers = [("x-canary-lane".to_owned(), "gray".to_owned())].into();
    let wanted = Access {
        service: "web.shop".into(),
        version: "v1".into(),
        instance: "web-1".into(),
        target: "/a?b=c".into(),
        headers,
        status: 200,
    };
    assert_eq!(access, wanted);
}

#[tokio::test]
async fn it_serves_on_for_as_long_as_it_was_told() {
    let mut app = App::start(json!({"drainMs": 1500})).await;
    app.tell_to_end();
    let told = Instant::now();
    while told.elapsed() < Duration::from_millis(1000) {
        assert_eq!(app.get().await, Some(200), "after {:?}", told.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let deadline = Instant::now() + Duration::from_secs(LIMIT_S);
    let status = loop {
        if let Some(status) = app.process.try_wait().expect("a child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn it_looks_up_whom_it_calls() {
    // No such name: what comes of it says that it was looked up, and where.
    let app = App::start(json!({"calls": ["cart.shop"]})).await;
    let client = Client::new(app.address, Protocol::Http1);
    let reply = client.get("web.shop", "/", &[] as &[(&str, &str)]).await.expect("an answer");
    let tree: canary_localmesh::Tree = serde_json::from_slice(&reply.body).expect("a tree");
    assert_eq!(tree.calls[0].error.as_deref(), Some("no response from the host"));
}
