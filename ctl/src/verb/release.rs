//! `canaryctl release`: new versions of several workloads as one.

mod diff;
mod plan;
mod pods;
mod render;
pub(crate) mod show;
mod start;

use std::collections::BTreeSet;
use std::time::Duration;

use canary_release::{Phase, Release};
use serde_json::Value;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::duration;
use crate::failure::{Code, Failure};
use crate::output::{self, Format};
use crate::releases::{Releases, Turn, journal, phase_word};
use crate::rights::{self, Command, Whose};

/// How often a watched release is shown again though nothing changed: times go on.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// What to do with releases.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Say what one would do, and what to think of before; nothing is changed.
    Plan(Box<start::DocumentArgs>),
    /// Print the Release that `start` would make, for those who apply it themselves.
    Render(Box<render::Args>),
    /// Begin one, and wait until its first step is reached.
    Start(Box<start::Args>),
    /// Show how far releases have come.
    #[command(visible_alias = "get")]
    Status(StatusArgs),
    /// Say what one would still change.
    Diff(diff::Args),
    /// List releases.
    List {
        /// How to print them.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Go on to the next step, or, after the last, give the Deployments the new images.
    Promote(PromoteArgs),
    /// Keep it where it is.
    Pause(NameArgs),
    /// Let it go on.
    Resume(NameArgs),
    /// Take every user back to the old versions, from wherever it is.
    Abort(ChangeArgs),
    /// Once it is through: give the Deployments the images from before.
    Undo(ChangeArgs),
    /// After bad measurements, or a Job or webhook that failed: begin the step anew.
    Retry(NameArgs),
    /// Say what happened and when.
    History(NameArgs),
}

/// A release.
#[derive(Debug, clap::Args)]
pub struct NameArgs {
    /// The release; default: the one that is under way.
    #[arg(value_name = "RELEASE")]
    name: Option<String>,
}

/// A change, and whether to wait for it.
#[derive(Debug, clap::Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    release: NameArgs,
    #[command(flatten)]
    waiting: ReleaseWaiting,
}

/// Whether, and how long, to wait for a release.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ReleaseWaiting {
    /// Wait until it is there.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, default_value = "10m", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
}

/// The arguments of `promote`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl release promote              the next step of the release that is under way
  canaryctl release promote --full r-7   the new images for everybody, without the steps between")]
pub struct PromoteArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Leave out the steps between.
    #[arg(long)]
    full: bool,
}

/// The arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl release status            the release that is under way, or else the last one
  canaryctl release status r-7 -w     shown again whenever it changes
  kubectl wait release/r-7 --for=condition=Completed")]
pub struct StatusArgs {
    #[command(flatten)]
    release: NameArgs,
    /// Show it, with its pods, again each time something changes, until it is over.
    #[arg(short, long)]
    watch: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// When there is no such release, it cannot do what is asked, or is not there in time.
pub fn run(verb: &Verb, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let releases = Releases::new(&cluster.client);
        match verb {
            Verb::Plan(args) => plan::run(args, &cluster, &releases).await,
            Verb::Render(args) => render::run(args, &cluster, &releases).await,
            Verb::Diff(args) => diff::run(args, &cluster, &releases).await,
            Verb::Start(args) => start::run(args, &cluster, &releases).await,
            Verb::Status(args) => status(args, &cluster, &releases).await,
            Verb::List { output } => list(&releases, *output).await,
            Verb::Promote(args) => promote(args, &cluster, &releases).await,
            Verb::Pause(args) => set(&cluster, &releases, args, Turn::Pause, "stays where it is").await,
            Verb::Resume(args) => set(&cluster, &releases, args, Turn::Resume, "goes on").await,
            Verb::Abort(args) => turn(args, &cluster, &releases, Turn::Abort, Phase::Aborted).await,
            Verb::Undo(args) => turn(args, &cluster, &releases, Turn::Undo, Phase::Undone).await,
            Verb::Retry(args) => set(&cluster, &releases, args, Turn::Retry, "begins its step anew").await,
            Verb::History(args) => {
                show::history(&named(&releases, args.name.as_deref()).await?);
                Ok(())
            }
        }
    })
}

