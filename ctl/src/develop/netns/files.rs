//! What programs read to find their resolver, put over this machine's files in the namespace alone.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

use crate::develop::device::HERE;

const RESOLVER: &str = "/etc/resolv.conf";
const SWITCH: &str = "/etc/nsswitch.conf";
/// Caches of names, of which a lookup would ask the machine's resolver.
const CACHES: [&str; 1] = ["/run/nscd/socket"];

/// Puts them there; `folder` holds them.
pub(super) fn put(folder: &Path) -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    over(folder, "resolv.conf", RESOLVER, &format!("nameserver {HERE}\noptions ndots:1\n"))?;
    if let Ok(switch) = fs::read_to_string(SWITCH) {
        over(folder, "nsswitch.conf", SWITCH, &by_dns(&switch))?;
    }
    for cache in CACHES {
        if fs::metadata(cache).is_ok_and(|found| found.file_type().is_socket()) {
            over(folder, "nscd", cache, "")?;
        }
    }
    Ok(())
}

fn over(folder: &Path, name: &str, place: &str, content: &str) -> io::Result<()> {
    let file = folder.join(name);
    fs::write(&file, content)?;
    mount_bind(&file, place).map_err(|error| io::Error::other(format!("{place}: {error}")))
}

/// The same, but hosts are looked up in the hosts file and by DNS: other services ask this machine's resolver.
fn by_dns(switch: &str) -> String {
    let hosts = |line: &str| {
        line.trim_start().strip_prefix("hosts").is_some_and(|rest| rest.trim_start().starts_with(':'))
    };
    let lines = switch.lines().map(|line| if hosts(line) { "hosts: files dns" } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_looked_up_by_dns_and_all_else_as_before() {
        let switch =
            "passwd: files systemd\n  hosts:  files mymachines resolve [!UNAVAIL=return] dns\nhostsfile: x\n";
        assert_eq!(by_dns(switch), "passwd: files systemd\nhosts: files dns\nhostsfile: x\n");
    }
}
