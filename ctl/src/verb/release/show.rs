//! Releases for people: a line each, a tree, a story while something is waited for.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use canary_release::{AnalysisStatus, Phase, Reading, Release, Status, Verdict, WorkloadStatus};
use jiff::Timestamp;
use serde_json::Value;

use super::pods::{Sets, lines};
use crate::failure::{Code, Failure};
use crate::output::Format;
use crate::progress::Printed;
use crate::releases::{is_stopped, journal, phase_word, waits_for};
use crate::verb::enable::document::who_of_rules;

/// The whole object.
pub(super) fn value(release: &Release) -> Result<Value, Failure> {
    serde_json::to_value(release).map_err(|error| Failure::new(Code::Failed, error))
}

/// Prints one.
pub(super) fn one(release: &Release, format: Format) -> Result<(), Failure> {
    anstream::print!("{}", text(release, &Sets::new(), format)?);
    Ok(())
}

/// One as it is printed, with these pods where it is for people.
pub(super) fn text(release: &Release, sets: &Sets, format: Format) -> Result<String, Failure> {
    match format {
        Format::Text | Format::Wide => Ok(tree(release, sets, Timestamp::now().as_second())),
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
pub(crate) fn place(release: &Release) -> String {
    let status = journal(release);
    if status.phase != Phase::Stepping {
        return phase_word(status.phase);
    }
    let share = release.share(status.step);
    let number = status.step.saturating_add(1);
    let of = release.steps();
    let copies = release.step(status.step).copies().map_or_else(String::new, |copies| format!(", {copies}"));
    match share > 0.0 {
        true => format!("step {number} of {of}: {share} % of {}{copies}", release.spec.by),
        false => format!("step {number} of {of}: by rule only{copies}"),
    }
}

/// A release and its workloads, each with its pods where they are known.
fn tree(release: &Release, sets: &Sets, now: i64) -> String {
    let status = journal(release);
    let mut parts = vec![who_of_rules(&release.spec.rules), place(release)];
    if !status.phase.is_final() {
        parts.push(waits_for(release));
    }
    parts.extend(status.held_for(now).map(clock));
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
            .map_or(String::new(), |one| format!("   lane {}/{} ready", one.available, one.replicas));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{branch} {}   {}{pods}", spec.deployment, images.join(", "));
        let analysis = status.analysis.as_ref();
        let reading = analysis.and_then(|analysis| {
            let reading = analysis.workloads.iter().find(|one| one.deployment == spec.deployment)?;
            Some(traffic(analysis, reading))
        });
        let stem = if at == last { ' ' } else { '│' };
        if let Some(traffic) = reading {
            let _ = writeln!(text, "{stem}   {traffic}");
        }
        text += &lines(sets.get(&spec.deployment).map_or(&[], Vec::as_slice), stem, now);
    }
    if let Some(analysis) = &status.analysis {
        text += &measured(analysis, now);
    }
    let name = &release.metadata.name;
    let next = match status.phase {
        Phase::Warm => format!("Back, at once:  canaryctl release undo {name}\n"),
        phase if phase.is_through() => format!("Back:  canaryctl release undo {name}\n"),
        phase if phase.is_final() => String::new(),
        _ if is_stopped(&status) => format!(
            "Next:  canaryctl release retry {name} (or promote, all the same)      Back:  canaryctl release abort {name}\n"
        ),
        _ => format!("Next:  canaryctl release promote {name}      Back:  canaryctl release abort {name}\n"),
    };
    text + &next
}

/// `shop/cart:2.3 → shop/cart:2.4`, or, where only the tag differs, `2.3 → 2.4`.
pub(crate) fn change(journal: Option<&WorkloadStatus>, container: &str, image: &str) -> String {
    let Some(before) = journal.and_then(|journal| journal.before.get(container)) else { return image.into() };
    match (before.rsplit_once(':'), image.rsplit_once(':')) {
        (Some((old, from)), Some((new, to))) if old == new => format!("{from} → {to}"),
        _ => format!("{before} → {image}"),
    }
}

/// `10.1 % of 4,210 req   errors 0.02 % (base 0.03)   p95 41 ms (base 44)   ✓`
fn traffic(analysis: &AnalysisStatus, reading: &Reading) -> String {
    let (lane, base) = (reading.lane, reading.base);
    let all = lane.requests + base.requests;
    let mut parts = Vec::new();
    if all > 0.0 {
        parts.push(format!("{:.1} % of {} req", lane.requests / all * 100.0, thousands(all)));
    } else {
        parts.push("no requests".to_owned());
    }
    let beside = |base: Option<String>| base.map_or(String::new(), |base| format!(" (base {base})"));
    if let Some(errors) = lane.failed_percent() {
        let base = base.failed_percent().map(|base| format!("{base:.2}"));
        parts.push(format!("errors {errors:.2} %{}", beside(base)));
    }
    if let Some(latency) = lane.latency_ms {
        let base = base.latency_ms.map(|base| format!("{base:.0}"));
        parts.push(format!("{} {latency:.0} ms{}", analysis.quantile_name(), beside(base)));
    }
    parts.push(mark(reading.verdict).to_owned());
    parts.join("   ")
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "✓ good",
        Verdict::Bad => "✗ bad",
        Verdict::TooFew => "… too few",
        Verdict::Unknown => "? not known",
    }
}

