//! What a process has used of the machine, as Linux tells.

use std::{fs, io};

use anyhow::{Context, Result};

/// CPU time of all threads of a process so far, user and system, in nanoseconds.
///
/// Source: `/proc/PID/task/*/schedstat`, which counts what `/proc/PID/stat` counts, in nanoseconds instead of
/// ticks of 10 ms. Threads that have ended are not in it; Envoy's threads all live as long as it does.
///
/// # Errors
/// The process is gone, or the kernel keeps no such statistics.
pub fn cpu_ns(process: u32) -> Result<u64> {
    let tasks = format!("/proc/{process}/task");
    let entries = fs::read_dir(&tasks).with_context(|| format!("listing {tasks}"))?;
    let mut sum = 0;
    for entry in entries {
        let path = entry.context("listing threads")?.path().join("schedstat");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let on_cpu = text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok());
        sum += on_cpu.with_context(|| format!("{} says {text:?}", path.display()))?;
    }
    Ok(sum)
}

/// Whether a thread ended since it was listed: its folder is gone, or was while it was read.
fn has_ended(error: &io::Error) -> bool {
    const NO_SUCH_PROCESS: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS)
}

/// Memory that a process has in RAM, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// All of it, with the pages of the program file that have been touched.
    pub all: u64,
    /// What is its own: heaps and stacks.
    pub anonymous: u64,
}

/// Reads `/proc/PID/status`.
///
/// # Errors
/// The process is gone.
pub fn resident(process: u32) -> Result<Resident> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok());
        number.with_context(|| format!("{path} has no {name}"))
    };
    Ok(Resident { all: kilobytes("VmRSS:")? * 1024, anonymous: kilobytes("RssAnon:")? * 1024 })
}

/// The machine, in one line each: processor, cores, kernel, load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor's model.
    pub model: String,
    /// Processors that the system shows.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            model: model.unwrap_or("unknown processor").trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// Runnable threads on the machine, averaged over the last minute.
#[must_use]
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        // Other tests' threads come and go meanwhile.
        let own = std::process::id();
        let before = cpu_ns(own).expect("readable");
        let mut work = 0_u64;
        // The kernel accounts at the latest with its next tick.
        while cpu_ns(own).expect("readable") == before {
            work = std::hint::black_box(work.wrapping_add(1));
        }
        let resident = resident(own).expect("readable");
        assert!(resident.anonymous > 0 && resident.all >= resident.anonymous, "{resident:?}");
    }
}
