//! What the API server sees: TLS, HTTP, AdmissionReviews.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::*;
use crate::webhook::certificates::{Certificates, Lives};
use crate::webhook::{Counts, Hook, PATH, Shown, router, serve};

const LIVES: Lives = Lives {
    root: Duration::from_secs(3000),
    serving: Duration::from_secs(300),
    announced: Duration::from_secs(20),
};

/// A webhook on this machine.
struct Served {
    address: SocketAddr,
    shown: Arc<Shown>,
    counts: Arc<Counts>,
    know: watch::Sender<Option<Arc<Known>>>,
    know_lanes: watch::Sender<Arc<Vec<Object>>>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (know, known) = watch::channel(None);
        let (know_lanes, lanes) = watch::channel(Arc::default());
        let (shown, counts) = (Arc::new(Shown::default()), Arc::new(Counts::default()));
        let routes = router(Arc::new(Hook { known, lanes, counts: counts.clone() }));
        tokio::spawn(serve(listener, shown.clone(), routes));
        Self { address, shown, counts, know, know_lanes }
    }

    fn know(&self, world: World) {
        self.know_lanes.send_replace(world.lanes);
        self.know.send_replace(Some(world.known));
    }

    /// Asks as an API server that trusts this bundle.
    async fn ask(&self, bundle: &str, protocol: &[u8], body: String) -> std::io::Result<Value> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(root.expect("PEM")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(format!("canaryctl-webhook.{OWN}.svc")).expect("a name");
        let stream = TcpStream::connect(self.address).await?;
        let stream = TokioIo::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?);
        let request = http::Request::post(format!("https://webhook{PATH}"))
            .header("host", "webhook")
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(body)))
            .expect("a request");
        let response = if protocol == b"h2" {
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut send, connection) =
                hyper::client::conn::http2::handshake(executor, stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            send.send_request(request).await
        } else {
            let (mut send, connection) = hyper::client::conn::http1::handshake(stream).await.expect("HTTP/1");
            tokio::spawn(connection);
            send.send_request(request).await
        };
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        Ok(serde_json::from_slice(&body).expect("JSON"))
    }

    fn counted(&self) -> [u64; 3] {
        let counts = [&self.counts.requests, &self.counts.patched, &self.counts.failures];
        counts.map(|count| count.load(Ordering::Relaxed))
    }
}

fn review(request: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string()
}

fn patch(answer: &Value) -> Value {
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().expect("a patch")).expect("base64");
    serde_json::from_slice(&patch).expect("JSON")
}

#[tokio::test]
async fn a_write_is_answered_by_a_patch() {
    let served = Served::start().await;
    let certificates = Certificates::new(OWN, LIVES, now()).expect("certificates");
    served.shown.set(certificates.serving()).expect("a certificate");
    let objects = routed(&[service()]);
    let live = stored(&objects, "VirtualService");
    served.know(known(objects, Some(gray("True", "True"))));
    let body = review(&request("UPDATE", &service(), &live));
    for protocol in [&b"h2"[..], b"http/1.1"] {
        let answer = served.ask(&certificates.bundle(), protocol, body.clone()).await.expect("an answer");
        let mut response = answer["response"].clone();
        response.as_object_mut().expect("a response").shift_remove("patch");
        assert_eq!(response, json!({"uid": "u-1", "allowed": true, "patchType": "JSONPatch"}));
        let want = json!([{"op": "replace", "path": "/spec/http", "value": live["spec"]["http"]}]);
        assert_eq!(patch(&answer), want);
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
    }
    let nothing = review(&request("UPDATE", &live, &live));
    let answer = served.ask(&certificates.bundle(), b"h2", nothing).await.expect("an answer");
    assert_eq!(answer["response"], json!({"uid": "u-1", "allowed": true}));
    assert_eq!(served.counted(), [3, 2, 0]);
}

#[tokio::test]
async fn whatever_goes_wrong_the_write_goes_on() {
    let served = Served::start().await;
    let certificates = Certificates::new(OWN, LIVES, now()).expect("certificates");
    served.shown.set(certificates.serving()).expect("a certificate");
    let write = request("UPDATE", &service(), &service());
    let unknown = served.ask(&certificates.bundle(), b"h2", review(&write)).await.expect("an answer");
    assert_eq!(unknown["response"], json!({"uid": "u-1", "allowed": true}), "no world yet");
    served.know(known(routed(&[]), None));
    let mut odd = write.clone();
    odd["object"] = json!([1]);
    let odd = served.ask(&certificates.bundle(), b"h2", review(&odd)).await.expect("an answer");
    assert_eq!(odd["response"], json!({"uid": "u-1", "allowed": true}));
    for body in ["", "{", "{}", r#"{"request": {"uid": 1}}"#] {
        let answer = served.ask(&certificates.bundle(), b"h2", body.into()).await.expect("an answer");
        assert_eq!(answer["response"]["allowed"], true, "{body}");
    }
    assert_eq!(served.counted(), [6, 0, 6]);
}

#[tokio::test]
async fn certificates_change_and_a_bundle_that_was_announced_holds() {
    let served = Served::start().await;
    let start = now();
    let mut current = Certificates::new(OWN, LIVES, start).expect("certificates");
    let write = review(&request("UPDATE", &service(), &service()));
    served.ask(&current.bundle(), b"h2", write.clone()).await.expect_err("nothing to show yet");
    served.shown.set(current.serving()).expect("a certificate");
    let mut bundle = current.bundle();
    let (mut shown, mut announced) = (0, 0);
    // A root and a half's life: long enough that a new root signs.
    for second in (0..2100).step_by(10) {
        let Some(next) = current.next(OWN, LIVES, start + second).expect("certificates") else { continue };
        if next.serving() != current.serving() {
            // Replicas may show it before the API server hears of anything.
            served.shown.set(next.serving()).expect("a certificate");
            served.ask(&bundle, b"h2", write.clone()).await.expect("it is trusted already");
            shown += 1;
        }
        if next.bundle() != bundle {
            served.ask(&next.bundle(), b"h2", write.clone()).await.expect("what is shown is still trusted");
            bundle = next.bundle();
            announced += 1;
        }
        current = next;
    }
    assert!(shown >= 10 && announced == 1, "{shown} {announced}");
    let other = Certificates::new(OWN, LIVES, start).expect("certificates");
    served.ask(&other.bundle(), b"h2", write).await.expect_err("somebody else's root");
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}
