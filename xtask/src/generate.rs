//! `cargo xtask generate`: writes anew what is in the tree and made from the code. Each such file has a test, called
//! `the_published_…`, that fails once it is old; the same tests write it.

use anyhow::Result;

use crate::{process, workspace};

/// What has files that are made from it, as arguments of `cargo test`; what others are made from first.
const MADE_FROM: [&[&str]; 2] = [
    &["--package", "canary-rules", "--all-features", "--test", "documents"],
    &["--package", "canaryctl", "--lib", "--test", "reference"],
];

/// Write anew what is made from the code: the schema, definitions, manifests, the chart, the reference
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    for what in MADE_FROM {
        let mut cargo = workspace::cargo();
        cargo.args(["test", "--quiet"]).args(what).args(["--", "the_published"]);
        process::run(cargo.env("CANARY_UPDATE", "1"))?;
    }
    Ok(())
}
