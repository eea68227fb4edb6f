//! A trace on paper: for people, and as JSON.

use canary_trace::Trace;
use jiff::Timestamp;
use serde_json::json;

use super::Traced;
use crate::failure::{Code, Failure};

pub(super) fn text(traced: &Traced) {
    let Traced { sent, reason, trace, unheard } = traced;
    let lane = trace.lane().unwrap_or("baseline");
    let reason = reason.as_ref().map(|reason| format!("   {reason}")).unwrap_or_default();
    println!("{} → {} in {:.1} ms", sent.request, sent.status, sent.took.as_secs_f64() * 1000.0);
    println!("→ {lane}{reason}\n");
    way(trace, unheard);
}

/// A flow that somebody else sent, and that came to the gateway at this time.
pub(super) fn watched(at: Timestamp, trace: &Trace, unheard: &[String]) {
    let entered = trace.hops.first();
    let request = entered.map_or("", |hop| hop.request.as_str());
    println!("{}  {request}\n", at.strftime("%Y-%m-%d %H:%M:%SZ"));
    way(trace, unheard);
    println!();
}

fn way(trace: &Trace, unheard: &[String]) {
    print!("{trace}");
    for culprit in &trace.culprits {
        println!("\n{culprit}");
    }
    for why in unheard {
        println!("\nnot heard: {why}");
    }
}

pub(super) fn json(traced: &Traced) -> Result<(), Failure> {
    let Traced { sent, reason, trace, unheard } = traced;
    let document = json!({
        "request": sent.request,
        "status": sent.status,
        "tookUs": u64::try_from(sent.took.as_micros()).unwrap_or(u64::MAX),
        "lane": trace.lane(),
        "reason": reason,
        "hops": trace.hops,
        "culprits": trace.culprits,
        "unheard": unheard,
    });
    let text = serde_json::to_string_pretty(&document);
    println!("{}", text.map_err(|error| Failure::from_error(Code::Failed, &error))?);
    Ok(())
}

/// One a line, for those who watch.
pub(super) fn watched_json(at: Timestamp, trace: &Trace, unheard: &[String]) {
    let document = json!({
        "at": at.to_string(),
        "request": trace.hops.first().map(|hop| &hop.request),
        "status": trace.hops.first().and_then(|hop| hop.status),
        "tookUs": trace.hops.first().map(|hop| hop.took_us),
        "lane": trace.lane(),
        "hops": trace.hops,
        "culprits": trace.culprits,
        "unheard": unheard,
    });
    println!("{document}");
}
