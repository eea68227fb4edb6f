//! Releases for people: a line each, a tree, a story while something is waited for.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use canary_release::{Phase, Release, Status, WorkloadStatus};
use jiff::Timestamp;
use serde_json::Value;

use crate::failure::{Code, Failure};
use crate::output::Format;
use crate::progress::Printed;
use crate::releases::{journal, waits_for};
use crate::verb::enable::document::who_of_rules;

/// A phase in a word.
pub(super) fn phase(phase: Phase) -> String {
    format!("{phase:?}").to_lowercase()
}

/// The whole object.
pub(super) fn value(release: &Release) -> Result<Value, Failure> {
    serde_json::to_value(release).map_err(|error| Failure::new(Code::Failed, error))
}

/// Prints one.
pub(super) fn one(release: &Release, format: Format) -> Result<(), Failure> {
    anstream::print!("{}", text(release, format)?);
    Ok(())
}

/// One as it is printed.
pub(super) fn text(release: &Release, format: Format) -> Result<String, Failure> {
    match format {
        Format::Text | Format::Wide => Ok(tree(release, Timestamp::now().as_second())),
        // One object a line, for those who watch.
        Format::Json => Ok(value(release)?.to_string() + "\n"),
        Format::Yaml => {
            serde_saphyr::to_string(&value(release)?).map_err(|error| Failure::new(Code::Failed, error))
        }
        Format::Name => Ok(format!("release/{}\n", release.metadata.name)),
    }
}

/// Prints releases, a line each.
pub(super) fn table(releases: &[Release]) {
    if releases.is_empty() {
        anstream::println!("There is no release.   Next: canaryctl release start --image DEPLOYMENT=IMAGE");
        return;
    }
    let width = releases.iter().map(|release| release.metadata.name.as_str().len()).max().unwrap_or(0);
    for release in releases {
        let workloads = release.spec.workloads.iter().map(|workload| workload.deployment.to_string());
        let workloads = workloads.collect::<Vec<_>>().join(" · ");
        anstream::println!("{:<width$}  {:<40}  {workloads}", release.metadata.name.as_str(), place(release));
    }
}

/// Where a release is: `step 2 of 4: 10 % of users`.
fn place(release: &Release) -> String {
    let status = journal(release);
    if status.phase != Phase::Stepping {
        return phase(status.phase);
    }
    let share = release.step(status.step).share;
    let number = status.step.saturating_add(1);
    let of = release.steps();
    match share > 0.0 {
        true => format!("step {number} of {of}: {share} % of users"),
        false => format!("step {number} of {of}: by rule only"),
    }
}

/// A release and its workloads.
fn tree(release: &Release, now: i64) -> String {
    let status = journal(release);
    let mut parts = vec![who_of_rules(&release.spec.rules), place(release)];
    if !status.phase.is_final() {
        parts.push(waits_for(release));
    }
    if let Some(since) = status.held_since {
        parts.push(clock(now.saturating_sub(since)));
    }
    parts.retain(|part| !part.is_empty());
    let mut text = format!("release/{}   {}\n", release.metadata.name, parts.join(" · "));
    let last = release.spec.workloads.len().saturating_sub(1);
    for (at, spec) in release.spec.workloads.iter().enumerate() {
        let branch = if at == last { '└' } else { '├' };
        let journal = status.workloads.iter().find(|one| one.deployment == spec.deployment);
        let images: Vec<String> =
            spec.images.iter().map(|(name, image)| change(journal, name, image)).collect();
        let pods = journal
            .filter(|_| !status.phase.is_final())
            .map_or(String::new(), |one| format!("   lane {} of {} available", one.available, one.replicas));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{branch} {}   {}{pods}", spec.deployment, images.join(", "));
    }
    let name = &release.metadata.name;
    let next = match status.phase {
        Phase::Completed => format!("Back:  canaryctl release undo {name}\n"),
        phase if phase.is_final() => String::new(),
        _ => format!("Next:  canaryctl release promote {name}      Back:  canaryctl release abort {name}\n"),
    };
    text + &next
}

