//! The verbs and their arguments' home; each verb's own arguments are beside its code.

use std::path::Path;

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cluster::{self, ClusterArgs};
use crate::failure::Failure;
use crate::verb;

/// Verbs that ask no cluster.
const VERBS_WITHOUT_CLUSTER: [&str; 12] = [
    "agent",
    "gate",
    "netns",
    "tun-helper",
    "demo",
    "render",
    "rules",
    "image",
    "filter",
    "completion",
    "man",
    "demo-app",
];

/// Full-link gray routing for Istio meshes.
///
/// Decides at the edge which lane a user's flow belongs to, and keeps it there through every service, with
/// no change to any application.
#[derive(Debug, Parser)]
#[command(name = "canaryctl", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Start here:  canaryctl demo        Why is a request in a lane?  canaryctl explain --help
Exit codes:  0 done · 1 failed · 2 wrong usage · 3 documents with errors ·
             4 timed out · 5 somebody else's change"
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show a gray flow end to end on real Envoys, on this machine, without a cluster.
    Demo(Box<verb::demo::Args>),
    /// Tell whether a cluster is fit for lanes, whether you may install, and whether all is well.
    Check(verb::check::Args),
    /// Put canaryctl into a cluster; no lane is on afterwards, and nothing is routed otherwise.
    Install(Box<verb::install::Args>),
    /// Turn a lane on, or change it, and wait until every proxy has it.
    Enable(Box<verb::enable::Args>),
    /// Turn lanes off, and wait until no proxy routes by them.
    Disable(verb::disable::Args),
    /// Show the lanes of a cluster.
    Lanes(verb::lanes::Args),
    /// Show what is on, whether everything is well, and how to turn all of it off at once.
    Status(verb::status::Args),
    /// Tell how the workloads of services are: proxies, filters, what they hand on, and what mends them.
    Doctor(verb::doctor::Args),
    /// Show lanes, releases and services on a page of this machine.
    Dashboard(verb::dashboard::Args),
    /// Have requests of a service that a rule matches come to a process on this machine.
    Mesh(Box<verb::mesh::Args>),
    /// Have all requests of a service come to a process on this machine.
    Exchange(Box<verb::exchange::Args>),
    /// Have copies of a service's requests come to a process on this machine.
    Mirror(Box<verb::mirror::Args>),
    /// Have a process on this machine be a new service of the cluster.
    Preview(Box<verb::preview::Args>),
    /// Show which developer has which service, and end that.
    #[command(subcommand)]
    Dev(verb::dev::Verb),
    /// Show what would change in a cluster.
    Diff(verb::diff::Args),
    /// Print the objects that lanes need, without a cluster.
    Render(verb::render::Args),
    /// Release new versions of several workloads as one: step by step, and back at any time.
    #[command(subcommand)]
    Release(verb::release::Verb),
    /// Reach every Service and pod of a cluster from this machine, as if it were one of them.
    Connect(verb::connect::Args),
    /// Run any program so that it reaches the cluster as a pod does, without root.
    Run(verb::run::Args),
    /// Bring a Service's port, or any other of the cluster's, to this machine.
    Forward(verb::forward::Args),
    /// Take everything away again.
    Uninstall(verb::uninstall::Args),
    /// Print the roles that commands need, for kubectl to apply.
    Rbac(verb::rbac::Args),
    /// Tell which lane a request gets, why, and what the edge would set.
    Explain(verb::explain::Args),
    /// Show the way of one request through the mesh, hop by hop, and who lost its tag.
    Trace(verb::trace::Args),
    /// Write a file for whoever helps to find a fault, without keys and without what tells users apart.
    BugReport(verb::bug_report::Args),
    /// Work with Lane files.
    Rules(verb::rules::Args),
    /// Show versions: this program's, the filter's, the cluster's.
    Version(verb::version::Args),
    /// Make canaryctl's own image, for the controller to run.
    Image(verb::image::Args),
    /// The Wasm filter that this binary carries, and its images.
    Filter(verb::filter::Args),
    /// Print what a shell offers at the Tab key.
    Completion(verb::completion::Args),
    /// Print manual pages.
    Man(verb::man::Args),
    /// Keep a cluster as its Lanes say; runs in the cluster, started by `install`.
    Controller(verb::controller::Args),
    /// A developer's end in the cluster; started by `connect` and its like.
    #[command(hide = true)]
    Agent(verb::agent::Args),
    /// In front of an agent: lets requests of its lane through; started by `mesh`.
    #[command(hide = true)]
    Gate(verb::gate::Args),
    /// A program's side of a network namespace; started by `run`.
    #[command(hide = true)]
    Netns(verb::netns::Args),
    /// Make the device of `connect --tun`, as root.
    #[command(hide = true)]
    TunHelper(verb::tun_helper::Args),
    /// One application of the demo's mesh; started by `demo`.
    #[command(hide = true)]
    DemoApp(verb::demo_app::Args),
}

