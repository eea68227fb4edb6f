//! What is built in: crates of known sources and fitting licences, without known flaws. `deny.toml` says which.

use anyhow::Result;

use crate::process;
use crate::tools::CargoDeny;

/// Each has a lock file of its own.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];
/// What is judged by the crates alone.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];
/// Set to `optional` where the database of known flaws cannot be reached and that is known.
const ADVISORIES_ENV: &str = "CANARY_ADVISORIES";

/// What was judged.
pub(crate) struct Judged {
    pub(crate) checks: u32,
    /// Whether known flaws were looked for.
    pub(crate) advisories: Advisories,
}

/// Whether known flaws were looked for.
pub(crate) enum Advisories {
    /// None was found.
    Checked,
    /// Nobody knows, for this reason.
    Unreachable(String),
    /// The same, and the caller has said that it may be so.
    Waived(String),
}

/// Judges the crates of every lock file.
pub(crate) fn check() -> Result<Judged> {
    let deny = CargoDeny::ensure()?;
    let mut checks = 0;
    for manifest in MANIFESTS {
        process::run(deny.command().args(["--locked", "--manifest-path", manifest, "check"]).args(CHECKS))?;
        checks += CHECKS.len() as u32;
    }
    let Err(error) = process::capture(deny.command().args(["fetch", "db"])) else {
        for manifest in MANIFESTS {
            let advisories = ["check", "--disable-fetch", "advisories"];
            process::run(deny.command().args(["--locked", "--manifest-path", manifest]).args(advisories))?;
            checks += 1;
        }
        return Ok(Judged { checks, advisories: Advisories::Checked });
    };
    eprintln!("{error:#}");
    let why = "known flaws were NOT looked for: RustSec's database cannot be fetched from here".to_owned();
    let is_waived = std::env::var(ADVISORIES_ENV).is_ok_and(|said| said == "optional");
    let advisories = match is_waived {
        true => Advisories::Waived(why),
        false => Advisories::Unreachable(format!("{why} ({ADVISORIES_ENV}=optional lets that pass)")),
    };
    Ok(Judged { checks, advisories })
}
