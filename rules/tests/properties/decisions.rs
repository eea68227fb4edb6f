//! An edge's decision against one that tries every rule of every lane and takes the least [`Precedence`].

use core::cmp::Reverse;

use canary_rules::edge::{Edge, EdgeDecision, Reason};
use canary_rules::layers;
use canary_rules::precedence::{Class, Precedence};
use canary_rules::request::Headers;
use canary_rules::wire::{Filter, FilterConfig, Role, WireCondition, WireLane, WireRule};
use proptest::prelude::*;

use super::generators::{Lines, NOW_S, borrowed, cases, condition, edge, request};

fn edge_of(config: FilterConfig) -> Edge {
    match Filter::try_from(config).expect("a valid configuration") {
        Filter::Edge(edge) => *edge,
        other => panic!("no edge: {other:?}"),
    }
}

fn decide<T>(edge: &Edge, request: &Lines, look: impl FnOnce(&EdgeDecision<'_>) -> T) -> T {
    look(&edge.decide(&Headers::new(&borrowed(request)), None, NOW_S, || [0xAB; 16]))
}

/// Whether a condition holds, asked of an edge that has nothing else to find it by: within a double negation
/// no index sees it.
fn holds(condition: &WireCondition, config: &FilterConfig, request: &Lines) -> bool {
    let hidden = WireCondition::Not(Box::new(WireCondition::Not(Box::new(condition.clone()))));
    let rule = WireRule { name: String::new(), when: Some(hidden), share: None, sticky: false };
    let lane = WireLane { rules: vec![rule], ..WireLane::new(super::generators::lane_name(0)) };
    let edge = edge_of(FilterConfig { lanes: vec![lane], ..config.clone() });
    decide(&edge, request, |decision| decision.lane.is_some())
}

/// Whether another site caused the request, other than by a link that was followed.
fn is_foreign(headers: &[(&[u8], &[u8])]) -> bool {
    let first = |name: &str| {
        let (_, value) = headers.iter().find(|(key, _)| *key == name.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let is = |name, wanted| first(name).as_deref() == Some(wanted);
    let link = is(":method", "GET") && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
    match (first("sec-fetch-site").as_deref(), first("origin").as_deref()) {
        (Some(site), _) => site == "cross-site" && !link,
        (None, None) => false,
        (None, Some("https://shop.test")) => !is(":authority", "shop.test:80"),
        (None, Some("http://a:8080")) => !is(":authority", "a:80") && !is(":authority", "A:80"),
        (None, Some(_)) => true,
    }
}

/// The user in a layer, by the key header, the uid cookie, or the uid that would be made.
fn user(layer: usize, request: &Lines) -> Option<Vec<u8>> {
    let headers = borrowed(request);
    let name = format!("x-user{layer}");
    let lines: Vec<&[u8]> =
        headers.iter().filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value).collect();
    let joined = lines.join(&b","[..]);
    if !joined.is_empty() {
        return Some(joined);
    }
    let cookies = headers.iter().filter(|(key, _)| *key == b"cookie").map(|(_, value)| *value);
    let uid = canary_rules::name::CookieName::new("canary-uid").expect("a name");
    match canary_rules::cookie::first(cookies, &uid) {
        Some(uid) if !uid.is_empty() && uid.len() <= 64 && uid.iter().all(u8::is_ascii_alphanumeric) => {
            Some(uid.to_vec())
        }
        _ if is_foreign(&headers) => None,
        _ => Some(b"abababababababababababababababab".to_vec()),
    }
}

/// Every rule that claims the request, with its rank and why.
fn claims<'c>(config: &'c FilterConfig, request: &Lines) -> Vec<(Precedence<'c>, Reason)> {
    let mut claims = Vec::new();
    for lane in &config.lanes {
        if lane.expires_unix_s.is_some_and(|expires| NOW_S >= expires) {
            continue;
        }
        let layer = usize::from(lane.layer == "layer1");
        let bucket = user(layer, request).map(|user| layers::bucket(&lane.layer, &user));
        let held = layers::decode(&lane.buckets).expect("buckets");
        let rank =
            held.iter().position(|held| Some(*held) == bucket).and_then(|rank| u16::try_from(rank).ok());
        for (place, rule) in lane.rules.iter().enumerate() {
            if rule.when.as_ref().is_some_and(|when| !holds(when, config, request)) {
                continue;
            }
            let claim =
                |class| Precedence { class, priority: Reverse(lane.priority), lane: &lane.name, rule: place };
            match (rule.share, rank) {
                (None, _) => claims.push((claim(Class::Rule), Reason::Rule(place))),
                (Some(share), Some(rank)) if rank < share => {
                    claims.push((claim(Class::Share), Reason::Share { rule: place, rank }));
                }
                (Some(_), _) => {}
            }
        }
    }
    claims
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn the_least_precedence_wins(config in edge(), requests in proptest::collection::vec(request(), 4)) {
        let edge = edge_of(config.clone());
        for request in &requests {
            let mut claims = claims(&config, request);
            claims.sort_by_key(|(claim, _)| *claim);
            let expected = claims.first().map_or((None, Reason::Nothing), |(claim, reason)| (Some(claim.lane), *reason));
            decide(&edge, request, |decision| {
                prop_assert_eq!((decision.lane, decision.reason), expected, "{:?}", claims);
                Ok(())
            })?;
        }
    }

    /// A condition says the same wherever an index may see it.
    #[test]
    fn an_index_changes_nothing(condition in condition(), request in request()) {
        let config = FilterConfig::new(Role::Edge);
        let rule = WireRule { name: String::new(), when: Some(condition.clone()), share: None, sticky: false };
        let lane = WireLane { rules: vec![rule], ..WireLane::new(super::generators::lane_name(0)) };
        let edge = edge_of(FilterConfig { lanes: vec![lane], ..config.clone() });
        let indexed = decide(&edge, &request, |decision| decision.lane.is_some());
        prop_assert_eq!(indexed, holds(&condition, &config, &request));
    }

    /// Explaining decides as deciding does, and finds the rule that made it.
    #[test]
    fn an_explanation_is_of_the_decision(config in edge(), request in request()) {
        let edge = edge_of(config);
        let lines = borrowed(&request);
        let explained = edge.explain(&Headers::new(&lines), None, NOW_S, || [0xAB; 16]);
        decide(&edge, &request, |decision| {
            prop_assert_eq!(&explained.decision, decision);
            Ok(())
        })?;
        let by_rule = matches!(explained.decision.reason, Reason::Rule(_) | Reason::Share { .. });
        prop_assert_eq!(explained.rule.is_some(), by_rule);
        prop_assert!(!explained.reason.is_empty());
    }

    /// What an edge forwards, a second edge forwards alike; its answers it gives once.
    #[test]
    fn deciding_again_changes_nothing(config in edge(), request in request()) {
        let edge = edge_of(config);
        decide(&edge, &request, |first| {
            decide(&edge, &request, |second| {
                prop_assert_eq!(first, second);
                Ok(())
            })
        })?;
    }

    #[test]
    fn configurations_read_back_as_written(config in edge()) {
        prop_assert_eq!(FilterConfig::parse(config.to_json().as_bytes()).expect("read"), config);
    }
}
