//! Child processes that end with us, whatever happens to us, and whose output is kept in a file.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};

use rustix::process::{Pid, Signal, getppid};

use crate::error::MeshError;

/// How much of a log an error quotes, in bytes.
const LOG_TAIL_BYTES: usize = 2000;
/// What marks the lines that say why an Envoy ends, and how many of them are quoted.
const REASONS: [&str; 2] = ["[critical]", "assert failure"];
const REASON_LINES: usize = 3;

/// A running child; killed and waited for when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    // Shared, so that asking whether it runs needs no exclusive access.
    child: Mutex<Child>,
    killed: AtomicBool,
}

impl Process {
    /// Starts a command with its output going to a log file.
    pub(crate) fn start(name: &str, command: Command, log: &Path) -> Result<Self, MeshError> {
        let program = PathBuf::from(command.get_program());
        let child = log_to(command, log).and_then(launch);
        let child = child.map_err(|source| MeshError::Spawn { name: name.into(), program, source })?;
        Ok(Self {
            name: name.into(),
            log: log.into(),
            child: Mutex::new(child),
            killed: AtomicBool::new(false),
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.locked().id()
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The end of its log, after the first lines that say why it failed: a stack that is printed behind them
    /// may be longer than the end.
    pub(crate) fn log_tail(&self) -> String {
        quote(&String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()))
    }

    /// An error if it has ended by itself.
    pub(crate) fn check_running(&self) -> Result<(), MeshError> {
        if self.killed.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.locked().try_wait() {
            Ok(Some(status)) => Err(self.ended(status)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn ended(&self, status: ExitStatus) -> MeshError {
        MeshError::Ended { name: self.name.clone(), status, log_tail: self.log_tail() }
    }

    /// Asks it to end, so that it may write out what it holds.
    pub(crate) fn ask_to_end(&self) {
        if let Some(id) = Pid::from_raw(self.id().cast_signed())
            && matches!(self.locked().try_wait(), Ok(None))
        {
            let _ = rustix::process::kill_process(id, Signal::TERM);
        }
    }

    /// Whether it runs.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.locked().try_wait(), Ok(None))
    }

    /// Ends it at once and waits for its end.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
        let mut child = self.locked();
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quote(log: &str) -> String {
    let start = log.len().saturating_sub(LOG_TAIL_BYTES);
    let (head, tail) = log.split_at(log.floor_char_boundary(start));
    let says_why = |line: &&str| REASONS.iter().any(|reason| line.contains(reason));
    let mut quoted: Vec<&str> = head.lines().filter(says_why).take(REASON_LINES).collect();
    quoted.push(tail.trim_end());
    quoted.join("\n")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn log_to(mut command: Command, log: &Path) -> io::Result<Command> {
    let file = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    Ok(command)
}

/// Starts a command on the launcher thread.
///
/// Linux sends the death signal when the *thread* that started a child ends, and threads of a runtime come
/// and go: this one stays as long as the process.
fn launch(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static LAUNCHER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (command, reply) in inbox {
                let _ = reply.send(spawn(command));
            }
        });
        Mutex::new(orders)
    });
    let gone = || io::Error::other("the launcher thread is gone");
    let (reply, child) = mpsc::channel();
    let orders = LAUNCHER.lock().unwrap_or_else(PoisonError::into_inner);
    orders.send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

#[allow(unsafe_code)]
fn spawn(mut command: Command) -> io::Result<Child> {
    // Ctrl-C reaches us alone; we then end the children in order.
    command.process_group(0);
    let parent = Pid::from_raw(std::process::id().cast_signed());
    // SAFETY: between fork and exec only async-signal-safe work is allowed; the closure makes two system
    // calls (prctl, getppid) and touches no memory but its captured integer.
    unsafe {
        command.pre_exec(move || {
            end_with_parent()?;
            // The parent may have died before the signal was asked for.
            if getppid() == parent { Ok(()) } else { Err(io::Error::from(io::ErrorKind::BrokenPipe)) }
        });
    }
    command.spawn()
}

#[cfg(target_os = "linux")]
fn end_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Elsewhere only our own end in order takes the children along.
#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