impl Cli {
    /// Reads what was typed. As a plugin of kubectl it shows itself as people type it there.
    #[must_use]
    pub fn read() -> Self {
        let called = std::env::args_os().next().unwrap_or_default();
        let is_plugin = Path::new(&called).file_stem().is_some_and(|name| name == "kubectl-canaryctl");
        let command = if is_plugin { Self::command().bin_name("kubectl canaryctl") } else { Self::command() };
        Self::from_arg_matches(&Self::built(command).get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// The command with all its verbs; those that ask no cluster do not show a cluster's flags.
    #[must_use]
    pub fn built(mut command: Command) -> Command {
        // Each verb has the flags only then.
        command.build();
        VERBS_WITHOUT_CLUSTER
            .iter()
            .fold(command, |command, verb| command.mut_subcommand(verb, without_cluster))
    }
}

fn without_cluster(verb: Command) -> Command {
    let is_clusters = |arg: &Arg| arg.get_help_heading() == Some(cluster::HEADING);
    verb.mut_args(|arg| if is_clusters(&arg) { arg.hide(true) } else { arg }).mut_subcommands(without_cluster)
}

/// Runs what was typed.
///
/// # Errors
/// [`Failure`], ready to print.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let cluster = &cli.cluster;
    match cli.verb {
        Verb::Check(args) => verb::check::run(&args, cluster),
        Verb::Install(args) => verb::install::run(&args, cluster),
        Verb::Enable(args) => verb::enable::run(&args, cluster),
        Verb::Disable(args) => verb::disable::run(&args, cluster),
        Verb::Lanes(args) => verb::lanes::run(&args, cluster),
        Verb::Status(args) => verb::status::run(&args, cluster),
        Verb::Doctor(args) => verb::doctor::run(&args, cluster),
        Verb::Dashboard(args) => verb::dashboard::run(&args, cluster),
        Verb::Mesh(args) => verb::mesh::run(&args, cluster),
        Verb::Exchange(args) => verb::exchange::run(&args, cluster),
        Verb::Mirror(args) => verb::mirror::run(&args, cluster),
        Verb::Preview(args) => verb::preview::run(&args, cluster),
        Verb::Dev(verb) => verb::dev::run(&verb, cluster),
        Verb::Diff(args) => verb::diff::run(&args, cluster),
        Verb::Render(args) => verb::render::run(&args),
        Verb::Release(verb) => verb::release::run(&verb, cluster),
        Verb::Uninstall(args) => verb::uninstall::run(&args, cluster),
        Verb::Rbac(args) => verb::rbac::run(&args, cluster),
        Verb::Version(args) => verb::version::run(&args, cluster),
        Verb::Image(args) => verb::image::run(&args),
        Verb::Completion(args) => verb::completion::run(&args),
        Verb::Man(args) => verb::man::run(&args),
        Verb::Filter(args) => verb::filter::run(&args),
        Verb::Controller(args) => verb::controller::run(&args, cluster),
        Verb::Connect(args) => verb::connect::run(args, cluster),
        Verb::Forward(args) => verb::forward::run(args, cluster),
        Verb::Run(args) => verb::run::run(&args, cluster),
        Verb::Netns(args) => verb::netns::run(&args),
        Verb::TunHelper(args) => verb::tun_helper::run(&args),
        Verb::Agent(args) => verb::agent::run(args),
        Verb::Demo(args) => verb::demo::run(&args),
        Verb::Explain(args) => verb::explain::run(&args, cluster),
        Verb::Trace(args) => verb::trace::run(&args, cluster),
        Verb::BugReport(args) => verb::bug_report::run(&args, cluster),
        Verb::Rules(args) => verb::rules::run(&args),
        Verb::Gate(args) => verb::gate::run(&args),
        Verb::DemoApp(args) => verb::demo_app::run(&args),
    }
}
