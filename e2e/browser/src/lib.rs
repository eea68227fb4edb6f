//! The dashboard in a real browser: the browser, for the tests here and for the driver that tests on a cluster run.

#![allow(clippy::missing_panics_doc, reason = "what is not as it has to be ends a test")]

pub mod browser;
