//! Every `$ canaryctl` example in the documents prints what the document shows, in either language.
//!
//! Fenced blocks marked `console` are run from the repository's root; `...` and `[..]` stand for what
//! differs from run to run. `TRYCMD=overwrite` writes the present output into the documents.

use std::collections::BTreeSet;

/// Documents whose `sh` blocks are typed: the tier `cluster` does that.
const TYPED: [&str; 4] = ["cluster.md", "develop.md", "mesh-to-laptop.md", "releases.md"];

fn read(name: &str) -> String {
    let file = format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A document's fenced blocks, with what they are marked as.
fn blocks(document: &str) -> Vec<&str> {
    document.split("```").skip(1).step_by(2).collect()
}

fn commands(document: &str) -> BTreeSet<&str> {
    let blocks = blocks(document).into_iter().filter_map(|block| block.strip_prefix("sh\n"));
    blocks.flat_map(str::lines).collect()
}

#[test]
fn documents_show_what_canaryctl_prints() {
    // Documents name files as a reader in the repository's root would.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the repository's root");
    trycmd::TestCases::new()
        .register_bin("canaryctl", trycmd::cargo::cargo_bin!("canaryctl"))
        .case("README*.md")
        .case("docs/*.md")
        .case("docs/zh-CN/*.md");
}

#[test]
fn both_readmes_show_the_same() {
    let (english, chinese) = (read("README.md"), read("README.zh-CN.md"));
    assert_eq!(blocks(&english), blocks(&chinese));
}

#[test]
fn what_the_chinese_documents_say_to_type_is_typed() {
    let documents: Vec<String> = TYPED.iter().map(|name| read(&format!("docs/{name}"))).collect();
    let typed: BTreeSet<&str> = documents.iter().flat_map(|document| commands(document)).collect();
    let quickstart = read("docs/zh-CN/quickstart.md");
    let untyped: Vec<&str> = commands(&quickstart).difference(&typed).copied().collect();
    assert!(untyped.is_empty(), "in no document that the tier `cluster` types: {untyped:?}");
}
