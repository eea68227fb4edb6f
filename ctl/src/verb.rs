//! One module per verb.

pub mod agent;
pub mod check;
pub mod completion;
pub mod connect;
pub mod controller;
pub mod dashboard;
pub mod demo;
pub mod demo_app;
pub mod diff;
pub mod disable;
pub mod enable;
pub mod explain;
pub mod filter;
pub mod forward;
pub mod gate;
pub mod image;
pub mod install;
pub mod lanes;
pub mod man;
pub mod registry;
pub mod release;
pub mod render;
pub mod rules;
pub mod status;
pub mod uninstall;
pub mod version;
