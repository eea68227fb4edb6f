use super::{Assigned, Key, KeyError, KeyId, KeyRing, Purpose, Ticket, TicketError, sign, verify};
use crate::name::LaneName;

const NOW: u64 = 1_790_000_000;

fn key(id: &str, fill: u8) -> Key {
    Key::new(KeyId::new(id).expect("a key id"), vec![fill; 32]).expect("a key")
}

fn ring(ids: &[(&str, u8)]) -> KeyRing {
    KeyRing::new(ids.iter().map(|(id, fill)| key(id, *fill))).expect("a ring")
}

fn ticket() -> Ticket {
    Ticket {
        lane: LaneName::new("gray.checkout-2").expect("a lane"),
        epoch: 3,
        assigned: Assigned::Percent { rank: 120 },
        expires_unix_s: NOW + 1,
    }
}

#[track_caller]
fn check(ring: &KeyRing, token: &[u8], expected: Result<Ticket, TicketError>) {
    assert_eq!(verify(ring, Purpose::Cookie, token, NOW), expected, "{}", String::from_utf8_lossy(token));
}

#[test]
fn a_signed_ticket_verifies() {
    let ring = ring(&[("k1", 1)]);
    for assigned in [Assigned::Rule, Assigned::Percent { rank: 0 }, Assigned::Percent { rank: u16::MAX }] {
        for epoch in [0, u32::MAX] {
            let ticket = Ticket { assigned, epoch, ..ticket() };
            check(&ring, sign(&ring, Purpose::Cookie, &ticket).as_bytes(), Ok(ticket));
        }
    }
}

#[test]
fn the_wire_form_is_fixed() {
    // A change of this text makes every cookie in every browser worthless.
    let token = sign(&ring(&[("k1", 1)]), Purpose::Cookie, &ticket());
    assert_eq!(token, "gray.checkout-2~3~p120~1790000001~k1~6Tn-cxHD4vpB68XDKiW-bQ");
}

#[test]
fn the_longest_token_is_within_the_limit() {
    let ring = ring(&[("0123456789abcdef", 1)]);
    let ticket = Ticket {
        lane: LaneName::new(&"a".repeat(63)).expect("a lane"),
        epoch: u32::MAX,
        assigned: Assigned::Percent { rank: u16::MAX },
        expires_unix_s: u64::MAX,
    };
    let token = sign(&ring, Purpose::Cookie, &ticket);
    assert_eq!(token.len(), 142);
    check(&ring, token.as_bytes(), Ok(ticket));
}

#[test]
fn a_ticket_is_over_at_the_second_it_expires() {
    let ring = ring(&[("k1", 1)]);
    let token = sign(&ring, Purpose::Cookie, &Ticket { expires_unix_s: NOW, ..ticket() });
    check(&ring, token.as_bytes(), Err(TicketError::Expired));
}

#[test]
fn any_changed_byte_is_refused() {
    let ring = ring(&[("k1", 1)]);
    let token = sign(&ring, Purpose::Cookie, &ticket()).into_bytes();
    for at in 0..token.len() {
        for change in 1..=u8::MAX {
            let mut changed = token.clone();
            changed[at] ^= change;
            assert!(verify(&ring, Purpose::Cookie, &changed, 0).is_err(), "byte {at} ^ {change}");
        }
    }
}

#[test]
fn any_cut_or_longer_token_is_refused() {
    let ring = ring(&[("k1", 1)]);
    let token = sign(&ring, Purpose::Cookie, &ticket()).into_bytes();
    for end in 0..token.len() {
        assert!(verify(&ring, Purpose::Cookie, &token[..end], 0).is_err(), "cut at {end}");
    }
    for extra in [&b"A"[..], b"~", b"=", b"==", b" ", b"\0"] {
        let longer = [&token[..], extra].concat();
        assert!(verify(&ring, Purpose::Cookie, &longer, 0).is_err());
        let earlier = [extra, &token[..]].concat();
        assert!(verify(&ring, Purpose::Cookie, &earlier, 0).is_err());
    }
}

#[test]
fn a_shortened_mac_is_no_mac() {
    let ring = ring(&[("k1", 1)]);
    let token = sign(&ring, Purpose::Cookie, &ticket());
    let (signed, mac) = token.rsplit_once('~').expect("a MAC");
    for chars in [0, 2, 3, 4, 8, 20, 21] {
        check(&ring, format!("{signed}~{}", &mac[..chars]).as_bytes(), Err(TicketError::Malformed));
    }
}

#[test]
fn a_token_for_one_purpose_is_worth_nothing_for_another() {
    let ring = ring(&[("k1", 1)]);
    let purposes = [Purpose::Cookie, Purpose::Link, Purpose::Header];
    for signed in purposes {
        let token = sign(&ring, signed, &ticket());
        for read in purposes {
            let expected = if read == signed { Ok(ticket()) } else { Err(TicketError::BadSignature) };
            assert_eq!(verify(&ring, read, token.as_bytes(), NOW), expected, "{signed:?} as {read:?}");
        }
    }
}

#[test]
fn rotation_keeps_tickets_until_the_old_key_goes() {
    let (old, rotated, new) = (ring(&[("k1", 1)]), ring(&[("k2", 2), ("k1", 1)]), ring(&[("k2", 2)]));
    let by_old = sign(&old, Purpose::Cookie, &ticket());
    let by_rotated = sign(&rotated, Purpose::Cookie, &ticket());
    assert!(by_rotated.contains("~k2~"));
    check(&rotated, by_old.as_bytes(), Ok(ticket()));
    check(&rotated, by_rotated.as_bytes(), Ok(ticket()));
    check(&new, by_rotated.as_bytes(), Ok(ticket()));
    check(&new, by_old.as_bytes(), Err(TicketError::UnknownKey));
    check(&old, by_rotated.as_bytes(), Err(TicketError::UnknownKey));
}

