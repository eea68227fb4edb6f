//! Why a request gets its lane, in words.

use canary_rules::edge::Reason;
use canary_rules::signing::{Assigned, Purpose};

use super::kit::{Message, NOW_S, edge, get, lane_cookie, token};
use super::users::users;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const LANES: [(&str, &str); 3] = [
    (
        "gray",
        "{priority: 10, key: [{header: x-user}], rules: [{name: testers, when: {cookie: {name: gray, exact: '1'}}}, \
          {percent: 5, when: {not: {header: {name: x-bot, exists: true}}}}]}",
    ),
    ("blue", "{rules: [{when: {header: {name: x-dev, in: [a, b, c, d, e]}, path: {glob: '/shop/**'}}}]}"),
    ("all", "{priority: -5, rules: [{when: {any: [{path: {exact: /all}}, {method: {exact: PUT}}]}}]}"),
];

const BLUE_AWAY: &str = "- blue 1: header x-dev is absent, wanted one of `a`, `b`, `c`, … 2 more; path is `/`, wanted matching `/shop/**`";
const GRAY_AWAY: &str = "- gray 1: cookie gray is absent, wanted `1`";
const ALL_AWAY: &str = "- all 1: path is `/`, wanted `/all`";

const HELD_BACK: &str =
    "; another site caused the request, so the user's cookies may be missing and none is set";

/// The lane, the rule, the reason, and what came close with why not.
fn told(lanes: &[(&str, &str)], request: &Message) -> String {
    let edge = edge(lanes);
    let explanation = request.ask(|headers| edge.explain(headers, None, NOW_S, || [7; 16]));
    let lane = explanation.decision.lane.map_or("baseline", |lane| lane.as_str());
    let close = explanation.close.iter();
    let close: String =
        close.map(|close| format!("\n- {} {}: {}", close.rule.lane, close.rule.number, close.why)).collect();
    format!("{lane}: {}{close}", explanation.reason)
}

#[track_caller]
fn check(request: &Message, expected: &[&str]) {
    assert_eq!(told(&LANES, request), expected.join("\n"));
}

#[test]
fn the_winner_and_what_it_beat() {
    let (inside, outside) = users("gray", 500);
    let all = get("/shop/x")
        .but(":method", "PUT")
        .with("cookie", "gray=1")
        .with("x-dev", "e")
        .with("x-user", inside);
    check(
        &all,
        &[
            "gray: rule 1 (testers): cookie gray = 1",
            "- blue 1: holds too, but lane gray has the higher priority",
            "- all 1: holds too, but lane gray has the higher priority",
            "- gray 2: holds too, but explicit rules come before percentages",
        ],
    );
    check(
        &all.clone().with("x-canary-lane", token(Purpose::Header, "all", Assigned::Rule, NOW_S + 9)),
        &[
            "all: the tag header is signed by one of our keys",
            "- gray 1: holds too, but a signed tag comes first",
            "- blue 1: holds too, but a signed tag comes first",
            "- all 1: holds too, but a signed tag comes first",
            "- gray 2: holds too, but a signed tag comes first",
        ],
    );
    check(
        &get("/").with("cookie", lane_cookie("gray", Assigned::Rule, NOW_S + 9)).with("x-user", outside),
        &[
            "gray: cookie canary-lane keeps the user in the lane",
            "- gray 2: this user is outside the percentage",
            ALL_AWAY,
            GRAY_AWAY,
            BLUE_AWAY,
        ],
    );
}

#[test]
fn between_equals_the_name_or_the_place_decides() {
    let rule = "when: {path: {prefix: /}}";
    let spec = format!("{{rules: [{{{rule}}}, {{{rule}}}]}}");
    assert_eq!(
        told(&[("b", &spec), ("a", &spec)], &get("/")),
        "a: rule 1: path starting with `/`\n\
         - a 2: holds too, but an earlier rule of the lane does so\n\
         - b 1: holds too, but lane a comes first by name\n\
         - b 2: holds too, but lane a comes first by name"
    );
}

#[test]
fn what_came_close_and_why_not() {
    let (inside, outside) = users("gray", 500);
    check(
        &get("/").with("x-dev", "f").with("x-user", &outside).with("cookie", "gray=\u{1b}[31m2"),
        &[
            "baseline: no rule matched",
            "- gray 2: this user is outside the percentage",
            ALL_AWAY,
            "- gray 1: cookie gray is `\\u{1b}[31m2`, wanted `1`",
            "- blue 1: header x-dev is `f`, wanted one of `a`, `b`, `c`, … 2 more; path is `/`, wanted matching `/shop/**`",
        ],
    );
    check(
        &get("/").with("x-user", &inside).with("x-bot", ""),
        &[
            "baseline: no rule matched",
            ALL_AWAY,
            "- gray 2: header x-bot present holds",
            GRAY_AWAY,
            BLUE_AWAY,
        ],
    );
}

