//! `canaryctl image`: this program as an image, for the controller to run.

use std::path::{Path, PathBuf};

use super::registry::{RegistryArgs, failure};
use crate::cluster::block_on;
use crate::failure::{Code, Failure};
use crate::oci::{Image, Needs, Target, architecture};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Push this program to a registry as an image; no container engine is needed.
    Push {
        /// Where to: HOST/REPOSITORY[:TAG].
        #[arg(value_name = "IMAGE", value_parser = Target::to_push)]
        target: Target,
        #[command(flatten)]
        program: Program,
        #[command(flatten)]
        registry: RegistryArgs,
    },
    /// Write the image into a file that `docker load`, `kind load image-archive` and `ctr images import` take.
    Save {
        /// The image's name: HOST/REPOSITORY[:TAG].
        #[arg(value_name = "IMAGE", value_parser = Target::to_push)]
        target: Target,
        /// The file.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        program: Program,
    },
}

#[derive(Debug, clap::Args)]
struct Program {
    /// A static canaryctl, e.g. of another kind of processor; default this program.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// When the program is not static, or the registry refuses.
pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Push { target, program, registry } => block_on(async {
            let image = program.image()?;
            let pushed = registry.registry(target)?.push(target, &image).await;
            let at = pushed.map_err(|error| failure(&error))?.to_string();
            let at = at.trim_start_matches("oci://");
            anstream::println!("{at}  {} MB", image.layer.len() / 1_000_000);
            anstream::println!("Next: canaryctl install --image {at}");
            Ok(())
        }),
        Verb::Save { target, output, program } => {
            let name = target.to_string();
            let archive = program.image()?.archive(name.trim_start_matches("oci://"));
            let archive = archive.map_err(|error| Failure::new(Code::Failed, error))?;
            write(output, &archive)?;
            anstream::println!("{}  {} MB", output.display(), archive.len() / 1_000_000);
            Ok(())
        }
    }
}

impl Program {
    fn image(&self) -> Result<Image, Failure> {
        let path = match &self.binary {
            Some(path) => path.clone(),
            None => std::env::current_exe()
                .map_err(|error| Failure::new(Code::Failed, format!("cannot find this program: {error}")))?,
        };
        let program = std::fs::read(&path).map_err(|error| {
            Failure::new(Code::Failed, format!("cannot read {}: {error}", path.display()))
        })?;
        let architecture = architecture(&program).map_err(|needs| {
            let failure = Failure::new(Code::Failed, format!("{} makes no image: {needs}", path.display()));
            match needs {
                Needs::Libraries => failure.help(
                    "cargo xtask build --release --static makes one that does not; name it with --binary",
                ),
                Needs::Another | Needs::Processor(_) => failure.help("name a static canaryctl with --binary"),
            }
        })?;
        Image::of_program(&program, architecture).map_err(|error| Failure::new(Code::Failed, error))
    }
}

fn write(file: &Path, content: &[u8]) -> Result<(), Failure> {
    std::fs::write(file, content)
        .map_err(|error| Failure::new(Code::Failed, format!("cannot write {}: {error}", file.display())))
}
