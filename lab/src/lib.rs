//! The lab: a real Kubernetes with a real Istio on one Linux machine, without a container engine.
//!
//! etcd, the control plane, a kubelet with containerd, CoreDNS, kube-proxy, istiod, an ingress gateway and
//! Envoy sidecars run inside one network namespace: no packet leaves the machine and no rule of the host
//! changes. What a lab starts is in one control group, what it writes in one directory, so that ending it
//! leaves nothing. Labs have names and share nothing but built inputs. Knows nothing of lanes.

#![cfg(target_os = "linux")]

mod build;
mod cgroup;
mod component;
mod console;
mod down;
mod error;
mod identity;
mod image;
mod interrupt;
mod istio;
mod lab;
mod mounts;
mod name;
mod namespace;
mod network;
mod paths;
mod program;
mod progress;
mod restart;
mod status;
mod template;
mod up;
mod wait;

pub use console::Console;
pub use error::LabError;
pub use image::ImageSpec;
pub use interrupt::Interrupt;
pub use lab::Lab;
pub use name::{LabName, NameError};
pub use network::{BRIDGE_ADDRESS, NODE_ADDRESS, REGISTRY_ADDRESS};
pub use progress::Progress;
pub use restart::Restartable;
pub use status::{ComponentStatus, Health, Status, list};
pub use up::{Setup, up};
