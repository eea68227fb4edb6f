//! An edge: what comes from outside is not believed, the decision is counted, the browser is told.

use canary_rules::wire::{EdgeSettings, Op, Subject, WireCondition, WireLane, WireRule, WireTest};

use super::*;

fn rule(subject: Subject, name: &str, op: Op, value: &str) -> WireRule {
    let json =
        format!(r#"{{"when":{{"test":{{"of":"cookie","name":"{name}","op":"in","values":["{value}"]}}}}}}"#);
    let mut rule: WireRule = serde_json::from_str(&json).expect("a rule");
    if let Some(WireCondition::Test(WireTest { subject: of, op: how, .. })) = &mut rule.when {
        (*of, *how) = (subject, op);
    }
    rule
}

fn lane_mut<'c>(config: &'c mut FilterConfig, name: &str) -> &'c mut WireLane {
    config.lanes.iter_mut().find(|lane| lane.name.as_str() == name).expect("a lane of the configuration")
}

/// Gray for the cookie gray=1, which sticks.
fn edge() -> FilterConfig {
    let mut config = gray(Role::Edge);
    let mut rule = rule(Subject::Cookie, "gray", Op::In, "1");
    rule.sticky = true;
    lane_mut(&mut config, "gray").rules.push(rule);
    config
}

fn cookies(response: &[(String, String)]) -> Vec<&str> {
    let lines = response.iter().filter(|(name, _)| name == "set-cookie");
    lines.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn a_rule_puts_a_request_in_its_lane() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let passed =
        pass(&root, &worker.fake, &[(":path", "/"), ("cookie", "a=b; gray=1"), ("x-request-id", UUID)]);
    assert_eq!(passed.next, Next::Continue);
    assert_eq!(passed.tag(), ["gray"]);
    assert_eq!(passed.lines("baggage"), ["canary-lane=gray"]);
    assert_eq!(worker.count("canaryctl.lane.gray.edge"), 1);
    assert_eq!(worker.count("canaryctl.lane.baseline.edge"), 0);
}

#[test]
fn a_baseline_request_is_counted_and_its_id_minted() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let passed = pass(&root, &worker.fake, &[(":path", "/"), ("x-request-id", UUID)]);
    assert_eq!(passed.tag(), [""; 0]);
    assert_ne!(passed.lines("x-request-id"), [UUID]);
    assert_eq!(passed.calls, ["headers", "set_header"]);
    assert_eq!(worker.count("canaryctl.lane.baseline.edge"), 1);
}

#[test]
fn a_request_id_is_minted_once() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let repeated = [("x-request-id", UUID), ("x-request-id", "b")];
    assert_eq!(pass(&root, &worker.fake, &repeated).calls, ["headers", "set_header"]);
    let minted = pass(&root, &worker.fake, &[("x-request-id", UUID)]).lines("x-request-id");
    assert_eq!(pass(&root, &worker.fake, &[("x-request-id", &minted[0])]).calls, ["headers"]);
}

#[test]
fn a_forged_tag_is_removed_from_every_carrier_and_counted() {
    for role in [Role::Edge, Role::EdgeGuard] {
        let worker = Worker::new();
        let mut config = edge();
        config.role = role;
        let root = worker.plugin(&config);
        let sent = [
            ("x-canary-lane", "gray"),
            ("x-canary-lane", "blue"),
            ("baggage", "a=1"),
            ("baggage", "canary-lane=gray"),
        ];
        let passed = pass(&root, &worker.fake, &sent);
        assert_eq!(passed.tag(), [""; 0], "{role:?}");
        assert_eq!(passed.lines("baggage").join(","), "a=1", "{role:?}");
        assert_eq!(worker.count("canaryctl.forged"), 1, "{role:?}");
    }
}

#[test]
fn where_headers_are_not_shown_whatever_may_be_a_tag_goes() {
    for role in [Role::Edge, Role::EdgeGuard] {
        let worker = Worker::new();
        let mut config = edge();
        config.role = role;
        let root = worker.plugin(&config);
        worker.fake.world_mut().hides_headers = true;
        let passed = pass(&root, &worker.fake, &[("x-canary-lane", "gray"), ("cookie", "gray=1")]);
        assert_eq!(passed.request, [("cookie".to_owned(), b"gray=1".to_vec())], "{role:?}");
        assert_eq!(worker.count("canaryctl.host_refused"), 1, "{role:?}");
    }
}

#[test]
fn the_lane_cookie_is_added_and_the_applications_cookies_stay() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let mut passed = pass(&root, &worker.fake, &[("cookie", "gray=1")]);
    let sent = [(":status", "200"), ("set-cookie", "app=1"), ("set-cookie", "app2=2")];
    let response = respond(&mut passed.stream, &worker.fake, &sent);
    let cookies = cookies(&response);
    assert_eq!(cookies.len(), 3);
    assert_eq!(cookies[..2], ["app=1", "app2=2"]);
    assert!(cookies[2].starts_with("canary-lane="), "{cookies:?}");
}

