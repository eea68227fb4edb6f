//! systemd-resolved: which of its names are asked for at the device's other end. What it is told goes with the device.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use super::DEVICE;
use crate::develop::device::HERE;

/// Whether this machine's programs ask it, and it answers.
pub(super) fn is_there() -> bool {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    is_asked(&read("/etc/nsswitch.conf"), &read("/etc/resolv.conf"))
        && resolvectl(&["dns".to_owned()]).is_ok()
}

/// Has it ask for the cluster's names and for short ones of a namespace, and for no others.
pub(super) fn tell(namespace: &str) -> io::Result<()> {
    calls(namespace).iter().try_for_each(|call| resolvectl(call))
}

/// The arguments of each call.
fn calls(namespace: &str) -> Vec<Vec<String>> {
    let call = |verb: &str, values: &[&str]| {
        let words = [verb, DEVICE].into_iter().chain(values.iter().copied());
        words.map(str::to_owned).collect()
    };
    let search = format!("{namespace}.svc.cluster.local");
    vec![
        call("dns", &[&HERE.to_string()]),
        call("domain", &[&search, "~cluster.local", "~svc"]),
        // No other name comes here, even where no other server has one.
        call("default-route", &["no"]),
        // Nobody at the other end hears a question to all.
        call("llmnr", &["no"]),
        call("mdns", &["no"]),
        call("dnssec", &["no"]),
        call("dnsovertls", &["no"]),
    ]
}

/// Whether lookups go to it, by these files.
fn is_asked(switch: &str, resolver: &str) -> bool {
    let hosts = switch.lines().find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let by_switch = hosts.is_some_and(|services| services.split_whitespace().any(|one| one == "resolve"));
    let is_stub = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some("nameserver") && matches!(words.next(), Some("127.0.0.53" | "127.0.0.54"))
    };
    by_switch || resolver.lines().any(is_stub)
}

fn resolvectl(args: &[String]) -> io::Result<()> {
    let mut command = Command::new("resolvectl");
    let output = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("resolvectl {}: {}", args.join(" "), said.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_of_the_clusters_names_and_of_no_others() {
        let calls: Vec<String> = calls("shop").iter().map(|call| call.join(" ")).collect();
        assert_eq!(
            calls,
            [
                "dns canaryctl0 192.0.0.1",
                "domain canaryctl0 shop.svc.cluster.local ~cluster.local ~svc",
                "default-route canaryctl0 no",
                "llmnr canaryctl0 no",
                "mdns canaryctl0 no",
                "dnssec canaryctl0 no",
                "dnsovertls canaryctl0 no",
            ]
        );
    }

    #[test]
    fn it_is_used_where_lookups_go_to_it() {
        for (switch, resolver, want) in [
            ("hosts: files resolve [!UNAVAIL=return] dns\n", "nameserver 10.0.0.2\n", true),
            ("hosts: files dns\n", "search lan\nnameserver 127.0.0.53\n", true),
            ("hosts: files dns\n", "nameserver 10.0.0.2\n", false),
            ("passwd: resolve\n", "# nameserver 127.0.0.53\n", false),
        ] {
            assert_eq!(is_asked(switch, resolver), want, "{switch}{resolver}");
        }
    }
}
