//! A trace for people: a line per hop, then who lost the tag and what mends it.

use std::fmt;

use crate::loss::{Culprit, Why};
use crate::tree::{Hop, Trace};

/// What one hop's line says, column by column.
struct Row {
    name: String,
    pod: String,
    tag: String,
    from: String,
    took: String,
    note: String,
}

impl fmt::Display for Trace {
    /// The way, one line per hop; culprits are apart, in [`Culprit`]'s words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = Vec::new();
        self.hops.iter().for_each(|hop| gather(hop, 0, &mut rows));
        let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let name = width(|row| &row.name);
        let pod = width(|row| &row.pod);
        let tag = width(|row| &row.tag);
        let from = width(|row| &row.from);
        let took = width(|row| &row.took);
        for row in &rows {
            let Row { name: n, pod: p, tag: t, from: o, took: ms, note } = row;
            let pod_column = if pod == 0 { String::new() } else { format!("{p:pod$}  ") };
            let line = format!("{n:name$}  {pod_column}{t:tag$}  {o:from$}  {ms:>took$}  {note}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn gather(hop: &Hop, depth: usize, rows: &mut Vec<Row>) {
    let branch = depth.checked_sub(1).map(|depth| format!("{}└ ", "  ".repeat(depth))).unwrap_or_default();
    let service = hop.pod.service.split('.').next().unwrap_or_default();
    let title = [service, hop.pod.version.as_str()].join(" ");
    let title = if hop.pod.service.is_empty() { &hop.pod.name } else { title.trim_end() };
    let repeats = [title.replace(' ', "-"), service.into()].contains(&hop.pod.name);
    rows.push(Row {
        name: format!("{branch}{title}"),
        pod: if repeats { String::new() } else { hop.pod.name.clone() },
        tag: hop.tag.clone().unwrap_or_else(|| "–".into()),
        from: match (&hop.lost, &hop.from) {
            (Some(_), _) => "LOST".into(),
            (None, Some(from)) => format!("from {from}"),
            (None, None) => String::new(),
        },
        took: format!("{:.1} ms", hop.took_us as f64 / 1000.0),
        note: notes(hop).join(" · "),
    });
    hop.calls.iter().for_each(|call| gather(call, depth + 1, rows));
}

fn notes(hop: &Hop) -> Vec<String> {
    let mut notes = Vec::new();
    match hop.status {
        None => notes.push("no response".into()),
        Some(status) if status >= 400 => notes.push(format!("answered {status}")),
        Some(_) => {}
    }
    if let Some(attempt) = hop.attempt {
        notes.push(format!("attempt {attempt}"));
    }
    if !hop.sure {
        notes.push("perhaps another request's".into());
    }
    if !hop.seen {
        notes.push("nothing told: no sidecar there, or its filter is off".into());
    }
    let to_lane = |cluster: &String| cluster.split('|').nth(2).is_some_and(|subset| !subset.is_empty());
    match (&hop.tag, &hop.pod.lane) {
        (Some(tag), lane) if hop.seen && hop.cluster.is_some() && lane.as_ref() != Some(tag) => {
            let why = match hop.cluster.as_ref().is_some_and(to_lane) {
                true => "none of the lane's pods is well",
                false => "the lane has no member here",
            };
            let whose = lane.as_deref().unwrap_or("the baseline");
            notes.push(format!("{whose} serves: {why}"));
        }
        _ => {}
    }
    notes
}

impl fmt::Display for Culprit {
    /// Two lines: who lost what, and what mends it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, version, pod, loss, calls, sure } = self;
        let name = service.split('.').next().unwrap_or_default();
        let who = [name, version].join(" ");
        let who = if service.is_empty() { pod } else { who.trim_end() };
        let (perhaps, lane, to) = (if *sure { "" } else { "perhaps " }, &loss.lane, calls.join(", "));
        match &loss.why {
            Why::Dropped { given, other_trace } => {
                write!(
                    f,
                    "lost: {perhaps}{who} drops {lane} calling {to}: it hands on none of {}",
                    given.join(", ")
                )?;
                if !other_trace.is_empty() {
                    write!(f, " and starts a trace of its own ({})", other_trace.join(", "))?;
                }
                let best = ["traceparent", "baggage", "x-request-id"];
                let best: Vec<&str> =
                    best.into_iter().filter(|name| given.iter().any(|g| g == name)).collect();
                let best = if best.is_empty() { "x-request-id" } else { best[0] };
                write!(f, "\nmend: let {name} hand on `{best}` with its calls (docs/propagate.md)")
            }
            Why::Ambiguous { shared } => write!(
                f,
                "lost: {perhaps}{who} calling {to}: flows of several lanes have its {} at the same time\n\
                 mend: let {name} hand on `x-request-id` as well (docs/propagate.md)",
                shared.join(", ")
            ),
            Why::Forgotten { ids } => write!(
                f,
                "lost: {perhaps}{who} calling {to}: its proxy does not know {} any more\n\
                 mend: let {name} hand on `x-request-id` or `baggage`, which need no memory (docs/propagate.md)",
                ids.join(", ")
            ),
            Why::Asked => write!(f, "{who} asked for the baseline calling {to}"),
            Why::Changed { to: other } => write!(
                f,
                "changed: {perhaps}{who} has a tag of {lane} and calls {to} with {other}\n\
                 mend: let {name} not write the tag header itself"
            ),
            Why::Stripped => write!(
                f,
                "lost: {who} removes {lane}: its peer is not shown to be in the mesh\n\
                 mend: turn on mutual TLS between the two, or see canaryctl check"
            ),
            Why::Removed => write!(
                f,
                "lost: {lane} does not arrive at {who}: something between the two proxies removes it\n\
                 mend: let what stands between them pass the tag header on"
            ),
        }
    }
}