#[test]
fn a_form_of_another_site_is_routed_and_sets_no_cookie() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let sent = [(":method", "POST"), ("sec-fetch-site", "cross-site"), ("cookie", "gray=1")];
    let mut passed = pass(&root, &worker.fake, &sent);
    assert_eq!(passed.tag(), ["gray"]);
    assert_eq!(cookies(&respond(&mut passed.stream, &worker.fake, &[(":status", "200")])), [""; 0]);
}

#[test]
fn the_lane_cookie_alone_brings_the_user_back_and_is_not_set_again() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let mut first = pass(&root, &worker.fake, &[("cookie", "gray=1")]);
    let response = respond(&mut first.stream, &worker.fake, &[(":status", "200")]);
    let cookie = cookies(&response)[0].split(';').next().expect("a cookie").to_owned();
    let mut second = pass(&root, &worker.fake, &[("cookie", cookie)]);
    assert_eq!(second.tag(), ["gray"]);
    assert_eq!(cookies(&respond(&mut second.stream, &worker.fake, &[(":status", "200")])), [""; 0]);
}

#[test]
fn a_signature_that_does_not_verify_is_counted_and_not_believed() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let mut first = pass(&root, &worker.fake, &[("cookie", "gray=1")]);
    let response = respond(&mut first.stream, &worker.fake, &[(":status", "200")]);
    let cookie = cookies(&response)[0].split(';').next().expect("a cookie");
    let at = cookie.len() - 10;
    let other = if cookie.as_bytes()[at] == b'x' { 'y' } else { 'x' };
    let forged = format!("{}{other}{}", &cookie[..at], &cookie[at + 1..]);
    let passed = pass(&root, &worker.fake, &[("cookie", forged)]);
    assert_eq!(passed.tag(), [""; 0]);
    assert_eq!(worker.count("canaryctl.rejected_signatures"), 1);
}

#[test]
fn a_lanes_answer_is_kept_out_of_shared_caches_and_names_its_lane_where_wanted() {
    let worker = Worker::new();
    let mut config = edge();
    config.edge = Some(EdgeSettings { show_lane: true, vary: true, ..EdgeSettings::default() });
    let root = worker.plugin(&config);
    let mut passed = pass(&root, &worker.fake, &[("cookie", "gray=1")]);
    let sent = [(":status", "200"), ("cache-control", "public, max-age=60"), ("vary", "accept")];
    let response = respond(&mut passed.stream, &worker.fake, &sent);
    let value = |wanted: &str| {
        let lines = response.iter().filter(|(name, _)| name == wanted);
        lines.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(value("cache-control"), ["private, max-age=60"]);
    assert_eq!(value("x-canary-lane"), ["gray"]);
    let vary = value("vary");
    assert!(vary.len() == 2 && vary[0] == "accept" && vary[1].contains("cookie"), "{vary:?}");
}

#[test]
fn a_response_with_nothing_to_change_costs_no_call() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let mut passed = pass(&root, &worker.fake, &[(":path", "/")]);
    let response = respond(&mut passed.stream, &worker.fake, &[(":status", "200")]);
    assert_eq!(worker.fake.world().calls, [""; 0]);
    assert_eq!(response.len(), 1);
}

#[test]
fn only_the_first_response_is_changed() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let mut passed = pass(&root, &worker.fake, &[("cookie", "gray=1")]);
    respond(&mut passed.stream, &worker.fake, &[(":status", "200")]);
    let again = respond(&mut passed.stream, &worker.fake, &[(":status", "200")]);
    assert_eq!(again.len(), 1);
}

#[test]
fn the_clients_address_is_asked_for_only_where_a_rule_needs_it() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    assert!(!pass(&root, &worker.fake, &[(":path", "/")]).calls.contains(&"property"));

    let mut config = edge();
    let elsewhere =
        WireCondition::Any(rule(Subject::Client, "", Op::Cidr, "192.0.2.0/24").when.into_iter().collect());
    let mut home = rule(Subject::Cookie, "x", Op::In, "1");
    home.when = Some(WireCondition::All(vec![WireCondition::Not(Box::new(elsewhere))]));
    lane_mut(&mut config, "blue").rules.push(home);
    let root = worker.plugin(&config);
    for (address, tag) in [("10.1.2.3:4567", &["blue"][..]), ("192.0.2.7:4567", &[])] {
        worker.fake.world_mut().properties.insert("source/address".to_owned(), address.as_bytes().to_vec());
        let passed = pass(&root, &worker.fake, &[(":path", "/")]);
        assert!(passed.calls.contains(&"property"));
        assert_eq!(passed.tag(), tag, "{address}");
    }
}

#[test]
fn bytes_that_are_no_text_pass_unharmed() {
    let worker = Worker::new();
    let root = worker.plugin(&edge());
    let noise: &[u8] = b"caf\xe9\xff\xfe=; gray=\xff";
    let sent = [":path", ":authority", "cookie", "baggage", "x-canary-lane", "x-request-id", "authorization"];
    let passed = pass(&root, &worker.fake, &sent.map(|name| (name, noise)));
    assert_eq!(passed.next, Next::Continue);
}
