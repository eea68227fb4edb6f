//! `canaryctl mesh`: the requests of a service that a rule matches go to a process on this machine.

pub(super) mod dress;
pub(super) mod hold;
mod own;
pub(super) mod plan;
pub(super) mod serve;
mod words;

use canary_rules::name::LaneName;
use serde_json::{Value, json};

use crate::cluster::ClusterArgs;
use crate::failure::{Code, Failure};
use crate::verb::enable::document::RuleArgs;
use hold::{HoldArgs, machine};
use plan::{Ports, Taken, What};

/// The header by which requests are told, where no rule is given.
const HEADER: &str = "x-dev";

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only requests that the rule matches come here, from whichever service calls, with their tag: what your process
calls in turn goes on in your lane. Everybody else keeps the service as it is, and so do you where your process
does not answer. Several developers can have one service, each with a rule of their own. A link is printed, too:
it keeps a browser that opens it in your lane.

Ctrl-C ends it and puts everything back. If this machine vanishes the service's own pods answer within 15 s, and
what is left in the cluster ends by itself.

Examples:
  canaryctl mesh cart --to 8080                       requests with the header x-dev: YOU
  canaryctl mesh cart --to 8080 --cookie dev=alice    those of a browser with this cookie
  canaryctl -n shop mesh cart --port 80 --to 127.0.0.1:9000
  canaryctl dev list                                  who has what")]
pub struct Args {
    /// The Service.
    #[arg(value_name = "SERVICE")]
    service: String,
    /// The Service's port; needed where it has several.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    #[command(flatten)]
    rules: RuleArgs,
    /// The lane that carries them; default dev-YOU. Several services may share one.
    #[arg(long, value_name = "LANE", value_parser = LaneName::new)]
    lane: Option<LaneName>,
    #[command(flatten)]
    hold: HoldArgs,
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When the service cannot be taken, the agent does not run or cannot be reached, or somebody ends it.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let of = (args.service.as_str(), Ports::One(args.port));
    hold::run(&args.hold, cluster, "mesh", of, |taken, me| wanted(args, taken, me))
}

/// The Takeover that is asked for.
fn wanted(args: &Args, taken: &Taken, me: &str) -> Result<Value, Failure> {
    let (rules, _) = args.rules.rules()?;
    let flow = Flow::new(rules, args.lane.clone(), me)?;
    Ok(flow.takeover(taken, me))
}

/// Which requests a developer has, and the lane that carries them.
pub(super) struct Flow {
    lane: LaneName,
    rules: Vec<Value>,
}

impl Flow {
    /// By these rules, else by a header that says who it is; in this lane, else in one of the developer's own.
    ///
    /// # Errors
    /// When the user's name makes no lane.
    pub(super) fn new(rules: Vec<Value>, lane: Option<LaneName>, me: &str) -> Result<Self, Failure> {
        let short = words::short_name(me);
        let mut rules = rules;
        if rules.is_empty() {
            rules.push(json!({"when": {"header": {"name": HEADER, "exact": short}}}));
        }
        for rule in &mut rules {
            // Who stops saying so is out at once.
            rule["sticky"] = false.into();
        }
        let lane = match lane {
            Some(lane) => lane,
            None => LaneName::new(&format!("dev-{short}")).map_err(|error| {
                Failure::new(Code::Usage, format!("you are {me}, which makes no lane: {error}"))
                    .help("name one, by --lane NAME or as `lane` in the file")
            })?,
        };
        Ok(Self { lane, rules })
    }

    /// What gives these requests of a service to a user.
    pub(super) fn takeover(&self, taken: &Taken, me: &str) -> Value {
        taken.takeover(What::Matched { lane: self.lane.as_str(), rules: &self.rules }, me, &machine())
    }
}
