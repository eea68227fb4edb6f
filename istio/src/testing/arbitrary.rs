//! Random VirtualServices and requests, from alphabets so small that conditions meet and overlap.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::TAG_HEADER;
use crate::matching::Request;

/// An object of some of these fields, in any order.
pub(crate) fn object(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let maybe = |(key, value): (&'static str, BoxedStrategy<Value>)| {
        option::weighted(0.35, value.prop_map(move |value| (key.to_owned(), value))).boxed()
    };
    let all: Vec<_> = fields.into_iter().map(maybe).collect();
    all.prop_shuffle_fields()
}

trait ShuffleFields {
    fn prop_shuffle_fields(self) -> BoxedStrategy<Value>;
}

impl ShuffleFields for Vec<BoxedStrategy<Option<(String, Value)>>> {
    fn prop_shuffle_fields(self) -> BoxedStrategy<Value> {
        let shuffled = self.prop_shuffle();
        shuffled.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect())).boxed()
    }
}

fn of(values: Vec<Value>) -> BoxedStrategy<Value> {
    select(values).boxed()
}

fn text(values: &'static [&'static str]) -> BoxedStrategy<String> {
    select(values).prop_map(Into::into).boxed()
}

const PATHS: &[&str] = &["/", "/a", "/a/b", "/A", "/b", "/b/c"];
const HEADERS: &[&str] = &["end-user", "x-debug", "x-Debug"];
const WORDS: &[&str] = &["a", "b", "ab"];

fn word_match() -> BoxedStrategy<Value> {
    of(vec![
        json!({"exact": "a"}),
        json!({"exact": "b"}),
        json!({"prefix": "a"}),
        json!({"regex": "a.*"}),
        json!({"regex": "*"}),
        json!({}),
    ])
}

fn uri_match() -> BoxedStrategy<Value> {
    prop_oneof![
        select(PATHS).prop_map(|path| json!({"prefix": path})),
        select(PATHS).prop_map(|path| json!({"exact": path})),
        Just(json!({"regex": "/a.*"})),
        Just(json!({"regex": ".*"})),
    ]
    .boxed()
}

fn header_matches(names: &'static [&'static str]) -> BoxedStrategy<Value> {
    let map = btree_map(select(names).prop_map(str::to_owned), word_match(), 0..3);
    map.prop_map(|map| Value::Object(map.into_iter().collect())).boxed()
}

/// Header matches that are, now and then, about the tag.
fn any_header_matches() -> BoxedStrategy<Value> {
    let tag = of(vec![
        json!({TAG_HEADER: {"exact": "gray"}}),
        json!({"X-Canary-Lane": {"regex": ".+"}}),
        json!({TAG_HEADER: {}}),
    ]);
    prop_oneof![12 => header_matches(HEADERS), 1 => tag].boxed()
}

/// One alternative of a route's match.
pub(crate) fn http_match() -> BoxedStrategy<Value> {
    let full = object(vec![
        ("name", of(vec![json!("m"), json!("n")])),
        ("uri", uri_match()),
        ("method", of(vec![json!({"exact": "GET"}), json!({"regex": "GET|POST"})])),
        ("scheme", of(vec![json!({"exact": "http"})])),
        ("authority", of(vec![json!({"exact": "shop.example.com"}), json!({"prefix": "web"})])),
        ("headers", any_header_matches()),
        ("withoutHeaders", any_header_matches()),
        ("queryParams", header_matches(&["q", "r"])),
        ("port", of(vec![json!(80), json!(8080)])),
        ("ignoreUriCase", of(vec![json!(true), json!(false)])),
        (
            "gateways",
            of(vec![json!(["mesh"]), json!(["istio-system/public"]), json!(["mesh", "public"]), json!([])]),
        ),
        ("sourceLabels", of(vec![json!({"app": "front"}), json!({})])),
        ("sourceNamespace", of(vec![json!("shop"), json!("front")])),
        ("statPrefix", of(vec![json!("stats")])),
        ("fieldOfTomorrow", of(vec![json!({"deep": [1, null]})])),
    ]);
    prop_oneof![8 => full, 1 => of(vec![json!({}), json!({"headers": null}), json!({"uri": {"prefix": "/a"}})])].boxed()
}

pub(crate) fn destination() -> BoxedStrategy<Value> {
    let host = select(vec![
        "web",
        "web.shop.svc.cluster.local",
        "cart",
        "stock.back.svc.cluster.local",
        "legacy",
        "nobody",
        "stock",
        "web.shop",
        "shop.example.com",
    ]);
    let rest = object(vec![
        ("subset", of(vec![json!("v1"), json!("stable"), json!("")])),
        ("port", of(vec![json!({"number": 80}), json!({"number": 8080})])),
        ("fieldOfTomorrow", of(vec![json!(true)])),
    ]);
    (host, rest)
        .prop_map(|(host, mut rest)| {
            rest["host"] = host.into();
            rest
        })
        .boxed()
}

