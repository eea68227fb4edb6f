//! `canaryctl install`, and `upgrade`, which is the same over what is there.

use std::time::{Duration, Instant};

use canary_istio::plugins::{EdgeGateway, FilterSource, Presence};

use crate::cluster::{Cluster, ClusterArgs, api_failure, block_on};
use crate::confirm::Confirm;
use crate::duration;
use crate::failure::{Code, Failure};
use crate::filter::Build;
use crate::install::{self, Plan};
use crate::names;
use crate::output::{self, Format};
use crate::progress::Printed;
use crate::settings::{self, Installation};
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
    /// How long what no route leads to any more stays, for requests under way.
    #[arg(long, default_value = "2m", value_parser = duration::parse, value_name = "TIME")]
    collect_after: Duration,
    /// How long it may take.
    #[arg(long, default_value = "3m", value_parser = duration::parse, value_name = "TIME")]
    timeout: Duration,
    /// Print what would be applied, and apply nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
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
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let plan = plan(args, &cluster).await?;
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
        args.confirm.ask("Proxies take the filter in: streams of more than 45 s are drained once. Go on?")?;
        install::install(&cluster.client, &plan, Instant::now() + args.timeout, &mut printed).await?;
        anstream::println!("Installed. No lane is on.   Next: canaryctl enable --cookie gray=1");
        Ok(())
    })
}

/// Prints every object of an installation, with signing keys made for it.
fn print(plan: &Plan) -> Result<(), Failure> {
    let failed = |error| Failure::from_error(Code::Failed, &error);
    let keys = settings::new_keys().map_err(failed)?;
    let mut objects = plan.foundation(&keys).map_err(failed)?;
    objects.extend(plan.plugins(&keys));
    objects.extend(plan.controller());
    output::objects(&objects, Format::Yaml)
}

async fn plan(args: &Args, cluster: &Cluster) -> Result<Plan, Failure> {
    let namespace = names::NAMESPACE.to_owned();
    let image = args.image.clone().ok_or_else(|| {
        Failure::new(Code::Usage, "no image of canaryctl is named").help(
            "canaryctl image push REGISTRY/canaryctl:1 makes one; then canaryctl install --image \
             REGISTRY/canaryctl:1",
        )
    })?;
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
    let (gateway_filter, sidecar_filter) = match (&args.filter, &args.sidecar_filter) {
        (Some(FilterUrl(gateway)), Some(FilterUrl(sidecar))) => {
            let with_secret = |source: &FilterSource| FilterSource {
                pull_secret: args.filter_pull_secret.clone(),
                ..source.clone()
            };
            (with_secret(gateway), with_secret(sidecar))
        }
        _ => (install::served(&namespace, Build::Gateway)?, install::served(&namespace, Build::Sidecar)?),
    };
    let presence = Presence {
        root_namespace: args.root_namespace.clone(),
        edges,
        namespaces: args.namespaces.clone(),
        gateway_filter,
        sidecar_filter,
    };
    let mut installation = Installation::new(presence);
    if args.trust_all_peers {
        installation.peers = canary_rules::wire::Peers::Any;
    }
    // What an earlier installation decided, and no flag of this one, stays.
    let before = world::get(&cluster.client, "v1", "ConfigMap", Some(&namespace), names::SETTINGS).await;
    let before = before.map_err(|error| api_failure("read the settings", &error))?;
    if let Some(before) = before {
        let before = Installation::from_config_map(&before)
            .map_err(|error| Failure::from_error(Code::Failed, &error))?;
        installation = Installation { presence: installation.presence, peers: installation.peers, ..before };
    }
    let serves_filter = args.filter.is_none();
    Ok(Plan { namespace, image, installation, collect_after: args.collect_after, serves_filter })
}

fn named(edge: &EdgeGateway) -> String {
    let labels: Vec<String> = edge.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{}/{}", edge.namespace, labels.join(","))
}
