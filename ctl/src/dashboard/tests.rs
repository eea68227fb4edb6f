//! The server as browsers, and those who must not, speak to it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::picture::About;
use super::{Action, Dashboard, FlowRequest, Picture, Source};
use crate::failure::{Code, Failure};
use crate::releases::Turn;

/// A source that hands on what it is asked for, and refuses one lane.
struct Known {
    pictures: watch::Receiver<Arc<Picture>>,
    asked: mpsc::UnboundedSender<Action>,
}

impl Source for Known {
    fn pictures(&self) -> watch::Receiver<Arc<Picture>> {
        self.pictures.clone()
    }

    fn act(&self, action: Action) -> BoxFuture<'_, Result<String, Failure>> {
        let refused = matches!(&action, Action::Lane { name, .. } if name == "locked");
        self.asked.send(action).expect("the test listens");
        let done = match refused {
            true => Err(Failure::new(Code::Conflict, "bob has it").help("ask bob")),
            false => Ok("done".to_owned()),
        };
        async move { done }.boxed()
    }
}

/// A served page, and whoever speaks to it.
struct Served {
    address: String,
    token: String,
    /// What everything but the first answer is below.
    place: String,
    shown: watch::Sender<Arc<Picture>>,
    asked: mpsc::UnboundedReceiver<Action>,
}

impl Served {
    async fn new(read_only: bool) -> Self {
        let dashboard = Dashboard::bind(0).await.expect("a free port");
        let url = dashboard.url();
        let (address, token) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once("/?token="))
            .expect("an address with a token");
        let (shown, pictures) = watch::channel(Arc::new(Picture::default()));
        let (sender, asked) = mpsc::unbounded_channel();
        let source = Arc::new(Known { pictures, asked: sender });
        tokio::spawn(dashboard.serve(source, read_only));
        let mut served =
            Self { address: address.into(), token: token.into(), place: String::new(), shown, asked };
        let welcome = served.get(&format!("/?token={token}"), &[]).await;
        let cookie = welcome.headers()["set-cookie"].to_str().expect("text");
        let (_, path) = cookie.split_once("; Path=").expect("a path");
        served.place = path.split_once("/;").expect("a path with an end").0.to_owned();
        served
    }

    fn cookie(&self) -> String {
        let port = self.address.rsplit(':').next().expect("a port");
        format!("canaryctl-{port}={}", self.token)
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request with these headers; `host` is ours unless given.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(&self.address).await.expect("it listens");
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("HTTP");
        tokio::spawn(connection);
        let place = if path.starts_with("/?token=") { "" } else { &self.place };
        let mut request = Request::builder().method(method).uri(format!("{place}{path}"));
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", &self.address);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        sender.send_request(request).await.expect("an answer")
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<hyper::body::Incoming> {
        self.send(Method::GET, path, headers, "").await
    }

    /// Asks for something as the page does, with other headers where given.
    async fn post(&self, path: &str, body: &Value, other: &[(&str, &str)]) -> (StatusCode, Value) {
        let (cookie, origin) = (self.cookie(), self.origin());
        let mut headers = vec![
            ("cookie", cookie.as_str()),
            ("origin", origin.as_str()),
            ("content-type", "application/json"),
        ];
        headers.retain(|(name, _)| !other.iter().any(|(replaced, _)| replaced == name));
        headers.extend(other.iter().filter(|(_, value)| !value.is_empty()));
        let answer = self.send(Method::POST, path, &headers, &body.to_string()).await;
        let status = answer.status();
        (status, serde_json::from_slice(&bytes(answer).await).unwrap_or_default())
    }
}

async fn bytes(answer: Response<hyper::body::Incoming>) -> Vec<u8> {
    answer.into_body().collect().await.expect("a body").to_bytes().to_vec()
}

const FILES: [&str; 3] = ["/", "/page/app.js", "/api/events"];

