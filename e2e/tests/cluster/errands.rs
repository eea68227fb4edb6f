//! A release whose steps run a Job and ask a webhook, and that tells others of what happens to it.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::jobs::image_with_shell;
use crate::manifests::NEXT_IMAGE;
use crate::measured::{start, until};
use crate::releases::{forget, is_over, release};
use crate::shop::Shop;

const NAME: &str = "asks";
/// The Secret with the addresses that are told of every release.
const TOLD: &str = "canaryctl-notify";
/// How long a step may take to be through, its pods' start among it.
const THROUGH_WITHIN: Duration = Duration::from_secs(90);

/// A server beside the cluster, and what it has got: keys and bodies.
struct Server {
    url: String,
    got: Got,
}

type Left = Arc<Mutex<VecDeque<(u16, &'static str)>>>;
type Got = Arc<Mutex<Vec<(String, Value)>>>;

impl Server {
    /// One that answers so, one after the other, and then 204.
    async fn answers(shop: &Shop, answers: &[(u16, &'static str)]) -> Self {
        let listener = TcpListener::bind((shop.cluster().node_address(), 0)).await.expect("a free port");
        let url = format!("http://{}/secret", listener.local_addr().expect("an address"));
        let got = Arc::default();
        let left = Arc::new(Mutex::new(VecDeque::from_iter(answers.iter().copied())));
        tokio::spawn(serve(listener, left, Arc::clone(&got)));
        Self { url, got }
    }

    fn got(&self) -> Vec<(String, Value)> {
        self.got.lock().expect("nobody panics with it").clone()
    }
}

async fn serve(listener: TcpListener, left: Left, got: Got) {
    while let Ok((stream, _)) = listener.accept().await {
        let (left, got) = (left.clone(), got.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let (left, got) = (left.clone(), got.clone());
            async move {
                let id = request.headers().get("idempotency-key").and_then(|id| id.to_str().ok());
                let id = id.unwrap_or_default().to_owned();
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let body = serde_json::from_slice(&body).expect("JSON");
                got.lock().expect("nobody panics with it").push((id, body));
                let next = left.lock().expect("nobody panics with it").pop_front();
                let (status, said) = next.unwrap_or((204, ""));
                let status = StatusCode::from_u16(status).expect("a status");
                let answer = Response::builder().status(status).body(Full::new(Bytes::from(said)));
                Ok::<_, Infallible>(answer.expect("an answer"))
            }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer),
        );
    }
}

/// A CronJob that never runs by itself, and whose Job ends as it is told to by its environment.
fn cron_job(shop: &Shop) -> Value {
    let script = r#"sleep 5; test "$CANARY_LANE/$CANARY_STEP/$CANARY_SHARE" = asks/2/0"#;
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "smoke", "namespace": shop.namespace()},
        "spec": {
            "schedule": "0 0 1 1 *", "suspend": true,
            "jobTemplate": {"spec": {
                "backoffLimit": 0,
                "template": {
                    "metadata": {"labels": {"sidecar.istio.io/inject": "false"}},
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [{
                            "name": "smoke", "image": image_with_shell(shop), "imagePullPolicy": "IfNotPresent",
                            "command": ["bash", "-c", script],
                        }],
                    },
                },
            }},
        },
    })
}

pub(crate) async fn asked(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&[cron_job(shop)]);
    let leave = Server::answers(shop, &[(503, ""), (403, r#"{"message": "not on a Friday"}"#)]).await;
    let chat = Server::answers(shop, &[(500, "")]).await;
    shop.cluster().apply(&[json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": TOLD, "namespace": "canaryctl-system"}, "stringData": {"chat": chat.url},
    })]);
    let document = json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release", "metadata": {"name": NAME},
        "spec": {
            "workloads": [{"deployment": format!("{}/stock-v1", shop.namespace()), "images": {"app": NEXT_IMAGE}}],
            "rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}],
            "steps": [
                {"share": 0, "scale": 100, "holdSeconds": 0},
                {"job": {"cronJob": format!("{}/smoke", shop.namespace())}},
                {"webhook": {"url": leave.url}},
                {"share": 100},
            ],
            "notify": [{"url": chat.url}],
        },
    });
    start(shop, &document).await.ok();
    until(shop, NAME, "waiting for its Job", THROUGH_WITHIN, |status| status["errand"]["seen"] == true).await;
    shop.cluster().kill_controllers();
    let stopped =
        until(shop, NAME, "refused", THROUGH_WITHIN, |status| status["errand"]["outcome"] == "Failed").await;
    assert_eq!(stopped["step"], 2, "the Job succeeded, and the webhook refused: {stopped:#}");
    let said = stopped["errand"]["message"].as_str().unwrap_or_default();
    assert!(
        said.ends_with("it answers 403 Forbidden: not on a Friday") && !said.contains("secret"),
        "{said}"
    );
    let got = leave.got();
    assert!(got.len() == 2 && got[0] == got[1], "it is asked again as the same: {got:?}");
    assert_eq!((&got[0].1["step"], &got[0].1["release"]), (&3.into(), &NAME.into()));
    release(shop, &["retry", NAME]).await.ok();
    until(shop, NAME, "at its last step", THROUGH_WITHIN, |status| status["step"] == 3).await;
    let got = leave.got();
    assert!(got.len() == 3 && got[2].0 != got[1].0, "a try of its own: {got:?}");
    let jobs = shop.kubectl(&["get", "jobs", "-l", "canaryctl.io/release=asks", "-o", "name"]).ok().stdout;
    assert_eq!(jobs.lines().count(), 1, "{jobs}");
    release(shop, &["abort", NAME]).await.ok();
    is_over(shop, "");
    is_told(shop, &chat);
    forget(shop);
    shop.cluster().until("its Job goes with it", THROUGH_WITHIN, || {
        let left =
            shop.kubectl(&["get", "jobs", "-l", "canaryctl.io/release=asks", "-o", "name"]).ok().stdout;
        left.is_empty().then_some(())
    });
    shop.kubectl(&["delete", "cronjob", "smoke"]).ok();
    shop.cluster().kubectl(&["-n", "canaryctl-system", "delete", "secret", TOLD]).ok();
}

/// Asserts that all of the release's history is told, and the first of it once more, for it was not taken.
#[track_caller]
fn is_told(shop: &Shop, chat: &Server) {
    let release = shop.cluster().get(&["release", NAME]);
    let entries = release["status"]["history"].as_array().expect("a history");
    let history: BTreeSet<String> = entries
        .iter()
        .filter_map(|entry| Some(format!("release {NAME}: {}", entry["what"].as_str()?)))
        .collect();
    let got = shop.cluster().until("all of its history is told", THROUGH_WITHIN, || {
        let got = chat.got();
        let texts: BTreeSet<String> =
            got.iter().filter_map(|(_, body)| body["text"].as_str().map(str::to_owned)).collect();
        (texts == history).then_some(got)
    });
    assert!(got.len() > 1 && got[0] == got[1], "what is not taken is told again as the same: {got:?}");
}
