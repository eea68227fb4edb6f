//! Lanes and a mesh, compiled into what every proxy must do, and into the changes that lead there.
//!
//! `compile` says, host by host, which tagged requests go where and in which order they fall back: plain data,
//! which the local mesh renders as static Envoys. `plan` compares it with the mesh as found and gives ordered,
//! printable changes of Istio's objects, the user's own among them. Pure: no I/O, no cluster, no clock.

pub mod change;
pub mod chosen;
pub mod compile;
mod connections;
mod delegates;
pub mod failover;
pub mod finding;
mod hosts;
pub mod lane;
pub mod matching;
mod merge;
pub mod observed;
pub mod own;
pub mod plan;
pub mod planner;
pub mod plugins;
mod policy;
pub mod restore;
pub mod routes;
mod rules;
pub mod service;
pub mod simulate;
pub mod standing;
#[cfg(test)]
mod testing;
mod virtual_services;

pub use change::{Action, Change, Expects, Phase};
pub use compile::{CompileError, compile};
pub use finding::{Finding, Refused, Severity};
pub use lane::{LaneRouting, MemberError, Mode, RefusalStatus, ServiceKey};
pub use observed::{Object, ObjectRef, Observed, ObservedService};
pub use plan::{Destination, HostPlan, HttpRoute, RoutingPlan, Subset, SubsetName, Tier, TierOf};
pub use planner::{ClusterPlan, Desired, EdgeObject, HopObject, plan as plan_cluster};
pub use rules::marker::{is_marker, marker_name, with_marker};
pub use service::{Copies, Exchanged, Host, Labels, Service, Workload};
pub use standing::Standing;
