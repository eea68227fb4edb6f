use serde_json::json;

use super::*;

const KEYS: &[&str] = &["canaryctl.io/lane="];

fn keys() -> Vec<String> {
    KEYS.iter().map(|key| (*key).to_owned()).collect()
}

fn ranked(policy: &Value, scope: Scope, around: Around) -> Result<Value, Unrankable> {
    let mut edits = Vec::new();
    rank(policy, &[], &keys(), scope, around, &mut edits)?;
    let mut ranked = if policy.is_null() { json!({}) } else { policy.clone() };
    write(&mut ranked, edits);
    Ok(ranked)
}

fn plain(mesh: &Mesh) -> Around<'_> {
    Around { mesh, distribution: None }
}

#[track_caller]
fn check(policy: Value, want: Value) {
    let mesh = Mesh::default();
    assert_eq!(ranked(&policy, Scope::Rule(&Apart::default()), plain(&mesh)).expect("rankable"), want);
}

#[track_caller]
fn check_subset(policy: Value, want: Value) {
    let mesh = Mesh::default();
    let scope = Scope::Subset { detects_outliers: false };
    assert_eq!(ranked(&policy, scope, plain(&mesh)).expect("rankable"), want);
}

#[test]
fn nothing_gets_keys_and_the_detection_that_they_need() {
    let want = json!({
        "loadBalancer": {"localityLbSetting": {"enabled": true, "failoverPriority": ["canaryctl.io/lane="]}},
        "outlierDetection": {"consecutive5xxErrors": 0, "minHealthPercent": 1},
    });
    check(json!(null), want.clone());
    check(json!({}), want);
}

