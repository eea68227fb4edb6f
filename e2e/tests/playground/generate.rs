//! Lanes and requests out of a small world, so that rules and requests meet often; the same in every run.

use serde_json::{Value, json};

const SEED: u64 = 7;
const VALUES: [&str; 5] = ["1", "alice", "a b", "é", "12"];
const NAMES: [&str; 3] = ["gray", "x-dev", "x-team"];
const PATHS: [&str; 5] = ["/", "/cart", "/cart/1?gray=1", "/cart?x-dev=alice&q=2", "/api/v1"];
const METHODS: [&str; 3] = ["GET", "POST", "DELETE"];
const CLIENTS: [Option<&str>; 3] = [None, Some("10.1.2.3"), Some("203.0.113.7")];

/// Lanes and a request.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) documents: String,
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<String>,
    pub(crate) client: Option<&'static str>,
}

/// So many cases.
pub(crate) fn cases(count: usize) -> Vec<Case> {
    let mut random = fastrand::Rng::with_seed(SEED);
    (0..count).map(|_| case(&mut random)).collect()
}

fn one<T: Copy>(random: &mut fastrand::Rng, of: &[T]) -> T {
    of[random.usize(..of.len())]
}

fn case(random: &mut fastrand::Rng) -> Case {
    let count = random.usize(1..5);
    let mut room = 100.0;
    let lanes: Vec<String> = (0..count).map(|number| lane(random, number, &mut room).to_string()).collect();
    let headers = (0..random.usize(..4)).map(|_| header(random)).collect();
    Case {
        documents: lanes.join("\n---\n"),
        method: one(random, &METHODS),
        url: format!("http://shop.test{}", one(random, &PATHS)),
        headers,
        client: one(random, &CLIENTS),
    }
}

fn lane(random: &mut fastrand::Rng, number: usize, room: &mut f64) -> Value {
    let rules: Vec<Value> = (0..random.usize(1..4)).map(|_| rule(random, room)).collect();
    let mut spec = json!({"rules": rules, "priority": random.i32(-1..3)});
    if number > 0 && random.u8(..4) == 0 {
        spec["parent"] = "lane-0".into();
    }
    if random.u8(..8) == 0 {
        spec["expires"] = one(random, &["2020-01-01T00:00:00Z", "2040-01-01T00:00:00Z"]).into();
    }
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": format!("lane-{number}")},
        "spec": spec,
    })
}

fn rule(random: &mut fastrand::Rng, room: &mut f64) -> Value {
    let mut rule = json!({});
    let share = f64::from(random.u32(1..1500)) / 100.0;
    if random.u8(..3) == 0 && *room >= share {
        *room -= share;
        rule["percent"] = share.into();
    }
    if rule["percent"].is_null() || random.bool() {
        rule["when"] = condition(random, 2);
    }
    if random.u8(..3) == 0 {
        rule["name"] = one(random, &["testers", "staff"]).into();
    }
    if random.u8(..5) == 0 {
        rule["sticky"] = false.into();
    }
    rule
}

fn condition(random: &mut fastrand::Rng, depth: u8) -> Value {
    if depth > 0 && random.u8(..4) == 0 {
        let parts: Vec<Value> = (0..random.usize(1..3)).map(|_| condition(random, depth - 1)).collect();
        return match random.u8(..3) {
            0 => json!({"all": parts}),
            1 => json!({"any": parts}),
            _ => json!({"not": parts[0]}),
        };
    }
    let name = one(random, &NAMES);
    match random.u8(..6) {
        0 => json!({"path": {"prefix": "/cart"}}),
        1 => json!({"method": {"in": ["GET", "DELETE"]}}),
        2 => json!({"query": named(random, name)}),
        3 => json!({"header": named(random, name)}),
        _ => json!({"cookie": named(random, name)}),
    }
}

fn named(random: &mut fastrand::Rng, name: &str) -> Value {
    let value = one(random, &VALUES);
    match random.u8(..6) {
        0 => json!({"name": name, "exists": random.bool()}),
        1 => json!({"name": name, "regex": "[a-z]+|1.*"}),
        2 => json!({"name": name, "prefix": "a"}),
        3 => json!({"name": name, "in": [value, "1"]}),
        _ => json!({"name": name, "exact": value}),
    }
}

fn header(random: &mut fastrand::Rng) -> String {
    let (name, value) = (one(random, &NAMES), one(random, &VALUES));
    match random.u8(..6) {
        0 => format!("{name}: {value}"),
        1 => "x-canary-lane: lane-0".into(),
        2 => format!("cookie: canary-uid=u{}", random.u8(..)),
        3 => "baggage: canary-lane=lane-1,k=v".into(),
        _ => format!("cookie: {name}={value}; other=1"),
    }
}
