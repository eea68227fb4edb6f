//! The reader against what serde derives for the same types.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use serde_json::{Value, json};

use super::*;

/// A configuration in which nothing has its default. No `..`: a new field has to be written here.
fn full() -> FilterConfig {
    let name = |name: &str| LaneName::new(name).expect("a lane's name");
    let test = WireTest {
        subject: Subject::HeaderClaim,
        name: "authorization".into(),
        claim: "sub".into(),
        op: Op::Range,
        values: vec!["a".into(), "caf\u{e9} \"\\\n".into()],
        ignore_case: true,
        min: Some(i64::MIN),
        max: Some(i64::MAX),
    };
    let attributes = CookieAttributes {
        path: "/shop".into(),
        domain: Some("shop.example".into()),
        secure: true,
        http_only: false,
        same_site: None,
        partitioned: true,
    };
    let condition = WireCondition::All(vec![
        WireCondition::Any(vec![WireCondition::Test(test.clone())]),
        WireCondition::Not(Box::new(WireCondition::Test(test))),
    ]);
    let rule = WireRule { name: "testers".into(), when: Some(condition), share: Some(125), sticky: true };
    let lane = WireLane {
        name: name("gray"),
        parent: Some(name("blue")),
        epoch: 3,
        priority: -7,
        expires_unix_s: Some(4_102_444_800),
        rules: vec![rule],
        layer: "checkout".into(),
        buckets: "0-9".into(),
        cookie_max_age_s: 60,
        cookie: Some(attributes.clone()),
    };
    let key =
        |id: &str, secret: u8| Key::new(KeyId::new(id).expect("an id"), vec![secret; 32]).expect("a key");
    let source = WireKeySource { subject: Subject::Cookie, name: "uid".into(), claim: "id".into() };
    FilterConfig {
        version: VERSION,
        role: Role::EdgeGuard,
        lanes: vec![lane],
        carriers: Carriers {
            header: HeaderName::new("x-lane").expect("a header"),
            aliases: vec![HeaderName::new("x-mse-tag").expect("a header")],
            baggage: Some(BaggageKey::new("lane").expect("a key")),
            request_id: false,
            correlation: vec![IdSource::Sw8, IdSource::new("x-flow").expect("a header")],
        },
        keys: Some(KeyRing::new([key("k2", 2), key("k1", 1)]).expect("a ring")),
        peers: Peers::Any,
        linger_s: 7,
        edge: Some(EdgeSettings {
            lane_cookie: CookieName::new("lane").expect("a cookie"),
            uid_cookie: CookieName::new("uid").expect("a cookie"),
            cookie: attributes,
            trusted_hops: 2,
            show_lane: true,
            vary: true,
            layers: vec![WireLayer { name: "checkout".into(), key: vec![source] }],
        }),
        trace: Some(Tracing {
            key: TraceKey::new([7; 16]),
            expires_unix_s: 4_102_444_800,
            samples: vec!["gray 5 9".into()],
        }),
    }
}

#[track_caller]
fn check(json: &Value) {
    let ours = FilterConfig::parse(json.to_string().as_bytes());
    let theirs: Result<FilterConfig, _> = serde_json::from_value(json.clone());
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{json}"),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{json}\nours: {ours:?}\nserde's: {theirs:?}"),
    }
}

/// Calls back with the text once for each place in it, changed there.
fn at_every_place(json: &Value, change: &dyn Fn(&mut Value) -> bool, visit: &mut dyn FnMut(&Value)) {
    fn walk(
        root: &mut Value,
        path: &str,
        change: &dyn Fn(&mut Value) -> bool,
        visit: &mut dyn FnMut(&Value),
    ) {
        let Some(here) = root.pointer_mut(path) else { return };
        let before = here.clone();
        if change(here) {
            visit(root);
        }
        if let Some(here) = root.pointer_mut(path) {
            *here = before.clone();
        }
        match before {
            Value::Object(members) => {
                members.keys().for_each(|name| walk(root, &format!("{path}/{name}"), change, visit));
            }
            Value::Array(items) => {
                (0..items.len()).for_each(|at| walk(root, &format!("{path}/{at}"), change, visit));
            }
            _ => {}
        }
    }
    walk(&mut json.clone(), "", change, visit);
}

fn as_json(config: &FilterConfig) -> Value {
    serde_json::from_str(&config.to_json()).expect("JSON")
}

#[test]
fn a_configuration_reads_as_it_was_written() {
    for config in [full(), FilterConfig::new(Role::Inbound)] {
        assert_eq!(FilterConfig::parse(config.to_json().as_bytes()).expect("a configuration"), config);
        check(&as_json(&config));
    }
}

