//! `canaryctl install`, and `upgrade`, which is the same over what is there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use canary_istio::plugins::{EdgeGateway, FilterSource, Presence};

use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::confirm::Confirm;
use crate::duration;
use crate::failure::{Code, Failure};
use crate::filter::Build;
use crate::install::{self, Plan, Secrets, helm, manifests};
use crate::names;
use crate::output::{self, Format};
use crate::progress::Printed;
use crate::rights::command::WITHOUT_WEBHOOK;
use crate::rights::{self, Command};
use crate::settings::Installation;
use crate::world;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image of canaryctl that the controller runs; make one with `canaryctl image push`.
    #[arg(long, env = "CANARYCTL_IMAGE", value_name = "IMAGE")]
    image: Option<String>,
    /// Where proxies get the filter: `oci://…@sha256:…`, as `canaryctl filter push` prints it. Default: a small
    /// server of ours in the cluster.
    #[arg(long, value_name = "URL", requires = "sidecar_filter")]
    filter: Option<FilterUrl>,
    /// The same for the sidecars' smaller build.
    #[arg(long, value_name = "URL", requires = "filter")]
    sidecar_filter: Option<FilterUrl>,
    /// The Secret with the registry's credentials, in Istio's root namespace and in each edge's.
    #[arg(long, value_name = "NAME", requires = "filter")]
    filter_pull_secret: Option<String>,
    /// Only the sidecars of these namespaces run the filter; default: all of the mesh.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// A gateway where users' flows enter: NAMESPACE/LABEL=VALUE, or NAMESPACE/NAME of a Gateway; may be
    /// repeated. Default: the ingress gateways found.
    #[arg(long = "gateway", value_name = "GATEWAY", value_parser = install::parse_edge)]
    gateways: Vec<EdgeGateway>,
    /// Istio's root namespace.
    #[arg(long, default_value = names::ROOT_NAMESPACE, value_name = "NAME")]
    root_namespace: String,
    /// Sidecars believe the tags of every peer: for meshes without mutual TLS, where the network alone keeps
    /// strangers out.
    #[arg(long)]
    trust_all_peers: bool,
    /// Without the admission webhook: what a tool wipes by applying its files anew comes back a moment later, and
    /// not in the same write.
    #[arg(long)]
    no_webhook: bool,
    /// How long what no route leads to any more stays, for requests under way.
    #[arg(long, default_value = "2m", value_parser = duration::parse, value_name = "TIME")]
    collect_after: Duration,
    /// How long it may take.
    #[arg(long, default_value = "3m", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
    /// Print what would be applied, and apply nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write the installation as files and ask no cluster: manifests for `kubectl apply`, a Helm chart, or a
    /// Secret with new signing keys, which the other two leave out.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with = "dry_run")]
    print: Option<Print>,
    /// The directory for what is printed, instead of standard output; a chart needs one.
    #[arg(short, long, value_name = "DIR", requires = "print")]
    output: Option<PathBuf>,
    #[command(flatten)]
    confirm: Confirm,
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Print {
    /// YAML for `kubectl apply`, without keys.
    Manifests,
    /// A chart.
    Helm,
    /// A Secret with new keys, for `kubectl create`.
    Keys,
}

/// Where a build of the filter is, and its digest.
#[derive(Debug, Clone)]
pub struct FilterUrl(FilterSource);

impl std::str::FromStr for FilterUrl {
    type Err = String;

    /// Reads `oci://IMAGE@sha256:HEX`, the digest of the image, or `URL#sha256=HEX`, that of the module.
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "`{text}` pins no filter: wanted oci://IMAGE@sha256:DIGEST, or https://…#sha256=DIGEST of the file"
            )
        };
        let (url, sha256) = match text.split_once("#sha256=") {
            Some((url, digest)) if url.starts_with("http://") || url.starts_with("https://") => (url, digest),
            Some(_) => return Err(wanted()),
            None if text.starts_with("oci://") => (text, text.rsplit_once("@sha256:").ok_or_else(wanted)?.1),
            None => return Err(wanted()),
        };
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wanted());
        }
        Ok(Self(FilterSource { url: url.into(), sha256: sha256.to_ascii_lowercase(), pull_secret: None }))
    }
}