#[tokio::test]
async fn nothing_is_shown_without_the_runs_token() {
    let served = Served::new(false).await;
    for path in FILES {
        for cookie in ["", "canaryctl=x", &served.cookie().to_uppercase(), &format!("{}0", served.cookie())] {
            let answer = served.get(path, &[("cookie", cookie)]).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {cookie}");
        }
    }
    assert_eq!(served.get("/?token=0", &[]).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(served.get("/page/app.js", &[("cookie", &served.cookie())]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use() {
    let served = Served::new(false).await;
    let answer = served.get(&format!("/?token={}", served.token), &[]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let place = &served.place;
    assert_eq!(cookie, format!("{}; Path={place}/; HttpOnly; SameSite=Strict", served.cookie()));
    let page = String::from_utf8(bytes(answer).await).expect("text");
    assert!(page.contains(&format!("url={place}/\"")), "{page}");
    assert!(!page.contains(&served.token), "the token stays out of pages: {page}");
}

#[tokio::test]
async fn each_run_has_a_token_of_its_own() {
    let (one, other) = (Served::new(false).await, Served::new(false).await);
    assert_ne!(one.token, other.token);
    assert_eq!(one.token.len(), 64);
    assert_ne!(one.place, other.place, "what else this machine serves is sent no cookie of ours");
    assert_eq!(one.place.len(), "/".len() + 32);
}

#[tokio::test]
async fn a_name_that_leads_here_is_no_host_of_ours() {
    let served = Served::new(false).await;
    let cookie = served.cookie();
    for host in ["evil.example", "evil.example:80", "localhost.evil.example"] {
        for path in [FILES[0], FILES[1], FILES[2], &format!("/?token={}", served.token)] {
            let answer = served.get(path, &[("host", host), ("cookie", &cookie)]).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{host} {path}");
            assert!(answer.headers().get("set-cookie").is_none());
        }
    }
    let forwarded = served.get("/", &[("host", "localhost:9000"), ("cookie", &cookie)]).await;
    assert_eq!(forwarded.status(), StatusCode::OK, "a forwarded port");
}

#[tokio::test]
async fn only_the_page_itself_may_ask_for_changes() {
    let mut served = Served::new(false).await;
    let path = "/api/lanes/gray/off";
    for origin in ["", "null", "http://evil.example", "http://127.0.0.1", "https://localhost"] {
        let (status, _) = served.post(path, &json!({}), &[("origin", origin)]).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{origin:?}");
    }
    let (status, _) = served.post(path, &json!({}), &[("cookie", "")]).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "without the cookie");
    served.asked.try_recv().expect_err("nothing was asked for");
    let (status, told) = served.post(path, &json!({}), &[]).await;
    assert_eq!((status, told), (StatusCode::OK, json!({"said": "done"})));
    let wanted = Action::Lane { name: "gray".into(), on: false };
    assert_eq!(served.asked.try_recv().expect("it was asked for"), wanted);
}

#[tokio::test]
async fn every_answer_forbids_foreign_content_and_readers() {
    let served = Served::new(false).await;
    let cookie = served.cookie();
    let cases = [
        ("/", "", StatusCode::FORBIDDEN),
        ("/", &cookie, StatusCode::OK),
        ("/no", &cookie, StatusCode::NOT_FOUND),
    ];
    for (path, cookie, status) in cases {
        let answer = served.get(path, &[("cookie", cookie), ("origin", "http://evil.example")]).await;
        assert_eq!(answer.status(), status);
        let said =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let policy = said("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe-inline"), "{policy}");
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(said("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(said("cross-origin-resource-policy").as_deref(), Some("same-origin"));
        assert_eq!(said("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn the_page_asks_for_nothing_inline_and_nothing_from_elsewhere() {
    let served = Served::new(false).await;
    let html =
        String::from_utf8(bytes(served.get("/", &[("cookie", &served.cookie())]).await).await).expect("text");
    for part in ["<style", "style=", "onclick", "//cdn", "https://"] {
        assert!(!html.contains(part), "{part}");
    }
    // Every file that it names is there, and every module that those name.
    let has_playground = super::page::has_playground();
    let mut open: Vec<String> = vec![html];
    let mut found = std::collections::BTreeSet::new();
    while let Some(text) = open.pop() {
        let names =
            text.split(['"', '\'']).filter_map(|word| word.strip_prefix("page/").or(word.strip_prefix("./")));
        for name in names.filter(|name| !name.is_empty()) {
            if found.insert(name.to_owned()) {
                let answer = served.get(&format!("/page/{name}"), &[("cookie", &served.cookie())]).await;
                let is_built_in = has_playground || !name.starts_with("rules");
                let wanted = if is_built_in { StatusCode::OK } else { StatusCode::NOT_FOUND };
                assert_eq!(answer.status(), wanted, "{name}");
                // What a tool made names things that are no files.
                if !name.starts_with("rules") {
                    open.push(String::from_utf8(bytes(answer).await).unwrap_or_default());
                }
            }
        }
    }
    assert!(found.len() >= 8, "{found:?}");
}

#[tokio::test]
async fn a_page_that_only_shows_refuses_every_change_and_says_why() {
    let mut served = Served::new(true).await;
    let changes = [
        ("/api/lanes/gray/on", json!({})),
        ("/api/lanes/gray/watch", json!({})),
        ("/api/flows", json!({"path": "/"})),
        ("/api/releases/r-7/abort", json!({"step": 0})),
    ];
    for (path, body) in &changes {
        let (status, told) = served.post(path, body, &[]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(told["error"].as_str().is_some_and(|error| error.contains("--read-only")), "{told}");
    }
    served.asked.try_recv().expect_err("nothing was asked for");
}

#[tokio::test]
async fn what_is_asked_for_arrives_and_what_is_refused_is_said() {
    let mut served = Served::new(false).await;
    let body = json!({"path": "/cart", "headers": [["cookie", "gray=1"]]});
    served.post("/api/flows", &body, &[]).await;
    let wanted = FlowRequest { path: "/cart".into(), headers: vec![("cookie".into(), "gray=1".into())] };
    assert_eq!(served.asked.try_recv().expect("it was asked for"), Action::Flow(wanted));
    served.post("/api/releases/r-7/promote", &json!({"step": 2}), &[]).await;
    let wanted = Action::Release { name: "r-7".into(), turn: Turn::Promote { full: false }, step: Some(2) };
    assert_eq!(served.asked.try_recv().expect("it was asked for"), wanted);
    for (turn, on) in [("watch", true), ("unwatch", false)] {
        served.post(&format!("/api/lanes/gray/{turn}"), &json!({}), &[]).await;
        let wanted = Action::Watch { lane: "gray".into(), on };
        assert_eq!(served.asked.try_recv().expect("it was asked for"), wanted);
    }
    let told = served.post("/api/lanes/locked/on", &json!({}), &[]).await;
    assert_eq!(told, (StatusCode::CONFLICT, json!({"error": "bob has it", "help": "ask bob"})));
    let (status, _) = served.post("/api/flows", &json!({"path": "/", "more": 1}), &[]).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = served.post("/api/flows", &json!({"path": "x".repeat(32 * 1024)}), &[]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = served.post("/api/lanes/gray/maybe", &json!({}), &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn lanes_are_read_for_the_playground_also_where_nothing_may_be_changed() {
    let served = Served::new(true).await;
    let (cookie, origin) = (served.cookie(), served.origin());
    let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
    let read = async |text: &str| {
        let answer = served.send(Method::POST, "/api/documents", &headers, text).await;
        serde_json::from_slice::<Value>(&bytes(answer).await).expect("JSON")
    };
    let lanes = "apiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {name: gray}\nspec: {rules: [{percent: 5}]}\n";
    let told = read(lanes).await;
    let config = told["config"].as_str().expect("a configuration");
    let config = canary_rules::wire::FilterConfig::parse(config.as_bytes()).expect("one that is read");
    assert_eq!(config.lanes[0].name.as_str(), "gray");
    let told = read(&lanes.replace("percent", "precent")).await;
    assert_eq!((&told["faults"][0]["line"], &told["faults"][0]["column"]), (&json!(4), &json!(17)), "{told}");
}

/// Reads events until `count` of them came: name and data.
async fn events(body: &mut hyper::body::Incoming, count: usize) -> Vec<(String, Value)> {
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let frame = body.frame().await.expect("more").expect("sound");
        text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("text"));
    }
    let field = |event: &str, name: &str| {
        event.lines().find_map(|line| line.strip_prefix(name)).expect("a field").trim().to_owned()
    };
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events
        .map(|event| (field(event, "event:"), serde_json::from_str(&field(event, "data:")).expect("JSON")))
        .collect()
}

#[tokio::test]
async fn a_page_is_told_everything_once_and_then_what_changes() {
    let served = Served::new(true).await;
    let answer = served.get("/api/events", &[("cookie", &served.cookie())]).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let first = events(&mut body, 9).await;
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    let parts = ["server", "about", "lanes", "releases", "takeovers", "graph", "traffic", "flows", "watch"];
    assert_eq!(names, parts);
    assert_eq!(first[0].1, json!({"read_only": true, "playground": super::page::has_playground()}));
    let about = About { title: "elsewhere".into(), ..About::default() };
    served.shown.send_replace(Arc::new(Picture { about: about.clone(), ..Picture::default() }));
    let then = events(&mut body, 1).await;
    assert_eq!((then.len(), then[0].0.as_str(), &then[0].1["title"]), (1, "about", &json!("elsewhere")));
    served.shown.send_replace(Arc::new(Picture { about, flows: vec![json!(1)], ..Picture::default() }));
    assert_eq!(events(&mut body, 1).await, [("flows".to_owned(), json!([1]))], "only what changed");
}

#[tokio::test]
async fn more_pages_than_there_is_room_for_are_refused_until_one_goes() {
    let served = Served::new(false).await;
    let cookie = served.cookie();
    let mut open = Vec::new();
    for _ in 0..super::server::PAGES_MAX {
        let answer = served.get("/api/events", &[("cookie", &cookie)]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        open.push(answer);
    }
    assert_eq!(
        served.get("/api/events", &[("cookie", &cookie)]).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn a_taken_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let Err(failure) = Dashboard::bind(port).await else { panic!("the port is taken") };
    assert!(failure.to_string().contains(&port.to_string()), "{failure}");
    assert!(failure.advice().is_some_and(|advice| advice.contains("port 0")));
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let dashboard = Dashboard::bind(0).await.expect("a free port");
    assert!(dashboard.url().starts_with("http://127.0.0.1:"), "{}", dashboard.url());
}
