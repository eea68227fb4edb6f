//! Percentages: how a user is told apart, and when one is given an id.

use std::collections::BTreeMap;

use canary_rules::edge::{Edge, Reason};
use canary_rules::layers;

use super::kit::{Message, NOW_S, UID, edge, get, lane_of, set_cookies};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A user whom `share` hundredths of a percent of the default layer cover, and one whom they do not.
pub(crate) fn users(lane_name: &str, share: u16) -> (String, String) {
    let mut claims = [layers::Claim { lane: super::kit::lane(lane_name), share, held: Vec::new() }];
    layers::allocate("default", &mut claims).expect("room");
    let user = |wanted: bool| {
        let mut users = (0..).map(|number| format!("user{number}"));
        users.find(|user| claims[0].held.contains(&layers::bucket("default", user.as_bytes())) == wanted)
    };
    (user(true).expect("a user"), user(false).expect("a user"))
}

fn with_uid(uid: &str) -> Message {
    get("/").with("cookie", format!("canary-uid={uid}"))
}

#[track_caller]
fn lane_with(spec: &str, request: &Message, expected: bool) {
    let edge = edge(&[("gray", spec)]);
    assert_eq!(request.decide(&edge).lane.is_some(), expected, "{spec} {request:?}");
}

#[test]
fn a_percentage_covers_its_share_of_users() {
    let (inside, outside) = users("gray", 500);
    lane_with("{rules: [{percent: 5}]}", &with_uid(&inside), true);
    lane_with("{rules: [{percent: 5}]}", &with_uid(&outside), false);
}

#[test]
fn all_and_none_are_percentages_too() {
    let all = edge(&[("gray", "{rules: [{percent: 100}]}")]);
    let none = edge(&[("gray", "{rules: [{percent: 0}]}")]);
    for number in 0..200 {
        let request = with_uid(&format!("u{number}"));
        assert!(request.decide(&all).lane.is_some());
        assert!(request.decide(&none).lane.is_none());
    }
}

#[test]
fn a_share_of_what_a_condition_holds_for() {
    let (inside, outside) = users("gray", 500);
    let spec = "{rules: [{when: {header: {name: country, exact: de}}, percent: 5}]}";
    lane_with(spec, &with_uid(&inside).with("country", "de"), true);
    lane_with(spec, &with_uid(&outside).with("country", "de"), false);
    lane_with(spec, &with_uid(&inside).with("country", "fr"), false);
}

#[test]
fn the_first_key_that_a_request_has_tells_the_user() {
    let (inside, outside) = users("gray", 500);
    let spec = "{key: [{header: X-User}, {cookie: user}], rules: [{percent: 5}]}";
    lane_with(spec, &get("/").with("x-user", &inside), true);
    lane_with(spec, &get("/").with("x-user", &outside), false);
    let cookie = |user: &str| get("/").with("cookie", format!("user={user}; canary-uid={outside}"));
    lane_with(spec, &cookie(&inside), true);
    lane_with(spec, &cookie(&inside).with("x-user", &outside), false);
    lane_with(spec, &cookie(&outside).with("x-user", &inside), true);
    // An empty value tells nobody apart.
    lane_with(spec, &cookie(&inside).with("x-user", ""), true);
    lane_with(spec, &with_uid(&inside), true);
    lane_with(spec, &with_uid(&outside), false);
}

#[test]
fn a_claim_tells_the_user() {
    use base64::Engine as _;
    let (inside, outside) = users("gray", 500);
    let bearing = |user: &str| {
        let payload =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{user}"}}"#));
        get("/").with("authorization", format!("Bearer x.{payload}.y"))
    };
    let spec = "{key: [{claim: {name: sub}}], rules: [{percent: 5}]}";
    lane_with(spec, &bearing(&inside), true);
    lane_with(spec, &bearing(&outside), false);
    let spec = "{key: [{claim: {name: sub, from: {cookie: t}}}], rules: [{percent: 5}]}";
    lane_with(spec, &bearing(&inside).with("cookie", format!("canary-uid={outside}")), false);
}

#[test]
fn a_user_without_a_key_is_given_an_id_once() {
    let edge = edge(&[
        ("a", "{layer: l1, rules: [{percent: 1}]}"),
        ("b", "{layer: l2, rules: [{percent: 1}]}"),
        ("c", "{layer: l3, rules: [{percent: 1}]}"),
    ]);
    let decision = get("/").decide(&edge);
    let uids: Vec<_> =
        set_cookies(&decision).into_iter().filter(|line| line.starts_with("canary-uid=")).collect();
    assert_eq!(uids, [format!("canary-uid={UID}; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax")]);
    let again = with_uid(UID).decide(&edge);
    assert!(set_cookies(&again).iter().all(|line| !line.starts_with("canary-uid=")));
    assert_eq!((lane_of(&again), again.reason), (lane_of(&decision), decision.reason));
}

