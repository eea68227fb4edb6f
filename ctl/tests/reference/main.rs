//! `docs/reference` says what the code says. `cargo xtask generate` writes it anew.

mod checks;
mod command_line;
mod kinds;

use std::path::Path;

/// Said at the top of each page.
const MADE: &str = "<!-- Made from the code by `cargo xtask generate`. -->\n\n";

#[track_caller]
fn check_published(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    let text = format!("{MADE}{text}");
    if std::env::var_os("CANARY_UPDATE").is_some() {
        std::fs::write(&file, &text).expect("written");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "docs/reference/{name} is old: cargo xtask generate");
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_published_command_line_is_what_is_typed() {
    check_published("cli.md", &command_line::page());
}

#[test]
fn the_published_codes_are_those_that_check_says() {
    check_published("checks.md", &checks::page());
}

#[test]
fn the_published_kinds_are_those_that_a_cluster_takes() {
    let [lane, release, takeover] = canaryctl::crd::all();
    let mut known = kinds::Known::default();
    check_published("lane.md", &kinds::page(&lane, &mut known));
    check_published("release.md", &kinds::page(&release, &mut known));
    check_published("takeover.md", &kinds::page(&takeover, &mut known));
}
