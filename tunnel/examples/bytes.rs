//! Both ends of what is measured of a way into a cluster: `serve PORT` in a pod, `ask HOST:PORT [PROXY]` beside it, by a
//! proxy such as `http://127.0.0.1:8080` or `socks5://127.0.0.1:1080`.
//!
//! `ask` says `ready` once a byte has come back, then takes a line for each measurement and answers with one:
//! `get BYTES FLOWS` and `put BYTES FLOWS` with the seconds that it took, `echo COUNT` with the microseconds of each
//! request. Every byte is compared with what it must be.

use std::error::Error;
use std::io::{self, BufRead as _, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::time::Instant;

/// What is compared and sent at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of a small request.
const REQUEST_BYTES: usize = 128;
/// Bytes of its answer.
const ANSWER_BYTES: usize = 1024;
/// Requests before those that are measured.
const WARM_UP: usize = 20;

/// What a connection is for, as its first byte says; 8 bytes of a length follow.
const GET: u8 = b'g';
const PUT: u8 = b'p';
const ECHO: u8 = b'e';

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", port] => serve(port.parse()?),
        ["ask", to] => ask(&Way { to, proxy: None }),
        ["ask", to, proxy] => ask(&Way { to, proxy: Some(proxy) }),
        _ => Err("usage: bytes serve PORT | bytes ask HOST:PORT [PROXY]".into()),
    }
}

fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    for connection in listener.incoming() {
        let connection = connection?;
        // What breaks is seen by who asked.
        std::thread::spawn(move || answer(connection));
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut head = [0; 9];
    connection.read_exact(&mut head)?;
    let len = u64::from_be_bytes(head[1..].try_into().map_err(io::Error::other)?);
    match head[0] {
        GET => send(&mut connection, len),
        PUT => {
            receive(&mut connection, len)?;
            connection.write_all(&len.to_be_bytes())
        }
        _ => {
            let (mut request, answer) = ([0; REQUEST_BYTES], [7; ANSWER_BYTES]);
            while connection.read_exact(&mut request).is_ok() {
                connection.write_all(&answer)?;
            }
            Ok(())
        }
    }
}

/// What all chunks are but for the number that they begin with.
fn chunk() -> Vec<u8> {
    let mut chunk = vec![0; CHUNK_BYTES];
    fastrand::Rng::with_seed(1).fill(&mut chunk);
    chunk
}

fn send(to: &mut impl Write, len: u64) -> io::Result<()> {
    let mut chunk = chunk();
    let mut left = len;
    while left > 0 {
        let part = left.min(CHUNK_BYTES as u64) as usize;
        chunk[..8].copy_from_slice(&left.to_be_bytes());
        to.write_all(&chunk[..part])?;
        left -= part as u64;
    }
    Ok(())
}

fn receive(from: &mut impl Read, len: u64) -> io::Result<()> {
    let (mut expected, mut found) = (chunk(), vec![0; CHUNK_BYTES]);
    let mut left = len;
    while left > 0 {
        let part = left.min(CHUNK_BYTES as u64) as usize;
        expected[..8].copy_from_slice(&left.to_be_bytes());
        from.read_exact(&mut found[..part])?;
        if found[..part] != expected[..part] {
            return Err(io::Error::other("other bytes than were sent"));
        }
        left -= part as u64;
    }
    Ok(())
}

/// How the other end is reached.
#[derive(Clone, Copy)]
struct Way<'a> {
    to: &'a str,
    /// The URL of an HTTP proxy that takes CONNECT, or of one of SOCKS 5.
    proxy: Option<&'a str>,
}

impl Way<'_> {
    fn connect(self, what: u8, len: u64) -> io::Result<TcpStream> {
        let (kind, proxy) = match self.proxy {
            Some(proxy) => proxy.split_once("://").unwrap_or(("http", proxy)),
            None => ("", self.to),
        };
        let mut connection = TcpStream::connect(proxy)?;
        connection.set_nodelay(true)?;
        if kind == "socks5" {
            self.by_socks(&mut connection)?;
        } else if self.proxy.is_some() {
            write!(connection, "CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n", to = self.to)?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte)?;
                answer.extend(byte);
            }
            if !answer.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
            }
        }
        let mut head = vec![what];
        head.extend(len.to_be_bytes());
        connection.write_all(&head)?;
        Ok(connection)
    }

    /// Asks a proxy of SOCKS 5 (RFC 1928) for an address of IPv4.
    fn by_socks(self, connection: &mut TcpStream) -> io::Result<()> {
        let to: SocketAddrV4 = self.to.parse().map_err(io::Error::other)?;
        connection.write_all(&[5, 1, 0])?;
        connection.read_exact(&mut [0; 2])?;
        let mut asked = vec![5, 1, 0, 1];
        asked.extend(to.ip().octets());
        asked.extend(to.port().to_be_bytes());
        connection.write_all(&asked)?;
        let mut answer = [0; 10];
        connection.read_exact(&mut answer)?;
        if answer[1] == 0 { Ok(()) } else { Err(io::Error::other("the proxy does not reach it")) }
    }

    fn get(self, len: u64) -> io::Result<()> {
        let mut connection = self.connect(GET, len)?;
        receive(&mut connection, len)?;
        match connection.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("more bytes than were sent")),
        }
    }

    fn put(self, len: u64) -> io::Result<()> {
        let mut connection = self.connect(PUT, len)?;
        send(&mut connection, len)?;
        connection.shutdown(Shutdown::Write)?;
        let mut answer = [0; 8];
        connection.read_exact(&mut answer)?;
        if u64::from_be_bytes(answer) == len { Ok(()) } else { Err(io::Error::other("not all arrived")) }
    }

    /// The microseconds of each request.
    fn echo(self, count: usize) -> io::Result<Vec<u128>> {
        let mut connection = self.connect(ECHO, 0)?;
        let (request, mut answer) = ([7; REQUEST_BYTES], [0; ANSWER_BYTES]);
        let mut took = Vec::with_capacity(count);
        for number in 0..WARM_UP + count {
            let began = Instant::now();
            connection.write_all(&request)?;
            connection.read_exact(&mut answer)?;
            if number >= WARM_UP {
                took.push(began.elapsed().as_micros());
            }
        }
        Ok(took)
    }

    /// The seconds until all flows of that together are done.
    fn flows(self, flows: u64, one: impl Fn(Self) -> io::Result<()> + Sync) -> io::Result<f64> {
        let began = Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..flows).map(|_| scope.spawn(|| one(self))).collect();
            all.into_iter()
                .try_for_each(|flow| flow.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))))
        })?;
        Ok(began.elapsed().as_secs_f64())
    }
}

fn ask(way: &Way<'_>) -> Result<(), Box<dyn Error>> {
    way.echo(1)?;
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["get", bytes, flows] => {
                let (bytes, flows): (u64, u64) = (bytes.parse()?, flows.parse()?);
                println!("{}", way.flows(flows, |way| way.get(bytes / flows))?);
            }
            ["put", bytes, flows] => {
                let (bytes, flows): (u64, u64) = (bytes.parse()?, flows.parse()?);
                println!("{}", way.flows(flows, |way| way.put(bytes / flows))?);
            }
            ["echo", count] => {
                let took = way.echo(count.parse()?)?;
                println!("{}", took.iter().map(u128::to_string).collect::<Vec<_>>().join(" "));
            }
            _ => return Err(format!("what is `{line}`?").into()),
        }
    }
    Ok(())
}
