//! `canaryctl render`: the objects that lanes need, for those who apply them themselves.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::failure::{Code, Failure};
use crate::output::{self, Format};
use crate::preview::{self, Scene};
use crate::steer;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl render -f lanes.yaml -f manifests.yaml | kubectl apply -f -
  kubectl get svc,deploy,vs,dr -A -o yaml | canaryctl render -f - -f lanes.yaml

Only what lanes change is printed: VirtualServices and DestinationRules that are new or edited, and, where the
manifests hold them, canaryctl's WasmPlugins. No cluster is asked. Labels that running pods lack are named with the line that puts
them on.")]
pub struct Args {
    /// Lanes, and manifests of the mesh: Services, workloads, VirtualServices, DestinationRules; `-` for
    /// standard input.
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// When a file cannot be read, or a lane is refused.
pub fn run(args: &Args) -> Result<(), Failure> {
    let scene = Scene::from_files(&args.files)?;
    if scene.seen.lanes.is_empty() {
        return Err(Failure::new(Code::Documents, "the files hold no Lane").help("give a Lane file with -f"));
    }
    let course = steer::course(&scene.seen, &scene.settings, Timestamp::now().as_second());
    preview::refused(&course)?;
    for finding in &course.plan.findings {
        anstream::eprintln!("{} {}: {finding}", finding.code(), finding.severity());
    }
    for workload in preview::unlabelled(&course.plan, &scene.seen) {
        anstream::eprintln!("{workload}");
    }
    output::objects(&preview::outcome(&scene.seen, &course)?, args.output.or_yaml())
}
