//! The cookie parser against the `cookie` crate.

use canary_rules::cookie::{first, pairs};
use canary_rules::name::CookieName;
use cookie::Cookie;
use proptest::prelude::*;

/// What the oracle finds in the lines. It joins no lines, reads text only and drops all Unicode white space.
fn oracle(lines: &[String]) -> Vec<(String, String)> {
    lines
        .iter()
        .flat_map(|line| Cookie::split_parse(line.as_str()))
        .filter_map(Result::ok)
        .map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned()))
        .collect()
}

fn found(lines: &[String]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text in, text out").trim().to_owned();
    pairs(lines.iter().map(|line| line.as_bytes()))
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// Lines in which separators are as common as letters.
fn dense() -> impl Strategy<Value = String> {
    "[;= \t\"a-c]{0,40}"
}

proptest! {
    #[test]
    fn agrees_with_the_oracle_on_separators(lines in prop::collection::vec(dense(), 0..4)) {
        prop_assert_eq!(found(&lines), oracle(&lines));
    }

    #[test]
    fn agrees_with_the_oracle_on_any_text(lines in prop::collection::vec(any::<String>(), 0..4)) {
        prop_assert_eq!(found(&lines), oracle(&lines));
    }

    #[test]
    fn finds_what_was_written(
        jar in prop::collection::vec(("[a-z_-]{1,8}", "[!#-+--:<-~]{0,12}"), 0..12),
        gap in "[ \t]{0,2}",
    ) {
        let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        prop_assert_eq!(found(&[pairs.join(&format!(";{gap}"))]), jar);
    }

    #[test]
    fn the_first_is_the_first_of_the_pairs(
        lines in prop::collection::vec(
            prop::collection::vec(prop::sample::select(b"ab=; \xff".to_vec()), 0..30), 0..4
        ),
    ) {
        let lines = || lines.iter().map(Vec::as_slice);
        let name = CookieName::new("a").expect("a cookie name");
        let expected = pairs(lines()).find(|(name, _)| name == b"a").map(|(_, value)| value);
        prop_assert_eq!(first(lines(), &name), expected);
    }
}
