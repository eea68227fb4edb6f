//! The verbs, one function each.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use canary_lab::{Console, Health, ImageSpec, Interrupt, Lab, LabError, LabName, Progress, Setup};
use clap::Parser;

/// Names a lab to programs that use one.
const LAB_ENV: &str = "CANARY_LAB";
/// How often a command is looked at, in milliseconds.
const LOOK_EVERY_MS: u64 = 50;

/// A real Kubernetes with a real Istio in one network namespace of this machine
#[derive(Parser)]
#[command(name = "canary-lab", version)]
enum Verb {
    /// Start a lab, building first what is not built yet
    Up {
        #[command(flatten)]
        lab: LabArgs,
        #[command(flatten)]
        setup: SetupArgs,
    },
    /// Start a lab, run a command beside it that finds its name in CANARY_LAB, and end the lab with the command
    With {
        #[command(flatten)]
        lab: LabArgs,
        #[command(flatten)]
        setup: SetupArgs,
        /// The command; it is not inside the lab, but may enter
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Put images and programs into a lab that is up, in place of those of the same name
    Load {
        #[command(flatten)]
        lab: LabArgs,
        #[command(flatten)]
        cargo: CargoArgs,
    },
    /// End a lab and remove everything of it
    Down {
        #[command(flatten)]
        lab: LabArgs,
        /// End every lab of this machine
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Run a command, or a shell, inside a lab, with kubectl, istioctl, helm and KUBECONFIG
    Shell {
        #[command(flatten)]
        lab: LabArgs,
        /// The command; your shell if there is none
        #[arg(last = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// List the labs of this machine and their components
    Status,
}

#[derive(clap::Args)]
struct SetupArgs {
    /// The Envoy that sidecars and gateways run
    #[arg(long, value_name = "PATH")]
    envoy: PathBuf,
    #[command(flatten)]
    cargo: CargoArgs,
}

#[derive(clap::Args)]
struct CargoArgs {
    /// A static program to make an image of, with the image's name and what is in its environment:
    /// canary-lab.test/app:1=PATH,KEY=VALUE
    #[arg(long, value_name = "NAME=PATH[,KEY=VALUE]", value_parser = image)]
    image: Vec<ImageSpec>,
    /// A program that is found in the lab by its name
    #[arg(long, value_name = "PATH")]
    program: Vec<PathBuf>,
}

#[derive(clap::Args)]
struct LabArgs {
    /// The lab's name
    #[arg(long, env = LAB_ENV, default_value_t = LabName::default())]
    name: LabName,
}

pub(crate) fn main() -> ExitCode {
    let result = match Verb::parse() {
        Verb::Up { lab, setup } => up(&lab.name, setup),
        Verb::With { lab, setup, command } => match with(&lab.name, setup, command) {
            Ok(status) => return ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
            Err(error) => Err(error),
        },
        Verb::Load { lab, cargo } => load(&lab.name, &cargo),
        Verb::Down { lab, all: false } => down(&lab.name),
        Verb::Down { all: true, .. } => down_all(),
        Verb::Shell { lab, command } => shell(&lab.name, command),
        Verb::Status => status(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            if let Some(help) = help(&error) {
                eprintln!("help:  {help}");
            }
            ExitCode::FAILURE
        }
    }
}

fn up(name: &LabName, setup: SetupArgs) -> Result<(), LabError> {
    start(name, setup, &signals()?)?;
    eprintln!("\nnext:  cargo xtask lab shell --name {name} -- kubectl get pods --all-namespaces");
    Ok(())
}

fn start(name: &LabName, setup: SetupArgs, interrupt: &Interrupt) -> Result<(), LabError> {
    let started = Instant::now();
    let CargoArgs { image: images, program: programs } = setup.cargo;
    let setup = Setup { envoy: setup.envoy, images, programs };
    let lab = canary_lab::up(name, &setup, &Console, interrupt)?;
    Console.done(&format!("lab {name}"), &format!("up, logs in {}", lab.logs().display()), started.elapsed());
    Ok(())
}

fn load(name: &LabName, cargo: &CargoArgs) -> Result<(), LabError> {
    let started = Instant::now();
    Lab::running(name)?.load(&cargo.image, &cargo.program)?;
    let count = cargo.image.len();
    Console.done(&format!("lab {name}"), &format!("{count} images loaded"), started.elapsed());
    Ok(())
}

fn with(name: &LabName, setup: SetupArgs, command: Vec<OsString>) -> Result<ExitStatus, LabError> {
    let interrupt = signals()?;
    start(name, setup, &interrupt)?;
    let _end = End(name);
    let mut words = command.into_iter();
    let program = words.next().unwrap_or_default();
    let cannot_start = |source| LabError::Start { program: program.to_string_lossy().into_owned(), source };
    let mut child =
        Command::new(&program).args(words).env(LAB_ENV, name.as_str()).spawn().map_err(cannot_start)?;
    loop {
        if let Some(status) = child.try_wait().map_err(cannot_start)? {
            return Ok(status);
        }
        if let Err(interrupted) = interrupt.check() {
            // Ctrl-C has reached it already; a signal to us alone has not.
            let _ = child.kill();
            let _ = child.wait();
            return Err(interrupted);
        }
        std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS));
    }
}

/// Ends a lab when dropped.
struct End<'a>(&'a LabName);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if let Err(error) = down(self.0) {
            eprintln!("error: {}", chain(&error));
        }
    }
}

