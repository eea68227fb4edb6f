//! `docs/metrics.md` names every counter, and none that there is not.

use std::collections::BTreeSet;

use canary_rules::hop::Origin;

use super::*;

#[test]
fn the_documents_name_every_counter_and_no_other() {
    let worker = Worker::new();
    worker.vm.metrics.define(&worker.fake);
    worker.vm.metrics.define_edge(&worker.fake);
    worker.vm.metrics.open.change(&worker.fake, 0);
    let counted: BTreeSet<String> = worker.fake.world().counters.keys().cloned().collect();

    let text = include_str!("../../../docs/metrics.md");
    let (of_the_filter, _) = text.split_once("\n## What the controller counts\n").expect("a section");
    let first_cells = of_the_filter.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let named: BTreeSet<String> = first_cells.flat_map(expanded).collect();
    assert_eq!(named, counted);
}

/// The counters that a name with a placeholder stands for, before any lane has one.
fn expanded(name: &str) -> Vec<String> {
    match (name.contains("<origin>"), name.contains("<lane>")) {
        (true, _) => Origin::ALL.iter().map(|origin| name.replace("<origin>", origin.name())).collect(),
        (_, true) => ["baseline", "_other"].iter().map(|lane| name.replace("<lane>", lane)).collect(),
        _ => vec![name.to_owned()],
    }
}

#[test]
fn every_origin_is_among_those_documented() {
    let row = include_str!("../../../docs/metrics.md").lines().find(|line| line.contains("inbound.<origin>"));
    for origin in Origin::ALL {
        assert!(row.is_some_and(|row| row.contains(&format!("`{}`", origin.name()))), "{}", origin.name());
    }
}
