//! Frames of SPDY/3.1, as far as a forwarded port has them: what is written, and what comes in pieces of any size.
//!
//! Source: the draft SPDY Protocol 3.1, sections 2.2 and 2.6; `github.com/moby/spdystream`, which is at the other end.
//! There is no flow control: spdystream knows no windows, and neither does this. Nothing is kept of a frame but its
//! head and the first bytes of a control frame, however long either says that it is.

use bytes::{Buf as _, Bytes};

/// Bytes of every frame's head.
pub(super) const HEAD_BYTES: usize = 8;
/// The flag that ends a stream.
const FIN: u8 = 1;
/// The first bit of a control frame, and the version behind it.
const CONTROL: u32 = 0x8003_0000;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
/// How a stream of zlib begins that has SPDY/3's dictionary: that dictionary's Adler-32 follows two bytes of flags.
const ZLIB: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];
/// An empty block behind each: Go's reader gives out what it has when it finds one, and asks for more when it does not.
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// The head of a frame with so many bytes of data, at most 2^24 - 1.
pub(super) fn data_head(stream: u32, fin: bool, len: usize) -> [u8; HEAD_BYTES] {
    head(stream, if fin { FIN } else { 0 }, len)
}

/// A ping, or the answer to it.
pub(super) fn ping(id: u32) -> Vec<u8> {
    [&head(CONTROL | u32::from(PING), 0, 4)[..], &id.to_be_bytes()].concat()
}

/// Begins a stream. All header blocks of a connection are one stream of zlib, which begins with the first.
///
/// The dictionary is named and not used: each block is one that deflate stores as it is.
pub(super) fn begin(stream: u32, headers: &[(&str, &str)], is_first: bool) -> Vec<u8> {
    let mut block = (headers.len() as u32).to_be_bytes().to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.extend((text.len() as u32).to_be_bytes());
        block.extend(text.as_bytes());
    }
    let len = block.len() as u16;
    let stored = [&[0][..], &len.to_le_bytes(), &(!len).to_le_bytes(), &block, &FLUSH].concat();
    let zlib = if is_first { &ZLIB[..] } else { &[] };
    // No stream that it belongs to, the highest priority, no slot for credentials.
    let fields = [&stream.to_be_bytes()[..], &[0; 6]].concat();
    let rest = [&fields[..], zlib, &stored].concat();
    [&head(CONTROL | u32::from(SYN_STREAM), 0, rest.len())[..], &rest].concat()
}

fn head(first: u32, flags: u8, len: usize) -> [u8; HEAD_BYTES] {
    ((u64::from(first) << 32) | (u64::from(flags) << 24) | len as u64).to_be_bytes()
}

/// What comes of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Bytes of a stream, as many as there are at a time.
    Data { stream: u32, bytes: Bytes },
    /// A data frame is complete.
    DataEnd { stream: u32, fin: bool },
    /// The other end breaks a stream off.
    Reset { stream: u32, status: u32 },
    /// Sent back as it is.
    Ping { id: u32 },
    /// The other end goes.
    GoAway,
    /// A control frame of another kind.
    Other { fin: bool, stream: u32 },
}

/// Finds frames in what comes.
#[derive(Debug, Default)]
pub(super) struct Frames {
    state: State,
}

#[derive(Debug)]
enum State {
    Head(Start),
    Data { stream: u32, fin: bool, left: usize },
    Control { kind: u16, fin: bool, left: usize, said: Start },
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Start::default())
    }
}

/// The first bytes of a frame; or behind them those of a control frame, which say a stream's or a ping's number and a
/// status.
#[derive(Debug, Default, Clone, Copy)]
struct Start {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Start {
    /// Takes what is missing of it.
    fn fill(&mut self, input: &mut Bytes) {
        let len = input.len().min(HEAD_BYTES - self.len);
        input.copy_to_slice(&mut self.bytes[self.len..][..len]);
        self.len += len;
    }
}

/// A control frame of another version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame that is not SPDY/3's")]
pub(super) struct NotSpdy;

impl Frames {
    /// The next part of a frame, taken from the front of the input; none when more input is needed.
    ///
    /// # Errors
    /// When it is not SPDY/3.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Part>, NotSpdy> {
        loop {
            match &mut self.state {
                State::Head(start) => {
                    start.fill(input);
                    if start.len < HEAD_BYTES {
                        return Ok(None);
                    }
                    self.state = State::of(u64::from_be_bytes(start.bytes))?;
                }
                &mut State::Data { stream, fin, left: 0 } => {
                    self.state = State::default();
                    return Ok(Some(Part::DataEnd { stream, fin }));
                }
                State::Data { stream, left, .. } => {
                    let bytes = input.split_to(input.len().min(*left));
                    *left -= bytes.len();
                    let part = Part::Data { stream: *stream, bytes };
                    let is_empty = matches!(&part, Part::Data { bytes, .. } if bytes.is_empty());
                    return Ok((!is_empty).then_some(part));
                }
                &mut State::Control { kind, fin, left: 0, said } => {
                    self.state = State::default();
                    return Ok(Some(Part::said(kind, fin, &said.bytes)));
                }
                State::Control { left, said, .. } => {
                    let mut bytes = input.split_to(input.len().min(*left));
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    *left -= bytes.len();
                    said.fill(&mut bytes);
                }
            }
        }
    }
}

impl State {
    fn of(head: u64) -> Result<Self, NotSpdy> {
        let (first, rest) = ((head >> 32) as u32, head as u32);
        let (fin, left) = ((rest >> 24) as u8 & FIN != 0, (rest & 0x00ff_ffff) as usize);
        match first {
            stream if stream >> 31 == 0 => Ok(Self::Data { stream, fin, left }),
            first if first & 0xffff_0000 == CONTROL => {
                Ok(Self::Control { kind: first as u16, fin, left, said: Start::default() })
            }
            _ => Err(NotSpdy),
        }
    }
}

impl Part {
    /// What a control frame says; what is missing in a short one counts as 0.
    fn said(kind: u16, fin: bool, said: &[u8; HEAD_BYTES]) -> Self {
        let said = u64::from_be_bytes(*said);
        let (id, status) = ((said >> 32) as u32, said as u32);
        match kind {
            RST_STREAM => Self::Reset { stream: id, status },
            PING => Self::Ping { id },
            GOAWAY => Self::GoAway,
            _ => Self::Other { fin, stream: id },
        }
    }
}

#[cfg(test)]
mod tests;
