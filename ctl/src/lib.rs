//! The command line: what is typed, what is printed, what it exits with.
//!
//! One file per verb under [`verb`]. The only crate that will ever talk to a cluster; deciding, carrying
//! and compiling are the libraries' it calls.

pub mod admission;
pub mod apply;
pub mod bug_report;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod completion;
pub mod edges_now;
pub mod failure;
pub mod files;
pub mod filter;
pub mod gate;
pub mod names;
pub mod releases;
pub mod rights;
pub mod selectors;
pub mod settings;
pub mod steer;
pub mod takeover;
pub mod takeovers;
pub mod verb;
pub mod webhook;
pub mod world;

pub mod arrival;
pub mod confirm;
pub mod controller;
pub mod crd;
pub mod dashboard;
pub mod demo_mesh;
pub mod develop;
pub mod doctor;
pub mod duration;
pub mod filter_server;
pub mod install;
pub mod lanes;
pub mod oci;
mod outbound;
pub mod output;
pub mod phases;
mod pod_port;
mod post;
pub mod preview;
pub mod progress;
pub mod prometheus;
mod random;
mod readiness;
mod signals;
pub mod trace_key;
mod traced;
pub mod waiting;
pub use cli::{Cli, run};