fn weighted() -> BoxedStrategy<Value> {
    let rest = object(vec![
        ("weight", of(vec![json!(0), json!(10), json!(90)])),
        (
            "headers",
            of(vec![
                json!({"request": {"set": {"x-to": "a"}}}),
                json!({"request": {"remove": [TAG_HEADER]}}),
            ]),
        ),
    ]);
    (destination(), rest)
        .prop_map(|(destination, mut rest)| {
            rest["destination"] = destination;
            rest
        })
        .boxed()
}

fn route_name() -> BoxedStrategy<Value> {
    of(vec![
        json!("api"),
        json!("canaryctl"),
        json!("canaryctl-gray"),
        json!("canaryctl-mine-1"),
        json!(""),
        json!(null),
    ])
}

/// A route of the user's that ends in destinations or an answer.
pub(crate) fn http_route() -> BoxedStrategy<Value> {
    let frame = object(vec![
        ("name", route_name()),
        (
            "match",
            prop_oneof![
                9 => vec(http_match(), 1..4).prop_map(Value::Array),
                1 => of(vec![json!([]), json!(null)]),
            ]
            .boxed(),
        ),
        ("match", vec(http_match(), 1..3).prop_map(Value::Array).boxed()),
        ("timeout", of(vec![json!("5s")])),
        ("retries", of(vec![json!({"attempts": 3, "perTryTimeout": "2s"})])),
        ("fault", of(vec![json!({"delay": {"percentage": {"value": 0.1}, "fixedDelay": "5s"}})])),
        (
            "rewrite",
            of(vec![json!({"uri": "/v2"}), json!({"uriRegexRewrite": {"match": "^/a", "rewrite": "/b"}})]),
        ),
        ("mirror", of(vec![json!({"host": "web", "subset": "v2"})])),
        ("mirrorPercentage", of(vec![json!({"value": 12.5})])),
        (
            "corsPolicy",
            of(vec![json!({"allowOrigins": [{"exact": "https://example.com"}], "maxAge": "24h"})]),
        ),
        ("headers", of(vec![json!({"response": {"set": {"x-served-by": "mesh"}}})])),
        ("fieldOfTomorrow", of(vec![json!({"a": null})])),
    ]);
    let action = prop_oneof![
        8 => vec(weighted(), 1..4).prop_map(|list| ("route", Value::Array(list))),
        1 => Just(("redirect", json!({"uri": "/new", "authority": "example.com"}))),
        1 => Just(("directResponse", json!({"status": 418, "body": {"string": "no"}}))),
        1 => Just(("somethingElse", json!({}))),
    ];
    (frame, action, any::<bool>())
        .prop_map(|(mut frame, (key, value), first)| {
            let fields = frame.as_object_mut().expect("an object");
            if first {
                fields.shift_insert(0, key.into(), value);
            } else {
                fields.insert(key.into(), value);
            }
            frame
        })
        .boxed()
}

pub(crate) fn http_routes() -> BoxedStrategy<Vec<Value>> {
    vec(http_route(), 0..6).boxed()
}

fn words(names: &'static [&'static str]) -> BoxedStrategy<BTreeMap<String, String>> {
    btree_map(text(names), text(WORDS), 0..3).boxed()
}

/// A request without a tag.
pub(crate) fn request() -> BoxedStrategy<Request> {
    let line = (
        text(PATHS),
        text(&["GET", "POST"]),
        text(&["http", "https"]),
        text(&["shop.example.com", "web.shop"]),
    );
    let source = (
        select(vec![80, 8080]),
        option::of(text(&["istio-system/public", "public"])),
        any::<bool>(),
        text(&["shop", "front"]),
    );
    (line, words(&["end-user", "x-debug"]), words(&["q", "r"]), source)
        .prop_map(
            |(
                (path, method, scheme, authority),
                headers,
                query,
                (port, gateway, front, source_namespace),
            )| {
                let app = if front { "front" } else { "job" };
                Request {
                    path,
                    method,
                    scheme: Some(scheme),
                    authority: Some(authority),
                    headers,
                    query,
                    port,
                    gateway,
                    source_labels: Some(BTreeMap::from([("app".into(), app.into())])),
                    source_namespace: Some(source_namespace),
                }
            },
        )
        .boxed()
}