#[test]
fn a_percentage_says_from_where_on_its_user_is_in() {
    let lanes = [("gray", "{rules: [{percent: 100}]}")];
    let Reason::Share { rank, .. } = get("/").with("cookie", "canary-uid=u1").decide(&edge(&lanes)).reason
    else {
        panic!("not by percentage")
    };
    let from = f64::from(rank + 1) / 100.0;
    assert_eq!(
        told(&lanes, &get("/").with("cookie", "canary-uid=u1")),
        format!("gray: rule 1: 100 % of users (this user is in the lane from {from} % on)")
    );
    assert!(told(&lanes, &get("/")).contains("(a new user, who is in the lane from "));
}

#[test]
fn another_site_is_told_where_it_held_a_cookie_back() {
    let lanes = [
        ("gray", "{rules: [{when: {path: {exact: /x}}}]}"),
        (
            "half",
            "{rules: [{when: {path: {exact: /}}, percent: 50}, {when: {path: {exact: /all}}, percent: 100}]}",
        ),
    ];
    let close = "half 1: the request does not tell who its user is";
    for (path, expected) in [
        ("/", format!("baseline: no rule matched{HELD_BACK}\n- {close}\n")),
        ("/x", format!("gray: rule 1: path = /x{HELD_BACK}\n")),
        (
            "/all",
            format!(
                "half: rule 2: 100 % of users with path = /all \
                 (an unknown user, who is in the lane from 100 % on){HELD_BACK}\n"
            ),
        ),
    ] {
        let form = get(path).but(":method", "POST").with("sec-fetch-site", "cross-site");
        let told = told(&lanes, &form);
        assert!(told.starts_with(&expected), "{told}");
    }
}

#[test]
fn lanes_that_are_not_there_are_told_apart() {
    assert_eq!(told(&[], &get("/")), "baseline: there are no lanes");
    let expired = ("old", "{expires: '2001-01-01T00:00:00Z', rules: [{when: {path: {prefix: /}}}]}");
    assert_eq!(told(&[expired], &get("/")), "baseline: no rule matched\n- old 1: the lane has expired");
}

/// Each kind of test in words.
#[test]
fn rules_are_told_as_they_are_written() {
    for (when, text) in [
        ("{header: {name: x, prefix: a}}", "header x starting with `a`"),
        ("{header: {name: x, suffix: a}}", "header x ending with `a`"),
        ("{query: {name: q, contains: a}}", "query parameter q containing `a`"),
        ("{cookie: {name: c, regex: 'a|b'}}", "cookie c matching /a|b/"),
        ("{cookie: {name: c, exists: true}}", "cookie c present"),
        ("{cookie: {name: c, exists: false}}", "cookie c absent"),
        ("{header: {name: x, range: {min: 1}}}", "header x at least 1"),
        ("{header: {name: x, range: {max: 1}}}", "header x at most 1"),
        ("{header: {name: x, range: {min: 1, max: 2}}}", "header x from 1 to 2"),
        (
            "{client: {cidr: [10.0.0.0/8, '2001:db8::/32', 10.1.2.3]}}",
            "client address within 10.0.0.0/8, 2001:db8::/32, 10.1.2.3/32",
        ),
        ("{claim: {name: sub, exact: a}}", "claim sub (token in header authorization) = a"),
        (
            "{claim: {name: sub, from: {cookie: t}, in: [a, b]}}",
            "claim sub (token in cookie t) one of `a`, `b`",
        ),
        (
            "{host: {exact: shop.test}, not: {method: {exact: GET}}}",
            "(host = shop.test and not method = GET)",
        ),
    ] {
        let lanes = [("gray", format!("{{rules: [{{when: {when}}}]}}"))];
        let edge = edge(&[(lanes[0].0, &lanes[0].1)]);
        let explanation = get("/").ask(|headers| edge.explain(headers, None, NOW_S, || [7; 16]));
        let rules = explanation.rule.into_iter().chain(explanation.close.into_iter().map(|close| close.rule));
        assert_eq!(rules.map(|rule| rule.text).collect::<Vec<_>>(), [text]);
    }
}
