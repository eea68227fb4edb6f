//! `cargo xtask generate`: writes anew what is in the tree and made from the code. Each such file has a test, called
//! `the_published_…`, that fails once it is old; the same tests write it.

use anyhow::Result;

use crate::{process, workspace};

/// Write anew what is made from the code: definitions, manifests, the chart, the reference
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--quiet", "--package", "canaryctl", "--lib", "--test", "reference"]);
    process::run(cargo.args(["--", "the_published"]).env("CANARY_UPDATE", "1"))
}
