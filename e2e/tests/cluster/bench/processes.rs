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

/// The processes of a program that have this in their environment.
fn find(program: &str, variable: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let is_one = |process: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        first.ends_with(program.as_bytes())
            && environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}
