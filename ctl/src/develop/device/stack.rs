//! The TCP/IP stack at the other end of the device: each connection of the program's is one to the outside.
//!
//! A connection is accepted once the outside has accepted it, so that the program sees a refusal as one. Bytes wait in the
//! sockets' buffers, whose windows hold back whoever is faster.

mod flow;
mod link;
mod packet;

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep};

use super::outside::{Far, Outside};
use super::{HERE, MTU};
use flow::Flow;
use link::Link;
use packet::{Datagram, Ends, Packet};

/// Bytes of each of a connection's two buffers.
const BUFFER_BYTES: usize = 512 << 10;
/// Connections at a time; more are refused.
const FLOWS_MAX: usize = 4096;
/// Packets that are taken from the device before anything else is done.
const PACKETS_AT_ONCE: usize = 64;
/// The port of DNS.
const DNS: u16 = 53;
/// The first port from which the program is called: IANA's dynamic ones.
const PORT_FIRST: u16 = 49_152;
/// How long to wait at least where a socket would send and cannot.
const BLOCKED: Duration = Duration::from_millis(10);
/// How long to wait where no socket says when it has something to do.
const IDLE: Duration = Duration::from_secs(60);

/// What tasks have found out.
enum Found {
    Dialled(SocketHandle, Ends, io::Result<Box<dyn Far>>),
    Answered(Datagram),
    /// Somebody wants to connect to the program's port.
    Called(Box<dyn Far>, u16),
}

/// The way to ports of the program.
#[derive(Clone)]
pub struct Ports(mpsc::UnboundedSender<Found>);

impl Ports {
    /// Joins a connection with one to the program's port, on whichever address it listens; ends it where it does not.
    pub fn connect(&self, connection: TcpStream, port: u16) {
        let _ = connection.set_nodelay(true);
        // Without a stack there is no program.
        let _ = self.0.send(Found::Called(Box::new(connection), port));
    }
}

/// The stack. It serves as long as it is awaited.
pub struct Stack {
    link: Link,
    interface: Interface,
    sockets: SocketSet<'static>,
    flows: HashMap<SocketHandle, Flow>,
    outside: Arc<Outside>,
    tell: mpsc::UnboundedSender<Found>,
    found: mpsc::UnboundedReceiver<Found>,
    /// How many connections have bytes of the program's, or their end, that the outside lacks.
    unfinished: watch::Sender<usize>,
    /// From where the program was called last.
    last_port: u16,
    began: tokio::time::Instant,
    timer: Pin<Box<Sleep>>,
}

