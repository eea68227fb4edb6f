//! What a real Prometheus answers to a release's questions.
//!
//! Needs the folder of `prometheus` and `promtool` (`CANARY_PROMETHEUS`); `cargo xtask test` gives it. The samples in
//! `prometheus/envoy.txt` are an Envoy's own, with the tags that Istio gives its proxies: five scrapes, a blank line
//! after each. Before the first 20 baseline requests succeeded and one failed, and as many before each of the
//! others; 10 of the lane succeeded before each but the first, and two failed before the fourth.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use canary_release::{About, Measured, Question, Questions, Release, Side, World, questions};
use canaryctl::prometheus::Prometheus;
use serde_json::{Value, json};

/// Time between scrapes, in seconds, and the moment of the last one.
const SCRAPED_EVERY_S: i64 = 15;
const NOW: i64 = 1_790_000_000;
/// As long back as the first scrape.
const WINDOW_S: i64 = 4 * SCRAPED_EVERY_S;
/// How long a Prometheus may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A Prometheus that knows some samples; ends when dropped.
struct Server {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("CANARY_PROMETHEUS")
        .unwrap_or_else(|| panic!("CANARY_PROMETHEUS is not set: run `cargo xtask test unit`"));
    Path::new(&folder).join(name)
}

impl Server {
    /// With these samples, as OpenMetrics has them.
    async fn with(samples: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("samples"), samples).expect("written");
        std::fs::write(file("config.yml"), "{}").expect("written");
        let written = Command::new(program("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([file("samples"), file("data")])
            .output()
            .expect("promtool runs");
        assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").port()
        };
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file("config.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .stdout(Stdio::null())
            .spawn()
            .expect("prometheus runs");
        let server = Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder };
        let deadline = Instant::now() + READY_WITHIN;
        while server.ask(&[("1", About::Own(0))]).await.answers.is_err() {
            assert!(Instant::now() < deadline, "prometheus does not get ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    async fn ask(&self, queries: &[(&str, About)]) -> Measured {
        let question = |(query, about): &(&str, About)| Question { about: *about, query: (*query).into() };
        let list = queries.iter().map(question).collect();
        ask(&Questions { url: self.url.clone(), at: NOW, step: 0, list }).await
    }

    async fn error(&self, query: &str) -> String {
        self.ask(&[(query, About::Own(0))]).await.answers.expect_err("no answer")
    }
}

async fn ask(questions: &Questions) -> Measured {
    Prometheus::new().expect("a client").ask(questions).await
}

/// What is asked about a release of shop/cart that has been at its step for as long as the window.
fn asked(server: &Server, metrics: &str) -> Questions {
    let release: Release = serde_json::from_value(json!({
        "apiVersion": "", "kind": "", "metadata": {"name": "r"},
        "spec": {
            "workloads": [{"deployment": "shop/cart", "images": {"app": "cart:2"}}],
            "analysis": {
                "prometheus": {"url": server.url}, "metrics": metrics, "successRate": {"maxDrop": 1},
                "latency": {"quantile": 0.5, "maxRise": 10}, "windowSeconds": WINDOW_S,
            },
        },
        "status": {"phase": "Stepping", "heldSince": NOW - 1000},
    }))
    .expect("a release");
    let members = json!([{"service": "shop/cart", "workload": "cart-r", "pods": 1}]);
    let lane: Value = json!({"status": {"members": members}});
    let world = World { lanes: [("r".into(), lane)].into(), ..World::default() };
    questions(&release, &world, NOW).expect("it is time")
}

#[track_caller]
fn check(answers: &BTreeMap<About, f64>, about: About, want: f64) {
    let got = answers.get(&about).copied();
    assert!(got.is_some_and(|got| (got - want).abs() < 0.01), "{about:?} is {got:?}, not {want}");
}

/// The scrapes of a recording, with the times that they are taken to have been at.
fn scrapes(recording: &str) -> String {
    let scrapes: Vec<&str> = recording.trim().split("\n\n").collect();
    let mut samples: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
    for (scrape, back) in scrapes.iter().zip((0..scrapes.len()).rev()) {
        let at = NOW - SCRAPED_EVERY_S * i64::try_from(back).expect("a few");
        for line in scrape.lines() {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            samples.entry(series).or_default().push((at, value));
        }
    }
    let mut text = String::new();
    for (series, values) in samples {
        for (at, value) in values {
            writeln!(text, "{series} {value} {at}").expect("a String takes all");
        }
    }
    text + "# EOF\n"
}

#[tokio::test]
async fn envoys_own_counts_tell_the_lane_from_the_baseline() {
    let server = Server::with(&scrapes(include_str!("prometheus/envoy.txt"))).await;
    let answers = ask(&asked(&server, "envoy")).await.answers.expect("numbers");
    check(&answers, About::Requests(0, Side::Lane), 42.0);
    // Counters that were born with the failures that they count.
    check(&answers, About::Failures(0, Side::Lane), 2.0);
    check(&answers, About::Requests(0, Side::Base), 84.0);
    check(&answers, About::Failures(0, Side::Base), 4.0);
    // The lane's application takes 20 ms, the baseline's 4.
    let latency = |side| answers[&About::Latency(0, side)];
    assert!((10.0..50.0).contains(&latency(Side::Lane)), "{answers:?}");
    assert!((1.0..10.0).contains(&latency(Side::Base)), "{answers:?}");
}

/// Counters of Istio's standard metrics, with the labels that its documentation gives them.
fn istio() -> String {
    let requests = |reporter: &str, workload: &str, namespace: &str, code: &str, grpc: &str| {
        format!(
            "istio_requests_total{{reporter=\"{reporter}\",source_workload=\"web\",\
             destination_workload=\"{workload}\",destination_workload_namespace=\"{namespace}\",\
             destination_version=\"v1\",destination_service=\"cart.shop.svc.cluster.local\",request_protocol=\"http\",\
             response_code=\"{code}\",grpc_response_status=\"{grpc}\"}}"
        )
    };
    let bucket = |workload: &str, le: &str| {
        format!(
            "istio_request_duration_milliseconds_bucket{{reporter=\"destination\",destination_workload=\"{workload}\",\
             destination_workload_namespace=\"shop\",le=\"{le}\"}}"
        )
    };
    // By how much each grows between two scrapes.
    let counters = [
        (requests("destination", "cart", "shop", "200", ""), 100),
        (requests("destination", "cart", "shop", "503", ""), 1),
        (requests("source", "cart", "shop", "200", ""), 7000),
        (requests("destination", "cart", "other", "500", ""), 7000),
        (requests("destination", "cart-r", "shop", "200", "0"), 10),
        (requests("destination", "cart-r", "shop", "404", ""), 1),
        (requests("destination", "cart-r", "shop", "500", ""), 1),
        (requests("destination", "cart-r", "shop", "200", "14"), 2),
        (requests("destination", "cart-r", "shop", "200", "5"), 1),
        (bucket("cart", "5"), 0),
        (bucket("cart", "10"), 101),
        (bucket("cart", "+Inf"), 101),
        (bucket("cart-r", "10"), 0),
        (bucket("cart-r", "20"), 15),
        (bucket("cart-r", "+Inf"), 15),
    ];
    let mut text = String::new();
    for (series, growth) in counters {
        for scrape in 0..=4 {
            let at = NOW - SCRAPED_EVERY_S * (4 - scrape);
            writeln!(text, "{series} {} {at}", 1000 + growth * scrape).expect("a String takes all");
        }
    }
    text + "# EOF\n"
}

#[tokio::test]
async fn istios_metrics_count_what_the_called_pods_report_grpc_failures_among_it() {
    let server = Server::with(&istio()).await;
    let answers = ask(&asked(&server, "istio")).await.answers.expect("numbers");
    check(&answers, About::Requests(0, Side::Base), 404.0);
    check(&answers, About::Failures(0, Side::Base), 4.0);
    check(&answers, About::Requests(0, Side::Lane), 60.0);
    check(&answers, About::Failures(0, Side::Lane), 12.0);
    check(&answers, About::Latency(0, Side::Base), 7.5);
    check(&answers, About::Latency(0, Side::Lane), 15.0);
}

#[tokio::test]
async fn what_is_no_number_is_none_and_what_cannot_be_answered_says_why() {
    let server = Server::with(&istio()).await;
    let queries = [
        ("sum(istio_requests_total{reporter=\"source\"})", About::Own(0)),
        ("scalar(vector(7))", About::Own(1)),
        ("sum(nothing_of_this_name)", About::Own(2)),
        ("histogram_quantile(0.95, sum by (le) (nothing_bucket))", About::Own(3)),
        ("vector(0) / vector(0)", About::Own(4)),
        ("vector(1) / vector(0)", About::Own(5)),
    ];
    let answers = server.ask(&queries).await.answers.expect("numbers");
    assert_eq!(answers, BTreeMap::from([(About::Own(0), 29_000.0), (About::Own(1), 7.0)]));
    let several = server.error("istio_requests_total").await;
    assert!(
        several.contains("gives 9 series instead of one number, sum them up: istio_requests"),
        "{several}"
    );
    let faulty = server.error("sum(").await;
    assert!(faulty.starts_with(&format!("{} answers 400: ", server.url)), "{faulty}");
    assert!(faulty.contains("unclosed left parenthesis") && faulty.ends_with(", to sum("), "{faulty}");
    let strange = server.error("istio_requests_total[1m]").await;
    assert!(strange.contains("what is not Prometheus's") || strange.contains("answers 4"), "{strange}");
}

#[tokio::test]
async fn a_prometheus_that_is_not_there_is_named() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let list = vec![Question { about: About::Own(0), query: "1".into() }];
    let url = format!("http://127.0.0.1:{port}");
    let measured = ask(&Questions { url: url.clone(), at: NOW, step: 3, list }).await;
    let why = measured.answers.expect_err("nobody answers");
    assert!(why.starts_with(&format!("{url} does not answer: ")) && why.contains("refused"), "{why}");
    assert_eq!((measured.at, measured.step), (NOW, 3));
}

/// As in a container that holds one program: this test, once more, without them.
#[test]
fn authorities_are_not_needed_for_http() {
    let test = std::env::current_exe().expect("this program");
    let ran = Command::new(test)
        .args(["--exact", "a_prometheus_that_is_not_there_is_named"])
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}
