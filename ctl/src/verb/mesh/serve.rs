//! What comes through the tunnel, to the process that listens on this machine.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use canary_tunnel::{Inbound, Inbounds, Problem, splice};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::develop::report::Format;

/// How long the process may take to accept a connection: less than callers are kept waiting by whoever is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long what is under way may take once nothing new comes.
const LETS_END: Duration = Duration::from_secs(2);

/// Where a process listens on this machine, or on one that it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verb) struct Local {
    host: String,
    port: u16,
}

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() => Ok(Self { host: host.into(), port }),
            _ => Err(format!("`{text}` is no port such as 8080, or 127.0.0.1:8080")),
        }
    }
}

impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What comes through the tunnel, being served.
pub(in crate::verb) struct Serving {
    accepting: JoinHandle<()>,
    /// Ends with the last connection.
    under_way: mpsc::Receiver<Infallible>,
}

impl Serving {
    /// Serves until the session ends. Says once when nobody listens, and what callers get `otherwise`, and again when
    /// somebody does.
    pub(in crate::verb) fn start(
        inbounds: Inbounds,
        to: Local,
        format: Format,
        otherwise: &'static str,
    ) -> Self {
        let (holds, under_way) = mpsc::channel(1);
        let accepting = tokio::spawn(serve(inbounds, to, (format, otherwise), holds));
        Self { accepting, under_way }
    }

    /// Takes no more, for others answer by now, and lets what is under way end.
    pub(in crate::verb) async fn end(mut self) {
        self.accepting.abort();
        // Who stays longer has what no end is waited for, such as a WebSocket.
        let _ = timeout(LETS_END, self.under_way.recv()).await;
    }
}

async fn serve(
    mut inbounds: Inbounds,
    to: Local,
    (format, otherwise): (Format, &'static str),
    holds: mpsc::Sender<Infallible>,
) {
    let listens = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    while let Some(inbound) = inbounds.next().await {
        let (to, listens, held) = (to.clone(), listens.clone(), holds.clone());
        tokio::spawn(async move {
            let listened = one(inbound, &to).await;
            drop(held);
            if listens.swap(listened, std::sync::atomic::Ordering::Relaxed) != listened {
                match listened {
                    true => format.tell("listens", &format!("somebody listens on {to} again")),
                    false => format.tell("refused", &format!("nobody listens on {to}: {otherwise}")),
                }
            }
        });
    }
}

/// Joins a connection with one to the process; false where nobody listens.
async fn one(inbound: Inbound, to: &Local) -> bool {
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect((to.host.as_str(), to.port))).await;
    let Ok(Ok(local)) = connected else {
        inbound.refuse(Problem::Refused, "nobody listens there").await;
        return false;
    };
    // Small writes are not to wait for each other; one that cannot be told so is slower.
    let _ = local.set_nodelay(true);
    if let Ok(stream) = inbound.accept().await {
        // Whoever breaks off is told to the other side by the end of bytes.
        let _ = splice(local, stream).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_by_its_port() {
        for (text, want) in [
            ("8080", Some("localhost:8080")),
            ("127.0.0.1:90", Some("127.0.0.1:90")),
            ("[::1]:90", Some("::1:90")),
            ("0", None),
            (":80", None),
            ("cart", None),
            ("70000", None),
        ] {
            assert_eq!(text.parse::<Local>().ok().map(|to| to.to_string()).as_deref(), want, "{text}");
        }
    }
}
