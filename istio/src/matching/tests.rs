use serde_json::json;

use super::*;

fn request() -> Request {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Request {
        path: "/Cart/items".into(),
        method: "GET".into(),
        headers: pairs(&[("end-user", "alice"), ("x-canary-lane", "gray")]),
        query: pairs(&[("q", "a%20b"), ("empty", "")]),
        port: 8080,
        ..Request::default()
    }
}

#[track_caller]
fn check(one: Value, want: Option<&[&str]>) {
    let got = placed(&one, &request()).and_then(|placed| Some([placed, holds(&one, &request())?].concat()));
    assert_eq!(
        got.as_deref(),
        want.map(|want| want.iter().map(ToString::to_string).collect::<Terms>()).as_deref(),
        "{one}"
    );
}

const YES: Option<&[&str]> = Some(&[]);

#[test]
fn a_path_is_compared_whole_or_from_its_start() {
    check(json!({"uri": {"exact": "/Cart/items"}}), YES);
    check(json!({"uri": {"exact": "/Cart"}}), None);
    check(json!({"uri": {"prefix": "/Cart"}}), YES);
    check(json!({"uri": {"prefix": "/Cart/it"}}), YES);
    check(json!({"uri": {"prefix": "/cart"}}), None);
    check(json!({"uri": {"prefix": "/cart"}, "ignoreUriCase": true}), YES);
    check(json!({"uri": {"exact": "/cart/ITEMS"}, "ignoreUriCase": true}), YES);
}

#[test]
fn a_regular_expression_matches_the_whole_text_and_folds_no_case() {
    check(json!({"uri": {"regex": "/Cart/.*"}}), YES);
    check(json!({"uri": {"regex": "/Cart"}}), None);
    check(json!({"uri": {"regex": "/cart/.*"}, "ignoreUriCase": true}), None);
    check(json!({"headers": {"end-user": {"regex": "a|alice"}}}), YES);
    check(json!({"headers": {"end-user": {"regex": "lic"}}}), None);
    check(json!({"headers": {"end-user": {"regex": "\\pN"}}}), Some(&["header end-user matches /\\pN/"]));
}

#[test]
fn headers_have_to_be_there_or_not() {
    check(json!({"headers": {"End-User": {"exact": "alice"}}}), YES);
    check(json!({"headers": {"end-user": {"prefix": "ali"}, "x-canary-lane": {"exact": "gray"}}}), YES);
    check(json!({"headers": {"end-user": {"exact": "bob"}}}), None);
    check(json!({"headers": {"absent": {"regex": ".*"}}}), None);
    check(json!({"headers": {"end-user": {}}}), YES);
    check(json!({"headers": {"absent": {}}}), None);
    check(json!({"headers": {"absent": {"regex": "*"}}}), None);
    check(json!({"withoutHeaders": {"absent": {}}}), YES);
    check(json!({"withoutHeaders": {"end-user": {}}}), None);
    check(json!({"withoutHeaders": {"end-user": {"exact": "bob"}}}), YES);
    check(json!({"withoutHeaders": {"end-user": {"exact": "alice"}}}), None);
    // One that is absent is compared as an empty one.
    check(json!({"withoutHeaders": {"absent": {"regex": ".*"}}}), None);
    check(json!({"withoutHeaders": {"absent": {"exact": "a"}}}), YES);
}

#[test]
fn parameters_are_compared_as_they_are_written() {
    check(json!({"queryParams": {"q": {"exact": "a%20b"}}}), YES);
    check(json!({"queryParams": {"q": {"exact": "a b"}}}), None);
    check(json!({"queryParams": {"empty": {}}}), YES);
    check(json!({"queryParams": {"absent": {}}}), None);
}

#[test]
fn method_and_port_are_known() {
    check(json!({"method": {"exact": "GET"}, "port": 8080}), YES);
    check(json!({"method": {"exact": "get"}}), None);
    check(json!({"port": 80}), None);
    check(json!({"port": 0}), YES);
}

#[test]
fn gateways_stand_above_what_a_caller_is() {
    check(json!({"gateways": ["mesh", "public"]}), YES);
    check(json!({"gateways": ["public"]}), None);
    check(json!({"gateways": ["mesh"], "sourceLabels": {"app": "job"}}), YES);
}

#[test]
fn what_is_not_known_of_a_caller_is_said() {
    check(json!({"sourceLabels": {"app": "job"}}), Some(&["the caller's label app is job"]));
    check(json!({"sourceNamespace": "front"}), Some(&["the caller is in namespace front"]));
    check(json!({"scheme": {"exact": "https"}}), Some(&["the caller's scheme is `https`"]));
    check(
        json!({"authority": {"prefix": "cart"}, "method": {"exact": "GET"}}),
        Some(&["the host as the caller writes it starts with `cart`"]),
    );
    let claim = json!({"headers": {"@request.auth.claims[group]": {"exact": "qa"}}});
    check(claim, Some(&["@request.auth.claims[group] of a verified token is `qa`"]));
    check(json!({"sourceLabels": {"app": "job"}, "method": {"exact": "PUT"}}), None);
}

#[test]
fn what_is_known_of_a_caller_decides() {
    let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
    let known = Request { source_labels: Some(labels), source_namespace: Some("shop".into()), ..request() };
    let placed = |one: Value| placed(&one, &known);
    assert_eq!(
        placed(json!({"sourceLabels": {"app": "web"}, "sourceNamespace": "shop"})),
        Some(Terms::new())
    );
    assert_eq!(placed(json!({"sourceLabels": {"app": "job"}})), None);
    assert_eq!(placed(json!({"sourceNamespace": "front"})), None);
}
