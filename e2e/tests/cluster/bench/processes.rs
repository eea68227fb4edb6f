//! Processes of pods: a lab's node is this machine.

use std::fs;

/// The proxies of a namespace's pods.
pub(super) fn proxies(namespace: &str) -> Vec<u32> {
    find("envoy", &format!("POD_NAMESPACE={namespace}"))
}

/// The canaryctl in a pod.
pub(super) fn canaryctl(pod: &str) -> Vec<u32> {
    find("canaryctl", &format!("HOSTNAME={pod}"))
}

/// Developers' agents, whoever's they are.
pub(crate) fn agents() -> impl Iterator<Item = u32> {
    all().filter(|process| {
        let arguments = read(*process, "cmdline");
        arguments.split(|byte| *byte == 0).any(|argument| argument.starts_with(b"--secret-sha256="))
    })
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A file that the kernel has of a process; nothing of one that has ended.
fn read(process: u32, file: &str) -> Vec<u8> {
    fs::read(format!("/proc/{process}/{file}")).unwrap_or_default()
}

/// The processes of a program that have this in their environment.
fn find(program: &str, variable: &str) -> Vec<u32> {
    let is_one = |process: &u32| {
        let (arguments, environment) = (read(*process, "cmdline"), read(*process, "environ"));
        let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        first.ends_with(program.as_bytes())
            && environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    all().filter(is_one).collect()
}
