//! The filter's configuration: what older and newer writers may send, and what is refused.

use canary_rules::name::LaneName;
use canary_rules::set_cookie::CookieAttributes;
use canary_rules::wire::{
    Filter, FilterConfig, LANES_MAX, Op, Role, Subject, VERSION, WireCondition, WireError, WireLane,
    WireLayer, WireRule, WireTest,
};
use serde_json::{Value, json};

use super::kit::{documents, lane, settings};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const FULL: [(&str, &str); 2] = [
    (
        "gray",
        "{priority: 3, parent: blue, expires: '2030-01-01T00:00:00Z', key: [{claim: {name: sub, from: {cookie: t}}}], \
      cookie: {maxAgeSeconds: 9, attributes: {domain: shop.test}}, rules: [{name: a, sticky: false, percent: 5, \
      when: {any: [{not: {header: {name: x, range: {min: -1, max: 2}}}}, {claim: {name: groups, in: [a, b], ignoreCase: true}}]}}]}",
    ),
    ("blue", "{rules: [{when: {client: {cidr: [10.0.0.0/8]}, path: {glob: '/a/**'}}}]}"),
];

fn full(role: Role) -> FilterConfig {
    let mut settings = settings();
    settings.edge.cookie.secure = true;
    settings.config(role, &documents(&FULL).compiled)
}

const ROLES: [Role; 4] = [Role::EdgeGuard, Role::Edge, Role::Inbound, Role::Outbound];

#[test]
fn configurations_read_back_as_written() {
    for role in ROLES {
        let config = full(role);
        assert_eq!(FilterConfig::parse(config.to_json().as_bytes()).expect("read"), config);
    }
}

#[test]
fn sidecars_are_told_no_rules_and_edges_no_less() {
    for role in [Role::EdgeGuard, Role::Inbound, Role::Outbound] {
        let config = full(role);
        assert!(
            config.edge.is_none()
                && config.lanes.iter().all(|lane| lane.rules.is_empty() && lane.buckets.is_empty())
        );
        assert_eq!(config.lanes[0].parent, Some(lane("blue")));
    }
    let edge = full(Role::Edge);
    assert!(edge.edge.is_some_and(|edge| edge.layers.len() == 1));
    assert!(edge.lanes.iter().all(|lane| !lane.rules.is_empty()));
}

/// Puts a field that nobody knows into every object.
fn from_the_future(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(from_the_future);
            // A condition's only field says which kind it is.
            if !["all", "any", "not", "test"].iter().any(|kind| fields.contains_key(*kind)) {
                fields.insert("fromTheFuture".into(), json!({ "a": [1] }));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(from_the_future),
        _ => {}
    }
}

#[test]
fn fields_of_a_newer_writer_are_ignored_everywhere() {
    for role in ROLES {
        let config = full(role);
        let mut json: Value = serde_json::from_str(&config.to_json()).expect("JSON");
        from_the_future(&mut json);
        assert_eq!(FilterConfig::parse(json.to_string().as_bytes()).expect("read"), config);
    }
}

#[test]
fn what_an_older_writer_leaves_out_has_a_default() {
    let config = FilterConfig::parse(br#"{"version":1,"role":"edge"}"#).expect("read");
    assert_eq!(config, FilterConfig::new(Role::Edge));
    let config =
        FilterConfig::parse(br#"{"version":0,"role":"inbound","lanes":[{"name":"gray"}]}"#).expect("read");
    assert_eq!(config.lanes, [WireLane::new(lane("gray"))]);
    let json = br#"{"version":1,"role":"edge","edge":{"cookie":{"secure":true}}}"#;
    let cookie = FilterConfig::parse(json).expect("read").edge.expect("an edge").cookie;
    assert_eq!(cookie, CookieAttributes { secure: true, ..CookieAttributes::default() });
}

#[test]
fn a_newer_version_is_refused_as_a_whole() {
    let error = FilterConfig::parse(br#"{"version":2,"role":"edge"}"#).expect_err("newer");
    assert_eq!(VERSION, 1);
    assert_eq!(error.to_string(), "configuration version 2 is newer than 1, the newest this filter reads");
}

#[test]
fn what_is_no_configuration_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"version":1}"#,
        r#"{"version":1,"role":"judge"}"#,
        r#"{"version":-1,"role":"edge"}"#,
        r#"{"version":1,"role":"edge","lanes":[{"name":"Gray"}]}"#,
        r#"{"version":1,"role":"edge","keys":[]}"#,
        r#"{"version":1,"role":"edge"} x"#,
    ] {
        assert!(matches!(FilterConfig::parse(text.as_bytes()), Err(WireError::Shape(_))), "{text}");
    }
    assert!(FilterConfig::parse(b"\xff").is_err());
    assert!(FilterConfig::parse(&b"[".repeat(100_000)).is_err());
}

