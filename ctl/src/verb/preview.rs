//! `canaryctl preview`: a process of this machine as a new Service of the cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use serde_json::json;
use tokio::time::timeout;

use super::mesh::dress;
use super::mesh::hold::HoldArgs;
use super::mesh::serve::Serving;
use crate::arrival::is_ready;
use crate::cluster::{Cluster, ClusterArgs, block_on};
use crate::develop::job::Dress;
use crate::develop::offered::{Offered, PURPOSE, Protocol};
use crate::develop::offers;
use crate::develop::report::{self, Format};
use crate::develop::session::{Session, Wanted, owner};
use crate::failure::{Code, Failure};
use crate::progress::seconds;
use crate::rights::Command;
use crate::takeovers::until;
use crate::{output, signals};

/// Longest name of a Service, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Letters of a mark that chance decides: 36¹⁰ marks.
const CHANCE: usize = 10;
/// What callers get where nobody listens.
const OTHERWISE_HTTP: &str = "callers get 502 at once";
/// The same where no requests can be told apart.
const OTHERWISE_TCP: &str = "callers' connections are closed at once";

/// The verb's arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A service that is not in the cluster yet is there while you write it: pods call it by its name, and so does
everybody who reaches the cluster. No workload, route or Service that is there is touched, and no controller is
needed. In a namespace with sidecars it is in the mesh as they are, under STRICT mutual TLS, too.

Ctrl-C takes all of it away. If this machine vanishes, callers are told at once, and the Service goes by itself a
moment after --keep. Where your process does not listen, callers get 502 with the reason in words.

For requests of a Service that is there: canaryctl mesh, or canaryctl exchange.

Examples:
  canaryctl preview coupons --to 3000                        http://coupons/ for pods of the namespace
  canaryctl -n shop preview coupons --to 127.0.0.1:3000 --port 8080
  canaryctl preview prices --to 50051 --protocol grpc
  canaryctl preview cache --to 6379 --port 6379 --protocol tcp
  canaryctl run curl http://coupons/                         from this machine, as pods call it
  canaryctl dev list                                         who has what")]
pub struct Args {
    /// What the new Service is called.
    #[arg(value_name = "NAME")]
    name: String,
    /// The Service's port.
    #[arg(long, default_value_t = 80, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// What is spoken there.
    #[arg(long, value_enum, default_value_t, value_name = "PROTOCOL")]
    protocol: Protocol,
    #[command(flatten)]
    hold: HoldArgs,
}

/// Runs the verb until Ctrl-C.
///
/// # Errors
/// When the name is taken or none, the agent does not run or cannot be reached, or somebody ends it.
pub fn run(args: &Args, cluster: &ClusterArgs) -> Result<(), Failure> {
    named(&args.name)?;
    block_on(async {
        let cluster = Cluster::connect(cluster).await?;
        let how = &args.hold.how;
        let chance = std::iter::repeat_with(|| fastrand::alphanumeric().to_ascii_lowercase()).take(CHANCE);
        let offered = Offered {
            namespace: cluster.namespace.clone(),
            name: args.name.clone(),
            port: args.port,
            protocol: args.protocol,
            mark: chance.collect(),
            owner: owner(),
        };
        if how.dry_run {
            return output::objects(&[offered.manifest()], output::Format::Yaml);
        }
        how.held(&cluster, Command::Preview, None).await?;
        offers::free(&cluster.client, &offered, |why| how.output.tell("waiting", why)).await?;
        // What is made from here on is taken back.
        signals::keep();
        offer(args, &cluster, &offered).await
    })
}

/// Refuses what no Service can be called.
fn named(name: &str) -> Result<(), Failure> {
    let fits = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    let is_name = name.len() <= NAME_BYTES_MAX
        && name.chars().all(fits)
        && name.starts_with(|char: char| char.is_ascii_lowercase())
        && !name.ends_with('-');
    match is_name {
        true => Ok(()),
        false => Err(Failure::new(Code::Usage, format!("no Service can be called `{name}`")).help(
            "lower-case letters, digits and `-`, a letter first, at most 63, such as coupons or coupons-2; the \
             namespace is -n NAMESPACE",
        )),
    }
}

