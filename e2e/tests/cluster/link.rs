//! A long way on one machine: a network namespace whose only way to the cluster's node is a pair of TUN devices, and a
//! program between these that keeps each packet for as long as it would take, and loses some.

#![expect(unsafe_code, reason = "the kernel's structure for a device; its block says why it is sound")]

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cluster::Cluster;

/// What the way carries in each direction, in bytes a second: 400 Mbit/s.
const RATE: u32 = 50_000_000;
/// What waits for its turn at the most, in bytes; what comes then is lost, as routers have it.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// A packet's largest size, in bytes.
const MTU: usize = 1500;

const TUN: &str = "/dev/net/tun";
const TUNSETIFF: Opcode = 0x4004_54ca;
const IFF_TUN: u16 = 0x1;
const IFF_NO_PI: u16 = 0x1000;

/// Of how many packets it is said how many are lost.
const ALL: u32 = 1000;

/// A machine at the other end of a long way, until dropped.
pub(crate) struct Link {
    namespace: String,
    quality: Arc<Quality>,
}

/// What the way is like now.
struct Quality {
    /// How long a packet takes, in microseconds.
    late_us: AtomicU64,
    /// How many of [`ALL`] packets are lost.
    lost: AtomicU32,
}

impl Quality {
    fn late(&self) -> Duration {
        Duration::from_micros(self.late_us.load(Ordering::Relaxed))
    }
}

impl Link {
    /// A way of this round trip that loses so many packets of a thousand in each direction. `number` tells links apart.
    pub(crate) fn new(number: usize, round_trip: Duration, lost: u32) -> Self {
        let namespace = format!("canary-far-{}-{number}", std::process::id());
        let (near, far) = (format!("canfar{number}"), "far0");
        let (node, machine) = (format!("192.168.8{number}.1"), format!("192.168.8{number}.2"));
        ip(&["netns", "add", &namespace]);
        let quality = Quality { late_us: AtomicU64::new(0), lost: AtomicU32::new(0) };
        let link = Self { namespace, quality: Arc::new(quality) };
        link.becomes(round_trip, lost);
        let here = device(&near);
        let there = link.inside(|| device(far));
        ip(&["addr", "add", &node, "peer", &machine, "dev", &near]);
        ip(&["link", "set", &near, "mtu", &MTU.to_string(), "up"]);
        let inside = |args: &[&str]| ip(&[&["-n", &link.namespace], args].concat());
        inside(&["link", "set", "lo", "up"]);
        inside(&["addr", "add", &machine, "peer", &node, "dev", far]);
        inside(&["link", "set", far, "mtu", &MTU.to_string(), "up"]);
        inside(&["route", "add", "default", "dev", far]);
        for (from, to) in [(&here, &there), (&there, &here)] {
            let file = |device: &OwnedFd| File::from(device.try_clone().expect("a descriptor"));
            carry(file(from), file(to), link.quality.clone());
        }
        link
    }

    /// From now on the way is like this.
    pub(crate) fn becomes(&self, round_trip: Duration, lost: u32) {
        let late_us = u64::try_from(round_trip.as_micros() / 2).expect("not that long");
        self.quality.late_us.store(late_us, Ordering::Relaxed);
        self.quality.lost.store(lost, Ordering::Relaxed);
    }

    /// From now on nothing comes through, and nobody is told so.
    pub(crate) fn cut(&self) {
        self.quality.lost.store(ALL, Ordering::Relaxed);
    }

    /// What nsenter is told to start a program there.
    pub(crate) fn entered(&self) -> [String; 2] {
        [format!("--net=/run/netns/{}", self.namespace), "--".into()]
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.namespace);
        let work = || {
            let namespace = File::open(&path).expect("it was made");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may");
            work()
        };
        std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Its device goes with it, and the other end with this process.
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).status();
    }
}

#[track_caller]
fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).status().expect("ip is there");
    assert!(done.success(), "ip {}", args.join(" "));
}

/// A program at the other end of a link, or of none here.
pub(crate) fn command(cluster: &Cluster, from: Option<&Link>, program: &str) -> Command {
    let Some(link) = from else { return cluster.command(program) };
    let mut command = cluster.command("nsenter");
    command.args(link.entered()).arg(program);
    command
}

/// `struct ifreq`: a name and flags.
#[repr(C, align(8))]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// A TUN device of this name in the thread's network namespace.
fn device(name: &str) -> OwnedFd {
    let device = open(TUN, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("TUN devices");
    let mut request = Request { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which this is, for as long as the call lasts.
    unsafe { ioctl(&device, Updater::<TUNSETIFF, Request>::new(&mut request)) }.expect("root may");
    device
}

/// Packets on their way, with when they are due.
#[derive(Default)]
struct UnderWay {
    packets: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    come: Condvar,
}

/// Carries packets from one device to another until either is gone.
fn carry(mut from: File, mut to: File, quality: Arc<Quality>) {
    let under_way = Arc::new(UnderWay::default());
    let arriving = under_way.clone();
    std::thread::spawn(move || {
        let (mut chance, mut taken) = (fastrand::Rng::with_seed(7), Instant::now());
        let mut packet = vec![0; MTU];
        while let Ok(len @ 1..) = from.read(&mut packet) {
            let now = Instant::now();
            let queued = taken.saturating_duration_since(now).as_secs_f64() * f64::from(RATE);
            if chance.u32(..ALL) < quality.lost.load(Ordering::Relaxed) || queued > QUEUE_BYTES_MAX as f64 {
                continue;
            }
            let bytes = u32::try_from(len).expect("a packet");
            taken = taken.max(now) + Duration::from_secs(bytes.into()) / RATE;
            let mut packets = arriving.packets.lock().expect("no panic");
            packets.push_back((taken + quality.late(), packet[..len].to_vec()));
            arriving.come.notify_one();
        }
    });
    std::thread::spawn(move || {
        loop {
            let mut packets = under_way.packets.lock().expect("no panic");
            while packets.is_empty() {
                packets = under_way.come.wait(packets).expect("no panic");
            }
            let (due, packet) = packets.pop_front().expect("there is one");
            drop(packets);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // A device that is not up takes none.
            let _ = to.write_all(&packet);
        }
    });
}
