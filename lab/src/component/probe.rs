//! Questions to components. Answers are for people: what is missing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::program;

/// How long one question may take, in seconds.
const ANSWER_WITHIN_S: u64 = 5;

/// Whether `GET path` is answered with a status of 2xx. Returns the body.
pub(super) fn http_ok(address: SocketAddr, path: &str) -> Result<String, String> {
    let limit = Duration::from_secs(ANSWER_WITHIN_S);
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer: String = ask().map_err(|error: std::io::Error| format!("http://{address}{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        return Ok(body.to_owned());
    }
    Err(format!("http://{address}{path} answers {status} {}", body.trim()))
}

/// Whether connections are accepted: for what answers health questions only over TLS.
pub(super) fn accepts(address: SocketAddr) -> Result<(), String> {
    let connected = TcpStream::connect_timeout(&address, Duration::from_secs(ANSWER_WITHIN_S));
    connected.map(drop).map_err(|error| format!("{address}: {error}"))
}

/// Whether a command succeeds. Returns what it printed.
pub(super) fn succeeds(command: &mut Command) -> Result<String, String> {
    program::capture(command).map_err(|error| error.to_string())
}
