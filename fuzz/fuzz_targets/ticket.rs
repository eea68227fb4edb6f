//! The input is a token.
#![no_main]

use canary_rules::signing::{Key, KeyId, KeyRing, Purpose, sign, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &[u8]| {
    let ring = ring();
    let Ok(ticket) = verify(&ring, Purpose::Cookie, token, 0) else {
        for purpose in [Purpose::Link, Purpose::Header] {
            assert!(verify(&ring, purpose, token, 0).is_err());
        }
        return;
    };
    // Only what signing makes verifies: nobody can have found a MAC, and no ticket has two spellings.
    assert_eq!(sign(&ring, Purpose::Cookie, &ticket).as_bytes(), token);
    assert!(verify(&ring, Purpose::Link, token, 0).is_err());
    assert!(verify(&ring, Purpose::Cookie, token, ticket.expires_unix_s).is_err());
    for at in 0..token.len() {
        let mut edited = token.to_vec();
        edited[at] ^= 1;
        assert!(verify(&ring, Purpose::Cookie, &edited, 0).is_err(), "byte {at} does not count");
        assert!(verify(&ring, Purpose::Cookie, &token[..at], 0).is_err(), "cut at {at}");
    }
});

fn ring() -> KeyRing {
    let id = KeyId::new("k1").expect("a key id");
    KeyRing::new([Key::new(id, vec![1; 32]).expect("a key")]).expect("a ring")
}
