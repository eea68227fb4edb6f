use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::{Json, Router};

use super::*;

const LIVES: Lives = Lives {
    root: Duration::from_secs(3000),
    serving: Duration::from_secs(300),
    announced: Duration::from_secs(20),
};

fn hook(name: &str, bundle: &str) -> Value {
    json!({"name": name, "clientConfig": {"caBundle": bundle}})
}

#[test]
fn a_bundle_is_written_where_it_differs() {
    let found = json!({
        "metadata": {"resourceVersion": "7"},
        "webhooks": [hook("a", "new"), hook("b", "old")],
    });
    let patch = with_bundle(&found, "new").expect("a patch");
    let want =
        json!({"metadata": {"resourceVersion": "7"}, "webhooks": [hook("a", "new"), hook("b", "new")]});
    assert_eq!(patch, want);
    assert_eq!(with_bundle(&patch, "new"), None);
}

/// An API server with a Secret and a configuration; it takes merge patches of top-level fields.
#[derive(Clone)]
struct Served {
    secret: Arc<Mutex<Value>>,
    configuration: Arc<Mutex<Value>>,
    writes: Arc<Mutex<Vec<String>>>,
}

impl Served {
    async fn start(secret: Value) -> (Self, Client) {
        let configuration = json!({
            "metadata": {"name": names::WEBHOOK, "resourceVersion": "1"},
            "webhooks": [hook("a", "none"), hook("b", "none")],
        });
        let served = Self {
            secret: Arc::new(Mutex::new(secret)),
            configuration: Arc::new(Mutex::new(configuration)),
            writes: Arc::default(),
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = served.clone();
        let router = Router::new().fallback(move |request: Request| asked.clone().answer(request));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = kube::Config::new(format!("http://{address}").parse().expect("an address"));
        (served, Client::try_from(config).expect("a client"))
    }

    async fn answer(self, request: Request) -> Json<Value> {
        let path = request.uri().path().to_owned();
        let object = match path.as_str() {
            "/api/v1/namespaces/ns/secrets/canaryctl-webhook" => &self.secret,
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/canaryctl-webhook" => {
                &self.configuration
            }
            other => panic!("nobody asks for {other}"),
        };
        let is_patch = request.method() == "PATCH";
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.expect("a body");
        let mut object = object.lock().expect("no panic");
        if is_patch {
            let patch: Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(patch["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"]);
            let fields = patch.as_object().expect("a patch").iter().filter(|(key, _)| *key != "metadata");
            fields.for_each(|(key, value)| object[key.as_str()] = value.clone());
            let name = path.rsplit('/').nth(1).expect("a kind");
            self.writes.lock().expect("no panic").push(name.into());
        }
        Json(object.clone())
    }

    fn written(&self) -> Vec<String> {
        std::mem::take(&mut *self.writes.lock().expect("no panic"))
    }

    fn certificates(&self) -> Certificates {
        Certificates::from_secret(&self.secret.lock().expect("no panic")).expect("ours")
    }

    fn bundles(&self) -> Vec<Value> {
        let configuration = self.configuration.lock().expect("no panic");
        let hooks = configuration["webhooks"].as_array().expect("webhooks").iter();
        hooks.map(|hook| hook["clientConfig"]["caBundle"].clone()).collect()
    }
}

/// The Secret with certificates that were made so many seconds ago.
fn secret(seconds: i64) -> Value {
    let made = Timestamp::now().as_second() - seconds;
    let mut secret = Certificates::new("ns", LIVES, made).expect("certificates").secret("ns");
    secret["metadata"]["resourceVersion"] = "5".into();
    secret
}

#[tokio::test]
async fn the_leader_renews_in_time_and_tells_the_api_server() {
    for (age, written, anew) in [
        // Good: the API server alone is told what it does not trust yet.
        (0, &["mutatingwebhookconfigurations"][..], false),
        (250, &["secrets", "mutatingwebhookconfigurations"], true),
        (2500, &["secrets", "mutatingwebhookconfigurations"], true),
        (9000, &["secrets", "mutatingwebhookconfigurations"], true),
    ] {
        let (served, client) = Served::start(secret(age)).await;
        let before = served.certificates();
        renew_once(&client, "ns", LIVES).await.expect("renewed");
        assert_eq!(served.written(), written, "{age}");
        let after = served.certificates();
        assert_eq!(after.serving() != before.serving(), anew, "{age}");
        assert_eq!(served.bundles(), [after.ca_bundle(), after.ca_bundle()], "{age}");
        renew_once(&client, "ns", LIVES).await.expect("nothing is due");
        assert_eq!(served.written(), [""; 0], "{age}");
    }
}

#[tokio::test]
async fn a_secret_that_was_spoilt_is_made_anew_and_replicas_follow() {
    let spoilt = json!({"metadata": {"resourceVersion": "5"}, "data": {"certificates.json": "!"}});
    let (served, client) = Served::start(spoilt).await;
    let (shown, mut last) = (Shown::default(), None);
    look(&client, "ns", &shown, &mut last).await.expect_err("nothing to show");
    renew_once(&client, "ns", LIVES).await.expect("made");
    look(&client, "ns", &shown, &mut last).await.expect("something to show");
    assert_eq!(last, Some(served.certificates()));
}

#[tokio::test]
async fn the_end_of_what_is_shown_is_counted() {
    let now = Timestamp::now().as_second();
    let (served, client) =
        Served::start(Certificates::new("ns", LIVES, now).expect("certificates").secret("ns")).await;
    let (shown, counts, (shows, mut says)) = (Shown::default(), Counts::default(), watch::channel(false));
    tokio::select! {
        () = follow(&client, "ns", &shown, &counts, &shows) => {}
        said = says.wait_for(|shows| *shows) => drop(said.expect("it is there")),
    }
    let ends = counts.certificate_ends_unix_s.load(Ordering::Relaxed);
    assert_eq!(i64::try_from(ends), Ok(served.certificates().serving().ends_unix_s()));
}
