//! SOCKS5's UDP ASSOCIATE, RFC 1928, as far as DNS needs it: whichever server is asked, the cluster answers. Datagrams for other
//! ports are dropped, for a tunnel carries none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fast_socks5::parse_udp_request;
use fast_socks5::util::target_addr::TargetAddr;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;

use crate::develop::dns::{self, Answer, Kind};
use crate::develop::network::Network;

/// Where DNS is asked.
const DNS: u16 = 53;
/// How many questions of one program are asked at a time; the next are dropped, and asked again.
const QUESTIONS_MAX: usize = 64;
/// Longest datagram that a question comes in, in bytes: its header and name, and what clients say besides.
const DATAGRAM_MAX: usize = 2048;

/// Where a program sends its datagrams: beside the address by which it asked for that.
///
/// # Errors
/// When there is no port.
pub(super) async fn bind(beside: SocketAddr) -> io::Result<UdpSocket> {
    UdpSocket::bind((beside.ip(), 0)).await
}

/// Answers a program's questions until it is dropped.
pub(super) async fn serve(socket: UdpSocket, program: IpAddr, cluster: &Network) -> io::Error {
    let (socket, places) = (Arc::new(socket), Arc::new(Semaphore::new(QUESTIONS_MAX)));
    let mut datagram = [0; DATAGRAM_MAX];
    loop {
        let (len, from) = match socket.recv_from(&mut datagram).await {
            Ok(received) => received,
            Err(error) => return error,
        };
        let Some(datagram) = datagram.get(..len).filter(|_| from.ip() == program) else { continue };
        let Some((header, query)) = question(datagram).await else { continue };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (socket, cluster) = (socket.clone(), cluster.clone());
        tokio::spawn(async move {
            if let Some(answer) = answer(&query, &cluster).await {
                // Who has gone hears nothing.
                let _ = socket.send_to(&[header, answer].concat(), from).await;
            }
            drop(place);
        });
    }
}

/// What stands before a question, which is the same before its answer, and the question; nothing where it is none.
async fn question(datagram: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (fragment, to, query) = parse_udp_request(datagram).await.ok()?;
    let port = match to {
        TargetAddr::Ip(address) => address.port(),
        TargetAddr::Domain(_, port) => port,
    };
    let header = datagram.get(..datagram.len() - query.len())?;
    (fragment == 0 && port == DNS).then(|| (header.to_vec(), query.to_vec()))
}

async fn answer(query: &[u8], cluster: &Network) -> Option<Vec<u8>> {
    let question = dns::read(query)?;
    let found = match question.kind {
        Kind::Other => Answer::NotImplemented,
        Kind::Addresses | Kind::Addresses6 => {
            Answer::resolved(&question.name, cluster.resolve(&question.name).await)
        }
    };
    dns::answer(query, &found)
}
