//! Lanes and requests out of a small world, so that rules and requests meet often.

use canary_rules::name::LaneName;
use canary_rules::signing::{Key, KeyId, KeyRing};
use canary_rules::wire::{
    EdgeSettings, FilterConfig, Op, Role, Subject, WireCondition, WireKeySource, WireLane, WireLayer,
    WireRule, WireTest,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// The second at which requests come; lanes expire before it or after.
pub(crate) const NOW_S: u64 = 1_000;

/// As many cases as `PROPTEST_CASES` asks for, else few enough for every run of the tests.
pub(crate) fn cases(few: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(few), ..ProptestConfig::default() }
}

/// Header lines.
pub(crate) type Lines = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) fn ring() -> KeyRing {
    let key = Key::new(KeyId::new("k1").expect("an id"), vec![7; 32]).expect("a key");
    KeyRing::new([key]).expect("a ring")
}

pub(crate) fn lane_name(number: usize) -> LaneName {
    LaneName::new(&format!("lane-{number}")).expect("a name")
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "a",
        "b",
        "A",
        "ab",
        "ba",
        "7",
        "12",
        "/",
        "/a",
        "/a/b",
        "é",
        "a,b",
        "shop.test",
    ])
    .prop_map(String::from)
}

fn subject() -> impl Strategy<Value = (Subject, &'static str, &'static str)> {
    prop::sample::select(vec![
        (Subject::Cookie, "c", ""),
        (Subject::Cookie, "d", ""),
        (Subject::Header, "x-a", ""),
        (Subject::Header, "x-b", ""),
        (Subject::Query, "q", ""),
        (Subject::Path, "", ""),
        (Subject::Method, "", ""),
        (Subject::Host, "", ""),
        (Subject::Client, "", ""),
        (Subject::HeaderClaim, "authorization", "sub"),
        (Subject::CookieClaim, "t", "roles"),
    ])
}

fn test() -> impl Strategy<Value = WireCondition> {
    let op = prop::sample::select(vec![
        // Most rules of a real edge name values; an index is made of those.
        Op::In,
        Op::In,
        Op::In,
        Op::In,
        Op::Prefix,
        Op::Suffix,
        Op::Contains,
        Op::Regex,
        Op::Glob,
        Op::Exists,
        Op::Absent,
        Op::Range,
        Op::Cidr,
    ]);
    (
        subject(),
        op,
        vec(value(), 1..4),
        any::<bool>(),
        prop::option::of(-5..15_i64),
        prop::option::of(-5..15_i64),
    )
        .prop_map(|((subject, name, claim), op, mut values, ignore_case, min, max)| {
            match op {
                Op::Regex => values = vec!["a|ab".into()],
                Op::Glob => values = vec!["/*/**".into()],
                Op::Cidr => values = vec!["10.0.0.0/8".into()],
                _ => {}
            }
            let (name, claim) = (name.into(), claim.into());
            WireCondition::Test(WireTest { subject, name, claim, op, values, ignore_case, min, max })
        })
}

pub(crate) fn condition() -> impl Strategy<Value = WireCondition> {
    test().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(WireCondition::All),
            vec(inner.clone(), 0..3).prop_map(WireCondition::Any),
            inner.prop_map(|inner| WireCondition::Not(Box::new(inner))),
        ]
    })
}

fn rule() -> impl Strategy<Value = WireRule> {
    let share = prop_oneof![2 => Just(None), 1 => (0..4_000_u16).prop_map(Some)];
    (prop::option::weighted(0.8, condition()), share, any::<bool>()).prop_map(|(when, share, sticky)| {
        WireRule {
            name: String::new(),
            // A rule without either takes all, which hides every weaker one.
            when: when.or_else(|| share.is_none().then(|| WireCondition::Any(Vec::new()))),
            share,
            sticky,
        }
    })
}

