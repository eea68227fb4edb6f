//! Requests that another site caused: nothing is concluded from cookies that are missing.

use canary_rules::edge::{Edge, Reason};
use canary_rules::set_cookie::SameSite;
use canary_rules::signing::{Assigned, Purpose};

use super::kit::{
    Message, NOW_S, UID, check, edge, edge_with, get, lane_cookie, lane_of, set_cookies, settings, token,
};
use super::users::users;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const RULE: (&str, &str) = ("gray", "{rules: [{when: {header: {name: x, exists: true}}}]}");
const HALF: (&str, &str) = ("half", "{rules: [{percent: 50}]}");
const ALL: (&str, &str) = ("all", "{rules: [{percent: 100}]}");

/// A request with these fetch metadata: site, mode, dest.
fn fetched(method: &str, [site, mode, dest]: [&str; 3]) -> Message {
    get("/")
        .but(":method", method)
        .with("sec-fetch-site", site)
        .with("sec-fetch-mode", mode)
        .with("sec-fetch-dest", dest)
}

fn link() -> Message {
    fetched("GET", ["cross-site", "navigate", "document"])
}

fn form() -> Message {
    fetched("POST", ["cross-site", "navigate", "document"])
}

/// A request of a page's script, without fetch metadata, as over plain http.
fn from_origin(authority: &str, origin: &str) -> Message {
    get("/").but(":method", "POST").but(":authority", authority).with("origin", origin)
}

/// An edge whose own cookies have this attribute.
fn with_same_site(same_site: Option<SameSite>, lanes: &[(&str, &str)]) -> Edge {
    let mut settings = settings();
    settings.edge.cookie.same_site = same_site;
    settings.edge.cookie.secure = true;
    edge_with(&settings, lanes)
}

/// The names of the cookies that the answer sets.
fn cookie_names(edge: &Edge, request: &Message) -> Vec<String> {
    let lines = set_cookies(&request.decide(edge));
    lines.iter().map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect()
}

/// Whether a new user is taken for one, and a rule's cookie is set.
#[track_caller]
fn gives(same_site: Option<SameSite>, request: &Message, expected: bool) {
    let lanes = [RULE, HALF];
    let edge = with_same_site(same_site, &lanes);
    let uid = cookie_names(&edge, request).contains(&"canary-uid".to_owned());
    assert_eq!(uid, expected, "{same_site:?} {request:?}");
    let ruled = request.clone().with("x", "1");
    assert_eq!(lane_of(&ruled.decide(&edge)), Some("gray"), "a rule holds in any case");
    let expected_names: &[&str] = if expected { &["canary-lane"] } else { &[] };
    assert_eq!(cookie_names(&edge, &ruled), expected_names, "{same_site:?} {request:?}");
    assert_eq!(request.decide(&edge).held_back, !expected);
    assert_eq!(ruled.decide(&edge).held_back, !expected);
}

#[test]
fn lax_cookies_come_along_with_a_followed_link_only() {
    for same_site in [Some(SameSite::Lax), None] {
        gives(same_site, &link(), true);
        gives(same_site, &link().but(":method", "HEAD"), true);
        gives(same_site, &form(), false);
        gives(same_site, &fetched("GET", ["cross-site", "navigate", "iframe"]), false);
        gives(same_site, &fetched("GET", ["cross-site", "no-cors", "image"]), false);
        gives(same_site, &fetched("GET", ["cross-site", "cors", "empty"]), false);
        gives(same_site, &get("/").with("sec-fetch-site", "cross-site"), false);
    }
}

#[test]
fn strict_cookies_do_not_even_then() {
    gives(Some(SameSite::Strict), &link(), false);
    gives(Some(SameSite::Strict), &form(), false);
}

#[test]
fn cookies_for_every_site_are_never_kept_back() {
    gives(Some(SameSite::None), &form(), true);
    gives(Some(SameSite::None), &fetched("GET", ["cross-site", "no-cors", "image"]), true);
    gives(Some(SameSite::None), &from_origin("shop.test", "null"), true);
}

/// Cookies know sites: another origin of the same one, and what users typed themselves, get all of them.
#[test]
fn the_same_site_gets_every_cookie() {
    for same_site in [Some(SameSite::Lax), Some(SameSite::Strict), None] {
        for site in ["same-origin", "same-site", "none"] {
            gives(same_site, &fetched("POST", [site, "cors", "empty"]), true);
        }
        gives(same_site, &get("/"), true);
        gives(same_site, &get("/").but(":method", "POST"), true);
    }
}

