//! The tree against serde_json, which reads the same texts.

use alloc::string::ToString;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// The same value in serde_json's form.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => serde_json::from_str(number).expect("a number"),
        Json::Text(text) => Value::String(text.to_string()),
        Json::List(items) => items.iter().map(value).collect(),
        Json::Object(members) => {
            members.iter().map(|(name, member)| (name.to_string(), value(member))).collect()
        }
    }
}

#[track_caller]
fn check(text: &str) {
    let ours = Json::parse(text.as_bytes());
    match serde_json::from_str::<Value>(text) {
        Ok(theirs) => assert_eq!(ours.as_ref().map(value), Ok(theirs), "{text}"),
        // Only where a number is beyond what it can hold is serde_json the stricter one.
        Err(error) if error.to_string().starts_with("number out of range") => {}
        Err(error) => assert!(ours.is_err(), "{text}: {error}, but {ours:?}"),
    }
}

#[test]
fn values_of_every_kind() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12",
        "-3.25e+7",
        "1E9",
        "\"\"",
        "[]",
        "{}",
        " [ 1 , [ ] ] ",
        r#"{"a":{"b":[null,"c"]},"a":2}"#,
        "\"caf\u{e9} \u{1f600}\"",
        r#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00""#,
    ] {
        assert!(Json::parse(text.as_bytes()).is_ok(), "{text}");
        check(text);
    }
}

#[test]
fn what_is_no_json() {
    for text in [
        "",
        " ",
        "nul",
        "nullx",
        "tru",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x1",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\"\\uD800\"",
        "\"\\uD800\\u0041\"",
        "\"\\uDC00\"",
        "\"\n\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "1 2",
        "[] x",
        "\u{feff}1",
        "'a'",
        "\u{a0}1",
    ] {
        assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        check(text);
    }
}

#[test]
fn bytes_that_are_no_text_are_no_json() {
    assert_eq!(Json::parse(b"\"caf\xe9\""), Err(JsonError { at: 4 }));
}

#[test]
fn the_error_says_where() {
    assert_eq!(Json::parse(br#"{"a": tru}"#), Err(JsonError { at: 6 }));
}

#[test]
fn nesting_ends_somewhere() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Json::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert!(Json::parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
    assert!(Json::parse("[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn the_last_of_repeated_names_counts() {
    let json = Json::parse(br#"{"a":1,"a":2}"#).expect("JSON");
    assert_eq!(json.get("a"), Some(&Json::Number("2".to_string())));
    assert_eq!(json.get("b"), None);
    assert_eq!(Json::Null.get("a"), None);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_reads_as_serde_json_reads_it(value in values()) {
        check(&value.to_string());
        check(&serde_json::to_string_pretty(&value).expect("written"));
    }

    #[test]
    fn a_damaged_text_is_refused_or_read_as_serde_json_reads_it(
        value in values(), at in any::<prop::sample::Index>(),
        with in prop::sample::select(alloc::vec!["", "\"", "\\", "{", "]", ",", ":", "0", "-", "e", ".", "u", " "]),
    ) {
        let mut text = value.to_string();
        let at = (0..=at.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let end = (at + 1..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
        text.replace_range(at..end, with);
        check(&text);
    }

    #[test]
    fn any_bytes_can_be_read(bytes in any::<Vec<u8>>()) {
        let _ = Json::parse(&bytes);
    }
}
