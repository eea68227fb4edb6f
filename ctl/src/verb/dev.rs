//! `canaryctl dev`: who has which service, and how to end that.

mod env;
mod file;
mod up;

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use serde_json::Value;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::confirm::Confirm;
use crate::develop::offers;
use crate::develop::session::owner;
use crate::duration;
use crate::failure::{Code, Failure};
use crate::output::{self, Format};
use crate::rights::{self, Command, Whose};
use crate::takeovers::{InWords, Place, Takeovers, once_over, who_am_i};
use crate::waiting::Waiting;

/// What to do with what developers have.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Have all that a file names at once: requests of several services, for processes on this machine.
    #[command(after_help = "\
Requests that the rules match come here from each service of `mesh`, in one lane; all requests from each of `exchange`;
copies of requests from each of `mirror`.
Ctrl-C gives all of them back, and so does one that cannot be had.

  # dev.yaml
  namespace: shop
  rules:                       # default: the header x-dev: YOU
    - when: {cookie: {name: dev, exact: alice}}
  mesh:
    - {service: cart, to: 8080}
    - {service: stock, port: 80, to: '127.0.0.1:9000'}

Examples:
  canaryctl dev up
  canaryctl dev up -f team/dev.yaml --dry-run
  canaryctl dev schema > dev.schema.json      for editors")]
    Up(up::UpArgs),
    /// End what of a file is yours, from another terminal.
    Down(up::DownArgs),
    /// Print the JSON Schema of such files.
    Schema,
    /// Show who has which service, with which rule, since when, and who has made a new one.
    List(ListArgs),
    /// End takeovers and previews, yours or others': their commands end. Requests of a takeover are the service's again.
    Stop(StopArgs),
    /// End those of your own that nobody serves any more.
    Clean(CleanArgs),
    /// Write the environment of a workload's container, for a process on this machine.
    #[command(after_help = "\
Variables of its manifest and of ConfigMaps, with references resolved as in a pod. Those of Secrets are left out, and no
Secret is read, without --with-secrets. What only a pod has, as its address, is named on standard error. --files writes
what the container mounts of ConfigMaps and Secrets.

Examples:
  canaryctl -n shop dev env cart --file .env --files ./cart-files
  canaryctl -n shop dev env statefulset/stock --container app --with-secrets -o json
  eval \"$(canaryctl -n shop dev env cart -o shell)\"")]
    Env(env::EnvArgs),
}

/// The arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Of this service only.
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// In every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// The takeovers and previews, as `list` names them.
    #[arg(value_name = "TAKEOVER", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    confirm: Confirm,
    #[command(flatten)]
    waiting: Waiting,
}

