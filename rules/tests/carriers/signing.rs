//! Signed tickets: what was signed is read, and nothing else is.

use canary_rules::name::LaneName;
use canary_rules::signing::{
    Assigned, Key, KeyId, KeyRing, Purpose, TOKEN_BYTES_MAX, Ticket, TicketError, sign, verify,
};
use proptest::prelude::*;

fn lane() -> impl Strategy<Value = LaneName> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?([.][a-z0-9]{1,8}){0,3}"
        .prop_filter_map("a lane", |text| LaneName::new(&text).ok())
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let assigned =
        prop_oneof![Just(Assigned::Rule), any::<u16>().prop_map(|rank| Assigned::Percent { rank })];
    (lane(), any::<u32>(), assigned, any::<u64>())
        .prop_map(|(lane, epoch, assigned, expires_unix_s)| Ticket { lane, epoch, assigned, expires_unix_s })
}

fn purpose() -> impl Strategy<Value = Purpose> {
    prop::sample::select(vec![Purpose::Cookie, Purpose::Link, Purpose::Header])
}

fn key() -> impl Strategy<Value = Key> {
    ("[A-Za-z0-9_-]{1,16}", prop::collection::vec(any::<u8>(), 16..=128))
        .prop_map(|(id, secret)| Key::new(KeyId::new(&id).expect("a key id"), secret).expect("a key"))
}

fn ring() -> impl Strategy<Value = KeyRing> {
    prop::collection::vec(key(), 1..=4).prop_filter_map("ids of their own", |keys| KeyRing::new(keys).ok())
}

proptest! {
    #[test]
    fn what_was_signed_is_read_until_it_expires(
        ring in ring(),
        purpose in purpose(),
        ticket in ticket(),
        now: u64,
    ) {
        let token = sign(&ring, purpose, &ticket);
        prop_assert!(token.len() <= TOKEN_BYTES_MAX);
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)));
        let expected = if now < ticket.expires_unix_s { Ok(ticket) } else { Err(TicketError::Expired) };
        prop_assert_eq!(verify(&ring, purpose, token.as_bytes(), now), expected);
    }

    #[test]
    fn an_edited_token_is_refused(
        ring in ring(),
        ticket in ticket(),
        at: prop::sample::Index,
        remove in 0..3_usize,
        insert in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3),
            prop::collection::vec(prop::sample::select(b"~0189azAZ-_.+=rp".to_vec()), 0..3),
        ],
    ) {
        let token = sign(&ring, Purpose::Cookie, &ticket).into_bytes();
        let at = at.index(token.len());
        let mut edited = token.clone();
        edited.splice(at..token.len().min(at + remove), insert);
        let refused = verify(&ring, Purpose::Cookie, &edited, 0).is_err();
        prop_assert!(refused || edited == token, "{}", String::from_utf8_lossy(&edited));
    }

    #[test]
    fn parts_of_two_tokens_make_no_third(
        ring in ring(),
        one in ticket(),
        other in ticket(),
        of_other in prop::collection::vec(any::<bool>(), 6),
    ) {
        let tokens = [sign(&ring, Purpose::Cookie, &one), sign(&ring, Purpose::Cookie, &other)];
        let split = tokens.each_ref().map(|token| token.split('~').collect::<Vec<_>>());
        let parts = of_other.iter().enumerate().map(|(at, of_other)| split[usize::from(*of_other)][at]);
        let mixed = parts.collect::<Vec<_>>().join("~");
        let refused = verify(&ring, Purpose::Cookie, mixed.as_bytes(), 0) == Err(TicketError::BadSignature);
        prop_assert!(refused || tokens.contains(&mixed));
    }

    #[test]
    fn another_ring_is_refused(ours in ring(), theirs in ring(), purpose in purpose(), ticket in ticket()) {
        let token = sign(&theirs, purpose, &ticket);
        let refused = matches!(
            verify(&ours, purpose, token.as_bytes(), 0),
            Err(TicketError::UnknownKey | TicketError::BadSignature)
        );
        prop_assert!(refused);
    }

    #[test]
    fn another_purpose_is_refused(ring in ring(), signed in purpose(), read in purpose(), ticket in ticket()) {
        let token = sign(&ring, signed, &ticket);
        let refused = verify(&ring, read, token.as_bytes(), 0) == Err(TicketError::BadSignature);
        prop_assert_eq!(refused, signed != read);
    }

    #[test]
    fn garbage_is_refused(ring in ring(), token: Vec<u8>, text in "[a-z0-9~]{0,300}") {
        prop_assert!(verify(&ring, Purpose::Cookie, &token, 0).is_err());
        prop_assert!(verify(&ring, Purpose::Cookie, text.as_bytes(), 0).is_err());
    }

    #[test]
    fn a_ring_survives_being_written(ring in ring()) {
        let text = serde_json::to_string(&ring).expect("written");
        prop_assert_eq!(serde_json::from_str::<KeyRing>(&text).expect("read"), ring);
    }

    #[test]
    fn derived_keys_are_apart(ring in ring(), one in "[a-z-]{0,12}", other in "[a-z-]{0,12}") {
        prop_assume!(one != other);
        let keys: Vec<_> = ring.derive(&one).chain(ring.derive(&other)).collect();
        let apart: std::collections::BTreeSet<_> = keys.iter().collect();
        // Two keys of one secret would derive the same; random secrets do not repeat.
        prop_assert_eq!(apart.len(), keys.len());
    }
}
