use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Longer than anything here takes on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(60);
/// What fits into the window of a stream where there are few, and not where there are many, in bytes. A third of a window
/// may have been read and not been told.
const LARGE: usize = 2 << 20;

/// One end of a connection that runs.
struct Half {
    opener: Opener,
    arriving: mpsc::Receiver<Stream>,
    _running: AbortOnDropHandle<io::Result<()>>,
}

impl Half {
    fn new(transport: tokio::io::DuplexStream, end: End) -> Self {
        let (mux, opener, arriving) = mux(transport, end);
        let running: JoinHandle<_> = tokio::spawn(mux.run());
        Self { opener, arriving, _running: AbortOnDropHandle::new(running) }
    }

    async fn next(&mut self) -> Stream {
        timeout(DEADLINE, self.arriving.recv()).await.expect("in time").expect("a stream")
    }
}

/// Client and agent.
fn ends() -> (Half, Half) {
    let (near, far) = duplex(1 << 20);
    (Half::new(near, End::Client), Half::new(far, End::Agent))
}

/// Streams from one end to the other, both ends of each.
async fn opened(from: &Half, to: &mut Half, count: usize) -> (Vec<Stream>, Vec<Stream>) {
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (stream, arrived) = tokio::join!(from.opener.open(b"x".to_vec()), to.next());
        near.push(stream.expect("a stream"));
        far.push(arrived);
    }
    (near, far)
}

async fn heard(stream: &mut Stream, what: &[u8]) {
    let mut came = vec![0; what.len()];
    timeout(DEADLINE, stream.read_exact(&mut came)).await.expect("in time").expect("bytes");
    assert_eq!(came, what);
}

#[tokio::test]
async fn both_ends_open_streams_that_begin_with_what_is_said_first() {
    let (mut client, mut agent) = ends();
    for from_client in [true, false] {
        let (from, to) = if from_client { (&client, &mut agent) } else { (&agent, &mut client) };
        let (one, mut other) = tokio::join!(from.opener.open(b"who".to_vec()), to.next());
        let mut one = one.expect("a stream");
        one.write_all(b" is it").await.expect("sent");
        heard(&mut other, b"who is it").await;
        other.write_all(b"me").await.expect("sent");
        other.shutdown().await.expect("an end");
        heard(&mut one, b"me").await;
        assert_eq!(one.read(&mut [0]).await.expect("an end"), 0);
        one.write_all(b"then come").await.expect("the other way is open");
        one.shutdown().await.expect("an end");
        heard(&mut other, b"then come").await;
        assert_eq!(other.read(&mut [0]).await.expect("an end"), 0);
    }
}

#[tokio::test]
async fn what_is_said_last_is_heard() {
    let (mut client, mut agent) = ends();
    for from_client in [true, false] {
        let (from, to) = if from_client { (&mut client, &mut agent) } else { (&mut agent, &mut client) };
        let (one, mut other) = opened(from, to, 1).await;
        let finishing = one.into_iter().map(|mut stream| {
            tokio::spawn(async move {
                stream.write_all(b"that is all").await.expect("sent");
                stream.finish().await;
            })
        });
        let finishing: Vec<_> = finishing.collect();
        heard(&mut other[0], b"xthat is all").await;
        drop(other);
        for finished in finishing {
            timeout(DEADLINE, finished).await.expect("in time").expect("finished");
        }
    }
}

#[tokio::test]
async fn one_too_many_is_refused_and_the_rest_go_on() {
    let (mut client, mut agent) = ends();
    let (near, mut far) = opened(&client, &mut agent, STREAMS_MAX).await;
    // The client has forgotten them, and the agent not yet.
    drop(near);
    let mut refused = client.opener.open(b"x".to_vec()).await.expect("the client has a place");
    let error = timeout(DEADLINE, refused.read_u8()).await.expect("in time").expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    far.pop();
    let (mut near, mut far) = opened(&client, &mut agent, 1).await;
    near[0].write_all(b"y").await.expect("sent");
    heard(&mut far[0], b"xy").await;

    let (near, mut far) = opened(&agent, &mut client, STREAMS_MAX).await;
    drop(near);
    let declined = timeout(DEADLINE, agent.opener.open(b"x".to_vec())).await.expect("in time");
    let error = declined.expect_err("declined");
    assert_eq!(error.to_string(), "the other end has too many streams");
    far.pop();
    let (mut near, mut far) = opened(&agent, &mut client, 1).await;
    near[0].write_all(b"y").await.expect("sent");
    heard(&mut far[0], b"xy").await;
}

#[tokio::test]
async fn a_stream_that_nobody_waits_for_any_more_is_reset() {
    let (mut client, agent) = ends();
    let opening = tokio::spawn({
        let opener = agent.opener.clone();
        async move { opener.open(b"x".to_vec()).await.map(drop) }
    });
    opening.await.expect("no panic").expect("a stream");
    let mut stream = client.next().await;
    heard(&mut stream, b"x").await;
    let error = timeout(DEADLINE, stream.read_u8()).await.expect("in time").expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// What a stream takes that nobody reads, in bytes; at most.
async fn taken(stream: &mut Stream) -> usize {
    let (chunk, mut taken) = (vec![0; FRAME_BYTES], 0);
    while let Ok(written) = timeout(Duration::from_millis(20), stream.write(&chunk)).await {
        taken += written.expect("sent");
    }
    taken
}

#[tokio::test]
async fn much_is_on_its_way_where_much_arrives_and_no_more_in_all_of_many() {
    const MANY: usize = 64;
    const MIB: usize = 1 << 20;
    let (client, mut agent) = ends();
    let (mut near, mut far) = opened(&client, &mut agent, 1).await;
    let unread = taken(&mut near[0]).await;
    assert!((1..=MIB).contains(&unread), "{unread} bytes, before it is known what the link carries");
    let writing = async {
        for _ in 0..64 {
            near[0].write_all(&vec![0; MIB]).await.expect("sent");
        }
    };
    let reading = async {
        let mut left = 1 + unread + 64 * MIB;
        let mut buffer = vec![0; MIB];
        while left > 0 {
            left -= far[0].read(&mut buffer).await.expect("bytes");
        }
    };
    timeout(DEADLINE, async { tokio::join!(writing, reading) }).await.expect("in time");
    let sent = timeout(DEADLINE, near[0].write_all(&vec![0; LARGE])).await;
    sent.expect("in time").expect("nobody reads it");

    let (mut others, mut theirs) = opened(&client, &mut agent, MANY - 1).await;
    theirs[MANY - 2].write_all(b"I have them all").await.expect("sent");
    heard(&mut others[MANY - 2], b"I have them all").await;
    let mut all = 0;
    for stream in &mut others {
        all += taken(stream).await;
    }
    // What the first ones had before the agent knew of the last may be more than their share.
    assert!((MANY * (128 << 10)..MANY * MIB * 3 / 2).contains(&all), "{all} bytes");
}

#[tokio::test]
async fn many_small_pieces_end_nothing() {
    let (client, mut agent) = ends();
    let (mut near, mut far) = opened(&client, &mut agent, 1).await;
    let (stream, other) = (&mut near[0], &mut far[0]);
    let pieces = 50_000;
    let writing = async {
        for number in 0..pieces {
            stream.write_all(&[number as u8]).await.expect("sent");
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let reading = async {
        heard(other, b"x").await;
        for number in 0..pieces {
            assert_eq!(other.read_u8().await.expect("a byte"), number as u8);
        }
    };
    timeout(DEADLINE, async { tokio::join!(writing, reading) }).await.expect("in time");
}