/// Runs the verb.
///
/// # Errors
/// When something is missing, refused, or not ready in time.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    if let Some(what) = args.print {
        return write(what, args);
    }
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let (plan, is_upgrade) = plan(args, &cluster).await?;
        if args.dry_run {
            return print(&plan);
        }
        let presence = &plan.installation.presence;
        let scope = match presence.namespaces.is_empty() {
            true => "every sidecar of the mesh".to_owned(),
            false => format!("the sidecars of {}", presence.namespaces.join(", ")),
        };
        let edges: Vec<String> = presence.edges.iter().map(named).collect();
        anstream::println!("canaryctl {} into {}", env!("CARGO_PKG_VERSION"), plan.namespace);
        let mut printed = Printed;
        printed.line("edges", &edges.join(", "));
        printed.line("filter", &format!("in {scope}"));
        let besides: Vec<_> = args.no_webhook.then_some(WITHOUT_WEBHOOK).into_iter().collect();
        rights::held(&cluster.client, Command::Install, &[], &besides).await?;
        args.confirm.ask("Proxies take the filter in: streams of more than 45 s are drained once. Go on?")?;
        install::install(&cluster.client, &plan, Instant::now() + args.timeout, &mut printed).await?;
        anstream::println!("For 45 s a connection from before may carry a request past the filter.");
        match is_upgrade {
            false => anstream::println!("Installed. No lane is on.   Next: canaryctl enable --cookie gray=1"),
            true => anstream::println!("Upgraded. Lanes are as they were.   Next: canaryctl status"),
        }
        Ok(())
    })
}

/// Prints every object of an installation, with keys and certificates made for it.
fn print(plan: &Plan) -> Result<(), Failure> {
    let objects = plan.objects(&Secrets::new(&plan.namespace)?);
    let objects = objects.map_err(|error| Failure::from_error(Code::Failed, &error))?;
    output::objects(&objects, Format::Yaml)
}

