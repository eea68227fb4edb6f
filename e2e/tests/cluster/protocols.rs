//! Other ways to speak than plain HTTP/1, beside a lane that comes and goes.

use canary_localmesh::{Protocol, Tree};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::develop::Beside;
use crate::flows::{Caller, deployment_of, path};
use crate::judge::{Lane, Rules, lane_pods_saw_only};
use crate::laptop::{ALICE, Local};
use crate::load::Load;
use crate::manifests::{self, Service};
use crate::shop::{GRAY_SERVICES, Shop};
use crate::takeovers::{over, things_at_rest};

const BASELINE: &str = "web-v1 cart-v1 stock-v1 price-v1";
const GRAY: &str = "web-gray cart-v1 stock-gray price-gray";
const FLOWS: [(&str, &str); 3] = [("a=1", BASELINE), ("gray=1", GRAY), ("a=1; gray=1", GRAY)];

/// Calls quote by gRPC, and hands on a trace alone: the call's tag comes from the sidecar's map.
const DESK: Service = Service { name: "desk", calls: &["quote"], forward: &["traceparent"], grpc: true };
const QUOTE: Service = Service { name: "quote", calls: &["price"], forward: &["x-request-id"], grpc: false };
const QUOTES: Lane = Lane { services: &["quote", "price"], end: "-gray" };

/// Starts desk and quote; returns the host of desk at the gateway.
async fn desk_opens(shop: &Shop) -> String {
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
    host
}

fn desk_closes(shop: &Shop) {
    shop.kubectl(&["delete", "gateways.networking.istio.io,vs", "desk"]).ok();
    shop.kubectl(&["delete", "deploy", "desk-v1", "quote-v1"]).ok();
    shop.kubectl(&["delete", "svc", "desk", "quote"]).ok();
}

pub(crate) async fn grpc(shop: &Shop) {
    shop.installed();
    let (namespace, host) = (shop.namespace(), desk_opens(shop).await);
    let load = Load::of_host(shop, &host, QUOTES, Rules::Off);
    shop.cluster().apply(&[manifests::deployment(namespace, &QUOTE, "gray", Some("gray"), 1)]);
    shop.gray("gray", "gray", &["price"]);
    load.beside_a_lane_that_comes_and_goes(shop).await;
    load.end().await.clean(500);
    lane_pods_saw_only(shop, "gray", "gray", 200);
    shop.kubectl(&["delete", "deploy", "quote-gray"]).ok();
    desk_closes(shop);
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

/// Has the requests of a service with `dev=alice`, until dropped.
fn mesh<'s>(shop: &'s Shop, service: &str, local: &Local) -> Beside<'s> {
    let args = ["mesh", service, "-n", shop.namespace(), "--to", local.to(), "--cookie", "dev=alice"];
    Beside::new(shop, &[args.as_slice(), &ALICE, &["-o", "json"]].concat())
}

/// A laptop that is spoken to by WebSocket, and by gRPC.
pub(crate) async fn to_a_laptop(shop: &Shop) {
    shop.installed();
    let before = things_at_rest(shop).await;
    // An app that is no pod calls itself by its machine.
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let here = deployment_of(&here);
    let web = Local::called("web", "laptop", shop.cluster(), shop.namespace()).await;
    let mut alice = tokio::task::block_in_place(|| mesh(shop, "web", &web));
    for _ in 0..20 {
        let (mut socket, called) = Socket::open(shop, "dev=alice").await;
        assert_eq!([called, socket.call().await], [here, here]);
        assert_eq!(Socket::open(shop, "dev=bob").await.1, BASELINE);
    }
    let (mut kept, _) = Socket::open(shop, "dev=alice").await;
    tokio::task::block_in_place(|| alice.interrupt());
    assert!(
        kept.0.send(Message::text("call")).await.is_err()
            || kept.0.next().await.is_none_or(|told| told.is_err())
    );
    assert_eq!(Socket::open(shop, "dev=alice").await.1, BASELINE);
    over(shop, &before).await;

    let host = desk_opens(shop).await;
    let quote = Local::called("quote", "laptop", shop.cluster(), shop.namespace()).await;
    let mut alice = tokio::task::block_in_place(|| mesh(shop, "quote", &quote));
    let caller = Caller::of_host(shop, &host, Protocol::Http1);
    for _ in 0..50 {
        let (own, others) = (caller.send(&[("cookie", "dev=alice")]).await, caller.send(&[]).await);
        assert_eq!((own.failure.as_deref(), others.failure.as_deref()), (None, None));
        assert_eq!((own.version("desk"), own.version("quote")), (Some("v1"), Some("laptop")));
        assert_eq!(others.path(), "desk-v1 quote-v1 price-v1");
    }
    tokio::task::block_in_place(|| alice.interrupt());
    desk_closes(shop);
    over(shop, &before).await;
}