/// `shop/cart:2.3 → shop/cart:2.4`, or, where only the tag differs, `2.3 → 2.4`.
fn change(journal: Option<&WorkloadStatus>, container: &str, image: &str) -> String {
    let Some(before) = journal.and_then(|journal| journal.before.get(container)) else { return image.into() };
    match (before.rsplit_once(':'), image.rsplit_once(':')) {
        (Some((old, from)), Some((new, to))) if old == new => format!("{from} → {to}"),
        _ => format!("{before} → {image}"),
    }
}

/// `00:03:12`.
fn clock(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (hours, rest) = (seconds.div_euclid(3600), seconds.rem_euclid(3600));
    format!("{hours:02}:{:02}:{:02}", rest.div_euclid(60), rest.rem_euclid(60))
}

/// Prints what happened to a release.
pub(super) fn history(release: &Release) {
    for entry in journal(release).history {
        let at = Timestamp::from_second(entry.at).map_or_else(|_| entry.at.to_string(), |at| at.to_string());
        anstream::println!("{at}  {}", entry.what);
    }
}

/// Tells what happens from now on, each thing once.
pub(super) struct Story {
    told: usize,
    trouble: Option<String>,
}

impl Story {
    /// After what is told in a journal.
    pub(super) fn after(status: &Status) -> Self {
        Self { told: status.history.len(), trouble: None }
    }

    pub(super) fn tell(&mut self, release: &Release) {
        let status = journal(release);
        let mut printed = Printed;
        for entry in status.history.iter().skip(self.told) {
            printed.line("", &entry.what);
        }
        self.told = status.history.len();
        // Where it rests, the tree says what it rests for.
        let rests = |reason: &str| matches!(reason, "Promote" | "Holds" | "Paused");
        let trouble = status.trouble.filter(|trouble| !rests(&trouble.reason)).map(|trouble| trouble.message);
        if trouble.is_some() && trouble != self.trouble {
            printed.line("waits", trouble.as_deref().unwrap_or_default());
        }
        self.trouble = trouble;
    }
}

/// A text without its clock.
pub(super) fn without_times(text: &str) -> String {
    let is_clock =
        |word: &str| word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    text.split_whitespace().filter(|word| !is_clock(word)).collect::<Vec<_>>().join(" ")
}

pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints a text in place of the one before; off a terminal, after it.
pub(super) fn replace(before: &str, text: &str) {
    if is_terminal() && !before.is_empty() {
        anstream::print!("\x1b[{}A\x1b[J", before.lines().count());
    }
    anstream::print!("{text}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(status: Value) -> Release {
        serde_json::from_value(json!({
            "apiVersion": "canaryctl.io/v1alpha1", "kind": "Release", "metadata": {"name": "r-7"},
            "spec": {
                "workloads": [
                    {"deployment": "shop/cart", "images": {"app": "shop/cart:2.4"}},
                    {"deployment": "shop/stock", "images": {"app": "other/stock:5.1"}},
                ],
                "rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}],
                "steps": [{"share": 1}, {"share": 10}],
            },
            "status": status,
        }))
        .expect("a release")
    }

    #[test]
    fn a_release_is_a_tree_with_what_to_type_next() {
        let workload = |name: &str, before: &str| {
            json!({
                "deployment": name, "before": {"app": before}, "replicas": 2, "available": 2,
            })
        };
        let running = release(json!({
            "phase": "Stepping", "step": 1, "heldSince": 1000,
            "workloads": [workload("shop/cart", "shop/cart:2.3"), workload("shop/stock", "shop/stock:5.0")],
            "trouble": {"reason": "Promote", "message": "waits to be promoted"},
        }));
        let want = "\
release/r-7   cookie gray = 1 · step 2 of 2: 10 % of users · waits to be promoted · 00:03:12
├ shop/cart   2.3 → 2.4   lane 2 of 2 available
└ shop/stock   shop/stock:5.0 → other/stock:5.1   lane 2 of 2 available
Next:  canaryctl release promote r-7      Back:  canaryctl release abort r-7
";
        assert_eq!(tree(&running, 1192), want);
        assert_eq!(without_times(&tree(&running, 1192)), without_times(&tree(&running, 5000)));
        let done = release(json!({"phase": "Completed"}));
        assert!(tree(&done, 0).ends_with("Back:  canaryctl release undo r-7\n"));
    }
}
