//! `cargo xtask lab …`: builds `canary-lab` and what it needs, and hands over.
//!
//! What a lab is and how it is started and ended is in the crate [`canary-lab`](../../lab).

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::Statics;
use crate::tools::Envoy;
use crate::{filter, process, workspace};

/// The images of the app that tests run in pods, the local mesh's app in its real surroundings, and what is in
/// their environment: the app, the same again as a release would bring it, and one that fails now and then.
const APP_IMAGES: [(&str, &str); 3] = [
    ("canary-lab.test/app:1", ""),
    ("canary-lab.test/app:2", ""),
    ("canary-lab.test/app:faulty", ",FAIL_EVERY=10"),
];
/// The image of canaryctl.
const CANARYCTL_IMAGE: &str = "canary-lab.test/canaryctl:1";
/// Names a lab to tests.
pub(crate) const LAB_ENV: &str = "CANARY_LAB";

/// A real Kubernetes with a real Istio in one network namespace of this machine (Linux, root)
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Start a lab, building first what is not built yet
    Up(PassedOn),
    /// Build canaryctl and the tests' app again and put them into a lab that is up
    Load(PassedOn),
    /// End a lab and remove everything of it
    Down(PassedOn),
    /// Run a command, or a shell, inside a lab, with kubectl, istioctl, helm and KUBECONFIG
    Shell(InLab),
    /// List the labs of this machine and their components
    Status(PassedOn),
}

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
struct PassedOn {
    /// Arguments of `canary-lab`, such as --name NAME, --help, or -- CMD
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

#[derive(clap::Args)]
struct InLab {
    /// The lab's name
    #[arg(long, env = LAB_ENV, value_name = "NAME")]
    name: Option<OsString>,
    /// The command; your shell if there is none
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut lab = Command::new(program()?);
    match &args.verb {
        Verb::Up(passed_on) => {
            lab.arg("up");
            if !passed_on.args.iter().any(|arg| arg == "--help") {
                lab.args(ingredients(Optimised::No)?);
            }
            lab.args(&passed_on.args);
        }
        Verb::Load(passed_on) => drop(lab.arg("load").args(images(Optimised::No)?).args(&passed_on.args)),
        Verb::Down(passed_on) => drop(lab.arg("down").args(&passed_on.args)),
        Verb::Status(passed_on) => drop(lab.arg("status").args(&passed_on.args)),
        Verb::Shell(InLab { name, command }) => {
            lab.arg("shell");
            if let Some(name) = name {
                lab.arg("--name").arg(name);
            }
            lab.arg("--").args(command);
        }
    }
    replace_self(lab)
}

/// Why no lab can be on this machine, if so.
pub(crate) fn impossible_here() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("a lab needs Linux");
    }
    let user = process::capture(Command::new("id").arg("-u"));
    if user.is_ok_and(|id| id.trim() == "0") { None } else { Some("a lab needs root") }
}

/// The lab that `CANARY_LAB` names, if it does.
pub(crate) fn named() -> Option<OsString> {
    std::env::var_os(LAB_ENV).filter(|name| !name.is_empty())
}

/// Whether a lab's canaryctl is built to be fast, which takes longer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Optimised {
    Yes,
    No,
}

/// `cargo test` of what is tested on a lab.
pub(crate) fn tests() -> Command {
    let mut cargo = workspace::cargo_of_all("test");
    cargo.args(["--test", "cluster"]);
    cargo
}

/// `command`, run beside a lab that starts before it and ends with it, and whose name ends in `suffix`.
///
/// A lab that `CANARY_LAB` names is used as it is, and stays.
pub(crate) fn beside_a_lab(command: &Command, suffix: &str, optimised: Optimised) -> Result<Command> {
    let mut beside = match named() {
        Some(_) => Command::new(command.get_program()),
        None => {
            let mut lab = Command::new(program()?);
            lab.args(["with", "--name", &format!("test-{}{suffix}", std::process::id())]);
            lab.args(ingredients(optimised)?).arg("--").arg(command.get_program());
            lab
        }
    };
    beside.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => beside.env(name, value),
            None => beside.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        beside.current_dir(directory);
    }
    Ok(beside)
}

/// Builds `canary-lab` and returns where it is.
fn program() -> Result<PathBuf> {
    const LAB: &str = "canary-lab";
    process::run(workspace::build_of_all(LAB).arg("--quiet"))?;
    Ok(workspace::target_dir().join("debug").join(LAB))
}

/// What `canary-lab up` is to put into the lab, built or fetched.
fn ingredients(optimised: Optimised) -> Result<Vec<OsString>> {
    let envoy = Envoy::ensure()?;
    let mut all: Vec<OsString> = vec!["--envoy".into(), envoy.program().into()];
    all.extend(images(optimised)?);
    Ok(all)
}

/// The images that pods of ours run, each of one static program; canaryctl is a program of the lab too.
fn images(optimised: Optimised) -> Result<Vec<OsString>> {
    let Statics { canaryctl, app, .. } = Statics::build(&filter::build()?, optimised == Optimised::Yes)?;
    let apps = APP_IMAGES.map(|(name, env)| (name, &app, env));
    let mut all = Vec::new();
    for (name, program, env) in apps.into_iter().chain([(CANARYCTL_IMAGE, &canaryctl, "")]) {
        let mut image = OsString::from(format!("{name}="));
        image.push(program);
        image.push(env);
        all.extend(["--image".into(), image]);
    }
    all.extend(["--program".into(), canaryctl.into()]);
    Ok(all)
}

/// `canary-lab` takes this process's place, so that Ctrl-C and its exit code are its own.
#[cfg(unix)]
fn replace_self(mut lab: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(lab.exec()).context("cannot start canary-lab")
}

#[cfg(not(unix))]
fn replace_self(mut lab: Command) -> Result<()> {
    std::process::exit(lab.status().context("cannot start canary-lab")?.code().unwrap_or(1))
}
