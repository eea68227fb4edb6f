//! The lane cookie's life: given out, kept, renewed, ended.

use canary_rules::edge::Reason;
use canary_rules::signing::{self, Assigned, Purpose, Ticket};
use canary_rules::wire::{FilterConfig, Role};

use super::kit::{
    Message, NOW_S, check, documents, edge, edge_of, edge_with, get, lane, lane_cookie, lane_of, ring,
    set_cookies, settings, token,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const LIFE_S: u64 = 1800;
const GRAY: (&str, &str) = ("gray", "{rules: [{when: {cookie: {name: gray, exact: '1'}}}]}");
const HALF: (&str, &str) = ("half", "{rules: [{percent: 50}], layer: l}");
const EXPIRED: &str =
    "canary-lane=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax";

/// The one cookie that a decision sets; none, when there is none.
#[track_caller]
fn lane_cookie_set(edge: &canary_rules::edge::Edge, request: &Message) -> Option<String> {
    let decision = request.decide(edge);
    let mut cookies = set_cookies(&decision);
    cookies.retain(|line| line.starts_with("canary-lane="));
    assert!(cookies.len() <= 1, "{cookies:?}");
    cookies.pop()
}

fn set_line(lane: &str, assigned: Assigned, now_s: u64) -> String {
    let token = token(Purpose::Cookie, lane, assigned, now_s + LIFE_S);
    format!("canary-lane={token}; Path=/; Max-Age={LIFE_S}; HttpOnly; SameSite=Lax")
}

#[test]
fn an_explicit_rule_gives_a_cookie() {
    let request = get("/").with("cookie", "gray=1");
    assert_eq!(lane_cookie_set(&edge(&[GRAY]), &request), Some(set_line("gray", Assigned::Rule, NOW_S)));
}

#[test]
fn no_lane_and_no_cookie_set_nothing() {
    let decision_edge = edge(&[GRAY]);
    let decision = get("/").decide(&decision_edge);
    assert!(decision.response.cookies.is_empty());
    assert!(decision.response.is_empty());
}

#[test]
fn a_rule_that_is_not_sticky_gives_none_and_leaves_what_is_there() {
    let edge = edge(&[
        ("gray", "{rules: [{when: {header: {name: x, exact: '1'}}, sticky: false}]}"),
        ("blue", "{rules: [{when: {header: {name: z, exact: '1'}}}]}"),
    ]);
    let request = get("/").with("x", "1");
    check(&edge, &request, Some("gray"), Reason::Rule(0));
    assert_eq!(lane_cookie_set(&edge, &request), None);
    let blue = request.with("cookie", lane_cookie("blue", Assigned::Rule, NOW_S + LIFE_S));
    check(&edge, &blue, Some("gray"), Reason::Rule(0));
    assert_eq!(lane_cookie_set(&edge, &blue), None);
}

#[test]
fn a_valid_cookie_keeps_the_user_and_stays_as_it_is() {
    let edge = edge(&[GRAY]);
    let request = get("/").with("cookie", lane_cookie("gray", Assigned::Rule, NOW_S + 1));
    check(&edge, &request, Some("gray"), Reason::Assigned);
    assert_eq!(lane_cookie_set(&edge, &request), None, "only what put the user there renews");
}

#[test]
fn a_rule_that_still_holds_renews_past_half_the_life() {
    let edge = edge(&[GRAY]);
    for (left_s, renewed) in [(LIFE_S, false), (LIFE_S / 2 + 1, false), (LIFE_S / 2, true), (1, true)] {
        let cookie = lane_cookie("gray", Assigned::Rule, NOW_S + left_s);
        let request = get("/").with("cookie", format!("gray=1; {cookie}"));
        check(&edge, &request, Some("gray"), Reason::Rule(0));
        let expected = renewed.then(|| set_line("gray", Assigned::Rule, NOW_S));
        assert_eq!(lane_cookie_set(&edge, &request), expected, "{left_s} s left");
    }
}

#[test]
fn a_percentage_renews_past_half_the_life() {
    let edge = edge(&[HALF]);
    let assigned = Assigned::Percent { rank: 7 };
    for (left_s, renewed) in [(LIFE_S / 2 + 1, false), (LIFE_S / 2, true)] {
        let request = get("/").with("cookie", lane_cookie("half", assigned, NOW_S + left_s));
        check(&edge, &request, Some("half"), Reason::Assigned);
        let expected = renewed.then(|| set_line("half", assigned, NOW_S));
        assert_eq!(lane_cookie_set(&edge, &request), expected, "{left_s} s left");
    }
}

/// A cookie that is worth nothing: baseline, and the browser is told to drop it.
#[track_caller]
fn check_worthless(lanes: &[(&str, &str)], request: &Message, rejected: u32) {
    let edge = edge(lanes);
    let decision = request.decide(&edge);
    assert_eq!((lane_of(&decision), decision.reason), (None, Reason::Nothing), "{request:?}");
    assert_eq!(decision.rejected_signatures, rejected, "{request:?}");
    assert_eq!(set_cookies(&decision), [EXPIRED], "{request:?}");
}

#[test]
fn cookies_that_vouch_for_nothing_are_ended() {
    let cookie = |text: String| get("/").with("cookie", text);
    let rule = Assigned::Rule;
    // The lane has ended, the cookie has expired, or there is nothing signed in it.
    check_worthless(&[GRAY], &cookie(lane_cookie("gone", rule, NOW_S + LIFE_S)), 0);
    check_worthless(&[], &cookie(lane_cookie("gray", rule, NOW_S + LIFE_S)), 0);
    check_worthless(&[GRAY], &cookie(lane_cookie("gray", rule, NOW_S)), 0);
    check_worthless(&[GRAY], &cookie("canary-lane=gray".into()), 0);
    check_worthless(&[GRAY], &cookie("canary-lane=".into()), 0);
    check_worthless(&[GRAY], &get("/").with("cookie", b"canary-lane=\xff~\xfe"), 0);
    // A signature that does not verify is counted.
    let good = lane_cookie("gray", rule, NOW_S + LIFE_S);
    check_worthless(&[GRAY], &cookie(good.replace("gray~", "blue~")), 1);
    check_worthless(&[GRAY], &cookie(good.replace("~k1~", "~k9~")), 1);
    let link = token(Purpose::Link, "gray", rule, NOW_S + LIFE_S);
    check_worthless(&[GRAY], &cookie(format!("canary-lane={link}")), 1);
}

#[test]
fn an_older_epoch_is_worth_nothing() {
    let compiled = |epoch: u32| {
        let mut compiled = documents(&[GRAY]).compiled;
        compiled.lanes[0].epoch = epoch;
        edge_of(settings().config(Role::Edge, &compiled))
    };
    let ticket =
        Ticket { lane: lane("gray"), epoch: 3, assigned: Assigned::Rule, expires_unix_s: NOW_S + LIFE_S };
    let cookie = signing::sign(&ring(&["k1"]), Purpose::Cookie, &ticket);
    let request = get("/").with("cookie", format!("canary-lane={cookie}"));
    check(&compiled(3), &request, Some("gray"), Reason::Assigned);
    for epoch in [0, 2, 4] {
        let edge = compiled(epoch);
        check(&edge, &request, None, Reason::Nothing);
        assert_eq!(lane_cookie_set(&edge, &request).as_deref(), Some(EXPIRED));
        let link = format!("/?canary-lane={}", signing::sign(&ring(&["k1"]), Purpose::Link, &ticket));
        check(&edge, &get(&link), None, Reason::Nothing);
    }
}

/// Browsers know a cookie by its domain and path as well: one is ended as it was set.
#[test]
fn a_cookie_is_ended_where_its_lane_had_it_set() {
    let spec = "{cookie: {attributes: {domain: shop.test, path: /shop}}, rules: [{percent: 50}], layer: l}";
    let edge = edge(&[("half", spec)]);
    let request =
        get("/").with("cookie", lane_cookie("half", Assigned::Percent { rank: 9999 }, NOW_S + LIFE_S));
    let line = lane_cookie_set(&edge, &request.with("cookie", "canary-uid=user3"));
    let line = line.expect("ended or given anew");
    assert!(line.contains("; Path=/shop; Domain=shop.test"), "{line}");
}

#[test]
fn former_keys_verify_and_are_replaced_in_time() {
    let signed_by = |id: &str| {
        let ticket =
            Ticket { lane: lane("gray"), epoch: 0, assigned: Assigned::Rule, expires_unix_s: NOW_S + 9 };
        let token = signing::sign(&ring(&[id]), Purpose::Cookie, &ticket);
        get("/").with("cookie", format!("gray=1; canary-lane={token}"))
    };
    let mut settings = settings();
    settings.keys = ring(&["k2", "k1"]);
    let rotated = edge_with(&settings, &[GRAY]);
    let line = lane_cookie_set(&rotated, &signed_by("k1")).expect("renewed");
    assert!(line.contains("~k2~"), "signed by the new key: {line}");
    assert_eq!(signed_by("k1").decide(&rotated).rejected_signatures, 0);
    settings.keys = ring(&["k2"]);
    assert_eq!(signed_by("k1").decide(&edge_with(&settings, &[GRAY])).rejected_signatures, 1);
}

/// A key that changes at login must not move the user.
#[test]
fn the_cookie_outlives_a_login() {
    let spec = "{key: [{header: x-user}], rules: [{percent: 50}]}";
    let edge = edge(&[("half", spec)]);
    let mut users = (0..200).map(|number| format!("user{number}"));
    let anonymous =
        users.find(|uid| get("/").with("cookie", format!("canary-uid={uid}")).decide(&edge).lane.is_some());
    let other = users.find(|user| get("/").with("x-user", user).decide(&edge).lane.is_none());
    let (anonymous, other) = (anonymous.expect("one in"), other.expect("one out"));
    let first = get("/").with("cookie", format!("canary-uid={anonymous}"));
    let given = lane_cookie_set(&edge, &first).expect("a cookie");
    let pair = given.split(';').next().expect("a pair");
    let logged_in = get("/").with("cookie", format!("canary-uid={anonymous}; {pair}")).with("x-user", other);
    check(&edge, &logged_in, Some("half"), Reason::Assigned);
    assert_eq!(lane_cookie_set(&edge, &logged_in), None);
}

#[test]
fn a_shrinking_share_lets_go_exactly_of_those_beyond_it() {
    let percent = |percent: &str| edge(&[("half", &format!("{{rules: [{{percent: {percent}}}]}}"))]);
    let shrunk = percent("0.05");
    for (rank, kept) in [(0, true), (4, true), (5, false), (49, false), (9999, false)] {
        let cookie = lane_cookie("half", Assigned::Percent { rank }, NOW_S + LIFE_S);
        // A user who is in no lane by bucket.
        let request = get("/").with("cookie", format!("canary-uid=user0; {cookie}"));
        assert!(get("/").with("cookie", "canary-uid=user0").decide(&shrunk).lane.is_none());
        assert_eq!(request.decide(&shrunk).lane.is_some(), kept, "rank {rank}");
        assert_eq!(lane_cookie_set(&shrunk, &request), (!kept).then(|| EXPIRED.into()), "rank {rank}");
    }
}

#[test]
fn a_percentage_that_is_no_longer_sticky_keeps_nobody() {
    let cookie = lane_cookie("half", Assigned::Percent { rank: 0 }, NOW_S + LIFE_S);
    let request = get("/").with("cookie", format!("canary-uid=user0; {cookie}"));
    let spec = |sticky: bool| format!("{{rules: [{{percent: 0.05, sticky: {sticky}}}]}}");
    assert!(request.decide(&edge(&[("half", &spec(true))])).lane.is_some());
    assert!(request.decide(&edge(&[("half", &spec(false))])).lane.is_none());
}

#[test]
fn a_signed_link_gives_a_cookie_that_keeps_the_user() {
    for (name, spec, kept) in [
        ("dev-alice", "{}", true),
        ("gray", "{rules: [{when: {cookie: {name: gray, exact: '1'}}}]}", true),
        ("half", "{rules: [{percent: 0}]}", true),
        ("loose", "{rules: [{when: {cookie: {name: gray, exact: '1'}}, sticky: false}]}", false),
    ] {
        let edge = edge(&[(name, spec)]);
        let link = token(Purpose::Link, name, Assigned::Rule, NOW_S + 60);
        let request = get(&format!("/?canary-lane={link}"));
        check(&edge, &request, Some(name), Reason::SignedLink);
        for written in ["/?page=2&canary-lane=", "/?canary%2Dlane=", "/?q=a+b&%63anary-lane="] {
            check(&edge, &get(&format!("{written}{link}")), Some(name), Reason::SignedLink);
        }
        let line = lane_cookie_set(&edge, &request);
        assert_eq!(line, kept.then(|| set_line(name, Assigned::Rule, NOW_S)), "{name}");
        let Some(line) = line else { continue };
        let next = get("/").with("cookie", line.split(';').next().expect("a pair"));
        check(&edge, &next, Some(name), Reason::Assigned);
    }
}

#[test]
fn a_link_is_worth_nothing_changed_expired_or_of_another_purpose() {
    let edge = edge(&[GRAY]);
    let link = |token: String| get(&format!("/?canary-lane={token}"));
    for (request, rejected) in [
        (link(token(Purpose::Link, "gray", Assigned::Rule, NOW_S)), 0),
        (link(token(Purpose::Cookie, "gray", Assigned::Rule, NOW_S + 9)), 1),
        (link(token(Purpose::Link, "gray", Assigned::Rule, NOW_S + 9).replace("~r~", "~p1~")), 1),
        (link("gray".into()), 0),
    ] {
        check(&edge, &request, None, Reason::Nothing);
        assert_eq!(request.decide(&edge).rejected_signatures, rejected, "{request:?}");
        assert_eq!(lane_cookie_set(&edge, &request), None);
    }
}

#[test]
fn a_trusted_tools_header_is_for_one_request_only() {
    let edge = edge(&[GRAY]);
    let request = get("/").with("x-canary-lane", token(Purpose::Header, "gray", Assigned::Rule, NOW_S + 60));
    check(&edge, &request, Some("gray"), Reason::SignedHeader);
    assert_eq!(lane_cookie_set(&edge, &request), None);
    assert!(!request.decide(&edge).forged);
}

#[test]
fn attributes_and_life_are_the_lanes_own() {
    let spec = "{cookie: {maxAgeSeconds: 60, attributes: {secure: true, sameSite: None, partitioned: true}}, \
                rules: [{when: {path: {prefix: /}}}]}";
    let token = token(Purpose::Cookie, "gray", Assigned::Rule, NOW_S + 60);
    let line =
        format!("canary-lane={token}; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=None; Partitioned");
    assert_eq!(lane_cookie_set(&edge(&[("gray", spec)]), &get("/")), Some(line));
}

#[test]
fn without_keys_nothing_is_given_or_believed() {
    let config = FilterConfig { keys: None, ..settings().config(Role::Edge, &documents(&[GRAY]).compiled) };
    let edge = edge_of(config);
    let request = get("/").with("cookie", "gray=1");
    check(&edge, &request, Some("gray"), Reason::Rule(0));
    assert_eq!(lane_cookie_set(&edge, &request), None);
    let cookie = lane_cookie("gray", Assigned::Rule, NOW_S + LIFE_S);
    check(&edge, &get("/").with("cookie", cookie), None, Reason::Nothing);
    assert_eq!(request.decide(&edge).rejected_signatures, 0);
}

#[test]
fn cookies_have_the_names_that_the_mesh_gives_them() {
    let mut settings = settings();
    settings.edge.lane_cookie = canary_rules::name::CookieName::new("__Host-lane").expect("a name");
    settings.edge.uid_cookie = canary_rules::name::CookieName::new("uid").expect("a name");
    settings.edge.cookie.secure = true;
    let edge = edge_with(&settings, &[("gray", "{rules: [{percent: 100}]}")]);
    let decision = get("/").decide(&edge);
    let names: Vec<String> = set_cookies(&decision)
        .iter()
        .map(|line| line.split('=').next().unwrap_or_default().to_string())
        .collect();
    assert_eq!(names, ["__Host-lane", "uid"]);
    let link = token(Purpose::Link, "gray", Assigned::Rule, NOW_S + 9);
    check(&edge, &get(&format!("/?__Host-lane={link}")), Some("gray"), Reason::SignedLink);
}
