//! Connections that nobody looks into: each goes to the laptop if somebody takes it there, else to the baseline.

use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Gate, exchange, others, own_address};

/// How long whoever calls may be silent before they count as one who waits to be spoken to.
const SPEAKS_WITHIN: Duration = Duration::from_millis(500);
/// How a request begins: with a method, or as HTTP/2 does.
const BEGINNINGS: [&[u8]; 10] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * ",
];

/// Whether what a connection begins with is a request; what has not begun in time is none.
pub(super) async fn begins_a_request(stream: &TcpStream) -> bool {
    let mut begun = [0; 8];
    match timeout(SPEAKS_WITHIN, stream.peek(&mut begun)).await {
        Ok(Ok(read)) => is_a_request(&begun[..read]),
        _ => false,
    }
}

/// Whether a request begins so, as far as that can be seen.
fn is_a_request(begun: &[u8]) -> bool {
    let goes_on = |beginning: &&[u8]| beginning.starts_with(begun) || begun.starts_with(beginning);
    !begun.is_empty() && BEGINNINGS.iter().any(goes_on)
}

/// Passes a connection on until both sides have ended, or either breaks.
pub(super) async fn pass(mut caller: TcpStream, gate: &Gate) {
    let Some(mut other) = other(&caller, gate).await else {
        // Whoever calls shall not take it for an empty answer.
        let _ = caller.set_zero_linger();
        return;
    };
    // Small writes are not to wait for each other; one that cannot be told so is slower.
    let _ = caller.set_nodelay(true);
    if copy_bidirectional(&mut caller, &mut other).await.is_err() {
        // A break is to look like one.
        let _ = (caller.set_zero_linger(), other.set_zero_linger());
    }
}

/// Who takes it.
async fn other(caller: &TcpStream, gate: &Gate) -> Option<TcpStream> {
    if let Some(laptop) = gate.laptop
        && let Ok(stream) = laptop.connect().await
    {
        return Some(stream);
    }
    let own = own_address(caller).ok()?;
    for address in others(gate.baseline.as_ref()?, own).await? {
        if let Ok(stream) = exchange::connect(address).await {
            return Some(stream);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_by_how_it_begins() {
        for (begun, want) in [
            (&b"GET / HT"[..], true),
            (b"PRI * HT", true),
            (b"P", true),
            (b"OPTIONS ", true),
            (b"", false),
            (b"GETS 1 2", false),
            (b"\x00\x00\x00\x08\x04\xd2", false),
            (b"*1\r\n$4\r\n", false),
            (b"\x16\x03\x01", false),
            (b"USER me ", false),
        ] {
            assert_eq!(is_a_request(begun), want, "{begun:?}");
        }
    }
}
