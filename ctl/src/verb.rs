//! One module per verb.

pub mod controller;
pub mod demo;
pub mod demo_app;
pub mod diff;
pub mod disable;
pub mod enable;
pub mod explain;
pub mod filter;
pub mod install;
pub mod lanes;
pub mod render;
pub mod rules;
pub mod status;
pub mod uninstall;
