//! The dashboard in a real browser: the browser, for the tests here.

#![allow(clippy::missing_panics_doc, reason = "what is not as it has to be ends a test")]

pub mod browser;
