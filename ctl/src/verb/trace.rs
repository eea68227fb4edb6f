//! `canaryctl trace`: the way of one request through the mesh, and who lost its tag.

mod collect;
mod print;
mod send;

use std::time::Duration;

use canary_rules::inquiry;
use canary_rules::trace::Mark;
use canary_trace::{Pod, Trace};
use jiff::Timestamp;

use crate::demo_mesh::DemoMesh;
use crate::failure::{Code, Failure};
use crate::output::TextOrJson;
use collect::Logs;
use send::Sent;

/// Arguments of `trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  canaryctl demo --keep                                             in one terminal
  canaryctl trace http://localhost:8080/cart --cookie gray=1        in another one

Sends one request that is marked, so that every proxy on its way tells of it, and of no other request.
Applications do not see the mark. Exits with 3 where a tag was lost.")]
pub struct Args {
    /// What to request, at a gateway of the mesh.
    #[arg(value_name = "URL")]
    url: String,
    /// A cookie as `name=value`; may be repeated.
    #[arg(long, value_name = "COOKIE")]
    cookie: Vec<String>,
    /// A header as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    header: Vec<String>,
    /// The method.
    #[arg(short = 'X', long = "request", value_name = "METHOD", default_value = "GET")]
    method: String,
    /// How long to listen for calls that are made after the response, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    late: u64,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = TextOrJson::Text)]
    output: TextOrJson,
}

/// What came of it.
struct Traced {
    sent: Sent,
    /// The gateway's reason, where it decided as its rules say.
    reason: Option<String>,
    trace: Trace,
}

/// Runs `trace`.
///
/// # Errors
/// A request that is none, no mesh to ask, no answer, or nothing told; and a tag that was lost.
pub fn run(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start: {error}")))?;
    let traced = runtime.block_on(trace(args))?;
    match args.output {
        TextOrJson::Text => print::text(&traced),
        TextOrJson::Json => print::json(&traced)?,
    }
    match traced.trace.culprits.len() {
        0 => Ok(()),
        1 => Err(Failure::new(Code::Documents, "the tag was lost at one place")),
        places => Err(Failure::new(Code::Documents, format!("the tag was lost at {places} places"))),
    }
}

async fn trace(args: &Args) -> Result<Traced, Failure> {
    let request = send::request(args)?;
    let address = send::address(&args.url, &request).await?;
    let mesh = DemoMesh::at(address.port()).filter(|_| address.ip().is_loopback()).ok_or_else(|| {
        Failure::new(Code::Failed, format!("no mesh of `canaryctl demo` has its gateway at {address}"))
            .help("canaryctl demo --keep")
    })?;
    let trace = fresh_trace()?;
    let mark = mesh.trace_key.sign(Mark { trace, span: 0 });
    let logs = Logs::from_now_on(&mesh.proxies);
    let sent = send::send(&request, address, &mark).await?;
    let pod = |name: &str| {
        let proxy = mesh.proxies.iter().find(|proxy| proxy.name == name)?;
        let (service, version, lane) = (proxy.service.clone(), proxy.version.clone(), proxy.lane.clone());
        Some(Pod { name: name.into(), service, version, lane })
    };
    let told = logs.trace(trace, &pod, Duration::from_secs(args.late)).await;
    if told.hops.is_empty() {
        let message = format!("{address} answered {}, and no proxy told of it", sent.status);
        return Err(Failure::new(Code::Failed, message).help("canaryctl demo --keep, and try it there"));
    }
    let reason = reason(&mesh, &request, &told)?;
    Ok(Traced { sent, reason, trace: told })
}

/// Why the gateway decided as it did, by the same rules; none where a user's draw made it decide otherwise.
fn reason(mesh: &DemoMesh, request: &inquiry::Request, told: &Trace) -> Result<Option<String>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    let edge = inquiry::edge(mesh.edge.clone()).map_err(|error| failed(&error))?;
    let now_unix_s = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    let explained = inquiry::ask(&edge, request, Some("127.0.0.1"), now_unix_s);
    let agrees = explained.decision.lane.map(|lane| lane.as_str()) == told.lane();
    Ok(agrees.then_some(explained.reason))
}

/// The number of a trace: drawn, so that it is nobody else's, and never 0.
fn fresh_trace() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Code::Failed, format!("the system gives no random bytes: {error}")))?;
    Ok(u64::from_le_bytes(bytes).max(1))
}
