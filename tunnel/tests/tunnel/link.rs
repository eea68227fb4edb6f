//! A link on loopback that does what links do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;
use tokio::time::sleep;

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They arrive.
    Pass,
    /// They are taken and never arrive, and neither end hears of it.
    Swallow,
    /// They wait, and arrive when it is over.
    Hold,
    /// They arrive, so many bytes a second each way.
    Slow(u64),
}

/// A link to somewhere. Connections over it end with it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    mode: Mode,
    /// Connections of before a cut are reset.
    cuts: u32,
    /// Nobody can connect.
    is_down: bool,
    /// Connections that were made.
    made: u32,
}

impl Link {
    pub(crate) async fn to(there: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = State { mode: Mode::Pass, cuts: 0, is_down: false, made: 0 };
        let state = Arc::new(watch::Sender::new(state));
        let link = Self { address, state };
        tokio::spawn(link.clone().accept(listener, there));
        link
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Resets every connection there is.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Cuts, and lets nobody connect any more, or lets them again.
    pub(crate) fn down(&self, is_down: bool) {
        self.state.send_modify(|state| {
            state.is_down = is_down;
            state.cuts += u32::from(is_down);
        });
    }

    /// How often somebody connected.
    pub(crate) fn made(&self) -> u32 {
        self.state.borrow().made
    }

    async fn accept(self, listener: TcpListener, there: SocketAddr) {
        loop {
            let Ok((near, _)) = listener.accept().await else { return };
            if self.state.borrow().is_down {
                let _ = near.set_zero_linger();
                continue;
            }
            self.state.send_modify(|state| state.made += 1);
            let Ok(far) = TcpStream::connect(there).await else { continue };
            tokio::spawn(carry(near, far, self.state.subscribe()));
        }
    }
}

async fn carry(near: TcpStream, far: TcpStream, mut state: watch::Receiver<State>) {
    for end in [&near, &far] {
        end.set_nodelay(true).expect("an option");
        // Decides what a drop does.
        end.set_zero_linger().expect("an option");
    }
    let cuts = state.borrow().cuts;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let modes = state.clone();
    tokio::select! {
        () = async {
            tokio::join!(pass(near_read, far_write, modes.clone()), pass(far_read, near_write, modes));
        } => {}
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let mode = state.borrow_and_update().mode;
        match mode {
            Mode::Swallow => continue,
            Mode::Pass => {}
            Mode::Hold => drop(state.wait_for(|state| state.mode != Mode::Hold).await),
            Mode::Slow(rate) => {
                let takes = Duration::from_micros(1_000_000 * len as u64 / rate);
                tokio::select! {
                    () = sleep(takes) => {}
                    _ = state.wait_for(|state| state.mode != mode) => {}
                }
            }
        }
        if to.write_all(&buffer[..len]).await.is_err() {
            break;
        }
    }
    // A link that swallows swallows the end, too.
    let _ = state.wait_for(|state| state.mode != Mode::Swallow).await;
    let _ = to.shutdown().await;
}
