//! Who gets a request that several claim.

use core::cmp::Reverse;

use canary_rules::edge::Reason;
use canary_rules::precedence::{Class, Precedence};
use canary_rules::signing::{Assigned, Purpose};

use super::kit::{NOW_S, check, edge, get, lane, lane_cookie, token};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const ALL: &str = "when: {path: {prefix: /}}";
const LATER_S: u64 = NOW_S + 1000;

#[test]
fn explicit_rules_of_any_lane_beat_percentages() {
    let edge = edge(&[
        ("a", "{priority: 100, rules: [{percent: 100}]}"),
        ("b", "{priority: -100, rules: [{when: {header: {name: x, exact: b}}}]}"),
    ]);
    check(&edge, &get("/").with("x", "b"), Some("b"), Reason::Rule(0));
    let request = get("/").with("cookie", "canary-uid=u1");
    assert_eq!(super::kit::lane_of(&request.decide(&edge)), Some("a"));
}

#[test]
fn between_explicit_rules_priority_decides() {
    let rules = format!("rules: [{{{ALL}}}]");
    let edge = edge(&[
        ("a", &format!("{{{rules}}}")),
        ("b", &format!("{{priority: 1, {rules}}}")),
        ("c", &format!("{{priority: -1, {rules}}}")),
    ]);
    check(&edge, &get("/"), Some("b"), Reason::Rule(0));
}

#[test]
fn between_lanes_of_one_priority_the_name_decides() {
    let rules = format!("{{priority: 7, rules: [{{{ALL}}}]}}");
    for order in [["b", "a-z", "a"], ["a", "b", "a-z"]] {
        check(&edge(&order.map(|name| (name, rules.as_str()))), &get("/"), Some("a"), Reason::Rule(0));
    }
}

#[test]
fn within_a_lane_the_first_rule_that_holds_decides() {
    let edge = edge(&[(
        "a",
        "{rules: [{when: {header: {name: x, exact: '1'}}}, {when: {path: {prefix: /p}}}, {when: {header: {name: x, exact: '1'}}}]}",
    )]);
    check(&edge, &get("/p"), Some("a"), Reason::Rule(1));
    check(&edge, &get("/p").with("x", "1"), Some("a"), Reason::Rule(0));
    check(&edge, &get("/"), None, Reason::Nothing);
}

/// A rule that is found by look-up and one that is tried must not overtake each other.
#[test]
fn how_a_rule_is_found_does_not_matter() {
    let looked_up = "{when: {header: {name: x, exact: '1'}}}";
    let folded = "{when: {header: {name: x, in: ['1'], ignoreCase: true}}}";
    let tried = "{when: {header: {name: x, prefix: '1'}}}";
    let either = "{when: {any: [{header: {name: x, exact: '1'}}, {cookie: {name: c, exact: '1'}}]}}";
    let claimed = "{when: {not: {claim: {name: sub, exact: a}}}}";
    let all = [looked_up, folded, tried, either, claimed];
    for first in all {
        for second in all {
            let edge = edge(&[
                ("a", &format!("{{priority: 1, rules: [{first}]}}")),
                ("b", &format!("{{priority: 2, rules: [{second}]}}")),
            ]);
            check(&edge, &get("/").with("x", "1"), Some("b"), Reason::Rule(0));
        }
    }
}

/// Lanes that claim a request in every way at once, each weaker way another lane's.
#[test]
fn signed_beats_rule_beats_assigned_beats_share() {
    let edge = edge(&[
        ("header", "{}"),
        ("link", "{}"),
        ("rule", "{rules: [{when: {header: {name: x, exact: '1'}}}]}"),
        ("assigned", "{rules: [{when: {header: {name: never, exact: '1'}}}]}"),
        ("share", "{priority: 9, rules: [{percent: 100}]}"),
    ]);
    let cookie = lane_cookie("assigned", Assigned::Rule, LATER_S);
    let link = format!("/?canary-lane={}", token(Purpose::Link, "link", Assigned::Rule, LATER_S));
    let share = get("/").with("cookie", "canary-uid=u1");
    let assigned = get("/").with("cookie", format!("canary-uid=u1; {cookie}"));
    let rule = assigned.clone().with("x", "1");
    let linked = rule.clone().but(":path", link);
    let signed =
        linked.clone().with("x-canary-lane", token(Purpose::Header, "header", Assigned::Rule, LATER_S));
    assert_eq!(super::kit::lane_of(&share.decide(&edge)), Some("share"));
    check(&edge, &assigned, Some("assigned"), Reason::Assigned);
    check(&edge, &rule, Some("rule"), Reason::Rule(0));
    check(&edge, &linked, Some("link"), Reason::SignedLink);
    check(&edge, &signed, Some("header"), Reason::SignedHeader);
}

#[test]
fn between_layers_priority_and_then_the_name_decides() {
    let lanes = |p: [i32; 2]| {
        [
            ("b", format!("{{priority: {}, layer: l1, rules: [{{percent: 100}}]}}", p[0])),
            ("a", format!("{{priority: {}, layer: l2, rules: [{{percent: 100}}]}}", p[1])),
        ]
    };
    for (priorities, expected) in [([0, 0], "a"), ([1, 0], "b"), ([0, 1], "a")] {
        let lanes = lanes(priorities);
        let edge = edge(&[(lanes[0].0, &lanes[0].1), (lanes[1].0, &lanes[1].1)]);
        let request = get("/").with("cookie", "canary-uid=u1");
        assert_eq!(super::kit::lane_of(&request.decide(&edge)), Some(expected), "{priorities:?}");
    }
}

#[test]
fn a_lane_that_has_expired_claims_nothing() {
    let edge = edge(&[
        ("a", "{priority: 1, expires: '2030-01-01T00:00:00Z', rules: [{when: {path: {prefix: /}}}]}"),
        ("b", "{rules: [{when: {path: {prefix: /}}}]}"),
    ]);
    let end_s = 1_893_456_000;
    check(&edge, &get("/").at(end_s - 1), Some("a"), Reason::Rule(0));
    check(&edge, &get("/").at(end_s), Some("b"), Reason::Rule(0));
    let link = format!("/?canary-lane={}", token(Purpose::Link, "a", Assigned::Rule, end_s + 9));
    check(&edge, &get(&link).at(end_s), Some("b"), Reason::Rule(0));
}

/// The order itself, field by field.
#[test]
fn precedence_is_class_then_priority_then_name_then_place() {
    let (a, b) = (lane("a"), lane("b"));
    let claim = |class, priority, lane, rule| Precedence { class, priority: Reverse(priority), lane, rule };
    let ordered = [
        claim(Class::Signed, 0, &b, 9),
        claim(Class::Rule, 1, &b, 9),
        claim(Class::Rule, 0, &a, 0),
        claim(Class::Rule, 0, &a, 1),
        claim(Class::Rule, 0, &b, 0),
        claim(Class::Rule, -1, &a, 0),
        claim(Class::Assigned, 5, &a, 0),
        claim(Class::Share, 9, &a, 0),
    ];
    for (index, weaker) in ordered.iter().enumerate().skip(1) {
        assert!(ordered[index - 1] < *weaker, "{weaker:?}");
    }
}
