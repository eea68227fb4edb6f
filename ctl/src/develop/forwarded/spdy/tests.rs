use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;

/// How the two streams' replies begin.
const REPLIES: &[u8] =
    b"\x80\x03\0\x02\0\0\0\x08\0\0\0\x01\x78\xbb\xe3\xc6\x80\x03\0\x02\0\0\0\x04\0\0\0\x03";

type Server = WebSocketStream<DuplexStream>;

/// The two ends, ours and the API server's, with room for so many bytes between them.
async fn ends(room: usize) -> (Spdy<DuplexStream>, Server) {
    let (here, there) = duplex(room);
    let here = WebSocketStream::from_raw_socket(here, Role::Client, None).await;
    let mut server = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
    let port = Spdy::begin(here, 17070).await.expect("begun");
    let begun = received(&mut server).await;
    let starts: Vec<usize> =
        (0..begun.len()).filter(|at| begun[*at..].starts_with(b"\x80\x03\0\x01")).collect();
    assert_eq!(starts.len(), 2, "{begun:?}");
    let (problem, data) = begun.split_at(starts[1]);
    for (stream, number, kind) in [(problem, PROBLEM, "error"), (data, DATA, "data")] {
        assert_eq!(stream[8..12], number.to_be_bytes());
        let text = String::from_utf8_lossy(stream);
        for text_of_it in ["streamtype", kind, "port", "17070", "requestid"] {
            assert!(text.contains(text_of_it), "{text_of_it} in {text}");
        }
    }
    assert!(problem.ends_with(b"\0\0\0\x01\x01\0\0\0"), "nothing follows on the stream of problems");
    (port, server)
}

async fn received(server: &mut Server) -> Vec<u8> {
    server.next().await.expect("a message").expect("a message").into_data().to_vec()
}

async fn say(server: &mut Server, frames: &[u8]) {
    server.send(Message::binary(frames.to_vec())).await.expect("sent");
}

fn data(stream: u32, fin: bool, bytes: &[u8]) -> Vec<u8> {
    [&frame::data_head(stream, fin, bytes.len())[..], bytes].concat()
}

#[tokio::test]
async fn bytes_of_all_frames_are_one_stream_that_ends_with_the_last() {
    let (mut port, mut server) = ends(1 << 20).await;
    let frames =
        [REPLIES, &data(DATA, false, b"ab"), &data(DATA, false, b""), &data(DATA, true, b"c")].concat();
    for piece in frames.chunks(3) {
        say(&mut server, piece).await;
    }
    let mut read = String::new();
    port.read_to_string(&mut read).await.expect("an end");
    assert_eq!(read, "abc");
    // The other direction is still there.
    port.write_all(b"more").await.expect("written");
    port.flush().await.expect("flushed");
    assert_eq!(received(&mut server).await, data(DATA, false, b"more"));
}

#[tokio::test]
async fn what_was_written_ends_and_the_answer_still_comes() {
    let (mut port, mut server) = ends(1 << 20).await;
    port.write_all(b"question").await.expect("written");
    port.shutdown().await.expect("ended");
    assert_eq!(received(&mut server).await, data(DATA, false, b"question"));
    assert_eq!(received(&mut server).await, data(DATA, true, b""));
    assert_eq!(port.write(b"?").await.expect_err("it has ended").kind(), io::ErrorKind::BrokenPipe);
    say(&mut server, &data(DATA, true, b"answer")).await;
    let mut read = String::new();
    port.read_to_string(&mut read).await.expect("an end");
    assert_eq!(read, "answer");
}

#[tokio::test]
async fn what_went_wrong_is_said_in_the_nodes_words() {
    let (mut port, mut server) = ends(1 << 20).await;
    let said = data(PROBLEM, false, b"nobody listens");
    let frames =
        [REPLIES, &data(DATA, false, b"a"), &said, b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x05"].concat();
    for piece in frames.chunks(5) {
        say(&mut server, piece).await;
    }
    assert_eq!(port.read_u8().await.expect("what came before"), b'a');
    assert_eq!(port.read_u8().await.expect_err("no byte").to_string(), "nobody listens");
}

#[tokio::test]
async fn of_what_went_wrong_no_more_than_its_beginning_is_kept() {
    let (mut port, mut server) = ends(1 << 20).await;
    say(&mut server, &data(PROBLEM, true, &[b'x'; 3 * PROBLEM_BYTES_MAX])).await;
    let error = port.read_u8().await.expect_err("no byte").to_string();
    assert_eq!(error, "x".repeat(PROBLEM_BYTES_MAX));
}

#[tokio::test]
async fn a_break_is_an_error_that_says_who_broke_what() {
    let cases: [(&[u8], io::ErrorKind, &str); 4] = [
        (
            b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x05",
            io::ErrorKind::ConnectionReset,
            "the node broke the forwarded port off (SPDY status 5)",
        ),
        (
            b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x03\0\0\0\0",
            io::ErrorKind::ConnectionAborted,
            "the node ends the connection of the forwarded port",
        ),
        (b"\0\0\0\x05\0\0\0\x01?", io::ErrorKind::InvalidData, "data of stream 5"),
        (b"\x80\x02\0\x06\0\0\0\x04", io::ErrorKind::InvalidData, "a frame that is not SPDY/3's"),
    ];
    for (frames, kind, text) in cases {
        let (mut port, mut server) = ends(1 << 20).await;
        say(&mut server, frames).await;
        let error = port.read_u8().await.expect_err("no byte");
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    }
}

#[tokio::test]
async fn a_ping_comes_back_and_an_answer_does_not() {
    let (mut port, mut server) = ends(1 << 20).await;
    let frames = [frame::ping(7), frame::ping(8), data(DATA, false, b"a")].concat();
    say(&mut server, &frames).await;
    assert_eq!(port.read_u8().await.expect("a byte"), b'a');
    assert_eq!(received(&mut server).await, frame::ping(8));
}

#[tokio::test]
async fn what_is_written_goes_in_frames_that_are_not_too_large() {
    let (mut port, mut server) = ends(1 << 20).await;
    let sent: Vec<u8> = (0..FRAME_BYTES_MAX + 5).map(|at| at as u8).collect();
    port.write_all(&sent).await.expect("written");
    port.flush().await.expect("flushed");
    let (first, rest) = sent.split_at(FRAME_BYTES_MAX);
    for part in [first, rest] {
        assert!(received(&mut server).await == data(DATA, false, part), "{} bytes", part.len());
    }
}

#[tokio::test]
async fn who_reads_nothing_stops_who_writes_at_the_other_end() {
    const ROOM: usize = 64 << 10;
    let (mut port, mut server) = ends(ROOM).await;
    say(&mut server, &data(DATA, false, b"a")).await;
    assert_eq!(port.read_u8().await.expect("a byte"), b'a');
    let message = data(DATA, false, &[b'b'; 8 << 10]);
    let mut sent = 0;
    // What is under way fills, and nothing of it is taken in here.
    while server.send(Message::binary(message.clone())).now_or_never().is_some() {
        sent += 1;
    }
    assert!(sent <= ROOM / message.len(), "{sent} messages in {ROOM} bytes");
    // The last is in the server's hands.
    let rest = async { server.flush().await.expect("sent") };
    let mut read = vec![0; (sent + 1) * (8 << 10)];
    tokio::join!(rest, async { port.read_exact(&mut read).await.expect("all of it") });
    assert!(read.iter().all(|byte| *byte == b'b'));
}
