//! What an edge does with a response.

use canary_rules::edge::{Edge, EdgeDecision};
use canary_rules::edits::Edit;
use canary_rules::signing::{Assigned, Purpose};

use super::kit::{Message, NOW_S, edge, edge_with, get, settings, token};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const GRAY: (&str, &str) = ("gray", "{rules: [{when: {cookie: {name: gray, exact: '1'}}, sticky: false}]}");

fn response() -> Message {
    Message::default().with(":status", "200")
}

fn answered(decision: &EdgeDecision<'_>, response: &Message) -> Message {
    response.edited(&response.ask(|headers| decision.response.edits(headers)))
}

fn gray_answer(edge: &Edge, response: &Message) -> Message {
    answered(&get("/").with("cookie", "gray=1").decide(edge), response)
}

/// What becomes of `cache-control` in a lane's answer.
#[track_caller]
fn check(before: &[&str], after: &[&str]) {
    let edge = edge(&[GRAY]);
    let response = before.iter().fold(response(), |response, line| response.with("cache-control", line));
    assert_eq!(gray_answer(&edge, &response).values("cache-control"), after, "{before:?}");
}

#[test]
fn a_lanes_answer_is_private() {
    check(&[], &["private"]);
    check(&["public"], &["private"]);
    check(&["public, max-age=60"], &["private, max-age=60"]);
    check(&["max-age=60"], &["private, max-age=60"]);
    check(&["s-maxage=60,max-age=5"], &["private, max-age=5"]);
    check(&["Public , S-MaxAge=60, immutable"], &["private, immutable"]);
    check(&["max-age=60, proxy-revalidate, must-understand"], &["private, max-age=60"]);
    check(&["no-cache"], &["private, no-cache"]);
    check(&["max-age=60", "public"], &["private, max-age=60"]);
    check(&["", ","], &["private"]);
    check(&["publicly, s-maxage-x=1"], &["private, publicly, s-maxage-x=1"]);
}

#[test]
fn what_is_private_already_stays_as_it_is() {
    check(&["private"], &["private"]);
    check(&["max-age=60, Private"], &["max-age=60, Private"]);
    check(&["no-store"], &["no-store"]);
    check(&["public, No-Store"], &["public, No-Store"]);
}

#[test]
fn private_for_some_fields_is_not_private() {
    check(&["private=\"set-cookie\""], &["private"]);
    check(&["private=\"set-cookie, x\", max-age=60"], &["private, max-age=60"]);
    check(&["private, s-maxage=60"], &["private"]);
    check(&["no-cache=\"a, public\", max-age=1"], &["private, no-cache=\"a, public\", max-age=1"]);
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let edge = edge(&[GRAY]);
    let answer = gray_answer(&edge, &response().with("cache-control", b"public, \xff=1"));
    assert_eq!(answer.values("cache-control"), ["private, \u{fffd}=1"]);
}

#[test]
fn headers_for_shared_caches_only_are_removed() {
    let edge = edge(&[GRAY]);
    let names = ["cdn-cache-control", "surrogate-control", "cloudflare-cdn-cache-control", "x-accel-expires"];
    let before =
        names.iter().fold(response().with("etag", "x"), |response, name| response.with(name, "max-age=60"));
    let answer = gray_answer(&edge, &before);
    assert!(names.iter().all(|name| answer.values(name).is_empty()));
    assert_eq!(answer.values("etag"), ["x"]);
    assert_eq!(answered(&get("/").decide(&edge), &before).values("surrogate-control"), ["max-age=60"]);
}

#[test]
fn the_baselines_answer_stays_as_it_is() {
    let edge = edge(&[GRAY]);
    let decision = get("/").decide(&edge);
    assert!(decision.response.is_empty());
    assert!(
        response().with("cache-control", "public").ask(|headers| decision.response.edits(headers).is_empty())
    );
}

/// A baseline answer that gives a cookie is that user's own.
#[test]
fn an_answer_that_sets_a_cookie_is_private() {
    let edge = edge(&[("gray", "{rules: [{percent: 0.01}]}")]);
    let decision = get("/").decide(&edge);
    assert!(decision.lane.is_none() && !decision.response.is_empty());
    let before =
        response().with("cache-control", "public").with("set-cookie", "a=1").with("set-cookie", "b=2");
    let answer = answered(&decision, &before);
    assert_eq!(answer.values("cache-control"), ["private"]);
    let cookies = answer.values("set-cookie");
    assert_eq!(cookies[..2], ["a=1", "b=2"], "the application's own stay");
    assert_eq!(cookies.len(), 3);
}

#[test]
fn cookies_are_added_never_set() {
    let edge = edge(&[("gray", "{rules: [{percent: 100}]}")]);
    let decision = get("/").decide(&edge);
    let edits = response().ask(|headers| decision.response.edits(headers));
    let added = edits.iter().filter(|edit| matches!(edit, Edit::Add("set-cookie", _))).count();
    assert_eq!(added, 2, "the lane's and the user's: {edits:?}");
    assert!(!edits.iter().any(|edit| matches!(edit, Edit::Set("set-cookie", _))));
}

#[test]
fn the_lane_is_shown_where_wanted() {
    let mut settings = settings();
    assert!(gray_answer(&edge_with(&settings, &[GRAY]), &response()).values("x-canary-lane").is_empty());
    settings.edge.show_lane = true;
    let edge = edge_with(&settings, &[GRAY]);
    let told = response().with("x-canary-lane", "made up");
    assert_eq!(gray_answer(&edge, &told).values("x-canary-lane"), ["gray"]);
    assert!(get("/").decide(&edge).response.is_empty());
}

#[test]
fn vary_lists_what_decisions_read() {
    let mut settings = settings();
    settings.edge.vary = true;
    let lanes = [
        (
            "a",
            "{rules: [{when: {header: {name: x-dev, exact: a}}}, {when: {not: {header: {name: X-Dev, exact: b}}}}]}",
        ),
        (
            "b",
            "{key: [{header: x-user}, {claim: {name: sub}}], rules: [{when: {query: {name: q, exact: '1'}}, percent: 1}]}",
        ),
    ];
    let edge = edge_with(&settings, &lanes);
    let decision = get("/").with("x-dev", "b").decide(&edge);
    assert!(decision.lane.is_none() && !decision.response.is_empty());
    let answer = answered(&decision, &response().with("vary", "accept"));
    let foreign = "sec-fetch-site, sec-fetch-mode, sec-fetch-dest, origin";
    let listed = format!("cookie, x-canary-lane, {foreign}, x-dev, x-user, authorization");
    assert_eq!(answer.values("vary"), ["accept", &listed]);
    assert!(answer.values("cache-control").is_empty());
    let no_share = edge_with(&settings, &lanes[..1]);
    let decision = get("/").with("x-dev", "b").decide(&no_share);
    assert_eq!(answered(&decision, &response()).values("vary"), ["cookie, x-canary-lane, x-dev"]);
    let none = edge_with(&settings, &[]);
    assert!(get("/").decide(&none).response.is_empty());
}

#[test]
fn a_signed_requests_answer_is_private_too() {
    let edge = edge(&[GRAY]);
    let signed = get("/").with("x-canary-lane", token(Purpose::Header, "gray", Assigned::Rule, NOW_S + 9));
    assert_eq!(answered(&signed.decide(&edge), &response()).values("cache-control"), ["private"]);
}
