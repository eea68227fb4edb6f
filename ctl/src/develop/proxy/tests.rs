//! The proxy before a real tunnel to a real agent, as programs use it.

use std::net::{Ipv4Addr, SocketAddr};

use canary_tunnel::{Agent, AgentOptions, Client, ClientOptions, Connect, ConnectError, Session};
use fast_socks5::client::{Config, Socks5Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::develop::range::Range;
use crate::develop::translation::{RESERVED, Translation};

struct To(SocketAddr);

impl Connect for To {
    type Transport = TcpStream;

    async fn connect(&mut self) -> Result<TcpStream, ConnectError> {
        TcpStream::connect(self.0).await.map_err(ConnectError::again)
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// A proxy to an agent on this machine.
async fn proxy() -> SocketAddr {
    proxy_translated(Translation::default()).await
}

async fn proxy_translated(translation: Translation) -> SocketAddr {
    let session = Session::random().expect("bytes");
    let agent = Agent::new(AgentOptions::new(session.secret_hash(), "test"));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((transport, _)) = listener.accept().await {
            let agent = agent.clone();
            tokio::spawn(async move { agent.serve(transport).await });
        }
    });
    let (client, _) = Client::start(session, To(address), ClientOptions::new("test"));
    let (listener, here) = listen().await;
    tokio::spawn(serve(listener, Network::new(client).translated(translation)));
    here
}

/// This machine's loopback by other addresses.
fn elsewhere() -> Translation {
    let loopback = Range::new(Ipv4Addr::LOCALHOST, 8);
    Translation::new(&[loopback], RESERVED, &[]).expect("room")
}

/// A service that tells what it was sent, up to an empty line, and ends.
async fn teller() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut said = Vec::new();
                while !said.ends_with(b"\r\n\r\n") {
                    said.push(connection.read_u8().await.expect("a byte"));
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", said.len());
                connection.write_all(head.as_bytes()).await.expect("sent");
                connection.write_all(&said).await.expect("sent");
            });
        }
    });
    address
}

/// What a proxy answers to these bytes, with its connection ended by `connection: close`.
async fn answer(proxy: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(proxy).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn socks_clients_reach_names_and_addresses() {
    let (proxy, service) = (proxy().await, teller().await);
    for host in ["localhost", "127.0.0.1"] {
        let stream = Socks5Stream::connect(proxy, host.into(), service.port(), Config::default()).await;
        let mut stream = stream.expect("a connection");
        stream.write_all(b"hello\r\n\r\n").await.expect("sent");
        let mut back = String::new();
        stream.read_to_string(&mut back).await.expect("an answer");
        assert!(back.ends_with("\r\n\r\nhello\r\n\r\n"), "{back}");
    }
}

#[tokio::test]
async fn clients_reach_what_this_machine_calls_by_another_address() {
    let here = elsewhere().here(Ipv4Addr::LOCALHOST).to_string();
    let (proxy, service) = (proxy_translated(elsewhere()).await, teller().await);
    for host in [here.as_str(), "127.0.0.1", "localhost"] {
        let request = format!("CONNECT {host}:{} HTTP/1.1\r\n\r\nhello\r\n\r\n", service.port());
        let said = answer(proxy, &request).await;
        assert!(said.ends_with("\r\n\r\nhello\r\n\r\n"), "{host}: {said}");
        let stream = Socks5Stream::connect(proxy, host.into(), service.port(), Config::default()).await;
        stream.map(drop).unwrap_or_else(|error| panic!("{host}: {error}"));
    }
}

#[tokio::test]
async fn socks_clients_are_told_why_not() {
    let proxy = proxy().await;
    let (listener, free) = listen().await;
    drop(listener);
    for (host, port, want) in
        [("127.0.0.1", free.port(), "Connection refused"), ("nowhere.invalid", 80, "Host unreachable")]
    {
        let refused = Socks5Stream::connect(proxy, host.into(), port, Config::default()).await;
        let error = refused.map(drop).expect_err("no connection").to_string();
        assert!(error.contains(want), "{error}");
    }
    // Nobody of the cluster comes here this way.
    let mut connection = TcpStream::connect(proxy).await.expect("a connection");
    connection.write_all(b"\x05\x01\0\x05\x02\0\x01\0\0\0\0\0\0").await.expect("sent");
    let mut answer = [0; 4];
    connection.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, *b"\x05\0\x05\x07", "command not supported");
}

