//! The input is how long pieces are, then what comes of a forwarded port in such pieces.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

// The program's own module: it needs nothing of the program, which would take long to build.
#[path = "../../ctl/src/develop/forwarded/frame.rs"]
mod frame;

use frame::{Frames, NotSpdy, Part};

fuzz_target!(|input: &[u8]| {
    let Some((piece, input)) = input.split_first() else { return };
    let whole = parts(input, input.len().max(1));
    assert_eq!(parts(input, usize::from(*piece).max(1)), whole, "in pieces of {piece}");

    // What comes of frames that are known whole: each says its length, and nothing else is between.
    let (parts, is_spdy) = whole;
    let heads = parts.iter().filter(|part| !matches!(part, Part::Data { .. })).count();
    let data: usize =
        parts.iter().map(|part| if let Part::Data { bytes, .. } = part { bytes.len() } else { 0 }).sum();
    assert!(heads * frame::HEAD_BYTES + data <= input.len(), "more than there is");
    for part in &parts {
        match part {
            Part::Data { stream, bytes } => assert!(*stream >> 31 == 0 && !bytes.is_empty()),
            Part::DataEnd { stream, .. } => assert_eq!(stream >> 31, 0),
            Part::Ping { id } => again(&frame::ping(*id), part),
            _ => {}
        }
    }

    // Behind whatever was right, what we write is found.
    if is_spdy.is_ok() {
        let begun = [&frame::data_head(3, true, 0)[..], &frame::begin(5, &[("port", "80")], true)].concat();
        let found = self::parts(&begun, usize::from(*piece).max(1)).0;
        assert_eq!(found, [Part::DataEnd { stream: 3, fin: true }, Part::Other { fin: false, stream: 5 }]);
    }
});

fn again(written: &[u8], part: &Part) {
    assert_eq!(parts(written, written.len()).0, [part.clone()]);
}

/// What is found in pieces of a length, with the pieces of data put together, and whether all of it was SPDY/3.
fn parts(input: &[u8], piece: usize) -> (Vec<Part>, Result<(), NotSpdy>) {
    let (mut frames, mut parts) = (Frames::default(), Vec::new());
    for piece in input.chunks(piece) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match (frames.next(&mut piece), parts.last_mut()) {
                (Ok(None), _) => break,
                (Ok(Some(Part::Data { stream, bytes: more })), Some(Part::Data { stream: same, bytes })) => {
                    assert_eq!(stream, *same, "a frame that does not end");
                    *bytes = [&bytes[..], &more].concat().into();
                }
                (Ok(Some(part)), _) => parts.push(part),
                (Err(error), _) => return (parts, Err(error)),
            }
        }
        assert!(piece.is_empty(), "it asks for more and has not taken all");
    }
    (parts, Ok(()))
}