#[test]
fn the_rest_of_a_policy_stays() {
    check(
        json!({"tls": {"mode": "DISABLE"}, "loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}),
        json!({
            "tls": {"mode": "DISABLE"},
            "loadBalancer": {
                "consistentHash": {"httpHeaderName": "x-user"},
                "localityLbSetting": {"enabled": true, "failoverPriority": ["canaryctl.io/lane="]},
            },
            "outlierDetection": {"consecutive5xxErrors": 0, "minHealthPercent": 1},
        }),
    );
}

#[test]
fn the_order_before_comes_after_ours() {
    check(
        json!({
            "loadBalancer": {"localityLbSetting": {"enabled": false, "failoverPriority": ["version=v1"]}},
            "outlierDetection": {"interval": "5s"},
        }),
        json!({
            "loadBalancer": {"localityLbSetting": {
                "enabled": true, "failoverPriority": ["canaryctl.io/lane=", "version=v1"],
            }},
            "outlierDetection": {"interval": "5s", "minHealthPercent": 1},
        }),
    );
}

#[track_caller]
fn check_keys(policy: Value, around: Around, want: &[&str]) {
    let ranked = ranked(&policy, Scope::Rule(&Apart::default()), around).expect("rankable");
    let keys = &ranked["loadBalancer"]["localityLbSetting"]["failoverPriority"];
    assert_eq!(*keys, json!([KEYS, want].concat()));
}

#[test]
fn an_order_that_was_implied_is_said() {
    let mesh = Mesh::default();
    let zones = [REGION, ZONE, SUBZONE];
    let detects = json!({"outlierDetection": {"interval": "5s"}});
    check_keys(detects.clone(), plain(&mesh), &zones);
    check_keys(json!({}), plain(&Mesh { detects_outliers: true, ..Mesh::default() }), &zones);
    check_keys(detects.clone(), plain(&Mesh { prefers_locality: false, ..Mesh::default() }), &[]);
    let close = Around { mesh: &mesh, distribution: Some(Distribution::SameZone) };
    check_keys(json!({}), close, &[NETWORK, REGION, ZONE]);
    let failover = json!({"loadBalancer": {"localityLbSetting": {"failover": [{"from": "a", "to": "b"}]}}, "outlierDetection": {}});
    check_keys(failover, plain(&mesh), &[]);
    check_keys(
        json!({"loadBalancer": {"localityLbSetting": {"enabled": true}}, "outlierDetection": {}}),
        plain(&mesh),
        &zones,
    );
}

#[test]
fn zones_that_envoy_minds_stay_its_business() {
    check(
        json!({"loadBalancer": {"zoneAwareLbSetting": {"failoverPriority": ["version=v1"]}}, "outlierDetection": {}}),
        json!({
            "loadBalancer": {"zoneAwareLbSetting": {"failoverPriority": ["canaryctl.io/lane=", "version=v1"]}},
            "outlierDetection": {"minHealthPercent": 1},
        }),
    );
}

#[test]
fn a_ports_settings_replace_the_rules_and_rank_too() {
    check(
        json!({"outlierDetection": {}, "loadBalancer": {"localityLbSetting": {"failoverPriority": ["a=b"]}},
            "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}]}),
        json!({
            "outlierDetection": {"minHealthPercent": 1},
            "loadBalancer": {"localityLbSetting": {"failoverPriority": ["canaryctl.io/lane=", "a=b"]}},
            "portLevelSettings": [{
                "port": {"number": 80},
                "tls": {"mode": "SIMPLE"},
                "loadBalancer": {"localityLbSetting": {"enabled": true, "failoverPriority": ["canaryctl.io/lane="]}},
                "outlierDetection": {"consecutive5xxErrors": 0, "minHealthPercent": 1},
            }],
        }),
    );
}

#[track_caller]
fn check_apart(policy: Value, want: Value) {
    let mesh = Mesh::default();
    let apart = Apart { ports: [5432].into(), keys: vec![EXCHANGE_KEY.into()] };
    let got = ranked(&policy, Scope::Rule(&apart), plain(&mesh)).expect("rankable");
    assert_eq!(got["portLevelSettings"], want);
    let of_all = ranked(&policy, Scope::Rule(&Apart::default()), plain(&mesh)).expect("rankable");
    for (key, value) in of_all.as_object().expect("an object") {
        assert!(key == "portLevelSettings" || got[key] == *value, "{key} is as it was: {got}");
    }
    let mut swept = got;
    sweep(&mut swept);
    let mut forgotten = of_all;
    sweep(&mut forgotten);
    assert_eq!(swept, forgotten, "nothing of it stays");
}

const EXCHANGE_KEY: &str = "lane.canaryctl.io/Exchange=member";

#[test]
fn a_port_apart_says_what_the_rule_says_but_for_who_comes_first() {
    let setting = json!({"enabled": true, "failoverPriority": [EXCHANGE_KEY]});
    let outliers = json!({"consecutive5xxErrors": 0, "minHealthPercent": 1});
    let bare = json!({
        "port": {"number": 5432},
        "loadBalancer": {"localityLbSetting": setting},
        "outlierDetection": outliers,
    });
    check_apart(json!(null), json!([bare]));
    check_apart(
        json!({
            "tunnel": {"targetHost": "a"},
            "tls": {"mode": "DISABLE"},
            "connectionPool": {"tcp": {"maxConnections": 1}},
            "outlierDetection": {"interval": "5s"},
            "loadBalancer": {"simple": "RANDOM", "localityLbSetting": {"failoverPriority": ["version=v1"]}},
        }),
        json!([{
            "port": {"number": 5432},
            "tls": {"mode": "DISABLE"},
            "connectionPool": {"tcp": {"maxConnections": 1}},
            "outlierDetection": {"interval": "5s", "minHealthPercent": 1},
            "loadBalancer": {
                "simple": "RANDOM",
                "localityLbSetting": {"failoverPriority": [EXCHANGE_KEY, "version=v1"]},
            },
        }]),
    );
    let of_80 = json!({
        "port": {"number": 80},
        "loadBalancer": {"localityLbSetting": {"enabled": true, "failoverPriority": ["canaryctl.io/lane="]}},
        "outlierDetection": outliers,
    });
    check_apart(json!({"portLevelSettings": [{"port": {"number": 80}}]}), json!([of_80, bare]));
    let mut theirs = bare.clone();
    theirs["tls"] = json!({"mode": "SIMPLE"});
    check_apart(
        json!({"portLevelSettings": [{"port": {"number": 5432}, "tls": {"mode": "SIMPLE"}}]}),
        json!([theirs]),
    );
}

#[test]
fn a_port_apart_that_cannot_be_ranked_says_why() {
    let of = |policy: Value| {
        let mesh = Mesh::default();
        let apart = Apart { ports: [5432].into(), keys: vec![EXCHANGE_KEY.into()] };
        ranked(&policy, Scope::Rule(&apart), plain(&mesh))
    };
    assert_eq!(of(json!({"proxyProtocol": {"version": "V1"}})), Err(Unrankable::Apart("proxyProtocol")));
    let balancer = json!({"simple": "PASSTHROUGH"});
    assert_eq!(
        of(json!({"portLevelSettings": [{"port": {"number": 5432}, "loadBalancer": balancer}]})),
        Err(Unrankable::Everywhere("loadBalancer.simple: PASSTHROUGH")),
        "nobody else can be preferred there either"
    );
    let said = json!({"proxyProtocol": {}, "portLevelSettings": [{"port": {"number": 5432}}]});
    assert!(of(said).is_ok(), "it does not hold there anyway");
}

#[test]
fn a_subset_that_says_nothing_of_balancing_inherits() {
    let policy = json!({"connectionPool": {"tcp": {"maxConnections": 1}}});
    check_subset(policy.clone(), policy);
}

#[test]
fn pods_that_are_not_ready_count_for_nothing() {
    let detects =
        |percent: Value| json!({"outlierDetection": {"interval": "5s", "minHealthPercent": percent}});
    check_subset(json!({"outlierDetection": {"interval": "5s"}}), detects(json!(1)));
    check_subset(detects(json!(0)), detects(json!(1)));
    check_subset(detects(json!(30)), detects(json!(30)));
    let mesh = Mesh::default();
    let of_rule = ranked(&detects(json!(0)), Scope::Rule(&Apart::default()), plain(&mesh)).expect("rankable");
    assert_eq!(of_rule["outlierDetection"], detects(json!(1))["outlierDetection"]);
}

#[test]
fn a_subset_with_a_balancer_of_its_own_ranks() {
    check_subset(
        json!({"loadBalancer": {"simple": "ROUND_ROBIN"}}),
        json!({"loadBalancer": {
            "simple": "ROUND_ROBIN",
            "localityLbSetting": {"enabled": true, "failoverPriority": ["canaryctl.io/lane="]},
        }}),
    );
}

#[test]
fn some_settings_leave_no_order() {
    let of = |policy: Value| {
        let mesh = Mesh::default();
        match ranked(&policy, Scope::Rule(&Apart::default()), plain(&mesh)) {
            Err(Unrankable::Everywhere(setting)) => setting,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(of(json!({"loadBalancer": {"simple": "PASSTHROUGH"}})), "loadBalancer.simple: PASSTHROUGH");
    let distribute = json!([{"from": "a/*", "to": {"a/*": 100}}]);
    assert_eq!(
        of(json!({"loadBalancer": {"localityLbSetting": {"distribute": distribute}}})),
        "loadBalancer.localityLbSetting.distribute"
    );
    assert_eq!(
        of(
            json!({"portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"simple": "PASSTHROUGH"}}]})
        ),
        "loadBalancer.simple: PASSTHROUGH"
    );
}

#[test]
fn a_subset_of_ours_balances_as_its_rule_does() {
    let mesh = Mesh::default();
    let rule = json!({
        "tls": {"mode": "SIMPLE"},
        "connectionPool": {},
        "loadBalancer": {"simple": "RANDOM", "localityLbSetting": {"failoverPriority": ["version=v1"]}},
        "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}],
    });
    let setting = json!({"enabled": true, "failoverPriority": ["canaryctl.io/lane="]});
    assert_eq!(
        ranking(&rule, &keys(), plain(&mesh)).expect("rankable"),
        json!({
            "loadBalancer": {
                "simple": "RANDOM",
                "localityLbSetting": {"failoverPriority": ["canaryctl.io/lane=", "version=v1"]},
            },
            "portLevelSettings": [{
                "port": {"number": 80},
                "tls": {"mode": "DISABLE"},
                "loadBalancer": {"localityLbSetting": setting},
                "outlierDetection": {"consecutive5xxErrors": 0, "minHealthPercent": 1},
            }],
            "outlierDetection": {"consecutive5xxErrors": 0, "minHealthPercent": 1},
        })
    );
    let detecting = ranking(&json!({"outlierDetection": {}}), &keys(), plain(&mesh)).expect("rankable");
    assert_eq!(detecting["outlierDetection"], json!(null), "inherited");
}

#[test]
fn forgotten_keys_of_ours_are_swept_out() {
    let mut policy = json!({
        "loadBalancer": {"localityLbSetting": {"enabled": true, "failoverPriority": ["canaryctl.io/lane="]}},
        "outlierDetection": {"consecutive5xxErrors": 0, "minHealthPercent": 1},
        "portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"localityLbSetting": {
            "failoverPriority": ["lane.canaryctl.io/gray=", "version=v1"],
        }}}],
    });
    sweep(&mut policy);
    assert_eq!(
        policy,
        json!({
            "portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"localityLbSetting": {
                "failoverPriority": ["version=v1"],
            }}}],
        }),
        "as if we had never been there"
    );
    let ours = json!({"enabled": true, "failoverPriority": ["canaryctl.io/lane="]});
    let mut owned = json!({
        "loadBalancer": {"simple": "RANDOM", "localityLbSetting": ours},
        "outlierDetection": {"consecutive5xxErrors": 0, "baseEjectionTime": "1s"},
    });
    sweep(&mut owned);
    let want = json!({
        "loadBalancer": {"simple": "RANDOM"},
        "outlierDetection": {"consecutive5xxErrors": 0, "baseEjectionTime": "1s"},
    });
    assert_eq!(owned, want, "what is more than ours is its owner's");
}
