//! The page's files, in the binary.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::refusal::Refusal;

/// A file: name, type, content.
type File = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const WASM: &str = "application/wasm";

macro_rules! file {
    ($name:literal, $type:expr) => {
        ($name, $type, include_bytes!(concat!("page/", $name)).as_slice())
    };
}

/// A file that the build makes: empty where it was not made.
macro_rules! built {
    ($name:literal, $type:expr) => {
        ($name, $type, include_bytes!(concat!(env!("OUT_DIR"), "/", $name)).as_slice())
    };
}

const FILES: &[File] = &[
    file!("index.html", HTML),
    file!("icon.svg", SVG),
    file!("style.css", CSS),
    file!("app.js", JS),
    file!("dom.js", JS),
    file!("flows.js", JS),
    file!("graph.js", JS),
    file!("lanes.js", JS),
    file!("layout.js", JS),
    file!("play.js", JS),
    file!("releases.js", JS),
    file!("takeovers.js", JS),
    file!("traffic.js", JS),
    file!("ways.js", JS),
    built!("rules.js", JS),
    built!("rules_bg.wasm", WASM),
];

/// Whether the playground was built in.
pub(super) fn has_playground() -> bool {
    FILES.iter().filter(|(name, ..)| name.starts_with("rules")).all(|(.., content)| !content.is_empty())
}

/// A file of the page by its name.
pub(super) fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, _, content)| *known == name && !content.is_empty()) {
        Some((_, kind, content)) => ([(header::CONTENT_TYPE, *kind)], *content).into_response(),
        None => Refusal::new(StatusCode::NOT_FOUND, "the page has no such file").into_response(),
    }
}
