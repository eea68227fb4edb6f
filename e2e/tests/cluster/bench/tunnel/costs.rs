//! What ways cost the machine, on which both of their ends are.

use std::fs;

use canary_e2e::bench::usage;

/// What `/proc/stat` counts in.
const TICKS_PER_S: f64 = 100.0;
/// In which of its fields no processor works: it is idle, or waits for a disk; what is a guest's is counted before.
const NOT_BUSY: [usize; 4] = [3, 4, 8, 9];

/// The seconds that all processors have been busy so far.
pub(super) fn busy_s() -> f64 {
    let stat = fs::read_to_string("/proc/stat").expect("Linux");
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).enumerate();
    let busy =
        fields.filter(|(at, _)| !NOT_BUSY.contains(at)).filter_map(|(_, ticks)| ticks.parse::<f64>().ok());
    busy.sum::<f64>() / TICKS_PER_S
}

/// The memory that a program has, in bytes.
pub(super) fn resident(process: u32) -> u64 {
    usage::resident(process).map_or(0, |resident| resident.all)
}
