//! The first message each way over a transport: who is there, and in which version they go on.
//!
//! Each end names the lowest and the highest version of the protocol that it speaks; the highest that both speak is
//! spoken. A release speaks at least the version of the release before it. These two messages are the same in every
//! version: they may only grow at their ends, and what an end does not know there it skips.
//!
//! | bytes | client | agent |
//! |---|---|---|
//! | 8 | magic | magic |
//! | 2, 2 | lowest and highest version | the same |
//! | 2 | length of what follows | the same |
//! | | id 16, epoch 4, secret 32, program | verdict 1, version 2, program |
//!
//! Numbers are big-endian. A program is its version's length in a byte, and that in UTF-8.

use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::session::{ID_LEN, SECRET_LEN, Secret};

const MAGIC: [u8; 8] = *b"canarytn";
/// What is before a message's own fields, in bytes.
const PREFIX: usize = MAGIC.len() + 6;
/// What a message may be at most behind its prefix, in bytes.
const REST_MAX: u16 = 1024;

/// Versions of the protocol that an end speaks, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub lowest: u16,
    /// The highest.
    pub highest: u16,
}

impl Versions {
    /// What this build speaks. No release has spoken 1.
    pub const OURS: Self = Self { lowest: 2, highest: 2 };

    /// The version in which two ends talk.
    fn common(self, other: Self) -> Option<u16> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lowest == self.highest {
            true => write!(f, "{}", self.highest),
            false => write!(f, "{} to {}", self.lowest, self.highest),
        }
    }
}

/// Why two ends do not talk.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// The transport broke, or was too slow.
    #[error("the connection broke before a greeting")]
    Io(#[from] io::Error),
    /// Something else is there.
    #[error("what answers is no canaryctl tunnel")]
    NotATunnel,
    /// No version is common.
    #[error(
        "versions do not fit: canaryctl {ours} here speaks the tunnel protocol {spoken_here}, \
         canaryctl {theirs} there speaks {spoken_there}"
    )]
    Version {
        /// This end's program.
        ours: String,
        /// Its versions.
        spoken_here: Versions,
        /// The other end's program.
        theirs: String,
        /// Its versions.
        spoken_there: Versions,
    },
    /// The agent belongs to another client.
    #[error("the secret is wrong: the agent belongs to somebody else's session")]
    Secret,
    /// A newer transport of the session is there.
    #[error("a newer connection of this session is there")]
    Stale,
    /// The agent refused for a reason that this version does not know.
    #[error("the agent refused (reason {0})")]
    Unknown(u8),
}

impl HelloError {
    /// Whether another transport would be refused as well.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::Secret | Self::NotATunnel)
    }
}

/// What a client says of itself.
pub(crate) struct Hello {
    pub(crate) id: [u8; ID_LEN],
    /// Counts a session's transports.
    pub(crate) epoch: u32,
    pub(crate) secret: Secret,
}

/// What an agent says to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Verdict {
    Welcome = 0,
    Version = 1,
    Secret = 2,
    Stale = 3,
}

/// How an end speaks for itself.
#[derive(Debug, Clone)]
pub(crate) struct Speaker {
    pub(crate) versions: Versions,
    pub(crate) program: String,
}

/// Greets an agent and hears its verdict. The version that was agreed on.
pub(crate) async fn greet<T>(io: &mut T, hello: &Hello, us: &Speaker) -> Result<u16, HelloError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut rest = [&hello.id[..], &hello.epoch.to_be_bytes(), &hello.secret.0].concat();
    put_program(&mut rest, &us.program);
    send(io, us.versions, &rest).await?;
    let (theirs, rest) = receive(io).await?;
    let (&[verdict, high, low], program) = rest.split_first_chunk().ok_or(HelloError::NotATunnel)?;
    match verdict {
        0 => Ok(u16::from_be_bytes([high, low])),
        1 => Err(mismatch(us, theirs, program)),
        2 => Err(HelloError::Secret),
        3 => Err(HelloError::Stale),
        other => Err(HelloError::Unknown(other)),
    }
}

/// Hears a client and tells it the verdict; an error unless that is welcome.
pub(crate) async fn answer<T>(
    io: &mut T,
    us: &Speaker,
    judge: impl FnOnce(&Hello) -> Verdict,
) -> Result<Hello, HelloError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (theirs, rest) = receive(io).await?;
    let (&id, rest) = rest.split_first_chunk::<ID_LEN>().ok_or(HelloError::NotATunnel)?;
    let (&epoch, rest) = rest.split_first_chunk::<4>().ok_or(HelloError::NotATunnel)?;
    let (&secret, program) = rest.split_first_chunk::<SECRET_LEN>().ok_or(HelloError::NotATunnel)?;
    let hello = Hello { id, epoch: u32::from_be_bytes(epoch), secret: Secret(secret) };
    let common = us.versions.common(theirs);
    let verdict = common.map_or(Verdict::Version, |_| judge(&hello));
    let mut rest = vec![verdict as u8];
    rest.extend(common.unwrap_or_default().to_be_bytes());
    put_program(&mut rest, &us.program);
    send(io, us.versions, &rest).await?;
    match verdict {
        Verdict::Welcome => Ok(hello),
        Verdict::Version => Err(mismatch(us, theirs, program)),
        Verdict::Secret => Err(HelloError::Secret),
        Verdict::Stale => Err(HelloError::Stale),
    }
}

fn mismatch(us: &Speaker, theirs: Versions, program: &[u8]) -> HelloError {
    HelloError::Version {
        ours: us.program.clone(),
        spoken_here: us.versions,
        theirs: get_program(program),
        spoken_there: theirs,
    }
}

async fn send<T: AsyncWrite + Unpin>(io: &mut T, versions: Versions, rest: &[u8]) -> io::Result<()> {
    let len = (rest.len() as u16).to_be_bytes();
    let (lowest, highest) = (versions.lowest.to_be_bytes(), versions.highest.to_be_bytes());
    io.write_all(&[&MAGIC[..], &lowest, &highest, &len, rest].concat()).await?;
    io.flush().await
}

async fn receive<T: AsyncRead + Unpin>(io: &mut T) -> Result<(Versions, Vec<u8>), HelloError> {
    let mut prefix = [0; PREFIX];
    // Whatever else is there shows itself with its first bytes and may send no more.
    let (magic, fields) = prefix.split_at_mut(MAGIC.len());
    io.read_exact(magic).await?;
    if magic != MAGIC {
        return Err(HelloError::NotATunnel);
    }
    io.read_exact(fields).await?;
    let number = |at: usize| u16::from_be_bytes([fields[at], fields[at + 1]]);
    let (versions, len) = (Versions { lowest: number(0), highest: number(2) }, number(4));
    if len > REST_MAX {
        return Err(HelloError::NotATunnel);
    }
    let mut rest = vec![0; len.into()];
    io.read_exact(&mut rest).await?;
    Ok((versions, rest))
}

fn put_program(rest: &mut Vec<u8>, program: &str) {
    let end = program.floor_char_boundary(u8::MAX.into());
    rest.push(end as u8);
    rest.extend_from_slice(&program.as_bytes()[..end]);
}

fn get_program(bytes: &[u8]) -> String {
    let text = bytes.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len)));
    let printable = |text: &[u8]| String::from_utf8_lossy(text).replace(char::is_control, "");
    text.map(printable).unwrap_or_default()
}

#[cfg(test)]
mod tests;