/// Writes an installation as files.
fn write(what: Print, args: &Args) -> Result<(), Failure> {
    let failed = |error| Failure::from_error(Code::Failed, &error);
    let written = match what {
        Print::Keys => {
            let keys = crate::settings::new_keys().map_err(failed)?;
            let secret = crate::settings::keys_secret(&keys, names::NAMESPACE).map_err(failed)?;
            vec![("canaryctl-keys.yaml", output::yaml(&secret)?)]
        }
        Print::Manifests => vec![("canaryctl.yaml", manifests::manifests(&unasked(args, image(args)?)?)?)],
        Print::Helm if args.output.is_none() => {
            return Err(Failure::new(Code::Usage, "a chart is several files")
                .help("canaryctl install --print helm -o DIR"));
        }
        Print::Helm => {
            let chart = helm::chart(&unasked(args, args.image.clone().unwrap_or_default())?)?;
            chart.into_iter().map(|file| (file.path, file.text)).collect()
        }
    };
    let Some(directory) = &args.output else {
        written.iter().for_each(|(_, text)| anstream::print!("{text}"));
        return Ok(());
    };
    for (path, text) in &written {
        let path = directory.join(path);
        let write = || -> std::io::Result<()> {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(&path, text)
        };
        write().map_err(|error| {
            Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    let next = match what {
        Print::Keys => format!("kubectl create -f {}/canaryctl-keys.yaml", directory.display()),
        Print::Manifests => format!("kubectl apply --server-side -f {}/canaryctl.yaml", directory.display()),
        Print::Helm => format!(
            "helm upgrade --install canaryctl {} -n {} --create-namespace",
            directory.display(),
            names::NAMESPACE
        ),
    };
    anstream::println!("{} files written.   Next: {next}", written.len());
    Ok(())
}

/// The plan that flags make without a cluster.
fn unasked(args: &Args, image: String) -> Result<Plan, Failure> {
    let edges = if args.gateways.is_empty() { vec![EdgeGateway::ingress()] } else { args.gateways.clone() };
    Ok(made(args, image, Installation::new(presence(args, edges)?)))
}

/// The plan, and whether it is an upgrade of what is there.
async fn plan(args: &Args, cluster: &Cluster) -> Result<(Plan, bool), Failure> {
    let image = image(args)?;
    let edges = match args.gateways.is_empty() {
        false => args.gateways.clone(),
        true => install::find_edges(&cluster.client)
            .await
            .map_err(|error| api_failure("look for gateways", &error))?,
    };
    if edges.is_empty() {
        return Err(Failure::new(
            Code::Failed,
            "no ingress gateway was found: nothing would decide who is in a lane",
        )
        .help("name yours: canaryctl install --gateway NAMESPACE/LABEL=VALUE"));
    }
    let mut plan = made(args, image, Installation::new(presence(args, edges)?));
    let needed = [args.root_namespace.as_str(), &plan.namespace];
    let undiscovered = world::undiscovered(&cluster.client, &args.root_namespace, &needed).await;
    let undiscovered = undiscovered.map_err(|error| api_failure("read Istio's settings", &error))?;
    if let Some(namespace) = undiscovered.first() {
        return Err(Failure::new(
            Code::Failed,
            format!("Istio does not look at namespace {namespace}: its discoverySelectors leave it out"),
        )
        .help(format!("kubectl label namespace {namespace} KEY=VALUE, as the selectors want it")));
    }
    // What an earlier installation decided, and no flag of this one, stays.
    let before = world::get(&cluster.client, "v1", "ConfigMap", Some(&plan.namespace), names::SETTINGS).await;
    let before = before.map_err(|error| api_failure("read the settings", &error))?;
    let is_upgrade = before.is_some();
    if let Some(before) = before {
        let before = Installation::from_config_map(&before)
            .map_err(|error| Failure::from_error(Code::Failed, &error))?;
        let Installation { presence, peers, .. } = plan.installation;
        plan.installation = Installation { presence, peers, ..before };
    }
    Ok((plan, is_upgrade))
}

fn image(args: &Args) -> Result<String, Failure> {
    args.image.clone().ok_or_else(|| {
        Failure::new(Code::Usage, "no image of canaryctl is named").help(
            "canaryctl image push REGISTRY/canaryctl:1 makes one; then canaryctl install --image \
             REGISTRY/canaryctl:1",
        )
    })
}

fn presence(args: &Args, edges: Vec<EdgeGateway>) -> Result<Presence, Failure> {
    let (gateway_filter, sidecar_filter) = match (&args.filter, &args.sidecar_filter) {
        (Some(FilterUrl(gateway)), Some(FilterUrl(sidecar))) => {
            let with_secret = |source: &FilterSource| FilterSource {
                pull_secret: args.filter_pull_secret.clone(),
                ..source.clone()
            };
            (with_secret(gateway), with_secret(sidecar))
        }
        _ => {
            let served = |build| install::served(names::NAMESPACE, build);
            (served(Build::Gateway)?, served(Build::Sidecar)?)
        }
    };
    Ok(Presence {
        root_namespace: args.root_namespace.clone(),
        edges,
        namespaces: args.namespaces.clone(),
        gateway_filter,
        sidecar_filter,
    })
}

fn made(args: &Args, image: String, mut installation: Installation) -> Plan {
    if args.trust_all_peers {
        installation.peers = canary_rules::wire::Peers::Any;
    }
    Plan {
        namespace: names::NAMESPACE.to_owned(),
        image,
        installation,
        collect_after: args.collect_after,
        serves_filter: args.filter.is_none(),
        // Files hold no certificates, and it takes one.
        webhook: !args.no_webhook && args.print.is_none(),
    }
}

fn named(edge: &EdgeGateway) -> String {
    let labels: Vec<String> = edge.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}/{}", edge.namespace, labels.join(","))
}
