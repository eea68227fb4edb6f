//! The program's side: leaves this machine's network, hands the device to who started it, and becomes the program.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};

use super::files;
use crate::develop::device::door::hand_over;
use crate::develop::device::{INSIDE, MTU, kernel};
use crate::failure::{Code, Failure};

/// What shells exit with where a command cannot be run, and where there is none.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// Settings that keep namespaces from people without root, what they must be, and whose they are.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("kernel.apparmor_restrict_unprivileged_userns", "0", "AppArmor's restriction"),
    ("kernel.unprivileged_userns_clone", "1", "the kernel's switch"),
    ("user.max_user_namespaces", "15000", "the number of user namespaces"),
];

/// Becomes the program. Must be called by the only thread; `parent` is where the other side listens, in a folder that is
/// ours.
///
/// # Errors
/// When the system does not allow it, or the program cannot be run. What is printed is about the program then, or about
/// the setting that is in the way.
pub fn enter(parent: &Path, command: &[OsString]) -> Result<Infallible, Failure> {
    let failed =
        |what: &str, error: &io::Error| Failure::new(Code::Failed, format!("cannot {what}: {error}"));
    let [program, args @ ..] = command else {
        return Err(Failure::new(Code::Usage, "there is no program to run"));
    };
    let mut door = UnixStream::connect(parent).map_err(|error| failed("reach canaryctl", &error))?;
    leave().map_err(|error| without_namespaces(&error))?;
    let made = kernel::make_only(INSIDE, MTU);
    let tun = made.map_err(|error| failed("make a network device", &error).help(device_help(&error)))?;
    let folder = parent.parent().unwrap_or(Path::new("/"));
    files::put(folder).map_err(|error| failed("put a resolver into place", &error))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| Failure::new(Code::Failed, error))?;
    hand_over(&door, &tun).map_err(|error| failed("hand the device over", &error))?;
    drop(tun);
    // Told to go, or gone.
    if door.read_exact(&mut [0]).is_err() {
        return Err(Failure::silent(Code::Failed));
    }
    drop(door);
    let error = Command::new(program).args(args).exec();
    let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    Failure::new(Code::Failed, format!("cannot run {}: {error}", program.display())).print();
    std::process::exit(code.into())
}

/// Leaves the namespaces and stays who it was.
fn leave() -> io::Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    kernel::leave()?;
    // Without it nobody but root may say who the group is.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Names what is in the way, as far as it can be seen.
fn without_namespaces(error: &io::Error) -> Failure {
    let failure = Failure::new(
        Code::Failed,
        format!("this system lets nobody but root have a network namespace: {error}"),
    );
    let set = |setting: &&(&str, &str, &str)| {
        let (name, wanted, _) = **setting;
        let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")));
        value.is_ok_and(|value| match name {
            "user.max_user_namespaces" => value.trim() == "0",
            _ => value.trim() != wanted,
        })
    };
    match SETTINGS.iter().find(set) {
        Some((name, wanted, what)) => failure
            .help(format!("{what} is in the way: sudo sysctl -w {name}={wanted}; or use canaryctl connect")),
        None => failure.help("in a container, unshare(2) must be allowed; or use canaryctl connect"),
    }
}

fn device_help(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("there is no {}: sudo modprobe tun", kernel::TUN),
        ErrorKind::PermissionDenied => {
            format!("everybody must be able to open it: sudo chmod 666 {}", kernel::TUN)
        }
        _ => "use canaryctl connect instead".to_owned(),
    }
}
