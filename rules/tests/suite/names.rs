//! Names: what is one, and what it is turned into.

use std::collections::BTreeMap;

use canary_rules::name::{BaggageKey, CookieName, HeaderName, LaneCode, LaneName, NameError, is_token_byte};
use canary_rules::wire::{Carriers, EdgeSettings};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn lane_names_are_dns_subdomains_that_fit_a_label() {
    for name in ["a", "gray", "dev-alice", "gray.checkout", "0", "a0-9.b", &"a".repeat(63)] {
        assert_eq!(LaneName::new(name).as_ref().map(LaneName::as_str), Ok(name));
    }
    for name in ["Gray", "-a", "a-", "a..b", ".a", "a.", "a_b", "a b", "ä", "a~b", "a.-b", "a\n"] {
        assert!(matches!(LaneName::new(name), Err(NameError::BadCharacter { .. })), "{name}");
    }
    assert!(matches!(LaneName::new(""), Err(NameError::Empty { .. })));
    assert!(matches!(LaneName::new(&"a".repeat(64)), Err(NameError::TooLong { max: 63, .. })));
    assert!(matches!(LaneName::new("baseline"), Err(NameError::Reserved { .. })));
}

#[test]
fn tokens_are_what_rfc_9110_says() {
    let signs = "!#$%&'*+-.^_`|~";
    for byte in 0..=u8::MAX {
        let expected = byte.is_ascii_alphanumeric() || signs.as_bytes().contains(&byte);
        assert_eq!(is_token_byte(byte), expected, "{byte}");
    }
    assert_eq!(HeaderName::new("X-Dev").expect("a name").as_str(), "x-dev");
    assert_eq!(CookieName::new("X-Dev").expect("a name").as_str(), "X-Dev");
    assert_eq!(BaggageKey::new("X-Dev").expect("a key").as_str(), "X-Dev");
    for bad in ["", ":path", "a b", "a=b", "a;b", "a,b", "é", &"a".repeat(129)] {
        assert!(
            HeaderName::new(bad).is_err() && CookieName::new(bad).is_err() && BaggageKey::new(bad).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn codes_are_fixed_and_never_the_reserved_ones() {
    // In request ids and in maps of running proxies: they may never change.
    assert_eq!(LaneName::new("gray").expect("a name").code(), CODE_OF_GRAY);
    let mut codes = BTreeMap::new();
    for number in 0..2_000 {
        let code = LaneName::new(&format!("lane-{number}")).expect("a name").code();
        assert!(code != LaneCode::BASELINE && code != LaneCode(0xFFFF));
        *codes.entry(code).or_insert(0) += 1;
    }
    assert!(codes.len() > 1_900, "codes spread: {}", codes.len());
}

const CODE_OF_GRAY: LaneCode = LaneCode(61809);

#[test]
fn defaults_are_valid_names() {
    let (carriers, edge) = (Carriers::default(), EdgeSettings::default());
    assert_eq!(HeaderName::new(carriers.header.as_str()), Ok(carriers.header));
    assert_eq!(
        carriers.baggage.as_ref().map(|key| BaggageKey::new(key.as_str())),
        carriers.baggage.clone().map(Ok)
    );
    assert_eq!(CookieName::new(edge.lane_cookie.as_str()), Ok(edge.lane_cookie));
    assert_eq!(CookieName::new(edge.uid_cookie.as_str()), Ok(edge.uid_cookie));
}

#[test]
fn names_are_checked_when_they_are_read() {
    assert!(serde_json::from_str::<LaneName>("\"gray\"").is_ok());
    assert!(serde_json::from_str::<LaneName>("\"Gray\"").is_err());
    assert_eq!(serde_json::from_str::<HeaderName>("\"X-A\"").expect("a name").as_str(), "x-a");
}