#[test]
fn every_name_of_an_enumeration() {
    let mut config = as_json(&full());
    let mut each = |path: &str, names: &[&str]| {
        let before = config.pointer(path).expect("a place").clone();
        for name in names.iter().chain(&["", "other", "COOKIE"]) {
            *config.pointer_mut(path).expect("a place") = json!(name);
            check(&config);
        }
        *config.pointer_mut(path).expect("a place") = before;
    };
    each("/role", &["edgeGuard", "edge", "inbound", "outbound"]);
    each("/peers", &["mtls", "any"]);
    each("/edge/cookie/sameSite", &["Strict", "Lax", "None"]);
    let subjects =
        ["cookie", "header", "query", "path", "method", "host", "client", "headerClaim", "cookieClaim"];
    each("/edge/layers/0/key/0/subject", &subjects);
    let test = "/lanes/0/rules/0/when/all/1/not/test";
    each(&format!("{test}/of"), &subjects);
    let ops = ["in", "prefix", "suffix", "contains", "regex", "glob", "exists", "absent", "range", "cidr"];
    each(&format!("{test}/op"), &ops);
    each("/carriers/correlation/0", &["traceparent", "b3", "x-b3-traceid", "sw8", "uber-trace-id"]);
}

#[test]
fn an_absent_field_has_the_same_default_or_is_the_same_error() {
    let mut places = 0;
    let config = as_json(&full());
    let names: Vec<String> = {
        let mut names = Vec::new();
        at_every_place(&config, &|value| value.is_object(), &mut |root| {
            collect_names(root, &mut names);
        });
        names
    };
    for name in names {
        let drop = |value: &mut Value| value.as_object_mut().is_some_and(|o| o.remove(&name).is_some());
        at_every_place(&config, &drop, &mut |changed| {
            places += 1;
            check(changed);
        });
    }
    assert!(places > 40, "{places}");
}

fn collect_names(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            if !names.contains(name) {
                names.push(name.clone());
            }
            collect_names(member, names);
        }),
        Value::Array(items) => items.iter().for_each(|item| collect_names(item, names)),
        _ => {}
    }
}

#[test]
fn an_unknown_field_is_let_pass_everywhere() {
    let add = |value: &mut Value| {
        let plain = |o: &serde_json::Map<String, Value>| {
            !["all", "any", "not", "test"].iter().any(|k| o.contains_key(*k))
        };
        value.as_object_mut().filter(|o| plain(o)).map(|o| o.insert("newer".into(), json!([1]))).is_some()
    };
    let mut places = 0;
    at_every_place(&as_json(&full()), &add, &mut |changed| {
        places += 1;
        let read = FilterConfig::parse(changed.to_string().as_bytes());
        assert_eq!(read.expect("a configuration"), full(), "{changed}");
    });
    assert!(places > 8, "{places}");
}

#[test]
fn a_value_of_another_shape_is_refused_everywhere() {
    let wrong = [json!(true), json!(-1), json!(1.5), json!("caf\u{e9} "), json!([[]]), json!({"x": 1})];
    for other in &wrong {
        let replace = |value: &mut Value| {
            let differs = core::mem::discriminant(value) != core::mem::discriminant(other);
            *value = other.clone();
            differs
        };
        at_every_place(&as_json(&full()), &replace, &mut |changed| {
            // Serde lets a list stand for an object's fields in order; nobody writes that.
            if !other.is_array() {
                check(changed);
            } else {
                assert!(FilterConfig::parse(changed.to_string().as_bytes()).is_err(), "{changed}");
            }
        });
    }
}

#[test]
fn the_error_names_the_field() {
    let error = |json: &str| match FilterConfig::parse(json.as_bytes()) {
        Err(WireError::Shape(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(error(r#"{"version":1}"#), "no valid `role`");
    assert_eq!(error(r#"{"version":1,"role":"edge","lanes":[{"name":"UP"}]}"#), "no valid `name`");
    assert_eq!(error("{"), "no JSON from byte 1 on");
    assert_eq!(error("null"), "no valid `version`");
}

#[test]
fn a_newer_version_is_refused_whatever_else_it_holds() {
    let read = FilterConfig::parse(br#"{"version":2,"role":{"new":"shape"}}"#);
    assert!(matches!(read, Err(WireError::Version { found: 2 })), "{read:?}");
}

#[test]
fn more_lanes_than_fit_are_refused() {
    let lanes = |count: usize| {
        let lanes: Vec<Value> = (0..count).map(|n| json!({"name": format!("lane-{n}")})).collect();
        FilterConfig::parse(json!({"version": 1, "role": "inbound", "lanes": lanes}).to_string().as_bytes())
    };
    assert!(lanes(LANES_MAX).is_ok());
    assert!(matches!(lanes(LANES_MAX + 1), Err(WireError::TooManyLanes { .. })));
}