/// What is said of the release as a whole, and what queries of one's own gave.
fn measured(analysis: &AnalysisStatus, now: i64) -> String {
    let mut text = String::new();
    for figure in &analysis.figures {
        let value = figure.value.map_or("no number".to_owned(), |value| format!("{value:.3}"));
        let _ = writeln!(text, "  {}   {value}", figure.name);
    }
    let ago = clock(now.saturating_sub(analysis.at));
    let _ = writeln!(text, "measured   {}: {}   {ago} ago", mark(analysis.verdict), analysis.message);
    text
}

/// `4,210`.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `00:03:12`.
pub(super) fn clock(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (hours, rest) = (seconds.div_euclid(3600), seconds.rem_euclid(3600));
    format!("{hours:02}:{:02}:{:02}", rest.div_euclid(60), rest.rem_euclid(60))
}

/// Prints what happened to a release.
pub(super) fn history(release: &Release) {
    let status = journal(release);
    if status.forgotten > 0 {
        anstream::println!("{} entries before these are forgotten", status.forgotten);
    }
    for entry in status.history {
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
        Self { told: happened(status), trouble: None }
    }

    pub(super) fn tell(&mut self, release: &Release) {
        let status = journal(release);
        let mut printed = Printed;
        // Of a long one the first are forgotten.
        let left = happened(&status).saturating_sub(self.told).min(status.history.len());
        for entry in status.history.iter().skip(status.history.len().saturating_sub(left)) {
            printed.line("", &entry.what);
        }
        self.told = happened(&status);
        // Where it rests, the tree says what it rests for.
        let rests = |reason: &str| matches!(reason, "Promote" | "Holds" | "Paused");
        let trouble = status.trouble.filter(|trouble| !rests(&trouble.reason)).map(|trouble| trouble.message);
        if trouble.is_some() && trouble != self.trouble {
            printed.line("waits", trouble.as_deref().unwrap_or_default());
        }
        self.trouble = trouble;
    }
}

/// How many things happened, forgotten ones among them.
fn happened(status: &Status) -> usize {
    let forgotten = usize::try_from(status.forgotten).unwrap_or(usize::MAX);
    status.history.len().saturating_add(forgotten)
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
├ shop/cart   2.3 → 2.4   lane 2/2 ready
└ shop/stock   shop/stock:5.0 → other/stock:5.1   lane 2/2 ready
Next:  canaryctl release promote r-7      Back:  canaryctl release abort r-7
";
        assert_eq!(tree(&running, &Sets::new(), 1192), want);
        assert_eq!(
            without_times(&tree(&running, &Sets::new(), 1192)),
            without_times(&tree(&running, &Sets::new(), 5000))
        );
        let done = release(json!({"phase": "Completed"}));
        assert!(tree(&done, &Sets::new(), 0).ends_with("Back:  canaryctl release undo r-7\n"));
        let warm = release(json!({"phase": "Warm"}));
        assert!(tree(&warm, &Sets::new(), 0).ends_with("Back, at once:  canaryctl release undo r-7\n"));
    }

    #[test]
    fn what_is_measured_is_shown_beside_the_baseline() {
        let traffic = |requests: f64, failures: f64, latency: f64| json!({"requests": requests, "failures": failures, "latencyMs": latency});
        let measured = release(json!({
            "phase": "Stepping", "step": 1, "heldSince": 1000,
            "workloads": [
                {"deployment": "shop/cart", "before": {"app": "shop/cart:2.3"}, "replicas": 2, "available": 2},
                {"deployment": "shop/stock", "before": {"app": "other/stock:5.0"}, "replicas": 1, "available": 1},
            ],
            "trouble": {"reason": "Analysis", "message": "measurements are bad"},
            "analysis": {
                "step": 1, "at": 1180, "verdict": "Bad", "message": "shop/stock: 4.00 % of requests fail", "failed": true,
                "quantile": 0.95,
                "workloads": [
                    {
                        "deployment": "shop/cart", "verdict": "Good",
                        "lane": traffic(425.0, 0.1, 41.2), "base": traffic(3785.0, 1.1, 44.0),
                    },
                    {
                        "deployment": "shop/stock", "verdict": "Bad",
                        "lane": traffic(100.0, 4.0, 8.0), "base": {"requests": 0.0, "failures": 0.0},
                    },
                ],
                "figures": [{"name": "queue", "value": 12.5}, {"name": "lag"}],
            },
        }));
        let want = "\
release/r-7   cookie gray = 1 · step 2 of 2: 10 % of users · measurements are bad · 00:03:12
├ shop/cart   2.3 → 2.4   lane 2/2 ready
│   10.1 % of 4,210 req   errors 0.02 % (base 0.03)   p95 41 ms (base 44)   ✓ good
└ shop/stock   5.0 → 5.1   lane 1/1 ready
    100.0 % of 100 req   errors 4.00 %   p95 8 ms   ✗ bad
  queue   12.500
  lag   no number
measured   ✗ bad: shop/stock: 4.00 % of requests fail   00:00:12 ago
Next:  canaryctl release retry r-7 (or promote, all the same)      Back:  canaryctl release abort r-7
";
        assert_eq!(tree(&measured, &Sets::new(), 1192), want);
        assert_eq!(thousands(1_234_567.0), "1,234,567");
    }
}