#[test]
fn the_key_that_is_named_must_have_signed() {
    let token = sign(&ring(&[("k1", 1)]), Purpose::Cookie, &ticket());
    let other = ring(&[("k1", 2), ("k0", 1)]);
    check(&other, token.as_bytes(), Err(TicketError::BadSignature));
    check(&other, token.replace("~k1~", "~k0~").as_bytes(), Err(TicketError::BadSignature));
}

#[test]
fn garbage_is_malformed() {
    let ring = ring(&[("k1", 1)]);
    let long = format!("{}~k1~{}", "a".repeat(300), "A".repeat(22));
    for token in [
        &b""[..],
        b"~",
        b"~~~~~",
        b"gray",
        b"gray~3~r~1~k1",
        b"gray~3~r~1~k1~",
        b"gray~3~r~1~k1~AAAAAAAAAAAAAAAAAAAAA",
        b"gray~3~r~1~k1~AAAAAAAAAAAAAAAAAAAAAAA",
        b"gray~3~r~1~k1~AAAAAAAAAAAAAAAAAAAAAB",
        b"gray~3~r~1~k1~AAAAAAAAAAAAAAAAAAAA+A",
        b"gray~3~r~1~k1~AAAAAAAAAAAAAAAAAAAAAA==",
        b"\xff\xfe~3~r~1~k1~AAAAAAAAAAAAAAAAAAAAAA",
        long.as_bytes(),
    ] {
        check(&ring, token, Err(TicketError::Malformed));
    }
    check(&ring, b"gray~3~r~1~k1~AAAAAAAAAAAAAAAAAAAAAA", Err(TicketError::BadSignature));
    check(&ring, b"gray~3~r~1~~AAAAAAAAAAAAAAAAAAAAAA", Err(TicketError::UnknownKey));
}

#[test]
fn derived_keys_differ_by_purpose_and_key_and_come_in_order() {
    let both: Vec<_> = ring(&[("k2", 2), ("k1", 1)]).derive("request-id").collect();
    assert_eq!(both.len(), 2);
    assert_ne!(both[0], both[1]);
    assert_eq!(ring(&[("k1", 1)]).derive("request-id").next(), Some(both[1]));
    assert_ne!(ring(&[("k1", 1)]).derive("flow-id").next(), Some(both[1]));
}

#[test]
fn a_ring_has_one_to_four_keys_with_ids_of_their_own() {
    assert_eq!(KeyRing::new([]), Err(KeyError::None));
    let of = |count: u8| KeyRing::new((0..count).map(|at| key(&format!("k{at}"), at)));
    assert!(of(4).is_ok());
    assert_eq!(of(5), Err(KeyError::TooMany));
    assert_eq!(KeyRing::new([key("a", 1), key("a", 2)]), Err(KeyError::SameId { id: "a".into() }));
}

#[test]
fn keys_are_equal_by_id_and_secret() {
    assert_eq!(key("a", 1), key("a", 1));
    assert_ne!(key("a", 1), key("a", 2));
    assert_ne!(key("a", 1), key("b", 1));
}

#[test]
fn keys_are_checked() {
    for id in ["", "a~b", "a.b", "ü", "01234567890123456"] {
        assert_eq!(KeyId::new(id), Err(KeyError::Id { id: id.into() }));
    }
    let of = |bytes: usize| Key::new(KeyId::new("a").expect("a key id"), vec![0; bytes]).map(|_| ());
    let length = Err(KeyError::SecretLength { id: "a".into() });
    assert_eq!([of(15), of(16), of(128), of(129)], [length.clone(), Ok(()), Ok(()), length]);
}

#[test]
fn a_ring_is_written_as_a_list_and_shows_no_secret() {
    let text = concat!(
        r#"[{"id":"k2","secret":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},"#,
        r#"{"id":"k1","secret":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}]"#,
    );
    let ring: KeyRing = serde_json::from_str(text).expect("a ring");
    assert_eq!(ring, self::ring(&[("k2", 2), ("k1", 1)]));
    assert_eq!(serde_json::to_string(&ring).expect("written"), text);
    let shown = format!("{ring:?}");
    assert!(shown.contains("k2") && !shown.contains("[2, 2") && !shown.contains("AgI"), "{shown}");
}

#[test]
fn a_ring_that_is_none_says_why_without_the_secret() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = serde_json::from_str::<KeyRing>(text).expect_err("no ring").to_string();
        assert!(error.contains(expected), "{error}");
    }
    check("[]", "there is no key");
    check(r#"[{"id":"k1","secret":"%%%"}]"#, "the secret of key `k1` is not base64");
    check(r#"[{"id":"k1","secret":"AAAA"}]"#, "the secret of key `k1` must have 16 to 128 bytes");
    check(r#"[{"id":"k 1","secret":"AAAA"}]"#, "key id `k 1` must be");
    let unpadded = r#"[{"id":"k1","secret":"AQEBAQEBAQEBAQEBAQEBAQ","later":1}]"#;
    assert!(serde_json::from_str::<KeyRing>(unpadded).is_ok());
}
