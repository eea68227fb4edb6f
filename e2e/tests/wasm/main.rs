//! The built filter, from outside: headers in, headers out, on a host that behaves as Envoy does.
//!
//! What is checked here is what no native test can see: imports and exports, memory, traps, exact host calls,
//! several workers with one map. What the rules decide is the rules' own affair.

mod budget;
mod bytes;
mod configurations;
mod forged;
mod map;
mod memory;
mod module;
mod never_wrong;
mod roles;
mod support;
mod trace;