#[test]
fn without_fetch_metadata_the_origin_tells() {
    let lax = Some(SameSite::Lax);
    for (authority, origin, own) in [
        ("shop.test", "http://shop.test", true),
        ("shop.test", "https://shop.test:8443", true),
        ("shop.test:8080", "http://shop.test", true),
        ("Shop.test", "http://shop.TEST", true),
        ("[::1]:80", "http://[::1]:8080", true),
        ("shop.test", "http://evil.test", false),
        ("shop.test", "http://shop.test.evil.test", false),
        ("shop.test", "http://www.shop.test", false),
        ("shop.test", "null", false),
        ("shop.test", "", false),
    ] {
        gives(lax, &from_origin(authority, origin), own);
    }
    // Fetch metadata knows better.
    gives(lax, &from_origin("shop.test", "http://www.shop.test").with("sec-fetch-site", "same-site"), true);
    gives(lax, &from_origin("shop.test", "http://shop.test").with("sec-fetch-site", "cross-site"), false);
}

#[test]
fn a_percentage_takes_only_whom_it_knows() {
    let edge = edge(&[HALF]);
    check(&edge, &form(), None, Reason::Nothing);
    let (inside, outside) = users("half", 5000);
    let known = |user: &str| form().with("cookie", format!("canary-uid={user}"));
    assert_eq!(lane_of(&known(&inside).decide(&edge)), Some("half"));
    check(&edge, &known(&outside), None, Reason::Nothing);
    assert!(!known(&outside).decide(&edge).held_back, "no cookie was due");
}

#[test]
fn all_users_are_all_whoever_they_are() {
    let edge = edge(&[ALL]);
    check(&edge, &form(), Some("all"), Reason::Share { rule: 0, rank: 9999 });
    assert_eq!(cookie_names(&edge, &form()), [""; 0]);
    let some = "{rules: [{when: {path: {exact: /x}}, percent: 100}, {percent: 50}]}";
    check(&super::kit::edge(&[("all", some)]), &form(), None, Reason::Nothing);
}

/// The cookie of the lane that a user is in already may be the one kept back.
#[test]
fn a_known_key_routes_and_sets_no_cookie() {
    let half = "{key: [{header: x-user}], rules: [{percent: 50}]}";
    let (inside, _) = users("half", 5000);
    let request = form().with("x-user", inside);
    let open = "{cookie: {attributes: {secure: true, sameSite: None}}, key: [{header: x-user}], rules: [{percent: 50}]}";
    let other = ("z", "{rules: [{when: {header: {name: z, exists: true}}}]}");
    for (lanes, names) in [
        (&[("half", half)][..], &[][..]),
        (&[("half", open), other], &[]),
        (&[("half", open)], &["canary-lane"]),
    ] {
        let edge = edge(lanes);
        assert_eq!(lane_of(&request.decide(&edge)), Some("half"), "{lanes:?}");
        assert_eq!(cookie_names(&edge, &request), names, "{lanes:?}");
    }
}

#[test]
fn a_lanes_own_attribute_counts_for_its_rule() {
    let spec = |same_site: &str| {
        format!(
            "{{cookie: {{attributes: {{secure: true, sameSite: {same_site}}}}}, rules: [{{when: {{header: {{name: x, exists: true}}}}}}]}}"
        )
    };
    for (same_site, by_form, by_link) in
        [("None", true, true), ("Lax", false, true), ("Strict", false, false)]
    {
        let edge = edge(&[("gray", &spec(same_site))]);
        let given = |request: Message| !cookie_names(&edge, &request.with("x", "1")).is_empty();
        assert_eq!((given(form()), given(link())), (by_form, by_link), "{same_site}");
    }
}

/// A cookie that came along was not kept back.
#[test]
fn what_did_come_along_is_looked_after() {
    let edge = edge(&[RULE, HALF]);
    let with = |assigned, left_s| form().with("cookie", lane_cookie("half", assigned, NOW_S + left_s));
    let renewed = with(Assigned::Percent { rank: 0 }, 9);
    check(&edge, &renewed, Some("half"), Reason::Assigned);
    assert_eq!(cookie_names(&edge, &renewed), ["canary-lane"]);
    assert_eq!(cookie_names(&edge, &renewed.with("x", "1")), ["canary-lane"], "a rule comes before it");
    let worthless = form().with("cookie", format!("canary-lane=gray; canary-uid={UID}"));
    assert!(set_cookies(&worthless.decide(&edge))[0].starts_with("canary-lane="));
}

/// It would come before every cookie that was kept back.
#[test]
fn a_signed_link_sets_its_cookie_wherever_it_is_opened() {
    for same_site in [SameSite::Lax, SameSite::Strict] {
        let edge = with_same_site(Some(same_site), &[RULE]);
        let opened = link().but(
            ":path",
            format!("/?canary-lane={}", token(Purpose::Link, "gray", Assigned::Rule, NOW_S + 9)),
        );
        check(&edge, &opened, Some("gray"), Reason::SignedLink);
        assert_eq!(cookie_names(&edge, &opened), ["canary-lane"]);
    }
}

#[test]
fn a_rule_that_sets_no_cookie_holds_none_back() {
    let spec = "{rules: [{when: {header: {name: x, exists: true}}, sticky: false}]}";
    let edge = edge(&[("gray", spec)]);
    assert!(!form().with("x", "1").decide(&edge).held_back);
    assert!(!form().decide(&edge).held_back);
}
