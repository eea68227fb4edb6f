//! The helper: makes the device and the routes, sets the names, waits until the door closes, and puts back what does not
//! go with the device. The only code of `connect --tun` that runs as root.

use std::io::{self, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::order::{Answer, Entry, Order, Way};
use super::{DEVICE, hosts, resolved};
use crate::develop::device::door::hand_over;
use crate::develop::device::{HERE, INSIDE, MTU, kernel};
use crate::develop::range::Range;
use crate::failure::{Code, Failure};

/// Held by whoever may change this machine's hosts file.
const TURN: &str = "canaryctl-tun-helper";
/// How long the helper of one that was killed may take to put back.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
const TURN_EVERY: Duration = Duration::from_millis(50);

/// Helps whoever listens at the door, until it closes.
///
/// # Errors
/// When there is nobody, or what was changed cannot be put back.
pub fn help(door: &Path) -> Result<(), Failure> {
    let failed =
        |what: &str, error: &io::Error| Failure::new(Code::Failed, format!("cannot {what}: {error}"));
    let mut door = UnixStream::connect(door).map_err(|error| failed("reach canaryctl", &error))?;
    outlive().map_err(|error| failed("hear signals", &error))?;
    let mut lines = BufReader::new(door.try_clone().map_err(|error| failed("hear canaryctl", &error))?);
    let Some(Order::Make { routes, namespace }) = next(&mut lines) else { return Ok(()) };
    let Some(_turn) = turn().map_err(|error| failed("take a turn", &error))? else {
        say(&mut door, &trouble("another canaryctl does not put back what it has changed", None));
        return Ok(());
    };
    let put = |entries: &[Entry]| hosts::put(Path::new(hosts::FILE), entries);
    // One that was killed together with its helper has left its names.
    let made = put(&[]).map_err(|error| trouble(&format!("{}: {error}", hosts::FILE), None));
    let made = made.and_then(|()| make(&routes)).and_then(|device| Ok((device, names(&namespace)?)));
    let (device, way) = match made {
        Ok(made) => made,
        Err(answer) => {
            say(&mut door, &answer);
            return Ok(());
        }
    };
    say(&mut door, &Answer::Made(way));
    hand_over(&door, &device).map_err(|error| failed("hand the device over", &error))?;
    // From here on it is gone with canaryctl.
    drop(device);
    // Whatever closes the door ends this: Ctrl-C, a crash, a signal.
    while let Some(Order::Names(entries)) = next(&mut lines) {
        let put = put(&entries).map_err(|error| trouble(&format!("{}: {error}", hosts::FILE), None));
        say(&mut door, &put.map_or_else(|answer| answer, |()| Answer::Named));
    }
    put(&[]).map_err(|error| {
        failed(&format!("put {} back", hosts::FILE), &error)
            .help("remove the lines from `# BEGIN canaryctl` to `# END canaryctl`")
    })
}

fn make(routes: &[String]) -> Result<OwnedFd, Answer> {
    let device = kernel::make(DEVICE, INSIDE, MTU).map_err(|error| {
        let help = match error.kind() {
            io::ErrorKind::NotFound => Some("there is no /dev/net/tun: sudo modprobe tun"),
            io::ErrorKind::ResourceBusy => Some("a device of that name is there: ip link delete canaryctl0"),
            io::ErrorKind::PermissionDenied => Some("it takes CAP_NET_ADMIN, in a container as well"),
            _ => None,
        };
        trouble(&format!("cannot make the device {DEVICE}: {error}"), help)
    })?;
    let ranges = routes.iter().map(|route| route.parse::<Range>().map_err(|error| trouble(&error, None)));
    for range in [Ok(Range::one(HERE))].into_iter().chain(ranges) {
        let range = range?;
        kernel::lead(DEVICE, range).map_err(|error| {
            let help = "ip route shows who has it; leave it out with --skip-range, or --translate it";
            trouble(&format!("cannot route {range} to {DEVICE}: {error}"), Some(help))
        })?;
    }
    Ok(device)
}

fn names(namespace: &str) -> Result<Way, Answer> {
    match resolved::is_there() {
        false => Ok(Way::Hosts),
        true => resolved::tell(namespace)
            .map(|()| Way::Resolved)
            .map_err(|error| trouble(&error.to_string(), None)),
    }
}

/// The right to change the hosts file, once whoever had it has put it back; nothing where that takes too long.
fn turn() -> io::Result<Option<UnixListener>> {
    let began = Instant::now();
    loop {
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name(TURN)?) {
            Ok(turn) => return Ok(Some(turn)),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
            Err(_) if began.elapsed() > TURN_TIMEOUT => return Ok(None),
            Err(_) => sleep(TURN_EVERY),
        }
    }
}

/// Signals that end canaryctl, as Ctrl-C in the terminal of both, do not end this: the door does.
fn outlive() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // What tokio hears once stays heard, and nothing else happens.
        drop(signal(kind)?);
    }
    Ok(())
}

/// What is said next; nothing once the door is closed.
fn next(lines: &mut impl io::BufRead) -> Option<Order> {
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn say(door: &mut UnixStream, answer: &Answer) {
    if let Ok(line) = serde_json::to_string(answer) {
        // Who is gone needs no answer.
        let _ = writeln!(door, "{line}");
    }
}

fn trouble(message: &str, help: Option<&str>) -> Answer {
    Answer::Failed { message: message.to_owned(), help: help.map(str::to_owned) }
}
