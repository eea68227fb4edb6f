//! Many streams, short ones, big ones and slow ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Barrier, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::link::Mode;
use crate::scene::{DEADLINE, SHORT, Scene, parrot, round_trip, service, target};

/// Open at once.
const STREAMS: usize = 1000;
/// Connections one after another, and how many at a time.
const CONNECTIONS: usize = 2_000;
const AT_A_TIME: usize = 50;
/// Bytes each way of a big transfer.
const BIG: usize = 12 << 20;
/// Name how much of both a soak has instead.
const BIG_ENV: &str = "CANARY_TUNNEL_BYTES";
const CONNECTIONS_ENV: &str = "CANARY_TUNNEL_CONNECTIONS";

/// What a soak has in place of this.
fn or_soaked(env: &str, usual: usize) -> usize {
    std::env::var(env).map_or(usual, |wanted| wanted.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_are_open_at_once() {
    let scene = Scene::new().await;
    let target = parrot().await;
    let all_open = Arc::new(Barrier::new(STREAMS));
    let mut streams = JoinSet::new();
    for number in 0..STREAMS as u32 {
        let (client, target, all_open) = (scene.client.clone(), target.clone(), Arc::clone(&all_open));
        streams.spawn(async move {
            let mut stream = client.dial(&target).await.expect("a stream");
            round_trip(&mut stream, &number.to_be_bytes()).await;
            all_open.wait().await;
            round_trip(&mut stream, &vec![number as u8; 3000]).await;
        });
    }
    let all = async { while streams.join_next().await.is_some_and(|done| done.is_ok()) {} };
    timeout(DEADLINE, all).await.expect("all of them in time");
    assert!(streams.is_empty(), "one failed");
    assert_eq!(scene.link.made(), 1, "over one transport");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_short_connections_leave_nothing_behind() {
    let scene = Scene::new().await;
    let target = parrot().await;
    let connections = or_soaked(CONNECTIONS_ENV, CONNECTIONS);
    let mut workers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (client, target) = (scene.client.clone(), target.clone());
        workers.spawn(async move {
            for number in 0..(connections / AT_A_TIME) as u32 {
                let mut stream = client.dial(&target).await.expect("a stream");
                stream.write_all(&number.to_be_bytes()).await.expect("sent");
                stream.shutdown().await.expect("an end");
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await.expect("everything");
                assert_eq!(back, number.to_be_bytes());
            }
        });
    }
    let all = async { while workers.join_next().await.is_some_and(|done| done.is_ok()) {} };
    timeout(DEADLINE, all).await.expect("all of them in time");
    assert!(workers.is_empty(), "one failed");
    assert_eq!(scene.link.made(), 1, "over one transport");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_transfer_arrives_whole_both_ways_at_once() {
    let scene = Scene::new().await;
    let len = or_soaked(BIG_ENV, BIG);
    // Says at the end what it has heard.
    let target = service(move |mut connection: TcpStream| async move {
        let (mut read, mut write) = connection.split();
        let (_, heard) = tokio::join!(send_random(&mut write, 2, len), hash_all(&mut read));
        write.write_all(&heard).await.expect("sent");
    })
    .await;
    let (mut read, mut write) = tokio::io::split(scene.client.dial(&target).await.expect("a stream"));
    let sending = async {
        send_random(&mut write, 1, len).await;
        write.shutdown().await.expect("an end");
    };
    let receiving = async {
        let received = hash_all(&mut (&mut read).take(len as u64)).await;
        let mut heard = Vec::new();
        read.read_to_end(&mut heard).await.expect("a hash");
        (received, heard)
    };
    let both = timeout(DEADLINE, async { tokio::join!(sending, receiving) });
    let ((), (received, heard)) = both.await.expect("in time");
    assert_eq!(received, random_hash(2, len));
    assert_eq!(heard, random_hash(1, len));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_up_the_writer_and_nobody_else() {
    let scene = Scene::new().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("an option");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let slow = socket.listen(8).expect("a listener");
    let mut stream =
        scene.client.dial(&target(slow.local_addr().expect("an address"))).await.expect("a stream");
    let (mut connection, _) = slow.accept().await.expect("a connection");
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let (done, finished) = oneshot::channel();
    tokio::spawn(async move {
        let mut random = fastrand::Rng::with_seed(1);
        let mut left = BIG;
        while left > 0 {
            let chunk = chunk(&mut random, left);
            stream.write_all(&chunk).await.expect("sent");
            counted.fetch_add(chunk.len(), Ordering::Relaxed);
            left -= chunk.len();
        }
        stream.shutdown().await.expect("an end");
        let _ = done.send(stream);
    });
    let mut other = scene.client.dial(&parrot().await).await.expect("a stream");
    let mut before = usize::MAX;
    while before != taken.load(Ordering::Relaxed) {
        before = taken.load(Ordering::Relaxed);
        for _ in 0..100 {
            round_trip(&mut other, b"still here").await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    // A window of the tunnel's, and what the kernel keeps of the agent's connection.
    assert!((1..=8 << 20).contains(&before), "{before} bytes were taken");
    assert_eq!(hash_all(&mut connection).await, random_hash(1, BIG));
    drop(connection);
    timeout(DEADLINE, finished).await.expect("in time").expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_carries_everything_and_its_echoes() {
    let scene = Scene::new().await;
    scene.link.set(Mode::Slow(4 << 20));
    let target = service(async |mut connection: TcpStream| {
        send_random(&mut connection, 3, BIG).await;
        connection.shutdown().await.expect("an end");
    })
    .await;
    let mut stream = scene.client.dial(&target).await.expect("a stream");
    let mut other = scene.client.dial(&parrot().await).await.expect("a stream");
    let mut some = vec![0; 1 << 20];
    for _ in 0..4 {
        timeout(DEADLINE, stream.read_exact(&mut some)).await.expect("in time").expect("a part");
        round_trip(&mut other, b"between").await;
    }
    scene.link.set(Mode::Pass);
    timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("in time").expect("the rest");
    assert_eq!(scene.link.made(), 1, "over one transport");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_which_echoes_are_late_is_not_dead() {
    let scene = Scene::timed(SHORT).await;
    // What is on its way at once takes longer than an echo may where nothing comes.
    scene.link.set(Mode::Slow(48 << 10));
    let target = service(async |mut connection: TcpStream| {
        send_random(&mut connection, 3, 192 << 10).await;
        connection.shutdown().await.expect("an end");
    })
    .await;
    let mut stream = scene.client.dial(&target).await.expect("a stream");
    timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("in time").expect("all of it");
    assert_eq!(scene.link.made(), 1, "over one transport");
}

fn chunk(random: &mut fastrand::Rng, left: usize) -> Vec<u8> {
    let mut chunk = vec![0; left.min(100_000)];
    random.fill(&mut chunk);
    chunk
}

async fn send_random(to: &mut (impl tokio::io::AsyncWrite + Unpin), seed: u64, len: usize) -> [u8; 32] {
    let (mut random, mut hash, mut left) = (fastrand::Rng::with_seed(seed), Sha256::new(), len);
    while left > 0 {
        let chunk = chunk(&mut random, left);
        hash.update(&chunk);
        to.write_all(&chunk).await.expect("sent");
        left -= chunk.len();
    }
    hash.finalize().into()
}

fn random_hash(seed: u64, len: usize) -> [u8; 32] {
    let (mut random, mut hash, mut left) = (fastrand::Rng::with_seed(seed), Sha256::new(), len);
    while left > 0 {
        let chunk = chunk(&mut random, left);
        hash.update(&chunk);
        left -= chunk.len();
    }
    hash.finalize().into()
}

async fn hash_all(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> [u8; 32] {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match from.read(&mut buffer).await.expect("everything") {
            0 => return hash.finalize().into(),
            len => hash.update(&buffer[..len]),
        }
    }
}