/// The release of this name; without a name the only one under way, or else the last.
async fn named(releases: &Releases, name: Option<&str>) -> Result<Release, Failure> {
    if let Some(name) = name {
        return releases.get(name).await;
    }
    let all = releases.list().await?;
    let running: Vec<&Release> = all.iter().filter(|release| journal(release).phase.is_under_way()).collect();
    match (running.as_slice(), all.last()) {
        ([one], _) => Ok((*one).clone()),
        ([], Some(last)) => Ok(last.clone()),
        ([], None) => Err(Failure::new(Code::Failed, "there is no release to do this with")
            .help("canaryctl release start --image DEPLOYMENT=IMAGE --cookie gray=1 begins one")),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|release| release.metadata.name.as_str()).collect();
            Err(Failure::new(Code::Usage, format!("several releases are under way: {}", names.join(", ")))
                .help("name the one that is meant"))
        }
    }
}

async fn status(args: &StatusArgs, cluster: &Cluster, releases: &Releases) -> Result<(), Failure> {
    let release = named(releases, args.release.name.as_deref()).await?;
    if !args.watch {
        return show::one(&release, args.output);
    }
    let name = release.metadata.name.to_string();
    let mut shown = String::new();
    loop {
        let release = releases.get(&name).await?;
        let sets = match args.output.is_text() {
            true => pods::read(&cluster.client, &release).await,
            false => pods::Sets::new(),
        };
        let text = show::text(&release, &sets, args.output)?;
        // Times go on by themselves: off a terminal only what changed is a line.
        if show::without_times(&text) != show::without_times(&shown) || show::is_terminal() {
            show::replace(&shown, &text);
            shown = text;
        }
        if journal(&release).phase.is_final() {
            return Ok(());
        }
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

async fn list(releases: &Releases, format: Format) -> Result<(), Failure> {
    let all = releases.list().await?;
    if format.is_text() {
        show::table(&all);
        return Ok(());
    }
    let values = all.iter().map(show::value).collect::<Result<Vec<Value>, _>>()?;
    output::objects(&values, format)
}

/// Asks something of the release of this name, and returns it as it was then.
async fn asked(
    cluster: &Cluster,
    releases: &Releases,
    name: Option<&str>,
    turn: Turn,
    waiting: Option<ReleaseWaiting>,
) -> Result<Release, Failure> {
    let release = named(releases, name).await?;
    held(cluster, Command::ReleasePromote, &release, waiting, &[]).await?;
    let step = journal(&release).step;
    releases.ask(release, turn, Some(step)).await
}

/// Refuses whoever lacks a right that it takes to change this release, before it is changed.
async fn held(
    cluster: &Cluster,
    command: Command,
    release: &Release,
    waiting: Option<ReleaseWaiting>,
    besides: &[Whose],
) -> Result<(), Failure> {
    let namespaces = release.spec.workloads.iter().map(|spec| spec.deployment.namespace.as_str());
    let namespaces: Vec<&str> = namespaces.collect::<BTreeSet<_>>().into_iter().collect();
    let waits = waiting.filter(|waiting| waiting.wait).map(|_| Whose::Waiting);
    let besides: Vec<Whose> = waits.into_iter().chain(besides.iter().copied()).collect();
    rights::held(&cluster.client, command, &namespaces, &besides).await
}

async fn set(
    cluster: &Cluster,
    releases: &Releases,
    args: &NameArgs,
    turn: Turn,
    words: &str,
) -> Result<(), Failure> {
    let release = asked(cluster, releases, args.name.as_deref(), turn, None).await?;
    anstream::println!("Release {} {words}.", release.metadata.name);
    Ok(())
}

async fn promote(args: &PromoteArgs, cluster: &Cluster, releases: &Releases) -> Result<(), Failure> {
    let turn = Turn::Promote { full: args.full };
    let ChangeArgs { release, waiting } = &args.change;
    let release = asked(cluster, releases, release.name.as_deref(), turn, Some(*waiting)).await?;
    let from = journal(&release).step;
    let is_there = move |release: &Release| {
        let now = journal(release);
        !now.phase.is_under_way()
            || (now.phase == Phase::Stepping && now.step > from && now.held_since.is_some())
    };
    wait(releases, &release, args.change.waiting, is_there).await
}

/// Asks for what ends in this phase.
async fn turn(
    args: &ChangeArgs,
    cluster: &Cluster,
    releases: &Releases,
    turn: Turn,
    wanted: Phase,
) -> Result<(), Failure> {
    let release = asked(cluster, releases, args.release.name.as_deref(), turn, Some(args.waiting)).await?;
    let name = release.metadata.name.as_str();
    // What is to be undone is over already.
    let is_there = move |release: &Release| {
        let phase = journal(release).phase;
        phase == wanted || (turn != Turn::Undo && !phase.is_under_way())
    };
    wait(releases, &release, args.waiting, is_there).await?;
    let now = journal(&releases.get(name).await?).phase;
    match !args.waiting.wait || now == wanted {
        true => Ok(()),
        false => Err(Failure::new(Code::Conflict, format!("release {name} was {} already", phase_word(now)))
            .help(format!("canaryctl release undo {name} sets the images back"))),
    }
}

/// Whether the journal speaks of the release as it is now.
fn is_heard(release: &Release) -> bool {
    Some(journal(release).observed_generation) == release.metadata.generation
}

/// Waits until a release is somewhere, tells what happens on the way, and shows it.
async fn wait(
    releases: &Releases,
    release: &Release,
    waiting: ReleaseWaiting,
    is_there: impl Fn(&Release) -> bool,
) -> Result<(), Failure> {
    if !waiting.wait {
        let name = &release.metadata.name;
        anstream::println!("Release {name} goes on.   Watch: canaryctl release status {name} -w");
        return Ok(());
    }
    let mut story = show::Story::after(&journal(release));
    let name = release.metadata.name.as_str();
    let until = |release: &Release| until(release, &is_there);
    let tell = |release: &Release| {
        if is_heard(release) {
            story.tell(release);
        }
    };
    let release = releases.follow(name, waiting.timeout, tell, until).await?;
    show::one(&release, Format::Text)
}

/// Whether a release is where somebody waits for it.
///
/// # Errors
/// When it does not get there unless somebody does something.
fn until(release: &Release, is_there: impl Fn(&Release) -> bool) -> Result<bool, Failure> {
    let status = journal(release);
    if !is_heard(release) || is_there(release) {
        return Ok(is_heard(release));
    }
    // Pods that do not come may come yet.
    let stops = |reason: &str| !matches!(reason, "Pods" | "Refused" | "Measures");
    let Some(trouble) = status.trouble.filter(|trouble| trouble.needs_help && stops(&trouble.reason)) else {
        return Ok(false);
    };
    let name = &release.metadata.name;
    if status.phase.is_through() {
        let message = format!("release {name} is not undone yet: {}", trouble.message);
        return Err(Failure::new(Code::Conflict, message).help(
            "it is undone by itself once that is over; canaryctl release list shows what is under way",
        ));
    }
    let message = format!("release {name} does not go on: {}", trouble.message);
    Err(Failure::new(Code::Documents, message).help(format!("canaryctl release abort {name} takes it back")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn release(intent: &str, status: Value) -> Release {
        let mut status = status;
        status["observedGeneration"] = 1.into();
        serde_json::from_value(json!({
            "apiVersion": "", "kind": "", "metadata": {"name": "r", "generation": 1},
            "spec": {"workloads": [], "intent": intent}, "status": status,
        }))
        .expect("a release")
    }

    #[track_caller]
    fn check_stops(release: &Release, want: &str) {
        let stopped =
            until(release, |release| journal(release).phase == Phase::Undone).expect_err("it stops");
        assert_eq!(stopped.to_string(), want);
    }

    #[test]
    fn whoever_waits_hears_why_a_release_does_not_get_there() {
        let trouble =
            |reason: &str, message: &str| json!({"reason": reason, "message": message, "needsHelp": true});
        let taken = trouble("Taken", "Deployment shop/stock is in release s");
        check_stops(
            &release("undo", json!({"phase": "Completed", "trouble": taken})),
            "release r is not undone yet: Deployment shop/stock is in release s",
        );
        check_stops(
            &release(
                "forward",
                json!({"phase": "Stepping", "trouble": trouble("LaneGone", "somebody deleted lane r")}),
            ),
            "release r does not go on: somebody deleted lane r",
        );
        let waits = |status: Value| {
            until(&release("undo", status), |release| journal(release).phase == Phase::Undone)
                .expect("it waits")
        };
        assert!(!waits(json!({"phase": "Stepping", "trouble": trouble("Pods", "0 of 1")})));
        assert!(!waits(json!({"phase": "Completed"})));
        assert!(waits(json!({"phase": "Undone"})));
    }
}
