//! Lanes and the services of a mesh, compiled into one routing plan in Istio's terms.
//!
//! `compile` says, host by host, which tagged requests go where and in which order they fall back.
//! The plan is plain data with two renderings: VirtualService and DestinationRule (`render`), and the
//! static Envoys of the local mesh. Pure: no I/O, no cluster, no clock; what exists comes in as values.

pub mod compile;
pub mod finding;
pub mod lane;
pub mod observed;
pub mod plan;
pub mod render;
pub mod service;

pub use compile::{CompileError, compile};
pub use finding::{Finding, Severity};
pub use lane::{LaneRouting, MemberError, Mode, RefusalStatus, ServiceKey};
pub use plan::{Destination, HostPlan, HttpRoute, RoutingPlan, Subset, SubsetName, Tier, TierOf};
pub use service::{Host, Labels, Service, Workload};