/// Has the Service until something ends it, and takes it away.
async fn offer(args: &Args, cluster: &Cluster, offered: &Offered) -> Result<(), Failure> {
    let (started, how) = (Instant::now(), &args.hold.how);
    let (format, protocol) = (how.output, args.protocol);
    let dressing = offered.clone();
    let wanted = Wanted {
        image: how.image.clone(),
        purpose: PURPOSE,
        expose: vec![dress::exposed(protocol)],
        dress: Some(Dress(Arc::new(move |job| dress::alone(dressing.dressed(job), protocol)))),
        offered: Some(offered.clone()),
        idle: how.keep,
        timeout: how.timeout,
        ..Wanted::default()
    };
    let (session, inbounds) = Session::start(cluster, wanted, move |why| format.tell("waiting", why)).await?;
    let otherwise = if protocol.is_http() { OTHERWISE_HTTP } else { OTHERWISE_TCP };
    let serving = Serving::start(inbounds, args.hold.to.clone(), format, otherwise);
    let agent = session.agent().unwrap_or_default();
    let ended = match offers::create(&cluster.client, offered, &agent).await {
        Ok(service) => {
            let ended = hold(args, cluster, offered, &session, &service, started).await;
            let gone = offers::end(&cluster.client, &service).await;
            if matches!(gone, Ok(true)) {
                format.tell("over", &format!("Service {} is gone.", offers::place(&service)));
            }
            ended.and(gone.map(drop))
        }
        Err(failure) => Err(failure),
    };
    serving.end().await;
    session.end().await;
    ended
}

async fn hold(
    args: &Args,
    cluster: &Cluster,
    offered: &Offered,
    session: &Session,
    service: &Service,
    started: Instant,
) -> Result<(), Failure> {
    let (format, pod) = (args.hold.how.output, session.pod());
    tokio::select! {
        ready = answers(cluster, &pod, args.hold.how.timeout) => ready?,
        () = signals::stopped() => return Err(Failure::silent(Code::Interrupted)),
    }
    ready(args, offered, &pod, started.elapsed());
    tokio::select! {
        failure = report::follow(session.tunnel().status(), format) => Err(failure),
        failure = offers::lost(&cluster.client, service) => Err(failure),
        () = signals::stopped() => Ok(()),
    }
}

/// Waits until the agent's pod is the Service's.
async fn answers(cluster: &Cluster, pod: &str, limit: Duration) -> Result<(), Failure> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let answers = until(&pods, pod, |found: Option<&Pod>| found.is_some_and(is_ready));
    timeout(limit, answers).await.map_err(|_| {
        let what = format!("the agent's pod {pod} is not ready after {} s", limit.as_secs());
        Failure::new(Code::Timeout, what).help(format!(
            "kubectl -n {} describe pod {pod}; wait longer with --timeout 3m",
            cluster.namespace
        ))
    })
}

/// Says where it is, and how to try it.
fn ready(args: &Args, offered: &Offered, pod: &str, took: Duration) {
    let Offered { namespace, name, port, protocol, .. } = offered;
    let (to, scheme) = (&args.hold.to, protocol.scheme());
    let url = format!("{scheme}://{name}.{namespace}.svc.cluster.local:{port}");
    if args.hold.how.output == Format::Json {
        return report::line(&json!({
            "event": "ready", "service": format!("{namespace}/{name}"), "port": port,
            "protocol": protocol.to_string(), "url": url, "to": to.to_string(), "pod": pod,
        }));
    }
    anstream::println!("{url} → {to}  {}", seconds(took));
    let (try_it, here) = match (protocol, *port) {
        (Protocol::Http, 80) => (format!("curl http://{name}/"), true),
        (Protocol::Http, port) => (format!("curl http://{name}:{port}/"), true),
        (_, port) => (format!("{name}:{port}"), false),
    };
    anstream::println!("from pods of {namespace}:  {try_it}    of other namespaces: {name}.{namespace}");
    let program = if here { try_it } else { "YOUR-CLIENT".to_owned() };
    anstream::println!("from this machine:  canaryctl run -n {namespace} {program}");
    let keep = args.hold.how.keep.as_secs();
    anstream::println!("Ctrl-C ends it; it goes by itself {keep} s after this machine vanishes.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_called_as_kubernetes_lets_it() {
        for name in ["coupons", "coupons-2", "a", &"a".repeat(63)] {
            named(name).expect(name);
        }
        for name in ["", "2coupons", "-a", "a-", "Coupons", "a.b", "a_b", "svc/a", "kä", &"a".repeat(64)] {
            assert_eq!(named(name).expect_err(name).code(), Code::Usage, "{name}");
        }
    }
}
