//! The command line: what is typed, what is printed, what it exits with.
//!
//! One file per verb under [`verb`]. The only crate that will ever talk to a cluster; deciding, carrying
//! and compiling are the libraries' it calls.

pub mod cli;
pub mod cluster;
pub mod failure;
pub mod files;
pub mod filter;
pub mod verb;

pub use cli::{Cli, run};
