//! The document has two authors, the filter's run and the cluster's. Each leaves the other's part as it is.

/// What the cluster's part begins with, to the end of the document.
pub const CLUSTER_HEADING: &str = "## On a cluster\n";

/// The document with this as all that is not the cluster's.
#[must_use]
pub fn with_filter_part(document: &str, part: &str) -> String {
    joined(part, parts(document).1)
}

/// The document with this, under its heading, as the cluster's part.
#[must_use]
pub fn with_cluster_part(document: &str, part: &str) -> String {
    joined(parts(document).0, &format!("{CLUSTER_HEADING}\n{part}"))
}

fn parts(document: &str) -> (&str, &str) {
    let heading = format!("\n{CLUSTER_HEADING}");
    document.find(&heading).map_or((document, ""), |at| document.split_at(at))
}

fn joined(filter: &str, cluster: &str) -> String {
    let both = [filter, cluster].map(str::trim);
    let there: Vec<&str> = both.into_iter().filter(|part| !part.is_empty()).collect();
    there.join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str = "# Benchmarks\n\n## Targets\n\nmet\n";
    const BOTH: &str = "# Benchmarks\n\n## Targets\n\nmet\n\n## On a cluster\n\nfast\n";

    #[test]
    fn the_first_run_of_each_begins_its_part() {
        assert_eq!(with_filter_part("", FILTER), FILTER);
        assert_eq!(with_cluster_part(FILTER, "fast\n"), BOTH);
    }

    #[test]
    fn a_run_replaces_its_own_part_and_keeps_the_other() {
        let slow = with_cluster_part(BOTH, "slow\n\n### More\n");
        assert_eq!(slow, BOTH.replace("fast", "slow\n\n### More"));
        assert_eq!(with_filter_part(&slow, &FILTER.replace("met", "missed")), slow.replace("met", "missed"));
    }
}
