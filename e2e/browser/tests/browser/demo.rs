//! `canaryctl demo --dashboard`, as a process.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

/// What the line with the page's address begins with.
const PAGE: &str = "Picture:";

/// A running demo.
pub(crate) struct Demo {
    child: Mutex<Child>,
    /// The page's address, with the token.
    pub(crate) url: String,
}

pub(crate) fn needed(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test browser`"))
}

impl Demo {
    /// Starts it and waits until it has told its story.
    pub(crate) fn start() -> Self {
        let mut child = Command::new(needed("CANARY_CTL"))
            .args(["demo", "--envoy", &needed("CANARY_ENVOY"), "--port", "0", "--dashboard=0"])
            .args(["--users", "20", "--requests", "40"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("canaryctl runs");
        let mut told = String::new();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in lines.map_while(Result::ok) {
            if let Some(url) = line.strip_prefix(PAGE) {
                return Self { url: url.trim().to_owned(), child: Mutex::new(child) };
            }
            told.push_str(&line);
            told.push('\n');
        }
        let ended = child.wait();
        panic!("the demo ended without a page, {ended:?}:\n{told}");
    }

    /// Ends it as Ctrl-C does, so that its mesh goes with it.
    pub(crate) fn end(&self) {
        let mut child = self.child.lock().expect("nobody panicked with it");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        pid.map(|pid| kill_process(pid, Signal::INT)).transpose().expect("it runs");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "Ctrl-C is no failure: {status}");
    }
}