fn with_lanes(role: Role, lanes: Vec<WireLane>) -> Result<Filter, WireError> {
    Filter::try_from(FilterConfig { lanes, ..FilterConfig::new(role) })
}

#[test]
fn roles_become_filters() {
    let one = || vec![WireLane::new(lane("gray"))];
    assert!(matches!(with_lanes(Role::EdgeGuard, one()), Ok(Filter::EdgeGuard(_))));
    assert!(matches!(with_lanes(Role::Edge, Vec::new()), Ok(Filter::Edge(_))));
    assert!(matches!(with_lanes(Role::Inbound, one()), Ok(Filter::Inbound(_))));
    assert!(matches!(with_lanes(Role::Outbound, one()), Ok(Filter::Outbound(_))));
    assert!(matches!(with_lanes(Role::Inbound, Vec::new()), Ok(Filter::Passthrough)));
    assert!(matches!(with_lanes(Role::Outbound, Vec::new()), Ok(Filter::Passthrough)));
}

/// The first two lanes of the form `lane-<number>` that share a code.
fn twins() -> (LaneName, LaneName) {
    let mut known = std::collections::BTreeMap::new();
    for number in 0.. {
        let name = lane(&format!("lane-{number}"));
        if let Some(twin) = known.insert(name.code(), name.clone()) {
            return (twin, name);
        }
    }
    unreachable!("codes are 16 bits")
}

#[test]
fn two_lanes_of_one_code_are_refused() {
    let (first, second) = twins();
    for role in ROLES {
        let lanes =
            vec![WireLane::new(first.clone()), WireLane::new(lane("other")), WireLane::new(second.clone())];
        assert!(matches!(with_lanes(role, lanes), Err(WireError::SameCode { .. })), "{role:?}");
        assert!(matches!(
            with_lanes(role, vec![WireLane::new(lane("a")); 2]),
            Err(WireError::SameCode { .. })
        ));
    }
}

#[test]
fn too_many_lanes_are_refused() {
    let lanes = |count: usize| {
        (0..count).map(|number| WireLane::new(lane(&format!("l{number}")))).collect::<Vec<_>>()
    };
    assert!(matches!(
        with_lanes(Role::Inbound, lanes(LANES_MAX + 1)),
        Err(WireError::TooManyLanes { found: 501 })
    ));
}

#[test]
fn rules_that_do_not_compile_are_named() {
    let test = |op, value: &str| {
        WireCondition::Test(WireTest {
            subject: Subject::Header,
            name: "x".into(),
            claim: String::new(),
            op,
            values: vec![value.into()],
            ignore_case: false,
            min: None,
            max: None,
        })
    };
    let rule = |when| WireRule { name: String::new(), when: Some(when), share: None, sticky: true };
    for (op, value) in
        [(Op::Regex, "a("), (Op::Regex, "(a{1000}){1000}"), (Op::Cidr, "10.0.0.0/33"), (Op::Cidr, "x")]
    {
        let rules = vec![rule(test(Op::In, "a")), rule(WireCondition::Not(Box::new(test(op, value))))];
        let lanes = vec![WireLane { rules, ..WireLane::new(lane("gray")) }];
        let error = with_lanes(Role::Edge, lanes).expect_err("does not compile");
        assert!(error.to_string().starts_with("lane gray, rule 2: "), "{error}");
    }
}

#[test]
fn buckets_that_no_writer_writes_are_refused() {
    let with = |buckets: &[&str]| {
        let names = ["a", "b"].map(lane);
        let lanes = names.into_iter().zip(buckets).map(|(name, buckets)| WireLane {
            layer: "l".into(),
            buckets: (*buckets).into(),
            ..WireLane::new(name)
        });
        let mut config = FilterConfig { lanes: lanes.collect(), ..FilterConfig::new(Role::Edge) };
        config.edge = Some(canary_rules::wire::EdgeSettings {
            layers: vec![WireLayer { name: "l".into(), key: Vec::new() }],
            ..Default::default()
        });
        Filter::try_from(config)
    };
    assert!(with(&["AAEAAg", "AAMABA"]).is_ok());
    assert!(matches!(with(&["AAEAAg", "AAMAAg"]), Err(WireError::Buckets { lane }) if lane.as_str() == "b"));
    assert!(matches!(with(&["AAEAAQ", ""]), Err(WireError::Buckets { lane }) if lane.as_str() == "a"));
    assert!(matches!(with(&["", "%"]), Err(WireError::Buckets { lane }) if lane.as_str() == "b"));
    assert!(matches!(with(&["__8", ""]), Err(WireError::Buckets { .. })));
    assert!(with(&[&"AAEAAg".repeat(20_000), ""]).is_err());
}
