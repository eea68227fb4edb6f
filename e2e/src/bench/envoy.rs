//! One Envoy on loopback with a static configuration: its listeners, its process, its end.

mod bootstrap;
mod ports;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use bootstrap::TEACH;

use super::options::Options;
use super::variants::Filter;
use ports::Reserved;

/// How long an Envoy may take until all its listeners accept connections, in seconds.
const READY_TIMEOUT_S: u64 = 120;
/// How often that is looked for, in milliseconds; the resolution of [`Envoy::ready_after`].
const READY_POLL_MS: u64 = 2;

/// A listener to be.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Unique in its Envoy.
    pub name: String,
    /// In the order of the chain; the router comes after them.
    pub filters: Vec<Filter>,
    /// Filters of one module share memory where this is the same.
    pub vm_id: String,
    /// The listener that requests go on to; none: they are answered here.
    pub onward: Option<String>,
}

/// A running Envoy; ended when dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Child,
    log: PathBuf,
    listeners: Vec<(String, Reserved)>,
    ready_after: Duration,
}

impl Envoy {
    /// Starts an Envoy with one worker and waits until it accepts connections everywhere.
    ///
    /// # Errors
    /// No port, no process, a configuration that it refuses, or no readiness in time. What it logged is told.
    pub fn start(options: &Options, dir: &Path, listeners: &[Listener]) -> Result<Self> {
        let reserve = |listener: &Listener| Ok((listener.name.clone(), Reserved::any()?));
        let addresses = listeners.iter().map(reserve).collect::<Result<Vec<_>>>()?;
        let config = dir.join("envoy.json");
        let bootstrap = bootstrap::bootstrap(options, listeners, &addresses)?;
        fs::write(&config, bootstrap.to_string()).with_context(|| format!("writing {}", config.display()))?;
        let log = dir.join("envoy.log");
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let started = Instant::now();
        let process = Command::new(&options.envoy)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "--config-path"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing the log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", options.envoy.display()))?;
        let mut envoy = Self { process, log, listeners: addresses, ready_after: Duration::ZERO };
        envoy.await_ready(started)?;
        Ok(envoy)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// From the start of the process until all listeners accepted connections.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Where a listener is.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn address(&self, listener: &str) -> Result<SocketAddr> {
        let found = self.listeners.iter().find(|(name, _)| name == listener);
        found.map(|(_, port)| port.address()).with_context(|| format!("no listener {listener}"))
    }

    /// Errors that Envoy logged: a script that failed, a VM that died, a configuration that a filter refused.
    /// None of them would make a request fail.
    ///
    /// # Errors
    /// There are some.
    pub fn check_log(&self) -> Result<()> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let bad = |line: &&str| {
            ["[error]", "[critical]", "configuration refused"].iter().any(|mark| line.contains(mark))
        };
        let lines: Vec<&str> = log.lines().filter(bad).take(20).collect();
        if !lines.is_empty() {
            bail!("Envoy logged errors:\n{}", lines.join("\n"));
        }
        Ok(())
    }

    fn await_ready(&mut self, started: Instant) -> Result<()> {
        let mut waiting: Vec<SocketAddr> = self.listeners.iter().map(|(_, port)| port.address()).collect();
        loop {
            // A listener accepts when its filters are ready: nothing listens on the port before.
            waiting.retain(|address| TcpStream::connect(address).is_err());
            if waiting.is_empty() {
                self.ready_after = started.elapsed();
                return Ok(());
            }
            if let Some(status) = self.process.try_wait().context("waiting for Envoy")? {
                bail!("Envoy ended with {status}:\n{}", self.log_tail());
            }
            if started.elapsed().as_secs() >= READY_TIMEOUT_S {
                bail!("Envoy was not ready after {READY_TIMEOUT_S} s:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(READY_POLL_MS));
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
