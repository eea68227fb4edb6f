//! How the agent opens a stream, where only the client can.
//!
//! Each stream is a request of the client's, and its path says what for. Over the one of [`INVITATIONS`] the agent sends
//! invitations: a number, and what is said first. The client follows each with a request of its own, to
//! [`Path::Invited`] where it has a place and to [`Path::Declined`] where not.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::Uri;

/// What can be said first, in bytes.
pub(crate) const FIRST_LEN_MAX: usize = u16::MAX as usize;
/// Number and length, in bytes.
const HEAD: usize = 6;

/// What a stream of HTTP/2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// One that the client opens.
    Stream,
    /// The one over which the agent invites.
    Invitations,
    /// One that the agent opens.
    Invited(u32),
    /// None, for the client has too many.
    Declined(u32),
}

const INVITATIONS: &str = "/invitations";
const STREAM: &str = "/stream";

impl Path {
    pub(super) fn uri(self) -> Uri {
        let path = match self {
            Self::Stream => STREAM.into(),
            Self::Invitations => INVITATIONS.into(),
            Self::Invited(number) => format!("/invited/{number}"),
            Self::Declined(number) => format!("/declined/{number}"),
        };
        let uri = Uri::builder().scheme("http").authority("agent").path_and_query(path);
        uri.build().expect("these are no other characters")
    }

    /// What a client asks for; none that is known otherwise.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let number = |text: &str| text.parse().ok();
        match uri.path() {
            STREAM => Some(Self::Stream),
            INVITATIONS => Some(Self::Invitations),
            path => match path.strip_prefix("/invited/") {
                Some(text) => number(text).map(Self::Invited),
                None => path.strip_prefix("/declined/").and_then(number).map(Self::Declined),
            },
        }
    }
}

/// What the agent says of a stream that it opens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invitation {
    pub(super) number: u32,
    pub(super) first: Bytes,
}

impl Invitation {
    pub(super) fn bytes(&self) -> Bytes {
        debug_assert!(self.first.len() <= FIRST_LEN_MAX);
        let mut bytes = BytesMut::with_capacity(HEAD + self.first.len());
        bytes.put_u32(self.number);
        bytes.put_u16(self.first.len() as u16);
        bytes.put_slice(&self.first);
        bytes.freeze()
    }

    /// Takes one out of what has come, where all of it is there.
    pub(super) fn take(come: &mut BytesMut) -> Option<Self> {
        let mut head = come.get(..HEAD)?;
        let (number, len) = (head.get_u32(), usize::from(head.get_u16()));
        if come.len() < HEAD + len {
            return None;
        }
        come.advance(HEAD);
        Some(Self { number, first: come.split_to(len).freeze() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_a_stream_is() {
        for path in [Path::Stream, Path::Invitations, Path::Invited(0), Path::Declined(u32::MAX)] {
            assert_eq!(Path::of(&path.uri()), Some(path));
        }
        for unknown in ["/", "/invited/", "/invited/x", "/declined/4294967296", "/of-tomorrow"] {
            assert_eq!(Path::of(&unknown.parse().expect("a path")), None, "{unknown}");
        }
    }

    #[test]
    fn invitations_are_whole_or_not_there() {
        let one = Invitation { number: 7, first: Bytes::from_static(b"who is it") };
        let other = Invitation { number: 8, first: Bytes::new() };
        let bytes = [one.bytes(), other.bytes()].concat();
        let mut come = BytesMut::new();
        let mut taken = Vec::new();
        for byte in bytes {
            come.put_u8(byte);
            taken.extend(Invitation::take(&mut come));
        }
        assert_eq!(taken, [one, other]);
        assert!(come.is_empty());
    }
}
