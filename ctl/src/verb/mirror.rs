//! `canaryctl mirror`: copies of a service's requests go to a process on this machine.

use canary_rules::lane::hundredths;

use crate::cluster::ClusterArgs;
use crate::failure::Failure;
use crate::verb::mesh::hold::{self, HoldArgs, machine};
use crate::verb::mesh::plan::{Ports, What};

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Everybody keeps the service as it is, and its pods answer; your process gets copies of their requests, and what it
answers is dropped. It can be slow, stop at a breakpoint or not be there: nobody waits for it. Several developers can
have copies of one service. Copied are requests that no lane claims, by the sidecar or gateway that sends them.

What your process does with a copy is done once more: let it write to no database that others use.

Ctrl-C ends it. If this machine vanishes, copies end within 15 s, and what is left in the cluster ends by itself.

Examples:
  canaryctl mirror cart --to 8080                    of every request a copy
  canaryctl mirror cart --to 8080 --percent 5        of one in twenty
  canaryctl -n shop mirror cart --port 80 --to 127.0.0.1:9000
  canaryctl dev list                                 who has what")]
pub struct Args {
    /// The Service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// A port of the Service; may be repeated. Default all that speak HTTP.
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<u16>,
    /// Of how many requests copies are made, in percent, in steps of 0.01. Default of all.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    percent: Option<f64>,
    #[command(flatten)]
    hold: HoldArgs,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.strip_suffix('%').unwrap_or(text).parse().ok();
    let is_some = |percent: &f64| hundredths(*percent).is_some_and(|share| share > 0);
    percent.filter(is_some).ok_or_else(|| "wanted 0.01 to 100, in steps of 0.01".into())
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When no copies can be had, the agent does not run or cannot be reached, or somebody ends it.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let of = (args.service.as_str(), Ports::Copied(&args.ports));
    hold::run(&args.hold, cluster, "mirror", of, |taken, me| {
        Ok(taken.takeover(What::Copies(args.percent), me, &machine()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_one_of_requests() {
        for (text, want) in [
            ("5", Some(5.0)),
            ("0.01", Some(0.01)),
            ("100%", Some(100.0)),
            ("0", None),
            ("101", None),
            ("x", None),
        ] {
            assert_eq!(percent(text).ok(), want, "{text}");
        }
    }
}
