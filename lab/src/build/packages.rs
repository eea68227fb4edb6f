//! Debian's part: programs that are installed, once, from the distribution.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::error::LabError;
use crate::interrupt::Interrupt;
use crate::program;
use crate::progress::Progress;

/// A package, and a file of it that tells whether it is there.
const PACKAGES: &[(&str, &str)] = &[
    ("conntrack", "/usr/sbin/conntrack"),
    ("containerd", "/usr/bin/containerd"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("docker-registry", "/usr/bin/docker-registry"),
    ("ebtables", "/usr/sbin/ebtables"),
    ("etcd-server", "/usr/bin/etcd"),
    ("ethtool", "/usr/sbin/ethtool"),
    ("iproute2", "/sbin/ip"),
    ("iptables", "/usr/sbin/iptables"),
    ("mmdebstrap", "/usr/bin/mmdebstrap"),
    // The server that tests run in pods; the file is of all its versions.
    ("postgresql", "/usr/bin/pg_ctlcluster"),
    ("runc", "/usr/sbin/runc"),
    ("socat", "/usr/bin/socat"),
];

/// Asked by Debian before a package starts its service; 101 means no (invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_SAYS_NO: &str = "#!/bin/sh\nexit 101\n";

/// Installs what is missing. Its services are not started: a lab starts its own.
pub(super) fn ensure(progress: &dyn Progress, interrupt: &Interrupt) -> Result<(), LabError> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(LabError::Missing {
            program: "apt-get",
            needed_for: "installs etcd, containerd and what else a lab takes from Debian 12 or later",
        });
    }
    let started = Instant::now();
    progress.doing("packages", &format!("apt-get install {}", missing.join(" ")));
    let _no_services = NoServices::new()?;
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(args);
        program::watch(&mut apt, interrupt, |_| {})
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())?;
    progress.done("packages", "installed", started.elapsed());
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let missing = PACKAGES.iter().filter(|(_, file)| !Path::new(file).exists());
    missing.map(|(package, _)| *package).collect()
}

/// Keeps apt from starting services, until dropped.
struct NoServices {
    made: bool,
}

impl NoServices {
    fn new() -> Result<Self, LabError> {
        // Where there is a policy it is the machine's own.
        if Path::new(POLICY).exists() {
            return Ok(Self { made: false });
        }
        let write = fs::write(POLICY, POLICY_SAYS_NO)
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)));
        write.map_err(crate::error::file("write", POLICY))?;
        Ok(Self { made: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = fs::remove_file(POLICY);
        }
    }
}
