//! What is said at the beginning of a stream: what it is for, and whether it came to be.
//!
//! Each message is a length of two bytes, big-endian, and JSON: fields may be added, and what is not known is skipped. A
//! kind of stream that an end does not know it answers with [`Problem::Unsupported`].

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::dial::Problem;
use crate::mux::Stream;

/// The longest message, in bytes.
const LEN_MAX: usize = 8 << 10;

/// What a stream is for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Header {
    /// From the client: connect to this and pass bytes on.
    Dial { host: String, port: u16 },
    /// From the client: ask DNS.
    Resolve { name: String },
    /// From the client: send back what comes, as a sign of life.
    Echo {},
    /// From the client: it leaves for good.
    Bye {},
    /// From the agent: this came in on an exposed port.
    Inbound { port: u16, peer: SocketAddr },
}

/// The other end's answer.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// A problem's code; none: it came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
}

impl Reply {
    pub(crate) fn found(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ..Self::default() }
    }

    pub(crate) fn problem(problem: Problem, detail: impl ToString) -> Self {
        let mut detail = detail.to_string();
        detail.truncate(detail.floor_char_boundary(LEN_MAX / 8));
        Self { problem: Some(problem.code().into()), detail, addresses: Vec::new() }
    }

    /// What was found, or what went wrong and its detail.
    pub(crate) fn into_result(self) -> Result<Vec<IpAddr>, (Problem, String)> {
        match self.problem {
            None => Ok(self.addresses),
            Some(code) => Err((Problem::of_code(&code), self.detail)),
        }
    }
}

/// A message as it is sent.
pub(crate) fn bytes(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message).map_err(io::Error::other)?;
    let mut bytes = (json.len() as u16).to_be_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

/// Sends a message.
pub(crate) async fn write(stream: &mut Stream, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&bytes(message)?).await?;
    stream.flush().await
}

/// Sends a message that is the last, and waits until it has been heard.
pub(crate) async fn write_last(mut stream: Stream, message: &impl Serialize) -> io::Result<()> {
    write(&mut stream, message).await?;
    stream.finish().await;
    Ok(())
}

/// Reads a message; `InvalidData` where it is none that is known.
pub(crate) async fn read<M: DeserializeOwned>(stream: &mut Stream) -> io::Result<M> {
    let len: usize = stream.read_u16().await?.into();
    if len > LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
    }
    let mut json = vec![0; len];
    stream.read_exact(&mut json).await?;
    serde_json::from_slice(&json).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &Header, json: &str) {
        assert_eq!(serde_json::to_string(header).expect("JSON"), json);
        assert_eq!(&serde_json::from_str::<Header>(json).expect("a header"), header);
    }

    #[test]
    fn headers_are_written_as_other_versions_read_them() {
        check(&Header::Dial { host: "cart".into(), port: 80 }, r#"{"dial":{"host":"cart","port":80}}"#);
        check(&Header::Resolve { name: "cart".into() }, r#"{"resolve":{"name":"cart"}}"#);
        check(&Header::Echo {}, r#"{"echo":{}}"#);
        check(&Header::Bye {}, r#"{"bye":{}}"#);
        let peer = "10.0.0.1:7".parse().expect("an address");
        check(&Header::Inbound { port: 80, peer }, r#"{"inbound":{"port":80,"peer":"10.0.0.1:7"}}"#);
    }

    #[test]
    fn what_a_newer_version_adds_is_skipped() {
        let read: Header = serde_json::from_str(r#"{"echo":{"every":3}}"#).expect("a header");
        assert_eq!(read, Header::Echo {});
        let read: Reply = serde_json::from_str(r#"{"problem":"of-tomorrow","colour":1}"#).expect("a reply");
        assert_eq!(read.into_result(), Err((Problem::Failed, String::new())));
    }

    #[test]
    fn a_reply_says_what_came_of_it() {
        assert_eq!(serde_json::to_string(&Reply::default()).expect("JSON"), "{}");
        let json = serde_json::to_string(&Reply::problem(Problem::Refused, "why")).expect("JSON");
        assert_eq!(json, r#"{"problem":"refused","detail":"why"}"#);
        let address = "fd00::1".parse().expect("an address");
        assert_eq!(Reply::found(vec![address]).into_result(), Ok(vec![address]));
    }
}