#[tokio::test]
async fn connect_carries_whatever_it_is() {
    let (proxy, service) = (proxy().await, teller().await);
    // What follows at once is part of it.
    let request = format!("CONNECT localhost:{} HTTP/1.1\r\n\r\nhello\r\n\r\n", service.port());
    let said = answer(proxy, &request).await;
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK") && !head.contains("content-length"), "{said}");
    assert!(body.starts_with("HTTP/1.1 200 OK") && body.ends_with("\r\n\r\nhello\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn plain_http_is_asked_as_a_client_would_ask() {
    let (proxy, service) = (proxy().await, teller().await);
    let request = format!(
        "GET http://localhost:{}/a?b=c HTTP/1.1\r\nHost: other\r\nX-Kept: Yes\r\nProxy-Connection: keep-alive\r\n\
         X-Mine: 1\r\nConnection: close, x-mine\r\n\r\n",
        service.port()
    );
    let said = answer(proxy, &request).await;
    let (_, told) = said.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<&str> = told.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "GET /a?b=c HTTP/1.1", "{told}");
    lines.sort_unstable();
    let host = format!("host: localhost:{}", service.port());
    let lines: Vec<String> = lines.iter().map(|line| line.replacen("Host", "host", 1)).collect();
    assert!(lines.contains(&host) && lines.contains(&"X-Kept: Yes".to_owned()) && lines.len() == 2, "{told}");
}

#[tokio::test]
async fn http_clients_are_told_why_not() {
    let proxy = proxy().await;
    let (listener, free) = listen().await;
    drop(listener);
    for (request, status, why) in [
        (format!("CONNECT {free} HTTP/1.1\r\n"), "502", "connection refused"),
        (format!("GET http://{free}/ HTTP/1.1\r\n"), "502", "connection refused"),
        ("GET http://nowhere.invalid/ HTTP/1.1\r\n".into(), "502", "no such name in the cluster"),
        ("GET / HTTP/1.1\r\n".into(), "400", "this is a proxy"),
    ] {
        let said = answer(proxy, &format!("{request}Host: x\r\nConnection: close\r\n\r\n")).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")) && said.contains(why), "{request}: {said}");
    }
}

#[tokio::test]
async fn browsers_get_a_file_that_names_this_proxy() {
    let proxy = proxy().await;
    let said = answer(proxy, "GET /proxy.pac HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(said.contains("application/x-ns-proxy-autoconfig"), "{said}");
    assert!(said.contains(&format!("SOCKS5 {proxy}; PROXY {proxy}")), "{said}");
}

#[tokio::test]
async fn socks_clients_ask_the_clusters_dns_by_datagrams() {
    let mut asks = TcpStream::connect(proxy_translated(elsewhere()).await).await.expect("a connection");
    asks.write_all(&[5, 1, 0]).await.expect("sent");
    let mut chosen = [0; 2];
    asks.read_exact(&mut chosen).await.expect("an answer");
    asks.write_all(&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]).await.expect("sent");
    let mut bound = [0; 10];
    asks.read_exact(&mut bound).await.expect("an answer");
    assert_eq!((chosen, &bound[..4]), ([5, 0], &[5, 0, 0, 1][..]));
    let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([bound[8], bound[9]])));
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let header = |port: u8| [0, 0, 0, 1, 10, 96, 0, 10, 0, port];
    let query = |id: u8, name: &[u8]| {
        let question = [&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u8][..], name, &[0, 0, 1, 0, 1]];
        question.concat()
    };
    // Nobody carries the first one; it would be the first to be answered.
    for (port, id, name) in [(80, 1, &b"localhost"[..]), (53, 2, b"localhost")] {
        let asked = [header(port).as_slice(), &query(id, name)].concat();
        socket.send_to(&asked, relay).await.expect("sent");
    }
    let mut answer = [0; 512];
    let (len, from) =
        timeout(ASK_TIMEOUT, socket.recv_from(&mut answer)).await.expect("in time").expect("one");
    assert_eq!((from, &answer[..12]), (relay, &[&header(53)[..], &[0, 2]].concat()[..]));
    assert_eq!(answer[len - 4..len], elsewhere().here(Ipv4Addr::LOCALHOST).octets());
    // It ends with the connection that asked for it.
    drop(asks);
    let mut is_over = false;
    for _ in 0..500 {
        sleep(Duration::from_millis(10)).await;
        is_over = tokio::net::UdpSocket::bind(relay).await.is_ok();
        if is_over {
            break;
        }
    }
    assert!(is_over, "the port is free again");
}
