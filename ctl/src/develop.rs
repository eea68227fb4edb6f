//! A developer's machine and a cluster as one network: the agent in a pod, the way to it, and what is served here.

pub mod agent;
#[cfg(target_os = "linux")]
pub mod device;
mod dns;
pub mod environment;
mod forwarded;
pub mod job;
pub mod launch;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod network;
pub mod offered;
pub mod offers;
pub mod proxy;
pub mod range;
pub mod report;
#[cfg(target_os = "linux")]
pub mod routes;
pub mod session;
pub(crate) mod stored;
pub mod translation;
#[cfg(target_os = "linux")]
pub mod tun;
mod way;
pub mod workload;
