//! The dashboard of the cluster, driven in a real browser.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout};

use crate::flows::crowd;
use crate::releases::{self, forget, release};
use crate::shop::Shop;

/// What the line with the page's address begins with.
const PAGE: &str = "Picture:";

/// A program that says line by line how far it is.
struct Told {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Told {
    fn start(shop: &Shop, program: &str, args: &[&str]) -> Self {
        let mut process = shop.cluster().start(program, args);
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        Self { process, lines }
    }

    /// Waits for its next line.
    #[track_caller]
    fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").expect("text")
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn needed(name: &str) -> String {
    std::env::var_os(name)
        .and_then(|value| OsString::into_string(value).ok())
        .unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test cluster`"))
}

pub(crate) async fn driven(shop: &Shop) {
    shop.installed();
    let mut dashboard = Told::start(shop, "canaryctl", &["dashboard", "--port", "0"]);
    let line = dashboard.line();
    let url = line.strip_prefix(PAGE).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    let (driver, browser) = (needed("CANARY_DASHBOARD_DRIVER"), needed("CANARY_BROWSER"));
    let mut driver = Told::start(shop, &driver, &[&browser, url, "r"]);
    assert_eq!(driver.line(), "open");
    let crowd = crowd(shop, "/");
    releases::start(shop, &["--steps", "10,50"]).await.ok();
    for seen in ["lane", "traffic", "promoted", "watched"] {
        assert_eq!(driver.line(), seen);
    }
    assert!(driver.process.wait().expect("it ends").success());
    let key = ["-n", "canaryctl-system", "get", "secret", "canaryctl-trace"];
    assert_ne!(shop.cluster().kubectl(&key).code, 0, "who watches no more gives the key back");
    let status = shop.cluster().get(&["release", "r"])["status"].clone();
    assert_eq!((&status["phase"], &status["step"]), (&"Stepping".into(), &1.into()), "{status:#}");
    release(shop, &["abort"]).await.ok();
    assert!(!crowd.is_finished(), "no flow failed meanwhile");
    crowd.abort();
    forget(shop);
}
