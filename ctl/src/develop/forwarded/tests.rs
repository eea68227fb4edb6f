use futures_util::{SinkExt as _, StreamExt as _};
use kube::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

/// An API server of some age.
struct Server {
    listener: TcpListener,
    client: Client,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let config = Config::new(format!("http://{address}").parse().expect("a URL"));
        Self { listener, client: Client::try_from(config).expect("a client") }
    }

    /// Takes a request for these subprotocols and answers it; how the answer goes on depends on the request's key.
    async fn answer(&self, protocols: &str, answer: impl FnOnce(String) -> String) -> TcpStream {
        let (mut connection, _) = self.listener.accept().await.expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.expect("a request"));
        }
        let head = String::from_utf8(head).expect("text");
        assert!(
            head.starts_with("GET /api/v1/namespaces/shop/pods/agent/portforward?&ports=17070 "),
            "{head}"
        );
        let header = |name: &str| {
            let value = |line: &str| {
                let (found, value) = line.split_once(": ")?;
                found.eq_ignore_ascii_case(name).then(|| value.to_owned())
            };
            head.lines().find_map(value).unwrap_or_else(|| panic!("{name} in {head}"))
        };
        assert_eq!(header("sec-websocket-protocol"), protocols);
        let answer = answer(derive_accept_key(header("sec-websocket-key").as_bytes()));
        connection.write_all(answer.as_bytes()).await.expect("answered");
        connection
    }

    async fn forward(&self) -> Result<Forwarded, kube::Error> {
        forward(&self.client, "shop", "agent", 17070).await
    }
}

/// What kube asks for.
const CHANNELS: &str = "v5.channel.k8s.io, v4.channel.k8s.io";

fn switch(accept: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

fn refusal(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_port_is_forwarded_as_kubectl_has_it() {
    let server = Server::new().await;
    let offered = format!("Sec-WebSocket-Protocol: {}\r\n", upgrade::SPDY);
    let (port, connection) =
        tokio::join!(server.forward(), server.answer(upgrade::SPDY, |accept| switch(&accept, &offered)),);
    let mut port = port.expect("a port");
    let mut socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
    socket.send(Message::binary(&b"\0\0\0\x03\0\0\0\x01a"[..])).await.expect("sent");
    assert_eq!(port.read_u8().await.expect("a byte"), b'a');
}

#[tokio::test]
async fn an_older_api_server_forwards_it_by_channels() {
    let refused = |_| refusal("403 Forbidden");
    let unnamed = |accept: String| switch(&accept, "");
    let unproven = |_| switch("?", &format!("Sec-WebSocket-Protocol: {}\r\n", upgrade::SPDY));
    let other = |accept: String| switch(&accept, "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n");
    let answers: [&dyn Fn(String) -> String; 4] = [&refused, &unnamed, &unproven, &other];
    for answer in answers {
        let server = Server::new().await;
        let (port, connection) = tokio::join!(server.forward(), async {
            drop(server.answer(upgrade::SPDY, answer).await);
            server.answer(CHANNELS, other).await
        });
        let mut port = port.expect("a port");
        let mut socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        for message in [&b"\0\xae\x42"[..], b"\0a"] {
            socket.send(Message::binary(message)).await.expect("sent");
        }
        assert_eq!(port.read_u8().await.expect("a byte"), b'a');
        port.write_all(b"b").await.expect("written");
        port.flush().await.expect("flushed");
        assert_eq!(socket.next().await.expect("a message").expect("a message").into_data()[..], *b"\0b");
    }
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let server = Server::new().await;
    let (port, ()) = tokio::join!(server.forward(), async {
        for protocols in [upgrade::SPDY, CHANNELS] {
            drop(server.answer(protocols, |_| refusal("403 Forbidden")).await);
        }
    });
    match port.err().expect("no port") {
        kube::Error::Api(status) => assert_eq!(status.code, 403),
        other => panic!("{other}"),
    }
}
