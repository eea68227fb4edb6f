use tokio::io::duplex;

use super::*;
use crate::session::Session;

fn speaker(lowest: u16, highest: u16, program: &str) -> Speaker {
    Speaker { versions: Versions { lowest, highest }, program: program.into() }
}

fn hello(session: &Session) -> Hello {
    Hello { id: session.id, epoch: 7, secret: session.secret.clone() }
}

/// What each end makes of the other.
async fn meet(
    client: &Speaker,
    agent: &Speaker,
    verdict: Verdict,
) -> (Result<u16, HelloError>, Result<Hello, HelloError>) {
    let (mut one, mut other) = duplex(64);
    let session = Session::random().expect("bytes");
    let hello = hello(&session);
    tokio::join!(
        async {
            let greeted = greet(&mut one, &hello, client).await;
            drop(one);
            greeted
        },
        async { answer(&mut other, agent, |_| verdict).await }
    )
}

#[tokio::test]
async fn the_highest_common_version_is_spoken() {
    for (client, agent, want) in
        [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((4, 4), (1, 9), 4)]
    {
        let (client, agent) = (speaker(client.0, client.1, "1"), speaker(agent.0, agent.1, "2"));
        let (greeted, answered) = meet(&client, &agent, Verdict::Welcome).await;
        assert_eq!(greeted.expect("a version"), want);
        assert_eq!(answered.expect("a client").epoch, 7);
    }
}

#[tokio::test]
async fn versions_that_do_not_fit_are_named_at_both_ends() {
    let (client, agent) = (speaker(1, 1, "0.1.0"), speaker(2, 3, "0.9.0"));
    let (greeted, answered) = meet(&client, &agent, Verdict::Welcome).await;
    let (greeted, answered) = (greeted.expect_err("no version"), answered.err().expect("no version"));
    assert_eq!(
        greeted.to_string(),
        "versions do not fit: canaryctl 0.1.0 here speaks the tunnel protocol 1, canaryctl 0.9.0 there speaks 2 to 3"
    );
    assert_eq!(
        answered.to_string(),
        "versions do not fit: canaryctl 0.9.0 here speaks the tunnel protocol 2 to 3, canaryctl 0.1.0 there speaks 1"
    );
    assert!(greeted.is_final());
}

#[tokio::test]
async fn a_verdict_is_the_same_at_both_ends() {
    for (verdict, is_final) in [(Verdict::Secret, true), (Verdict::Stale, false)] {
        let us = speaker(1, 1, "1");
        let (greeted, answered) = meet(&us, &us, verdict).await;
        let (greeted, answered) = (greeted.expect_err("refused"), answered.err().expect("refused"));
        assert_eq!((greeted.to_string(), greeted.is_final()), (answered.to_string(), is_final));
    }
}

#[tokio::test]
async fn whatever_else_is_there_is_known_by_its_first_bytes() {
    let (mut one, mut other) = duplex(256);
    one.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.expect("written");
    let error = answer(&mut other, &speaker(1, 1, "1"), |_| Verdict::Welcome).await.err();
    assert!(matches!(error, Some(HelloError::NotATunnel)), "{error:?}");
}

#[tokio::test]
async fn the_first_message_is_the_same_in_every_version() {
    let (mut one, mut other) = duplex(256);
    let hello = hello(&Session { id: [1; ID_LEN], secret: Secret([2; SECRET_LEN]) });
    let us = speaker(1, 2, "1.0");
    let _ = tokio::join!(
        async {
            let mut bytes = [0; PREFIX + ID_LEN + 4 + SECRET_LEN + 4];
            other.read_exact(&mut bytes).await.expect("a message");
            let (prefix, rest) = bytes.split_at(PREFIX);
            assert_eq!(prefix, b"canarytn\0\x01\0\x02\0\x38");
            assert_eq!(rest[..ID_LEN], [1; ID_LEN]);
            assert_eq!(rest[ID_LEN..ID_LEN + 4], [0, 0, 0, 7]);
            assert_eq!(rest[ID_LEN + 4..ID_LEN + 4 + SECRET_LEN], [2; SECRET_LEN]);
            assert_eq!(rest[ID_LEN + 4 + SECRET_LEN..], *b"\x031.0");
            drop(other);
        },
        greet(&mut one, &hello, &us),
    );
}

#[tokio::test]
async fn what_a_newer_client_adds_is_skipped() {
    let (mut one, mut other) = duplex(256);
    let session = Session::random().expect("bytes");
    let mut rest = [&session.id[..], &[0, 0, 0, 9], &session.secret.0, b"\x011 and more"].concat();
    rest.extend([0; 100]);
    send(&mut one, Versions { lowest: 1, highest: 4 }, &rest).await.expect("written");
    let hello = answer(&mut other, &speaker(1, 1, "1"), |_| Verdict::Welcome).await.expect("a client");
    assert_eq!((hello.epoch, hello.id), (9, session.id));
}

#[tokio::test]
async fn a_program_cannot_write_to_the_terminal() {
    let (client, agent) = (speaker(1, 1, "1"), speaker(2, 2, "2\u{1b}[31m"));
    let (greeted, _) = meet(&client, &agent, Verdict::Welcome).await;
    assert!(greeted.expect_err("no version").to_string().contains("canaryctl 2[31m there"));
}
