//! `canaryctl enable`: turns a lane on, or changes it, and waits until every proxy has it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::{Code, Failure};
use crate::lanes::Lanes;
use crate::progress::Printed;
use crate::rights::{self, Command, Whose};
use crate::waiting::{DryRun, Waiting};
use crate::{files, output};

pub(crate) mod document;
mod users;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl enable --cookie gray=1                 lane gray, for who has the cookie
  canaryctl enable dev-alice --header x-dev=alice  a developer's own lane
  canaryctl enable --cookie gray=1 --percent 5     testers, and 5 % of users besides
  canaryctl enable --user-list testers.txt --user-key claim:sub
  canaryctl enable --cookie gray=1 --member stock=version:v2
  canaryctl enable -f lanes.yaml

Members are the pods labelled canaryctl.io/lane=LANE; --member names others by labels that they have.")]
pub struct Args {
    #[command(flatten)]
    lane: document::LaneArgs,
    /// Lane files to apply instead; `-` for standard input.
    #[arg(short, long = "file", value_name = "FILE", conflicts_with_all = document::FLAGS)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    dry_run: DryRun,
    #[command(flatten)]
    waiting: Waiting,
    /// How to print the lanes: as people read them, or whole.
    #[arg(short, long, value_enum, default_value_t)]
    output: output::Format,
}

/// Runs the verb.
///
/// # Errors
/// When a lane is refused, or not on in time.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let lanes = wanted(args)?;
    if args.dry_run.is_client() {
        return output::objects(&lanes, args.output.or_yaml());
    }
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        if !args.dry_run.is_server() {
            rights::held(&cluster.client, Command::Enable, &[], &besides(&lanes, args.waiting)).await?;
        }
        let api = Lanes::new(&cluster.client);
        let mut applied = Vec::with_capacity(lanes.len());
        for lane in &lanes {
            applied.push(api.apply(lane, args.dry_run.is_server()).await?);
        }
        if args.dry_run.is_server() {
            return output::objects(&applied, args.output.or_yaml());
        }
        for lane in &mut applied {
            let name = lane["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if let Some(timeout) = args.waiting.timeout() {
                let started = Instant::now();
                *lane = api.programmed(&name, timeout).await?;
                if args.output.is_text() {
                    tell(&name, lane, started.elapsed());
                }
            } else if args.output.is_text() {
                anstream::println!("Lane {name} applied.   Watch: canaryctl status -w");
            }
        }
        if args.output.is_text() { Ok(()) } else { output::objects(&applied, args.output) }
    })
}

/// Who has to have rights that not everybody needs.
fn besides(lanes: &[Value], waiting: Waiting) -> Vec<Whose> {
    let has_rules =
        lanes.iter().any(|lane| lane["spec"]["rules"].as_array().is_some_and(|all| !all.is_empty()));
    let waits = waiting.timeout().map(|_| Whose::Waiting);
    waits.into_iter().chain(has_rules.then_some(rights::command::WITH_RULES)).collect()
}

fn wanted(args: &Args) -> Result<Vec<Value>, Failure> {
    let json = |lane: &canary_rules::lane::Lane| {
        serde_json::to_value(lane).map_err(|error| Failure::new(Code::Failed, error))
    };
    if args.files.is_empty() {
        return Ok(vec![json(&args.lane.document()?)?]);
    }
    files::read(&args.files)?.lanes.iter().map(json).collect()
}

/// A lane that is on, in words.
fn tell(name: &str, lane: &Value, took: Duration) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &lane["status"];
    let members = status["members"].as_array().map_or(&[][..], Vec::as_slice);
    anstream::println!("Lane {name}  ({})", document::who(lane));
    let mut printed = Printed;
    let listed: Vec<String> = members
        .iter()
        .map(|member| format!("{}→{}", text(&member["service"]), text(&member["workload"])))
        .collect();
    match listed.is_empty() {
        true => printed.line("members", &format!("none yet: label pods canaryctl.io/lane={name}")),
        false => printed.line("members", &listed.join(" · ")),
    }
    if let Some(proxies) = status["proxies"]["total"].as_u64() {
        printed.timed("proxies", &format!("{proxies} of {proxies} have it"), took);
    }
    for finding in status["findings"].as_array().into_iter().flatten() {
        if finding["severity"] != "info" {
            printed.line(&text(&finding["code"]), &text(&finding["message"]));
        }
    }
    anstream::println!("Live.   Off again: canaryctl disable {name}");
}