/// Lanes whose shares fit into two layers.
fn lanes() -> impl Strategy<Value = Vec<WireLane>> {
    vec((vec(rule(), 0..4), -2..3_i32, 0..2_usize, prop::option::weighted(0.2, 999..1_002_u64)), 0..5)
        .prop_map(|lanes| {
            let mut next = [0_u16; 2];
            let lane = |(number, (rules, priority, layer, expires)): (
                usize,
                (Vec<WireRule>, i32, usize, Option<u64>),
            )| {
                let share = rules.iter().filter_map(|rule| rule.share).max().unwrap_or(0);
                let room = 10_000 - next[layer];
                let buckets: Vec<u16> = (next[layer]..next[layer] + share.min(room)).collect();
                next[layer] += share.min(room);
                WireLane {
                    priority,
                    rules,
                    expires_unix_s: expires,
                    layer: format!("layer{layer}"),
                    buckets: canary_rules::layers::encode(&buckets),
                    ..WireLane::new(lane_name(number))
                }
            };
            lanes.into_iter().enumerate().map(lane).collect()
        })
}

/// An edge's configuration.
pub(crate) fn edge() -> impl Strategy<Value = FilterConfig> {
    (lanes(), 0..3_u8, any::<bool>(), any::<bool>()).prop_map(|(lanes, trusted_hops, show_lane, vary)| {
        let layer = |number: usize| WireLayer {
            name: format!("layer{number}"),
            key: vec![WireKeySource {
                subject: Subject::Header,
                name: format!("x-user{number}"),
                claim: String::new(),
            }],
        };
        let edge = EdgeSettings {
            trusted_hops,
            show_lane,
            vary,
            layers: vec![layer(0), layer(1)],
            ..EdgeSettings::default()
        };
        FilterConfig { lanes, keys: Some(ring()), edge: Some(edge), ..FilterConfig::new(Role::Edge) }
    })
}

fn token(payload: &str) -> String {
    use base64::Engine as _;
    format!("x.{}.y", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(payload))
}

/// A line of a request; mostly one that some rule may look at.
fn line() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let sample = |name: &'static str, values: &'static [&'static str]| {
        prop::sample::select(values).prop_map(move |value| (name.to_string(), value.to_string()))
    };
    let named = |name: &'static str| value().prop_map(move |value| (name.to_string(), value));
    let text = prop_oneof![
        named("x-a"),
        named("x-b"),
        named("x-user0"),
        named("x-user1"),
        value().prop_map(|value| ("cookie".into(), format!("c={value}; d=b; c=z"))),
        value().prop_map(|value| ("cookie".into(), format!("d={value}"))),
        value().prop_map(|value| (
            "cookie".into(),
            format!("t={}", token(&format!(r#"{{"roles":["a","{value}"]}}"#)))
        )),
        value().prop_map(|value| (
            "authorization".into(),
            format!("Bearer {}", token(&format!(r#"{{"sub":"{value}"}}"#)))
        )),
        (0..30_u32).prop_map(|uid| ("cookie".into(), format!("canary-uid=u{uid}"))),
        Just(("x-forwarded-for".into(), "10.1.2.3, 11.1.2.3".into())),
        value().prop_map(|value| (":path".into(), format!("{value}?q={value}&q=z"))),
        prop::sample::select(vec!["GET", "7"]).prop_map(|method| (":method".into(), method.into())),
        value().prop_map(|value| (":authority".into(), format!("{value}:80"))),
        sample("sec-fetch-site", &["cross-site", "same-site", "none"]),
        sample("sec-fetch-mode", &["navigate", "cors"]),
        sample("sec-fetch-dest", &["document", "empty"]),
        sample("origin", &["https://shop.test", "null", "http://a:8080"]),
    ];
    prop_oneof![
        9 => text.prop_map(|(name, value): (String, String)| (name.into_bytes(), value.into_bytes())),
        1 => (prop::sample::select(vec!["x-a", "cookie", ":path", "baggage", "x-canary-lane", "authorization"]), vec(any::<u8>(), 0..24))
            .prop_map(|(name, value)| (name.as_bytes().to_vec(), value)),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Lines> {
    vec(line(), 0..8)
}

/// Lines as a proxy hands them over.
pub(crate) fn borrowed(lines: &Lines) -> Vec<(&[u8], &[u8])> {
    lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect()
}