impl Stack {
    /// Behind this device, in a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the device.
    pub fn new(device: OwnedFd, outside: Outside) -> io::Result<Self> {
        let mut link = Link::new(device, MTU)?;
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = fastrand::u64(..);
        let mut interface = Interface::new(config, &mut link, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for one, and nobody has added any.
            let _ = addresses.push(IpCidr::new(HERE.into(), 32));
        });
        interface.set_any_ip(true);
        interface.routes_mut().add_default_ipv4_route(HERE).map_err(io::Error::other)?;
        let (tell, found) = mpsc::unbounded_channel();
        Ok(Self {
            link,
            interface,
            sockets: SocketSet::new(Vec::new()),
            flows: HashMap::new(),
            outside: Arc::new(outside),
            tell,
            found,
            unfinished: watch::Sender::new(0),
            last_port: PORT_FIRST,
            began: tokio::time::Instant::now(),
            timer: Box::pin(sleep(IDLE)),
        })
    }

    /// The way to ports of the program.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports(self.tell.clone())
    }

    /// How many connections there are of which the outside has not got all that the program sends, now and from now on.
    #[must_use]
    pub fn unfinished(&self) -> watch::Receiver<usize> {
        self.unfinished.subscribe()
    }

    /// Serves until the device fails.
    pub async fn serve(mut self) -> io::Error {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            while let Poll::Ready(Some(found)) = self.found.poll_recv(cx) {
                self.learn(found);
            }
            let read = match self.read(cx) {
                Ok(read) => read,
                Err(error) => return Poll::Ready(error),
            };
            self.exchange();
            let moved = self.move_bytes(cx);
            if moved {
                self.exchange();
            }
            let was_behind = self.link.is_behind();
            if let Err(error) = self.link.write(cx) {
                return Poll::Ready(error);
            }
            self.remove();
            let unfinished = self.flows.values().filter(|flow| !flow.told_end).count();
            self.unfinished.send_if_modified(|before| std::mem::replace(before, unfinished) != unfinished);
            let may_send_more = was_behind && !self.link.is_behind();
            if !read && !moved && !may_send_more && !self.is_due(cx) {
                return Poll::Pending;
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Takes packets from the device; true where there may be more.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.link.is_behind() {
            return Ok(false);
        }
        for _ in 0..PACKETS_AT_ONCE {
            let Some(bytes) = self.link.read(cx)? else { return Ok(false) };
            match packet::read(&bytes) {
                Packet::Opens(ends) => {
                    self.open(ends);
                    self.link.put(bytes);
                }
                Packet::Tcp => self.link.put(bytes),
                Packet::Udp(datagram) if datagram.ends.to.port() == DNS => self.ask(datagram),
                // The stack says that nobody listens there.
                Packet::Udp(_) => self.link.put(bytes),
                // An answer to a ping would say nothing about who is there.
                Packet::Other => {}
            }
        }
        Ok(true)
    }

    /// Has a connection made outside for one that the program asks for.
    fn open(&mut self, ends: Ends) {
        if self.flows.len() >= FLOWS_MAX || self.flows.values().any(|flow| flow.ends == ends) {
            return;
        }
        let mut socket = socket();
        socket.pause_synack(true);
        if socket.listen((*ends.to.ip(), ends.to.port())).is_err() {
            return;
        }
        let handle = self.sockets.add(socket);
        self.flows.insert(handle, Flow::new(ends, None));
        let (outside, tell) = (self.outside.clone(), self.tell.clone());
        tokio::spawn(async move {
            let dialled = outside.dial(ends.to).await;
            // Without a stack nobody asks.
            let _ = tell.send(Found::Dialled(handle, ends, dialled));
        });
    }

    /// Connects to a port of the program, on its loopback: there it is whether it listens on that alone or on all.
    fn call(&mut self, from: Box<dyn Far>, port: u16) {
        if self.flows.len() >= FLOWS_MAX {
            return;
        }
        self.last_port = self.last_port.checked_add(1).unwrap_or(PORT_FIRST);
        let ends = Ends {
            from: SocketAddrV4::new(HERE, self.last_port),
            to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        };
        let mut socket = socket();
        let remote = (*ends.to.ip(), port);
        if socket.connect(self.interface.context(), remote, (HERE, self.last_port)).is_ok() {
            self.flows.insert(self.sockets.add(socket), Flow::new(ends, Some(from)));
        }
    }

    fn ask(&mut self, query: Datagram) {
        let (outside, tell) = (self.outside.clone(), self.tell.clone());
        tokio::spawn(async move {
            if let Some(payload) = outside.ask(&query.payload).await {
                let ends = Ends { from: query.ends.to, to: query.ends.from };
                let _ = tell.send(Found::Answered(Datagram { ends, payload }));
            }
        });
    }

    fn learn(&mut self, found: Found) {
        match found {
            Found::Called(from, port) => self.call(from, port),
            Found::Answered(datagram) => self.link.send(packet::write(&datagram)),
            Found::Dialled(handle, ends, dialled) => {
                // The program may have given up, and another connection be there.
                let Some(flow) = self.flows.get_mut(&handle).filter(|flow| flow.ends == ends) else { return };
                let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
                match dialled {
                    Ok(far) => {
                        flow.far = Some(far);
                        socket.pause_synack(false);
                    }
                    Err(error) => {
                        tracing::debug!("{}: {error}", ends.to);
                        socket.abort();
                    }
                }
            }
        }
    }

    /// Lets the sockets take what has come, and send what they have.
    fn exchange(&mut self) {
        let now = self.now();
        self.interface.poll(now, &mut self.link, &mut self.sockets);
    }

    fn move_bytes(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for (handle, flow) in &mut self.flows {
            moved |= flow.move_bytes(self.sockets.get_mut(*handle), cx);
        }
        moved
    }

    fn remove(&mut self) {
        let sockets = &mut self.sockets;
        self.flows.retain(|handle, flow| {
            let over = flow.is_over(sockets.get(*handle));
            if over {
                sockets.remove(*handle);
            }
            !over
        });
    }

    /// Sets the timer for when a socket has something to do; true where that is now.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let wait = self.interface.poll_delay(self.now(), &self.sockets);
        let wait = wait.map_or(IDLE, |wait| Duration::from_micros(wait.total_micros()));
        // What could be sent has been: who would send at once waits for something else, as for the outside.
        self.timer.as_mut().reset(tokio::time::Instant::now() + wait.max(BLOCKED));
        self.timer.as_mut().poll(cx).is_ready()
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket
}
