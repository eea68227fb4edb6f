//! `canaryctl doctor`: how the workloads of services are, and what mends them.

use std::collections::BTreeSet;

use canary_istio::Host;

use super::check::{show_issue, told};
use crate::check::Weight;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::doctor::{self, Block, Filter, Proxy, Report};
use crate::failure::Failure;
use crate::output::Format;

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl doctor -n shop
  canaryctl doctor cart.shop stock.shop -o json

Proxies are asked at their own ports, for some seconds each; what their filters counted is since they started.

Exit codes:  0 nothing stands in the way · 3 something does")]
pub struct Args {
    /// Services, as `cart` or `cart.shop`; default: all of the namespace.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// With code 3 when something stands in the way.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let hosts = args.services.iter().map(|typed| cluster.host(typed));
        let hosts = hosts.collect::<Result<Vec<Host>, Failure>>()?;
        let report = doctor::look(&cluster.client, &hosts, &cluster.namespace).await?;
        told(&report, report.count(Weight::Error), args.output, || show(&report))
    })
}

fn show(report: &Report) {
    for service in &report.services {
        for block in &service.workloads {
            anstream::print!("{}", text(&service.service, block));
            block.issues.iter().for_each(show_issue);
        }
        if service.workloads.is_empty() {
            anstream::println!("{}  no workload", service.service);
        }
        service.issues.iter().for_each(show_issue);
        anstream::println!();
    }
    report.issues.iter().for_each(show_issue);
    let (errors, warnings) = (report.count(Weight::Error), report.count(Weight::Warning));
    anstream::println!("{warnings} warnings, {errors} errors.   Next: canaryctl check");
}

fn text(service: &str, block: &Block) -> String {
    let versions = |of: fn(&Proxy) -> Option<&String>| {
        let all: BTreeSet<&str> = block.proxies.iter().filter_map(of).map(String::as_str).collect();
        if all.is_empty() { "?".to_owned() } else { all.into_iter().collect::<Vec<_>>().join(", ") }
    };
    let live = block.proxies.iter().filter(|proxy| matches!(proxy.filter, Filter::Live { .. })).count();
    let mode = block
        .mutual_tls
        .map_or_else(|| "not known: PeerAuthentications may not be read".to_owned(), |mode| mode.to_string());
    let mut lines = vec![
        format!("{service}  {}", block.workload),
        format!("  pods      {} of {} ready", block.ready, block.pods),
    ];
    if !block.proxies.is_empty() {
        let (istio, envoy) = (versions(|proxy| proxy.istio.as_ref()), versions(|proxy| proxy.envoy.as_ref()));
        lines.extend([
            format!(
                "  proxies   {} of {} pods, Istio {istio}, Envoy {envoy}",
                block.proxies.len(),
                block.pods
            ),
            format!("  filter    live in {live} of {}", block.proxies.len()),
            format!("  mTLS      {mode}"),
        ]);
        let by_port = block.mutual_tls_by_port.iter();
        lines.extend(by_port.map(|(port, mode)| format!("            port {port}: {mode}")));
        lines.push(format!("  hands on  {}", block.ids));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
