//! What is written to the API, as the API server counts it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::shop::Shop;

/// Requests that changed something, by verb and resource.
pub(super) type Writes = BTreeMap<String, u64>;

/// What has been written so far. Source: `apiserver_request_total` of the API server's metrics.
pub(super) fn written(shop: &Shop) -> Writes {
    let metrics = shop.cluster().kubectl(&["get", "--raw", "/metrics"]).ok().stdout;
    let mut writes = Writes::new();
    for line in metrics.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let label = |name: &str| {
            let value = line.split_once(&format!("{name}=\""))?.1;
            value.split_once('"').map(|(value, _)| value)
        };
        let [Some(group), Some(resource), Some(verb), Some(code)] =
            ["group", "resource", "verb", "code"].map(label)
        else {
            continue;
        };
        let part = label("subresource").filter(|part| !part.is_empty());
        // Kubernetes writes to pods and Deployments, too: their status, and whole ones.
        let of_lanes = match (group, resource) {
            ("canaryctl.io" | "networking.istio.io" | "extensions.istio.io", _) => true,
            ("", "pods") | ("apps", "deployments") => part.is_none() && ["PATCH", "APPLY"].contains(&verb),
            _ => false,
        };
        if of_lanes && code.starts_with('2') && ["POST", "PUT", "PATCH", "APPLY", "DELETE"].contains(&verb) {
            let what = part.map_or_else(|| resource.to_owned(), |part| format!("{resource}/{part}"));
            let count =
                line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
            *writes.entry(format!("{verb} {what}")).or_default() += count as u64;
        }
    }
    writes
}

/// What has been written since then.
pub(super) fn added(shop: &Shop, before: &Writes) -> Writes {
    let added = |(what, count): (String, u64)| {
        let added = count - before.get(&what).copied().unwrap_or_default();
        (added > 0).then_some((what, added))
    };
    written(shop).into_iter().filter_map(added).collect()
}

/// The fewest writes to objects themselves: statuses are written as often as time allows, and what was late once more.
pub(super) fn least(counts: &[Writes]) -> Writes {
    let mut least = Writes::new();
    for (what, count) in counts.iter().flatten().filter(|(what, _)| !what.contains('/')) {
        let known = least.entry(what.clone()).or_insert(*count);
        *known = (*known).min(*count);
    }
    least
}

/// A table of writes, a column for each mesh: the fewest and the most of what was counted there.
pub(super) fn table(counted: &[(String, Vec<Writes>)]) -> String {
    let mut text = String::from("| write |");
    for (mesh, _) in counted {
        let _ = write!(text, " {mesh} |");
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(counted.len()));
    let kinds: BTreeSet<&String> =
        counted.iter().flat_map(|(_, counts)| counts).flat_map(Writes::keys).collect();
    for kind in kinds {
        let _ = write!(text, "| {kind} |");
        for (_, counts) in counted {
            let of = |writes: &Writes| writes.get(kind).copied().unwrap_or_default();
            let (least, most) = (counts.iter().map(of).min(), counts.iter().map(of).max());
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
            let _ = match least == most {
                true => write!(text, " {most} |"),
                false => write!(text, " {least} – {most} |"),
            };
        }
        text.push('\n');
    }
    text
}
