//! What is dialled in the cluster, and how that ends.

use std::fmt;
use std::str::FromStr;

/// Bytes of the longest name that there can be, by RFC 1035, with a final dot.
const HOST_LEN_MAX: usize = 254;

/// A host and a port, as the cluster names them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    host: String,
    port: u16,
}

/// Not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no HOST:PORT with a port from 1 to 65535")]
pub struct TargetError(String);

impl Target {
    /// A name or an address (IPv6 without brackets), and a port.
    ///
    /// # Errors
    /// When the host can be neither, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, TargetError> {
        let is_host = |byte: u8| byte.is_ascii_graphic() && !b"/[]@?#\\\"'".contains(&byte);
        match !host.is_empty() && host.len() <= HOST_LEN_MAX && host.bytes().all(is_host) && port != 0 {
            true => Ok(Self { host: host.to_owned(), port }),
            false => Err(TargetError(format!("{host}:{port}"))),
        }
    }

    /// The name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || TargetError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(error());
        }
        let port = port.parse().map_err(|_| error())?;
        Self::new(bare.unwrap_or(host), port).map_err(|_| error())
    }
}

/// Why an end could not make a connection that the other asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Nobody listens there.
    Refused,
    /// DNS knows no such name.
    NoSuchName,
    /// DNS did not answer.
    NoResolver,
    /// Nothing answered in time.
    TimedOut,
    /// No route leads there.
    Unreachable,
    /// The other end does not know what it was asked for: it is older.
    Unsupported,
    /// Anything else; the detail says what.
    Failed,
}

impl Problem {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Refused, "refused", "connection refused"),
        (Self::NoSuchName, "no-such-name", "no such name in the cluster"),
        (Self::NoResolver, "no-resolver", "the cluster's DNS does not answer"),
        (Self::TimedOut, "timed-out", "no answer in time"),
        (Self::Unreachable, "unreachable", "no route to it"),
        (Self::Unsupported, "unsupported", "the agent is too old for that"),
        (Self::Failed, "failed", "it failed"),
    ];

    /// As it is written on the wire; never changes.
    pub(crate) fn code(self) -> &'static str {
        Self::ALL.iter().find(|(problem, ..)| *problem == self).map_or("failed", |(_, code, _)| code)
    }

    /// What a code stands for; one of a newer version is just a failure.
    pub(crate) fn of_code(code: &str) -> Self {
        Self::ALL.iter().find(|(_, known, _)| *known == code).map_or(Self::Failed, |(problem, ..)| *problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Self::ALL.iter().find(|(problem, ..)| problem == self);
        f.write_str(text.map_or("it failed", |(.., text)| text))
    }
}

/// Why a client got no connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    /// The agent tried and could not.
    #[error("{target}: {problem}{}", Detail(detail))]
    Answered {
        /// What was dialled.
        target: String,
        /// Why not.
        problem: Problem,
        /// More about it; may be empty.
        detail: String,
    },
    /// There was no connection to the agent, or it broke, and none came in time.
    #[error("{target}: there is no connection to the cluster")]
    NotConnected {
        /// What was to be dialled.
        target: String,
    },
    /// The session has ended.
    #[error("{target}: the session has ended")]
    Ended {
        /// What was to be dialled.
        target: String,
    },
}

impl DialError {
    /// What the agent found.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        match self {
            Self::Answered { problem, .. } => Some(*problem),
            _ => None,
        }
    }
}

/// A detail in brackets, where there is one.
struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<(&str, u16)>) {
        let read = text.parse::<Target>().ok();
        assert_eq!(read.as_ref().map(|target| (target.host(), target.port())), want, "{text}");
        if let Some(target) = read {
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        check("cart:80", Some(("cart", 80)));
        check("cart.shop.svc.cluster.local:8080", Some(("cart.shop.svc.cluster.local", 8080)));
        check("10.0.0.1:65535", Some(("10.0.0.1", 65535)));
        check("[fd00::1]:80", Some(("fd00::1", 80)));
        for text in
            ["cart", ":80", "cart:0", "cart:65536", "cart:http", "fd00::1:80", "a b:80", "a/b:80", "[]:1"]
        {
            check(text, None);
        }
        check(&format!("{}:1", "a".repeat(HOST_LEN_MAX + 1)), None);
    }

    #[test]
    fn codes_stand_for_one_problem_each() {
        for (problem, code, _) in Problem::ALL {
            assert_eq!((Problem::of_code(code), problem.code()), (problem, code));
        }
        assert_eq!(Problem::of_code("of-tomorrow"), Problem::Failed);
    }

    #[test]
    fn a_failure_says_what_was_dialled_and_why_not() {
        let answered = |detail: &str| DialError::Answered {
            target: "cart:80".into(),
            problem: Problem::Refused,
            detail: detail.into(),
        };
        assert_eq!(answered("").to_string(), "cart:80: connection refused");
        assert_eq!(answered("10.1.1.1").to_string(), "cart:80: connection refused (10.1.1.1)");
    }
}
