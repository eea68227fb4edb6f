use super::*;

/// All parts of what comes in pieces of a size.
fn parts(bytes: &[u8], piece: usize) -> Result<Vec<Part>, NotSpdy> {
    let (mut frames, mut parts) = (Frames::default(), Vec::new());
    for piece in bytes.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(part) = frames.next(&mut input)? {
            parts.push(part);
        }
        assert!(input.is_empty(), "it asks for more and has not taken all");
    }
    Ok(parts)
}

#[track_caller]
fn check(bytes: &[u8], want: &[Part]) {
    assert_eq!(parts(bytes, bytes.len()).as_deref(), Ok(want));
    for piece in 1..bytes.len() {
        // However it comes, data is the same once its pieces are put together.
        let mut joined: Vec<Part> = Vec::new();
        for part in parts(bytes, piece).expect("frames") {
            match (joined.last_mut(), part) {
                (Some(Part::Data { stream, bytes }), Part::Data { stream: same, bytes: more })
                    if *stream == same =>
                {
                    *bytes = [&bytes[..], &more].concat().into();
                }
                (_, part) => joined.push(part),
            }
        }
        assert_eq!(joined, want, "in pieces of {piece}");
    }
}

#[test]
fn a_frame_is_found_in_pieces_of_any_size() {
    check(
        b"\0\0\0\x03\0\0\0\x05hello\0\0\0\x03\x01\0\0\0",
        &[
            Part::Data { stream: 3, bytes: Bytes::from_static(b"hello") },
            Part::DataEnd { stream: 3, fin: false },
            Part::DataEnd { stream: 3, fin: true },
        ],
    );
    check(b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x05", &[Part::Reset { stream: 3, status: 5 }]);
    check(b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02", &[Part::Ping { id: 2 }]);
    check(b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x03\0\0\0\0", &[Part::GoAway]);
}

#[test]
fn what_else_a_frame_says_is_skipped_however_long() {
    let reply = |flags: u8| [&[0x80, 3, 0, 2, flags, 0, 0, 14, 0, 0, 0, 3][..], b"0123456789"].concat();
    check(&reply(0), &[Part::Other { fin: false, stream: 3 }]);
    check(&reply(1), &[Part::Other { fin: true, stream: 3 }]);
    // SETTINGS and WINDOW_UPDATE, and a frame that says less than its kind has to.
    check(
        b"\x80\x03\0\x04\0\0\0\x04\0\0\0\0\x80\x03\0\x09\0\0\0\x08\0\0\0\x03\0\0\x10\0",
        &[Part::Other { fin: false, stream: 0 }, Part::Other { fin: false, stream: 3 }],
    );
    check(b"\x80\x03\0\x03\0\0\0\0", &[Part::Reset { stream: 0, status: 0 }]);
}

#[test]
fn another_version_is_refused() {
    for bytes in [&b"\x80\x02\0\x06\0\0\0\x04"[..], b"HTTP/1.1".map(|byte| byte | 0x80).as_slice()] {
        assert_eq!(parts(bytes, bytes.len()), Err(NotSpdy), "{bytes:?}");
    }
}

#[test]
fn what_is_written_is_what_the_protocol_has() {
    assert_eq!(data_head(3, false, 0x01_0203), *b"\0\0\0\x03\x00\x01\x02\x03");
    assert_eq!(data_head(3, true, 0), *b"\0\0\0\x03\x01\0\0\0");
    assert_eq!(ping(2), b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02");
    let first = begin(1, &[("port", "80")], true);
    let block = b"\0\0\0\x01\0\0\0\x04port\0\0\0\x0280";
    let want = [
        &b"\x80\x03\0\x01\0\0\0\x2c\0\0\0\x01\0\0\0\0\0\0"[..],
        b"\x78\xbb\xe3\xc6\xa7\xc2",
        b"\0\x12\0\xed\xff",
        block,
        b"\0\0\0\xff\xff",
    ];
    assert_eq!(first, want.concat());
    assert_eq!(begin(3, &[("port", "80")], false)[18..], want[2..].concat());
}
