//! DNS as a resolver's clients speak it, RFC 1035: one question, and addresses in the answer. Pure.

use std::net::{IpAddr, Ipv4Addr};

use canary_tunnel::{DialError, Problem};

/// Bytes of a header.
const HEADER: usize = 12;
/// Bytes of an answer that names the question's name by reference.
const ANSWER: usize = 16;
/// How many addresses fit into what every client takes, 512 bytes, with the longest name.
const ADDRESSES_MAX: usize = 14;
/// How long clients may keep an answer, in seconds: pods come and go.
const LIFE_S: u32 = 5;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The name, in lower case, without a final dot.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// Which records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Addresses,
    /// The device carries none, and nobody is to wait for them.
    Addresses6,
    Other,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Addresses(Vec<Ipv4Addr>),
    NoSuchName,
    /// Nobody could be asked.
    Failed,
    /// Records of that kind are not carried.
    NotImplemented,
}

impl Answer {
    /// What a tunnel's answer for a name comes to.
    pub(super) fn resolved(name: &str, found: Result<Vec<IpAddr>, DialError>) -> Self {
        match found {
            Ok(found) => Self::Addresses(only_4(found.into_iter())),
            Err(error) if error.problem() == Some(Problem::NoSuchName) => Self::NoSuchName,
            Err(error) => {
                tracing::debug!(name, "{error}");
                Self::Failed
            }
        }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Addresses(_) => 0,
            Self::Failed => 2,
            Self::NoSuchName => 3,
            Self::NotImplemented => 4,
        }
    }
}

/// Each address of IPv4 once.
pub(super) fn only_4(addresses: impl Iterator<Item = IpAddr>) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    for address in addresses {
        match address {
            IpAddr::V4(address) if !found.contains(&address) => found.push(address),
            _ => {}
        }
    }
    found
}

/// Reads a query; nothing where it is none, or asks in another way.
pub(super) fn read(query: &[u8]) -> Option<Question> {
    let (name, kind, class, _) = question(query)?;
    let kind = match (kind, class) {
        (TYPE_A, CLASS_IN) => Kind::Addresses,
        (TYPE_AAAA, CLASS_IN) => Kind::Addresses6,
        _ => Kind::Other,
    };
    Some(Question { name, kind })
}

/// The message that answers a query.
pub(super) fn answer(query: &[u8], answer: &Answer) -> Option<Vec<u8>> {
    let (_, kind, _, end) = question(query)?;
    let addresses = match answer {
        // Who asks for others hears that the name has none.
        Answer::Addresses(addresses) if kind == TYPE_A => {
            addresses.get(..addresses.len().min(ADDRESSES_MAX))?
        }
        _ => &[],
    };
    let mut message = Vec::with_capacity(end + addresses.len() * ANSWER);
    message.extend_from_slice(query.get(..2)?);
    // A response, with recursion as it was asked for, and available.
    message.extend_from_slice(&[0x80 | (query.get(2)? & 0x01), 0x80 | answer.code()]);
    message.extend_from_slice(&1_u16.to_be_bytes());
    message.extend_from_slice(&u16::try_from(addresses.len()).ok()?.to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(query.get(HEADER..end)?);
    for address in addresses {
        message.extend_from_slice(&[0xc0, HEADER as u8]);
        message.extend_from_slice(&TYPE_A.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&LIFE_S.to_be_bytes());
        message.extend_from_slice(&4_u16.to_be_bytes());
        message.extend_from_slice(&address.octets());
    }
    Some(message)
}

/// The name, type and class of the only question, and where it ends.
fn question(query: &[u8]) -> Option<(String, u16, u16, usize)> {
    let number = |at: usize| Some(u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]));
    let is_query = query.get(2)? & 0xf8 == 0;
    if !is_query || number(4)? != 1 {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        match len {
            0 => break,
            1..=63 => labels.push(label(query.get(at..at + len)?)?),
            // A reference in a question could only lead to itself.
            _ => return None,
        }
        at += len;
    }
    Some((labels.join("."), number(at)?, number(at + 2)?, at + 4))
}

/// A label as text; no name of a host has other characters.
fn label(bytes: &[u8]) -> Option<String> {
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    bytes.iter().all(is_fit).then(|| String::from_utf8_lossy(bytes).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As glibc sends it: recursion desired, and an EDNS record behind the question.
    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut query = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend_from_slice(label.as_bytes());
        }
        query.push(0);
        query.extend_from_slice(&kind.to_be_bytes());
        query.extend_from_slice(&CLASS_IN.to_be_bytes());
        query.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        query
    }

    #[test]
    fn a_question_is_read() {
        for (kind, want) in [(1, Kind::Addresses), (28, Kind::Addresses6), (33, Kind::Other)] {
            let read = read(&query("Cart.shop.svc", kind)).expect("a question");
            assert_eq!(read, Question { name: "cart.shop.svc".into(), kind: want });
        }
    }

    #[test]
    fn an_answer_repeats_the_question_and_has_the_addresses() {
        let query = query("cart", 1);
        let message =
            answer(&query, &Answer::Addresses(vec![Ipv4Addr::new(10, 1, 2, 3)])).expect("an answer");
        let want = [
            &[0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 4][..],
            b"cart",
            &[0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 1, 2, 3],
        ]
        .concat();
        assert_eq!(message, want);
    }

    #[test]
    fn what_cannot_be_answered_says_so_in_its_code() {
        for (said, code) in [(Answer::Failed, 2), (Answer::NoSuchName, 3), (Answer::NotImplemented, 4)] {
            let message = answer(&query("cart", 1), &said).expect("an answer");
            assert_eq!((message[3] & 0x0f, message[7]), (code, 0));
        }
    }

    #[test]
    fn an_answer_fits_into_a_datagram() {
        let longest = [&*"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].join(".");
        let many = Answer::Addresses(vec![Ipv4Addr::LOCALHOST; 1000]);
        assert!(answer(&query(&longest, 1), &many).expect("an answer").len() <= 512);
    }

    #[test]
    fn what_is_no_question_is_not_answered() {
        let whole = query("cart.shop", 1);
        for end in 0..HEADER + 11 {
            assert_eq!(read(&whole[..end]), None, "{end} bytes");
        }
        let change = |at: usize, byte: u8| {
            let mut changed = whole.clone();
            changed[at] = byte;
            changed
        };
        for (changed, what) in [
            (change(2, 0x81), "an answer"),
            (change(5, 2), "two questions"),
            (change(HEADER, 0xc0), "a reference"),
            (change(HEADER + 1, b' '), "no host's name"),
        ] {
            assert_eq!(read(&changed), None, "{what}");
        }
    }
}
