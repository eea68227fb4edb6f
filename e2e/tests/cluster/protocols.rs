//! Other ways to speak than plain HTTP/1, beside a lane that comes and goes.

use canary_localmesh::Tree;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::flows::path;
use crate::judge::{Lane, Rules, lane_pods_saw_only};
use crate::load::Load;
use crate::manifests::{self, Service};
use crate::shop::{GRAY_SERVICES, Shop};

const BASELINE: &str = "web-v1 cart-v1 stock-v1 price-v1";
const GRAY: &str = "web-gray cart-v1 stock-gray price-gray";
const FLOWS: [(&str, &str); 3] = [("a=1", BASELINE), ("gray=1", GRAY), ("a=1; gray=1", GRAY)];

/// Calls quote by gRPC, and hands on a trace alone: the call's tag comes from the sidecar's map.
const DESK: Service = Service { name: "desk", calls: &["quote"], forward: &["traceparent"], grpc: true };
const QUOTE: Service = Service { name: "quote", calls: &["price"], forward: &["x-request-id"], grpc: false };
const QUOTES: Lane = Lane { services: &["quote", "price"], end: "-gray" };

pub(crate) async fn grpc(shop: &Shop) {
    shop.installed();
    let (namespace, host) = (shop.namespace(), format!("desk.{}", shop.host()));
    shop.cluster().apply(&[
        manifests::http_service(namespace, "desk"),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "quote", "namespace": namespace},
            "spec": {"selector": {"app": "quote"}, "ports": [{"name": "grpc", "port": 80, "targetPort": 8080}]},
        }),
        manifests::deployment(namespace, &DESK, "v1", None, 1),
        manifests::deployment(namespace, &QUOTE, "v1", None, 1),
    ]);
    shop.cluster().apply(&manifests::entry(namespace, "desk", &host, "desk"));
    shop.rolled_out();
    shop.answers(&host).await;
    let load = Load::of_host(shop, &host, QUOTES, Rules::Off);
    shop.cluster().apply(&[manifests::deployment(namespace, &QUOTE, "gray", Some("gray"), 1)]);
    shop.gray("gray", "gray", &["price"]);
    load.beside_a_lane_that_comes_and_goes(shop).await;
    load.end().await.clean(500);
    lane_pods_saw_only(shop, "gray", "gray", 200);
    shop.kubectl(&["delete", "gateways.networking.istio.io,vs", "desk"]).ok();
    shop.kubectl(&["delete", "deploy", "desk-v1", "quote-v1", "quote-gray"]).ok();
    shop.kubectl(&["delete", "svc", "desk", "quote"]).ok();
    shop.remove("gray");
}

/// A WebSocket to web, which makes its calls when it opens and when it is told to.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one; says who was called at that.
    async fn open(shop: &Shop, cookie: &str) -> (Self, String) {
        let uri = format!("ws://{}/_ws?forward=traceparent", shop.host());
        let mut request = uri.into_client_request().expect("a request");
        let trace = format!("00-{:032x}-{:016x}-01", fastrand::u128(1..), fastrand::u64(1..));
        for (name, value) in [("cookie", cookie), ("traceparent", &trace)] {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let stream = TcpStream::connect(shop.gateway()).await.expect("connected");
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("upgraded");
        let mut socket = Self(socket);
        let called = socket.told().await;
        (socket, called)
    }

    /// Has the calls made again; says who was called.
    async fn call(&mut self) -> String {
        self.0.send(Message::text("call")).await.expect("sent");
        self.told().await
    }

    async fn told(&mut self) -> String {
        let text = self.0.next().await.expect("a message").expect("whole").into_text().expect("text");
        serde_json::from_str::<Tree>(&text).map(|tree| path(&tree)).expect("a tree")
    }
}

pub(crate) async fn websockets(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &GRAY_SERVICES);
    let load = Load::start(shop, Rules::Off);
    let (mut early, called) = Socket::open(shop, "gray=1").await;
    assert_eq!(called, BASELINE);
    load.rules(Rules::Moving);
    shop.cluster().canaryctl_beside(&["enable", "--cookie", "gray=1"]).await.ok();
    load.rules(Rules::On);
    for _ in 0..20 {
        for (cookie, wanted) in FLOWS {
            let (mut socket, called) = Socket::open(shop, cookie).await;
            assert_eq!([called, socket.call().await], [wanted, wanted], "{cookie}");
        }
    }
    let (mut kept, _) = Socket::open(shop, "gray=1").await;
    assert_eq!(early.call().await, BASELINE, "it is of no lane as long as it is open");
    assert_eq!(kept.call().await, GRAY);
    load.rules(Rules::Moving);
    shop.cluster().canaryctl_beside(&["disable"]).await.ok();
    load.rules(Rules::Off);
    assert_eq!(kept.call().await, "web-gray cart-v1 stock-v1 price-v1", "its calls are the baseline's now");
    assert_eq!(early.call().await, BASELINE);
    load.more(50).await;
    load.end().await.clean(100);
    lane_pods_saw_only(shop, "gray", "gray", 100);
    shop.remove("gray");
}
