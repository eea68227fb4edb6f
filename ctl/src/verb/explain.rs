//! `canaryctl explain`: the edge's decision on one request, and why: by Lane files, or by what a cluster's edges are told;
//! and which route takes such a request at a service.

mod print;
mod service;

use std::path::PathBuf;

use canary_rules::inquiry::{self, Report, Request, RequestError};
use canary_rules::wire::FilterConfig;
use jiff::Timestamp;

use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::edges_now::{self, EdgeNow};
use crate::failure::{Code, Failure};
use crate::files;
use crate::output::TextOrJson;
use service::Called;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl explain -f lanes.yaml --url 'http://shop.test/cart' -H 'cookie: gray=1'
  canaryctl explain --live --url 'http://shop.test/cart' -H 'cookie: gray=1'
  canaryctl explain --live --url 'http://shop.test/cart' -H 'cookie: gray=1' --service cart.shop

With files signed values are shown with a key of this command's own; no mesh accepts them. With --live the mesh's own
keys sign and prove, and shares of users and epochs are those in force.
A user without any key is shown with an id made of the request, so that the same request gives the same answer.
With --service a call inside the mesh is taken to have the same path, method and headers, and the lane's tag. What
depends on the caller, such as sourceLabels, is shown as a condition.")]
pub struct Args {
    /// A Lane file, YAML or JSON; may be repeated, `-` reads standard input.
    #[arg(short, long, value_name = "FILE", required_unless_present = "live")]
    filename: Vec<PathBuf>,
    /// Decide as the cluster's edges do now.
    #[arg(long, conflicts_with_all = ["filename", "trusted_hops"])]
    live: bool,
    /// A service that is called on the way, as `cart` or `cart.shop`: show which route of which VirtualService takes the
    /// call, in the lane and without.
    #[arg(long, value_name = "SERVICE", requires = "live", conflicts_with = "filename")]
    service: Option<String>,
    /// The service's port that is called; default: its first one with HTTP.
    #[arg(long, value_name = "PORT", requires = "service")]
    port: Option<u16>,
    /// What is requested.
    #[arg(long, value_name = "URL")]
    url: String,
    /// The method.
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A header as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    header: Vec<String>,
    /// The address that the edge sees the request come from.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<std::net::IpAddr>,
    /// Proxies in front of the edge whose x-forwarded-for entries are trusted.
    #[arg(long, value_name = "N", default_value_t = 0)]
    trusted_hops: u8,
    /// The moment of the request, RFC 3339; default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

/// Runs `explain`.
///
/// # Errors
/// Files with faults, a cluster that does not say, or a request that is none.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let (config, called) = match args.live {
        true => block_on(live(args, cluster))?,
        false => {
            let documents = files::read(&args.filename)?;
            (inquiry::config(&documents, args.trusted_hops).map_err(|error| failed(&error))?, None)
        }
    };
    let tag_header = config.carriers.header.clone();
    let edge = inquiry::edge(config).map_err(|error| failed(&error))?;
    let headers = args.header.iter().map(String::as_str);
    let request = Request::new(&args.method, &args.url, headers).map_err(|error| wrong(&error))?;
    let now_s = args.at.unwrap_or_else(Timestamp::now).as_second();
    let now_unix_s = u64::try_from(now_s).map_err(|_| Failure::new(Code::Usage, "--at lies before 1970"))?;
    let client = args.client.map(|address| address.to_string());
    let explanation = inquiry::ask(&edge, &request, client.as_deref(), now_unix_s);
    let report = Report::new(&explanation);
    let taken = called.map(|called| called.taken(&request, &report, &tag_header));
    match args.output {
        TextOrJson::Text => print::text(&request, &explanation, &report, taken.as_ref()),
        TextOrJson::Json => print::json(&report, taken.as_ref()),
    }
    Ok(())
}

/// What the edges are told, and the service that is asked about as it is now.
async fn live(args: &Args, cluster: &ClusterArgs) -> Result<(FilterConfig, Option<Called>), Failure> {
    let cluster = Cluster::connect(cluster).await?;
    let config = edges(&cluster).await?;
    let called = match &args.service {
        Some(name) => Some(Called::read(&cluster, name, args.port).await?),
        None => None,
    };
    Ok((config, called))
}

/// What the edges are told. All are told the same, but for those that somebody switched off.
async fn edges(cluster: &Cluster) -> Result<FilterConfig, Failure> {
    let edges = edges_now::some(&cluster.client).await?;
    let (off, on): (Vec<EdgeNow>, Vec<EdgeNow>) = edges.into_iter().partition(|edge| edge.is_off);
    if let Some(config) = on.iter().find_map(|edge| edge.config.clone()) {
        return Ok(config);
    }
    Err(match (off.first(), on.first()) {
        (_, Some(edge)) => {
            let message = format!("WasmPlugin {} says nothing that this version can read", edge.plugin);
            Failure::new(Code::Failed, message).help("canaryctl version shows both versions")
        }
        _ => Failure::new(Code::Failed, "every edge is switched off by hand: all requests get the baseline")
            .help("canaryctl status says how each is switched on again"),
    })
}

/// What was typed wrongly, by the flag that it was typed after.
fn wrong(error: &RequestError) -> Failure {
    match error {
        RequestError::Method(method) => {
            Failure::new(Code::Usage, format!("`-X {method}`: this is no method"))
        }
        RequestError::Url { url, why } => Failure::new(Code::Usage, format!("`--url {url}`: {why}"))
            .help("give a whole address: --url 'http://shop.test/cart?x=1'"),
        RequestError::Header { header, why } => Failure::new(Code::Usage, format!("`-H {header}`: {why}"))
            .help("write it as curl does: -H 'cookie: gray=1'"),
    }
}
