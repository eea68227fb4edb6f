//! Processes of pods: a lab's node is this machine.

use std::fs;

/// The canaryctl in a pod.
pub(super) fn canaryctl(pod: &str) -> Vec<u32> {
    let hostname = format!("HOSTNAME={pod}");
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let is_its = |process: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let program = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
        program.ends_with(b"canaryctl")
            && environment.split(|byte| *byte == 0).any(|entry| entry == hostname.as_bytes())
    };
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_its).collect()
}
