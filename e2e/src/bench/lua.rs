//! The same work as Envoy's Lua filter does it, written as one would write it there.
//!
//! What Lua cannot do, or would need a library for, is left out, which makes the scripts cheaper than an equal:
//! - an inbound and an outbound filter share no memory (each has its own Lua state on each worker), so the
//!   sidecar's script could never restore a tag in a real proxy; here one filter plays both parts;
//! - no signatures: request ids are neither minted nor read, lane cookies neither given out nor believed;
//! - no mutual TLS check, no metrics, no care for shared caches, only `traceparent` of the correlation ids.

use std::fmt::Write as _;

use super::configs::{LANE, Rule};

/// A sidecar's script.
pub const SIDECAR: &str = include_str!("lua/sidecar.lua");

/// An edge's script with these rules.
#[must_use]
pub fn edge(rules: &[Rule]) -> String {
    let mut script = format!("local LANE = \"{LANE}\"\nlocal RULES = {{\n");
    for Rule { subject, name, operator, value } in rules {
        // The values of benchmarks need no escapes.
        let _ = writeln!(
            script,
            "  {{ subject = \"{subject}\", name = \"{name}\", operator = \"{operator}\", value = \"{value}\" }},"
        );
    }
    script.push_str("}\n\n");
    script.push_str(include_str!("lua/edge.lua"));
    script
}