fn signals() -> Result<Interrupt, LabError> {
    Interrupt::on_signals().map_err(|source| LabError::Start { program: "a signal handler".into(), source })
}

fn down(name: &LabName) -> Result<(), LabError> {
    let started = Instant::now();
    let details = if Lab::down(name)? { "down, nothing left" } else { "was not there" };
    Console.done(&format!("lab {name}"), details, started.elapsed());
    Ok(())
}

fn down_all() -> Result<(), LabError> {
    canary_lab::list()?.iter().try_for_each(|lab| down(&lab.name))
}

fn shell(name: &LabName, command: Vec<OsString>) -> Result<(), LabError> {
    let lab = Lab::running(name)?;
    lab.enter()?;
    let mut words = command.into_iter();
    let default = || std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let mut command = lab.command(words.next().unwrap_or_else(default));
    // It takes this process's place, so that its exit code and Ctrl-C are its own.
    let source = command.args(words).exec();
    Err(LabError::Start { program: command.get_program().to_string_lossy().into_owned(), source })
}

fn status() -> Result<(), LabError> {
    let labs = canary_lab::list()?;
    if labs.is_empty() {
        println!("no lab is up");
    }
    for lab in labs {
        let health = match lab.health {
            Health::Up => "up",
            Health::Degraded => "degraded",
            Health::Unfinished => "unfinished",
        };
        println!("{:<24} {health}", lab.name.to_string());
        for component in lab.components {
            match component.process {
                Some(process) => println!("  {:<24} runs as {process}", component.name),
                None => println!("  {:<24} has ended", component.name),
            }
        }
    }
    Ok(())
}

fn image(text: &str) -> Result<ImageSpec, String> {
    let (name, rest) = text.split_once('=').ok_or("wanted NAME=PATH")?;
    let mut rest = rest.split(',');
    let path = PathBuf::from(rest.next().unwrap_or_default());
    let program = path.file_name().and_then(|name| name.to_str()).ok_or("the path names no program")?;
    let to = format!("/{program}");
    Ok(rest.fold(ImageSpec::new(name, &to).file(path, &to), |image, variable| image.env(variable)))
}

/// What to type next.
fn help(error: &LabError) -> Option<String> {
    match error {
        LabError::NotRoot => Some("run it as root, e.g. with sudo --preserve-env=PATH,HOME".into()),
        LabError::Exists { name } => {
            Some(format!("cargo xtask lab down --name {name}, or give another --name"))
        }
        LabError::NotUp { name } => Some(format!("cargo xtask lab up --name {name}")),
        _ => None,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}
