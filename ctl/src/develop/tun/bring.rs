//! Our side of the helper: one at a time on a machine, started with root's rights, asked for the device, and told names.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as Blocking, UnixStream as BlockingStream};
use std::process::Stdio;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities};
use serde::Serialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::order::{Answer, Entry, Order, Way};
use crate::develop::device::door::take;
use crate::develop::range::Range;
use crate::failure::{Code, Failure};

/// The verb of canaryctl that is the helper.
const VERB: &str = "tun-helper";
/// Held, in the machine's own network, while the device is there.
const ONE: &str = "canaryctl-tun";
/// What sudo asks with.
const PROMPT: &str = "canaryctl makes a network device and routes as root. [sudo] password for %p: ";
/// How long a helper that was let start may take to come to the door, and to put back.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_MAX: usize = 64 << 10;

/// That nobody else on this machine has a device, for as long as it lives.
pub struct Held {
    _place: Blocking,
}

impl Held {
    /// Takes it.
    ///
    /// # Errors
    /// With who has it.
    pub fn new() -> Result<Self, Failure> {
        Self::of(ONE)
    }

    fn of(name: &str) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::new(Code::Failed, format!("cannot tell who else is here: {error}"));
        let name = SocketAddr::from_abstract_name(name).map_err(failed)?;
        match Blocking::bind_addr(&name) {
            Ok(place) => Ok(Self { _place: place }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let other = BlockingStream::connect_addr(&name).map_err(failed)?;
                let id = socket_peercred(&other).map_err(|error| failed(error.into()))?.pid;
                let id = id.as_raw_nonzero();
                Err(Failure::new(
                    Code::Conflict,
                    format!("this machine is in a cluster's network already, by process {id}"),
                )
                .help(format!("end that first: kill {id}")))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// A helper that waits for an order; nothing is changed yet.
pub struct Ready {
    held: Held,
    child: Child,
    door: UnixStream,
    _folder: TempDir,
}

/// What was brought, until the door closes.
pub struct Brought {
    _held: Held,
    door: UnixStream,
    way: Way,
}

impl Ready {
    /// Starts the helper; sudo may ask for a password.
    ///
    /// # Errors
    /// When this user may not become root.
    pub async fn new(held: Held) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::new(Code::Failed, format!("cannot start the helper: {error}"));
        let folder = TempDir::with_prefix("canaryctl-").map_err(failed)?;
        let place = folder.path().join("door");
        let listener = UnixListener::bind(&place).map_err(failed)?;
        let own = std::env::current_exe().map_err(failed)?;
        let is_direct = may_change_networks();
        let mut command = match is_direct {
            true => Command::new(own),
            false => {
                let mut sudo = Command::new("sudo");
                // In the background it leaves the terminal to us, once the password is typed.
                sudo.args(["-b", "-p", PROMPT, "--"]).arg(own);
                sudo
            }
        };
        command.arg(VERB).arg(&place).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            // A folder of the path that may not be looked into hides it, too.
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied if !is_direct => {
                without_root("there is no sudo here")
            }
            _ => failed(error),
        })?;
        let (door, _) = tokio::select! {
            accepted = listener.accept() => accepted.map_err(failed)?,
            ended = child.wait() => {
                if is_direct || !ended.map_err(failed)?.success() {
                    return Err(without_root("the helper did not start"));
                }
                let accepted = timeout(HELPER_TIMEOUT, listener.accept()).await;
                accepted.map_err(|_| without_root("the helper did not come"))?.map_err(failed)?
            }
        };
        Ok(Self { held, child, door, _folder: folder })
    }

    /// Has the device and its routes made, and the cluster's names known.
    ///
    /// # Errors
    /// When the system refuses; all is as before then.
    pub async fn make(mut self, routes: &[Range], namespace: &str) -> Result<(Brought, OwnedFd), Failure> {
        let broken = |error: io::Error| Failure::new(Code::Failed, format!("the helper is gone: {error}"));
        let routes = routes.iter().map(Range::to_string).collect();
        let order = Order::Make { routes, namespace: namespace.to_owned() };
        say(&mut self.door, &order).await.map_err(broken)?;
        match heard(&mut self.door).await.map_err(broken)? {
            Answer::Failed { message, help } => {
                let failure = Failure::new(Code::Failed, message);
                Err(match help {
                    Some(help) => failure.help(help),
                    None => failure,
                })
            }
            Answer::Named => Err(broken(io::ErrorKind::InvalidData.into())),
            Answer::Made(way) => {
                let device = take(&self.door).await.map_err(broken)?;
                // Whoever is started by sudo is no child of ours; one that is ends after the door.
                tokio::spawn(async move { self.child.wait().await });
                Ok((Brought { _held: self.held, door: self.door, way }, device))
            }
        }
    }
}

