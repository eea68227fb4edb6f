//! How people and pods end a program.

use std::future::pending;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal as Number, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::Code;

/// Whether the process was told to end; nothing where it cannot hear. One for all of it: who asks late is told, too.
static STOPPED: OnceLock<Option<watch::Receiver<bool>>> = OnceLock::new();

/// A program that runs in our place, and that signals are for.
static PROGRAM: Mutex<Option<Pid>> = Mutex::new(None);

/// From now on signals are for this program; for nobody but us again where there is none.
pub(crate) fn leave_to(program: Option<Pid>) {
    keep();
    *PROGRAM.lock().unwrap_or_else(PoisonError::into_inner) = program;
}

/// From now on Ctrl-C or a pod's end does not end the process but is kept for whoever asks. Another Ctrl-C ends it.
pub(crate) fn keep() {
    STOPPED.get_or_init(|| watch(SignalKind::interrupt(), SignalKind::terminate()).ok());
}

/// Waits for Ctrl-C or a pod's end; returns at once where that was before.
pub(crate) async fn stopped() {
    keep();
    if let Some(mut stopped) = STOPPED.get().cloned().flatten()
        && stopped.wait_for(|stopped| *stopped).await.is_ok()
    {
        return;
    }
    pending().await
}

/// Hears these signals from the time when it returns, whatever becomes of the caller's runtime.
fn watch(interrupt: SignalKind, end: SignalKind) -> std::io::Result<watch::Receiver<bool>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let signals = (signal(interrupt)?, signal(end)?);
    drop(guard);
    let (tell, told) = watch::channel(false);
    std::thread::spawn(move || listen(&runtime, signals, &tell));
    Ok(told)
}

fn listen(runtime: &Runtime, (mut interrupt, mut end): (Signal, Signal), tell: &watch::Sender<bool>) {
    loop {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => Number::INT,
                _ = end.recv() => Number::TERM,
            }
        });
        if let Some(program) = *PROGRAM.lock().unwrap_or_else(PoisonError::into_inner) {
            pass(program, number);
        } else if tell.send_replace(true) && number == Number::INT {
            // Whoever asks twice does not want to wait for what is being put back.
            std::process::exit(Code::Interrupted as i32);
        }
    }
}

/// Gives a program what is for it, but for Ctrl-C: the terminal has told all that it is in front of.
fn pass(program: Pid, number: Number) {
    let terminal = open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
    let in_front = terminal.and_then(tcgetpgrp).is_ok_and(|group| group == getpgrp());
    if number != Number::INT || !in_front {
        // It may have ended.
        let _ = kill_process(program, number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_signal_that_nobody_waited_for_is_not_lost() {
        let told = watch(SignalKind::user_defined1(), SignalKind::user_defined2()).expect("signals");
        let waits = |mut told: watch::Receiver<bool>| async move {
            let waited = tokio::time::timeout(Duration::from_secs(30), told.wait_for(|told| *told)).await;
            waited.expect("in time").expect("somebody listens");
        };
        let pid = std::process::id().to_string();
        let sent = std::process::Command::new("kill").args(["-USR1", &pid]).status().expect("kill");
        assert!(sent.success());
        waits(told.clone()).await;
        // Another listener, which comes when it is over.
        waits(told).await;
    }
}
