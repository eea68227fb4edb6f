//! The input is `cookie` lines, one per line.
#![no_main]

use canary_rules::cookie::{first, pairs};
use canary_rules::name::CookieName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let lines = || input.split(|byte| *byte == b'\n');
    let found: Vec<_> = pairs(lines()).collect();
    for (name, value) in &found {
        assert!(!name.is_empty());
        assert!(!name.contains(&b'=') && !name.contains(&b';') && !value.contains(&b';'));
        assert!(name.trim_ascii() == *name && value.trim_ascii() == *value);
        if let Some(name) = core::str::from_utf8(name).ok().and_then(|name| CookieName::new(name).ok()) {
            let expected = found.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| *value);
            assert_eq!(first(lines(), &name), expected);
        }
    }

    // The oracle reads text only and drops all Unicode white space.
    let Ok(text) = core::str::from_utf8(input) else { return };
    let expected: Vec<_> = text
        .split('\n')
        .flat_map(cookie::Cookie::split_parse)
        .filter_map(Result::ok)
        .map(|cookie| (cookie.name().to_owned(), cookie.value().to_owned()))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|pair| (text_of(pair.0), text_of(pair.1)))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    assert_eq!(found, expected);
});

fn text_of(bytes: &[u8]) -> String {
    core::str::from_utf8(bytes).expect("cut out of text at ASCII").trim().to_owned()
}
