//! What a shell offers at the Tab key: verbs and flags by themselves, and the names that only a cluster knows.
//!
//! Which names an argument takes, its value's name says: `LANE`, `RELEASE`, `SERVICE`, `TAKEOVER`. A cluster that does
//! not answer soon, or refuses, has nothing to offer; nobody is told of it in the middle of a line.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};

use crate::cli::Cli;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::offers;
use crate::failure::{Code, Failure};
use crate::takeover;
use crate::world;

/// Names the shell in whose words a run of this program answers, instead of doing what it says.
pub const VARIABLE: &str = "CANARYCTL_COMPLETE";
/// How long a cluster may take: people wait at their prompt.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Most names that are offered.
const NAMES_MAX: u32 = 500;

/// Objects whose names are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lane,
    Release,
    Takeover,
    Service,
    Namespace,
}

/// Answers a shell that asks, and ends; else does nothing.
pub fn answer() {
    CompleteEnv::with_factory(|| offering(Cli::built(Cli::command()))).var(VARIABLE).complete();
}

/// The command with what its arguments take.
fn offering(command: Command) -> Command {
    let offering_arg = |arg: Arg| match kind_of(&arg) {
        Some(kind) => arg.add(ArgValueCandidates::new(move || candidates(kind))),
        None => arg,
    };
    command.mut_args(offering_arg).mut_subcommands(offering)
}

fn kind_of(arg: &Arg) -> Option<Kind> {
    let is = |name: &str| arg.get_value_names().is_some_and(|names| names.iter().any(|one| one == name));
    let kinds = [
        ("LANE", Kind::Lane),
        ("RELEASE", Kind::Release),
        ("TAKEOVER", Kind::Takeover),
        ("SERVICE", Kind::Service),
    ];
    let named = kinds.into_iter().find_map(|(name, kind)| is(name).then_some(kind));
    named.or_else(|| (arg.get_long() == Some("namespace")).then_some(Kind::Namespace))
}

fn candidates(kind: Kind) -> Vec<CompletionCandidate> {
    let found = block_on(async {
        let names = tokio::time::timeout(ANSWER_WITHIN, names(kind)).await;
        names.unwrap_or_else(|_| Err(Failure::silent(Code::Timeout)))
    });
    found.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
}

async fn names(kind: Kind) -> Result<Vec<String>, Failure> {
    let Cluster { client, namespace } = Cluster::connect(&typed(std::env::args_os())).await?;
    let listed = match kind {
        Kind::Lane => ours(&client, None, canary_rules::lane::KIND).await,
        Kind::Release => ours(&client, None, canary_release::KIND).await,
        Kind::Takeover => {
            let taken = ours(&client, Some(&namespace), takeover::KIND).await;
            let new = offers::list(&client, Some(&namespace)).await.unwrap_or_default();
            taken.map(|taken| taken.into_iter().chain(new.iter().map(ResourceExt::name_any)).collect())
        }
        Kind::Service => of(&Api::<Service>::namespaced(client, &namespace)).await,
        Kind::Namespace => of(&Api::<Namespace>::all(client)).await,
    };
    listed.map_err(|error| Failure::from_error(Code::Failed, &error))
}

async fn ours(client: &Client, namespace: Option<&str>, kind: &str) -> kube::Result<Vec<String>> {
    let resource = world::resource(canary_rules::lane::API_VERSION, kind);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    of(&api).await
}

async fn of<K>(api: &Api<K>) -> kube::Result<Vec<String>>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let found = api.list_metadata(&ListParams::default().limit(NAMES_MAX)).await?;
    Ok(found.items.into_iter().filter_map(|one| one.metadata.name).collect())
}

/// Which cluster the line means so far; what of it is not finished is passed over.
fn typed(words: impl Iterator<Item = OsString>) -> ClusterArgs {
    // What a shell hands over is behind `--`.
    let line = words.skip_while(|word| word != "--").skip(1);
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(line);
    matches.ok().and_then(|matches| ClusterArgs::from_arg_matches(&matches).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, context: Option<&str>, namespace: Option<&str>) {
        let words = ["canaryctl", "--"].into_iter().chain(line.split(' ')).map(OsString::from);
        let typed = typed(words);
        assert_eq!((typed.context.as_deref(), typed.namespace.as_deref()), (context, namespace), "{line}");
    }

    #[test]
    fn the_cluster_is_the_one_that_the_line_names_wherever_it_does() {
        check("canaryctl disable ", None, None);
        check("canaryctl --context far disable ", Some("far"), None);
        check("canaryctl disable --context far gr", Some("far"), None);
        check("canaryctl -n shop mesh ", None, Some("shop"));
        check("canaryctl mesh --namespace=shop --to 80 c", None, Some("shop"));
    }

    #[test]
    fn arguments_offer_what_their_value_is_called() {
        let of = |path: &[&str]| {
            let root = Cli::built(Cli::command());
            let verb = path.iter().fold(&root, |verb, name| verb.find_subcommand(name).expect("a verb"));
            verb.get_arguments().filter_map(kind_of).collect::<Vec<_>>()
        };
        assert!(of(&["disable"]).contains(&Kind::Lane));
        assert!(of(&["lanes", "describe"]).contains(&Kind::Lane));
        assert!(of(&["release", "promote"]).contains(&Kind::Release));
        assert!(of(&["mesh"]).contains(&Kind::Service));
        assert!(of(&["dev", "list"]).contains(&Kind::Service));
        assert!(of(&["dev", "stop"]).contains(&Kind::Takeover));
        assert!(of(&["status"]).contains(&Kind::Namespace));
    }
}
