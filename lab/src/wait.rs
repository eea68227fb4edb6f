//! Waiting for a stated condition, with a deadline, and for as long as nobody interrupts.

use std::time::{Duration, Instant};

use crate::error::LabError;
use crate::interrupt::Interrupt;

/// How long between two looks at a condition, in milliseconds: most asks cost a connection or a process.
const LOOK_EVERY_MS: u64 = 200;

/// Looks at a condition until it holds; `Err` of the condition says what is still missing.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    interrupt: &Interrupt,
    mut holds: impl FnMut() -> Result<(), String>,
) -> Result<(), LabError> {
    let started = Instant::now();
    loop {
        interrupt.check()?;
        let Err(why) = holds() else { return Ok(()) };
        if started.elapsed() >= limit {
            return Err(LabError::TimedOut { what: what.into(), waited: limit, why });
        }
        std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS));
    }
}