/// What a browser keeps of what it was told to set, and sends.
#[derive(Default)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    /// A visit, and whether it was in a lane.
    fn visits(&mut self, edge: &Edge, now_s: u64) -> bool {
        let cookies: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = get("/").with("cookie", cookies.join("; ")).at(now_s);
        let decision = request.decide(edge);
        for line in set_cookies(&decision) {
            let (cookie, attributes) = line.split_once("; ").unwrap_or((&line, ""));
            let (name, value) = cookie.split_once('=').expect("a cookie");
            match attributes.contains("Max-Age=0") {
                true => drop(self.0.remove(name)),
                false => drop(self.0.insert(name.into(), value.into())),
            }
        }
        decision.lane.is_some()
    }
}

/// Elsewhere sticky users moved to the canary alone, until all of them were there.
#[test]
fn flagger_1532_a_share_of_users_who_come_again_and_again_stays_what_it_is() {
    let edge = edge(&[("gray", "{rules: [{percent: 30}]}")]);
    let user = |number: u32| Browser([("canary-uid".to_owned(), format!("user{number}"))].into());
    let mut browsers: Vec<Browser> = (0..500).map(user).collect();
    // Cookies of lanes come to their end and are given anew.
    let mut visit = |now_s| browsers.iter_mut().map(|one| one.visits(&edge, now_s)).collect::<Vec<_>>();
    let first = visit(NOW_S);
    let inside = first.iter().filter(|is_in| **is_in).count();
    assert!((100..200).contains(&inside), "{inside} of 500 are in a lane of 30 %");
    for times in 1..10 {
        assert_eq!(visit(NOW_S + times * 1200), first, "visit {times}");
    }
}

/// Whether a request is given an id.
#[track_caller]
fn gives_id(lanes: &[(&str, &str)], request: &Message, expected: bool) {
    let edge = edge(lanes);
    let decision = request.decide(&edge);
    let given = set_cookies(&decision).iter().any(|line| line.starts_with("canary-uid="));
    assert_eq!(given, expected, "{lanes:?} {request:?}");
}

#[test]
fn an_id_is_given_only_where_a_percentage_asks() {
    let percent = ("gray", "{rules: [{percent: 5}]}");
    gives_id(&[percent], &get("/"), true);
    gives_id(&[], &get("/"), false);
    gives_id(&[("gray", "{rules: [{when: {path: {exact: /x}}}]}")], &get("/"), false);
    gives_id(&[("gray", "{rules: [{percent: 0}]}")], &get("/"), false);
    gives_id(
        &[("gray", "{key: [{header: x-user}], rules: [{percent: 5}]}")],
        &get("/").with("x-user", "u"),
        false,
    );
    gives_id(&[("gray", "{key: [{header: x-user}], rules: [{percent: 5}]}")], &get("/"), true);
    gives_id(&[("gray", "{rules: [{when: {path: {exact: /x}}, percent: 5}]}")], &get("/"), false);
    gives_id(&[("gray", "{rules: [{when: {path: {exact: /x}}, percent: 5}]}")], &get("/x"), true);
    gives_id(&[("gray", "{expires: '2001-01-01T00:00:00Z', rules: [{percent: 5}]}")], &get("/"), false);
    let explicit = ("other", "{rules: [{when: {path: {exact: /x}}}]}");
    gives_id(&[percent, explicit], &get("/x"), false);
    gives_id(&[percent, explicit], &get("/"), true);
}

#[test]
fn what_is_no_id_is_replaced() {
    let lanes = &[("gray", "{rules: [{percent: 5}]}")];
    gives_id(lanes, &with_uid("abc"), false);
    gives_id(lanes, &with_uid(&"a".repeat(64)), false);
    for bad in ["", "a b", "a-b", "é", &"a".repeat(65)] {
        gives_id(lanes, &with_uid(bad), true);
    }
}

#[test]
fn a_user_in_two_lanes_of_one_layer_is_in_one() {
    let edge = edge(&[("a", "{rules: [{percent: 50}]}"), ("b", "{rules: [{percent: 50}]}")]);
    for number in 0..500 {
        let request = with_uid(&format!("u{number}"));
        let first = request.decide(&edge);
        assert!(first.lane.is_some(), "both halves make all");
        assert_eq!(lane_of(&first), lane_of(&request.decide(&edge)));
    }
}

#[test]
fn the_rank_says_from_which_share_on_a_user_is_in() {
    let edge = edge(&[("gray", "{rules: [{percent: 100}]}")]);
    let decision = with_uid("u1").decide(&edge);
    let Reason::Share { rule: 0, rank } = decision.reason else { panic!("{:?}", decision.reason) };
    let percent = |hundredths: u16| format!("{{rules: [{{percent: {}}}]}}", f64::from(hundredths) / 100.0);
    lane_with(&percent(rank + 1), &with_uid("u1"), true);
    lane_with(&percent(rank), &with_uid("u1"), false);
}
