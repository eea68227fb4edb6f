//! `canaryctl lanes`: the lanes of a cluster.

use serde_json::Value;

use super::enable::document::who;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::failure::{Code, Failure};
use crate::lanes::{KEPT, Lanes, condition};
use crate::output::{self, Format};

pub mod describe;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// These lanes; default all.
    #[arg(value_name = "LANE")]
    names: Vec<String>,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show all of one lane: who is in it, its members and their pods, its conditions, and how to end it.
    Describe(describe::Args),
}

/// Runs the verb.
///
/// # Errors
/// When a lane does not exist, or lanes cannot be read.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    if let Some(Verb::Describe(args)) = &args.verb {
        return describe::run(args, cluster);
    }
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let all = Lanes::new(&cluster.client).list().await?;
        let name = |lane: &Value| lane["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if let Some(missing) = args.names.iter().find(|wanted| !all.iter().any(|lane| name(lane) == **wanted))
        {
            return Err(self::missing(missing));
        }
        let lanes: Vec<Value> = all
            .into_iter()
            .filter(|lane| args.names.is_empty() || args.names.contains(&name(lane)))
            .collect();
        match args.output {
            Format::Text | Format::Wide => table(&lanes, args.output == Format::Wide),
            format => return output::objects(&lanes, format),
        }
        Ok(())
    })
}

fn missing(name: &str) -> Failure {
    Failure::new(Code::Failed, format!("there is no lane {name}"))
        .help("canaryctl lanes shows those that there are")
}

/// Prints lanes, a line each.
pub(crate) fn table(lanes: &[Value], wide: bool) {
    if lanes.is_empty() {
        anstream::println!("No lane is on.   Next: canaryctl enable --cookie gray=1");
        return;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows: Vec<[String; 4]> = lanes
        .iter()
        .map(|lane| {
            let members = lane["status"]["members"].as_array().map_or(&[][..], Vec::as_slice);
            let members: Vec<String> = members
                .iter()
                .map(|member| format!("{}→{}", text(&member["service"]), text(&member["workload"])))
                .collect();
            let members = if members.is_empty() { "no members".into() } else { members.join(" · ") };
            [text(&lane["metadata"]["name"]), state(lane), who(lane), members]
        })
        .collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for (row, lane) in rows.iter().zip(lanes) {
        let [name, state, who, members] = row;
        anstream::println!("{name:<0$}  {state:<1$}  {who:<2$}  {members}", width(0), width(1), width(2));
        for finding in lane["status"]["findings"].as_array().into_iter().flatten() {
            if wide || finding["severity"] != "info" {
                anstream::println!("  {} {}", text(&finding["code"]), text(&finding["message"]));
            }
        }
        let programmed = condition(lane, "Programmed");
        if programmed.reason == "Stuck" {
            anstream::println!("  waits: {}", programmed.message);
        }
        if programmed.reason == KEPT {
            anstream::println!("  refused: {}", condition(lane, "Accepted").message);
            anstream::println!("  {}", programmed.message);
        }
    }
}

/// A lane's state in a word: on, working, stuck, refused, kept (on as it was before), expired, going.
pub(crate) fn state(lane: &Value) -> String {
    if !lane["metadata"]["deletionTimestamp"].is_null() {
        return "going".into();
    }
    let programmed = condition(lane, "Programmed");
    match (programmed.status.as_str(), programmed.reason.as_str()) {
        ("True", _) => "on".into(),
        (_, "Invalid") => "refused".into(),
        (_, "") => "new".into(),
        (_, reason) => reason.to_lowercase(),
    }
}
