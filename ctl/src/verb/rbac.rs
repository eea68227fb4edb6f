//! `canaryctl rbac`: the roles that commands need, for kubectl to apply.

use clap::ValueEnum as _;

use crate::cluster::ClusterArgs;
use crate::failure::Failure;
use crate::rights::{Bound, Command, Rule, documents};

/// Namespace of what a command is about, where none is named.
const NAMESPACE_DEFAULT: &str = "default";

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl rbac enable disable status --for-group release-engineers | kubectl apply -f -
  canaryctl rbac mesh dev-list dev-stop -n shop --for-user alice | kubectl apply -f -

No cluster is asked. Rules that not everybody needs say so behind a `#`: leave them out where you do not.
Commands that write ask for all of their rights first, and change nothing where one is lacking.")]
pub struct Args {
    /// The commands; default: all but install and uninstall.
    #[arg(value_enum, value_name = "COMMAND")]
    commands: Vec<Command>,
    /// Bind the roles to this user; may be repeated.
    #[arg(long, value_name = "USER")]
    for_user: Vec<String>,
    /// Bind the roles to this group; may be repeated.
    #[arg(long, value_name = "GROUP")]
    for_group: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// When what an installation consists of cannot be told.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let is_daily = |command: &&Command| !matches!(command, Command::Install | Command::Uninstall);
    let commands: Vec<Command> = match args.commands.is_empty() {
        true => Command::value_variants().iter().filter(is_daily).copied().collect(),
        false => args.commands.clone(),
    };
    let namespace = cluster.namespace.as_deref().unwrap_or(NAMESPACE_DEFAULT);
    let rules: Vec<Vec<Rule>> =
        commands.iter().map(|command| command.rules(&[namespace])).collect::<Result<_, _>>()?;
    let users = args.for_user.iter().cloned().map(Bound::User);
    let groups = args.for_group.iter().cloned().map(Bound::Group);
    let name = match args.commands.is_empty() {
        true => "use".to_owned(),
        false => commands.iter().map(|command| command.argument()).collect::<Vec<_>>().join("-"),
    };
    anstream::print!("{}", documents(&name, &rules.concat(), &users.chain(groups).collect::<Vec<_>>()));
    Ok(())
}