/// The arguments of `clean`.
#[derive(Debug, clap::Args)]
pub struct CleanArgs {
    /// In every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Show what would be ended.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// Runs the verb.
///
/// # Errors
/// When there is no such takeover, or it is not over in time.
pub fn run(verb: &Verb, cluster: &ClusterArgs) -> Result<(), Failure> {
    let connect = || Cluster::connect(cluster);
    block_on(async {
        match verb {
            Verb::Up(args) => up::up(args, cluster).await,
            Verb::Down(args) => up::down(args, cluster).await,
            Verb::Schema => output::value(&file::schema(), Format::Json),
            Verb::List(args) => list(args, &connect().await?).await,
            Verb::Stop(args) => stop(args, &connect().await?).await,
            Verb::Clean(args) => clean(args, &connect().await?).await,
            Verb::Env(args) => env::run(args, &connect().await?).await,
        }
    })
}

async fn list(args: &ListArgs, cluster: &Cluster) -> Result<(), Failure> {
    let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
    let mut found = Takeovers::new(&cluster.client).list(namespace).await?;
    found.retain(|takeover| args.service.as_ref().is_none_or(|name| takeover["spec"]["service"] == **name));
    let mut new = offers::list(&cluster.client, namespace).await?;
    new.retain(|service| args.service.as_ref().is_none_or(|name| *service.name_any() == **name));
    if !args.output.is_text() {
        let new = new.iter().filter_map(|service| serde_json::to_value(service).ok());
        return output::objects(&found.into_iter().chain(new).collect::<Vec<_>>(), args.output);
    }
    if found.is_empty() && new.is_empty() {
        let place = namespace.map_or("anywhere".to_owned(), |namespace| format!("in namespace {namespace}"));
        anstream::println!("Nobody has a service {place}.");
        return Ok(());
    }
    let now = Timestamp::now().as_second();
    let told: Vec<InWords> = found.iter().map(InWords::of).collect();
    let mut rows: Vec<[String; 6]> = told.iter().map(|takeover| row(takeover, now)).collect();
    for service in &new {
        // Who may not look at pods is not told.
        let is_served = offers::is_served(&cluster.client, service).await.ok();
        rows.push(row_of_new(service, is_served, now));
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    for [name, service, owner, rule, state, since] in &rows {
        anstream::println!(
            "{name:<0$}  {service:<1$}  {owner:<2$}  {rule:<3$}  {state:<4$}  {since}",
            width(0),
            width(1),
            width(2),
            width(3),
            width(4)
        );
    }
    for InWords { name, message, .. } in told.iter().filter(|takeover| !takeover.message.is_empty()) {
        anstream::println!("  {name}: {message}");
    }
    Ok(())
}

/// A takeover's line: name, service, owner, rule, state, and since when.
fn row(takeover: &InWords, now_unix_s: i64) -> [String; 6] {
    let since = takeover.since_unix_s.map_or_else(|| "?".into(), |since| duration::short(now_unix_s - since));
    let InWords { name, service, owner, what, state, .. } = takeover.clone();
    [name, service, owner, what, state, format!("for {since}")]
}

/// The line of a new Service.
fn row_of_new(service: &Service, is_served: Option<bool>, now_unix_s: i64) -> [String; 6] {
    let since = offers::since_unix_s(service).map_or("?".into(), |since| duration::short(now_unix_s - since));
    let state = is_served.map_or("?", |is_served| if is_served { "on" } else { "away" });
    let owner = offers::owner(service).replacen('@', " on ", 1);
    let what = "a new service".to_owned();
    [service.name_any(), offers::place(service), owner, what, state.to_owned(), format!("for {since}")]
}

async fn stop(args: &StopArgs, cluster: &Cluster) -> Result<(), Failure> {
    let takeovers = Takeovers::new(&cluster.client);
    let all = takeovers.list(Some(&cluster.namespace)).await?;
    let offered = offers::list(&cluster.client, Some(&cluster.namespace)).await?;
    let mut ended = Vec::with_capacity(args.names.len());
    let mut new: Vec<&Service> = Vec::new();
    for name in &args.names {
        let Some(found) = all.iter().find(|takeover| takeover["metadata"]["name"] == **name) else {
            if let Some(found) = offered.iter().find(|service| service.name_any() == **name) {
                new.push(found);
                continue;
            }
            let message = format!("nobody has {}/{name}", cluster.namespace);
            return Err(Failure::new(Code::Failed, message).help("canaryctl dev list -A shows what there is"));
        };
        ended.push(found);
    }
    let me = who_am_i(&cluster.client).await?;
    let others = ended.iter().filter(|one| one["spec"]["owner"]["user"] != *me).map(|one| said(one));
    let not_own = new.iter().filter(|service| offers::owner(service) != owner());
    let others: Vec<String> = others.chain(not_own.map(|service| said_of_new(service))).collect();
    if !others.is_empty() {
        args.confirm.ask(&format!("This is not yours: {}. End it?", others.join("; ")))?;
    }
    end(cluster, &takeovers, &ended, args.waiting).await?;
    end_new(cluster, &new).await
}

/// Whose a new Service is, in words.
fn said_of_new(service: &Service) -> String {
    format!("{}, which is new and {}'s", offers::place(service), offers::owner(service))
}

async fn end_new(cluster: &Cluster, new: &[&Service]) -> Result<(), Failure> {
    for service in new {
        offers::end(&cluster.client, service).await?;
        anstream::println!("Service {} is gone.", offers::place(service));
    }
    Ok(())
}

/// Whose a takeover is, in words.
fn said(takeover: &Value) -> String {
    let InWords { name, service, owner, what, .. } = InWords::of(takeover);
    format!("{name}, by which {owner} has {service} ({what})")
}

async fn clean(args: &CleanArgs, cluster: &Cluster) -> Result<(), Failure> {
    let takeovers = Takeovers::new(&cluster.client);
    let me = who_am_i(&cluster.client).await?;
    let namespace = (!args.all_namespaces).then_some(cluster.namespace.as_str());
    let all = takeovers.list(namespace).await?;
    let is_left = |one: &&Value| one["spec"]["owner"]["user"] == *me && !is_served(one);
    let left: Vec<&Value> = all.iter().filter(is_left).collect();
    let mut new = Vec::new();
    for service in offers::list(&cluster.client, namespace).await? {
        if offers::owner(&service) == owner() && !offers::is_served(&cluster.client, &service).await? {
            new.push(service);
        }
    }
    let new: Vec<&Service> = new.iter().collect();
    if left.is_empty() && new.is_empty() {
        anstream::println!("Nothing of yours is left over.");
    }
    if args.dry_run {
        left.iter().for_each(|one| anstream::println!("would end {}", said(one)));
        new.iter().for_each(|one| anstream::println!("would end {}", said_of_new(one)));
        return Ok(());
    }
    end(cluster, &takeovers, &left, args.waiting).await?;
    end_new(cluster, &new).await
}

/// Whether the controller sees a pod of its agent.
fn is_served(takeover: &Value) -> bool {
    let conditions = takeover["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Agent" && condition["status"] == "True")
}

async fn end(
    cluster: &Cluster,
    takeovers: &Takeovers,
    which: &[&Value],
    waiting: Waiting,
) -> Result<(), Failure> {
    let namespaces = which.iter().filter_map(|takeover| takeover["metadata"]["namespace"].as_str());
    let namespaces: Vec<&str> = namespaces.collect::<BTreeSet<_>>().into_iter().collect();
    let waits: Vec<Whose> = waiting.timeout().map(|_| Whose::Waiting).into_iter().collect();
    rights::held(&cluster.client, Command::DevStop, &namespaces, &waits).await?;
    for takeover in which {
        takeovers.delete(&Place::of(takeover)).await?;
    }
    for takeover in which {
        let place = Place::of(takeover);
        match waiting.timeout() {
            Some(timeout) => {
                takeovers.gone(&place, timeout).await?;
                anstream::println!("{place} is over: {}.", once_over(takeover));
            }
            None => anstream::println!("{place} is on its way off."),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_who_has_made_a_new_service() {
        let service = serde_json::from_value(json!({
            "metadata": {
                "name": "coupons", "namespace": "shop", "creationTimestamp": "2026-01-01T11:52:00Z",
                "annotations": {"canaryctl.io/owner": "bob@bobs-laptop"},
            },
        }));
        let now = "2026-01-01T12:04:00Z".parse::<Timestamp>().expect("a time").as_second();
        let want = ["coupons", "shop/coupons", "bob on bobs-laptop", "a new service", "away", "for 12m"];
        assert_eq!(row_of_new(&service.expect("a Service"), Some(false), now), want);
    }

    #[test]
    fn a_line_says_who_has_what_since_when() {
        let takeover = json!({
            "metadata": {"name": "cart-dev-bob", "namespace": "shop", "creationTimestamp": "2026-01-01T11:52:00Z"},
            "spec": {
                "service": "cart", "owner": {"user": "bob", "machine": "bobs-laptop"},
                "rules": [{"when": {"cookie": {"name": "dev", "exact": "1"}}}],
            },
            "status": {"state": "On"},
        });
        let now = "2026-01-01T12:04:00Z".parse::<Timestamp>().expect("a time").as_second();
        let want = ["cart-dev-bob", "shop/cart", "bob on bobs-laptop", "cookie dev = 1", "on", "for 12m"];
        assert_eq!(row(&InWords::of(&takeover), now), want);
    }
}
