//! Decides which lane a request belongs to, and what it carries from hop to hop.
//!
//! Pure: no I/O, no clock, no randomness and no host. Time, entropy and everything a proxy knows of a
//! request come in as arguments; what to set, what to remove and why come out as data. The same code
//! runs in the proxy's filter, on the command line and in a browser page.
//!
//! It has no panic path: in the filter a panic kills the worker's VM, and nothing restarts it.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::integer_division,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used,
        clippy::unwrap_in_result
    )
)]

extern crate alloc;

pub mod baggage;
mod base64;
mod bytes;
#[cfg(feature = "documents")]
pub mod condition;
pub mod cookie;
pub mod correlation;
#[cfg(feature = "documents")]
pub mod document;
pub mod edge;
pub mod edits;
#[cfg(feature = "explain")]
pub mod explain;
mod facts;
pub mod flows;
mod hex;
pub mod hop;
#[cfg(feature = "explain")]
pub mod inquiry;
pub mod json;
#[cfg(feature = "documents")]
pub mod lane;
pub mod layers;
mod matcher;
pub mod name;
mod order;
pub mod precedence;
#[cfg(feature = "documents")]
pub mod problem;
pub mod request;
pub mod request_id;
#[cfg(feature = "schema")]
pub mod schema;
pub mod set_cookie;
#[cfg(feature = "documents")]
pub mod settings;
pub mod signing;
pub mod trace;
pub mod wire;