impl Brought {
    /// How names are known.
    #[must_use]
    pub fn way(&self) -> Way {
        self.way
    }

    /// Has the hosts file say these names.
    ///
    /// # Errors
    /// When it cannot be written, or the helper is gone.
    pub async fn names(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        let told = async {
            say(&mut self.door, &Order::Names(entries)).await?;
            heard(&mut self.door).await
        };
        match told.await {
            Ok(Answer::Failed { message, .. }) => Err(Failure::new(Code::Failed, message)),
            Ok(_) => Ok(()),
            Err(_) => Err(gone()),
        }
    }

    /// Waits until the helper is gone, which it is not before we are.
    pub async fn gone(&mut self) -> Failure {
        // It says nothing that was not asked for.
        let _ = self.door.read(&mut [0]).await;
        gone()
    }

    /// Closes the door, and waits until all is put back.
    pub async fn end(mut self) {
        let _ = self.door.shutdown().await;
        if timeout(HELPER_TIMEOUT, self.gone()).await.is_err() {
            tracing::warn!("the helper does not end");
        }
    }
}

fn gone() -> Failure {
    Failure::new(Code::Failed, "the helper that keeps this machine's names has ended")
        .help("run it again, which also removes what it may have left in /etc/hosts")
}

fn without_root(why: &str) -> Failure {
    Failure::new(Code::Failed, format!("a network device of this machine takes root, and {why}")).help(
        "without root: canaryctl run PROGRAM has a network for one program, canaryctl connect a proxy for all",
    )
}

fn may_change_networks() -> bool {
    let has = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN));
    geteuid().is_root() || has
}

async fn say(door: &mut UnixStream, order: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    door.write_all(&line).await
}

/// An answer, and not a byte more: a device may come with the next one.
async fn heard(door: &mut UnixStream) -> io::Result<Answer> {
    let mut line = Vec::new();
    while line.len() < ANSWER_MAX {
        match door.read_u8().await? {
            b'\n' => return Ok(serde_json::from_slice(&line)?),
            byte => line.push(byte),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::develop::device::door::hand_over;

    #[test]
    fn a_second_one_is_told_whose_the_first_is() {
        let name = format!("canaryctl-test-{}", fastrand::u64(..));
        let held = Held::of(&name).expect("nobody has it");
        let refused = Held::of(&name).err().expect("somebody has it");
        let id = std::process::id();
        assert_eq!(
            (refused.code(), refused.to_string()),
            (Code::Conflict, format!("this machine is in a cluster's network already, by process {id}"))
        );
        assert_eq!(refused.advice(), Some(format!("end that first: kill {id}").as_str()));
        drop(held);
        assert!(Held::of(&name).is_ok());
    }

    #[tokio::test]
    async fn a_device_comes_after_the_answer_that_announces_it() {
        let (ours, mut theirs) = BlockingStream::pair().expect("two ends");
        ours.set_nonblocking(true).expect("set");
        let mut door = UnixStream::from_std(ours).expect("an end");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"the device").expect("written");
        let line = serde_json::to_string(&Answer::Made(Way::Hosts)).expect("a line");
        writeln!(theirs, "{line}").expect("said");
        hand_over(&theirs, &file).expect("handed over");
        assert!(matches!(heard(&mut door).await.expect("an answer"), Answer::Made(Way::Hosts)));
        let mut taken = std::fs::File::from(take(&door).await.expect("it comes"));
        std::io::Seek::rewind(&mut taken).expect("at its start");
        let mut text = String::new();
        taken.read_to_string(&mut text).expect("read");
        assert_eq!(text, "the device");
        drop(theirs);
        assert!(heard(&mut door).await.is_err());
    }
}
