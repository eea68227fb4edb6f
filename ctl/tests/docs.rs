//! Every `$ canaryctl` example in the documents prints what the document shows.
//!
//! Fenced blocks marked `console` are run from the repository's root; `...` and `[..]` stand for what
//! differs from run to run. `TRYCMD=overwrite` writes the present output into the documents.

#[test]
fn documents_show_what_canaryctl_prints() {
    // Documents name files as a reader in the repository's root would.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).expect("the repository's root");
    trycmd::TestCases::new()
        .register_bin("canaryctl", trycmd::cargo::cargo_bin!("canaryctl"))
        .case("README.md")
        .case("docs/*.md");
}
