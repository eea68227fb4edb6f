//! One module per verb.

pub mod demo;
pub mod demo_app;
pub mod explain;
pub mod rules;
