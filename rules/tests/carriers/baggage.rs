//! Baggage edits against a plain model of a list of members.

use canary_rules::baggage::{
    BAGGAGE_BYTES_MAX, BaggageLimit, MEMBERS_MAX, member, saying, values, with_member, without_member,
};
use canary_rules::name::BaggageKey;
use proptest::prelude::*;

const KEY: &str = "lane";

fn key() -> BaggageKey {
    BaggageKey::new(KEY).expect("a baggage key")
}

/// Members as a reader without cleverness sees them.
fn members(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let joined = lines.join(&b","[..]);
    let pieces = joined.split(|byte| *byte == b',').map(|piece| piece.trim_ascii().to_vec());
    pieces.filter(|piece| !piece.is_empty()).collect()
}

fn is_ours(member: &[u8]) -> bool {
    let Some(end) = member.iter().position(|byte| *byte == b'=') else { return false };
    member[..end].trim_ascii() == KEY.as_bytes()
}

/// The members after `lane=value` was put in; ours where the first of its kind was.
fn expected_with(lines: &[Vec<u8>], value: &str) -> Vec<Vec<u8>> {
    let own = format!("{KEY}={value}").into_bytes();
    let all = members(lines);
    let place = all.iter().position(|member| is_ours(member)).unwrap_or(all.len());
    let others_before = all[..place].iter().cloned();
    let others_after = all[place..].iter().filter(|member| !is_ours(member)).cloned();
    others_before.chain([own]).chain(others_after).collect()
}

fn one_member() -> impl Strategy<Value = Vec<u8>> {
    let other =
        "[ \t]{0,2}[a-z]{1,6}[ \t]?=[ \t]?[a-z%0-9=]{0,12}([ ]?;[ ]?[a-z]{1,3}(=[a-z]{0,3})?){0,3}[ \t]{0,2}";
    let ours = "[ \t]{0,2}lane[ \t]?=[ \t]?[a-z.-]{0,8}([ ]?;[ ]?p(=1)?){0,2}[ \t]{0,2}";
    prop_oneof![
        4 => other.prop_map(String::into_bytes),
        2 => ours.prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>().prop_filter("no separator", |byte| *byte != b','), 0..12),
        1 => (0..3000_usize).prop_map(|bytes| [b"big=", b"x".repeat(bytes).as_slice()].concat()),
    ]
}

fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = prop::collection::vec(one_member(), 0..24).prop_map(|members| members.join(&b","[..]));
    prop::collection::vec(line, 0..5)
}

fn slices(lines: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> + Clone {
    lines.iter().map(Vec::as_slice)
}

proptest! {
    #[test]
    fn others_stay_byte_identical_and_ours_is_the_only_one(lines in lines(), value in "[a-z0-9.-]{1,63}") {
        let expected = expected_with(&lines, &value);
        let line = expected.join(&b","[..]);
        match with_member(slices(&lines), &key(), &value) {
            Ok(written) => {
                prop_assert_eq!(&written, &line);
                prop_assert!(written.len() <= BAGGAGE_BYTES_MAX && expected.len() <= MEMBERS_MAX);
                prop_assert_eq!(member([written.as_slice()].into_iter(), &key()), Some(value.as_bytes()));
                prop_assert_eq!(with_member([written.as_slice()].into_iter(), &key(), &value), Ok(line));
            }
            Err(BaggageLimit::Bytes) => prop_assert!(line.len() > BAGGAGE_BYTES_MAX),
            Err(BaggageLimit::Members) => prop_assert!(expected.len() > MEMBERS_MAX),
        }
    }

    #[test]
    fn whatever_came_in_no_other_value_goes_on(lines in lines(), value in "[a-z.-]{1,8}") {
        let others: Vec<_> = members(&lines).into_iter().filter(|member| !is_ours(member)).collect();
        let line = saying(slices(&lines), &key(), &value);
        let after = line.map_or(lines, |line| vec![line]);
        let said: Vec<_> = values(slices(&after), &key()).collect();
        prop_assert!(said.is_empty() || said == [value.as_bytes()], "{:?}", said);
        prop_assert_eq!(members(&after).into_iter().filter(|member| !is_ours(member)).collect::<Vec<_>>(), others);
        prop_assert_eq!(saying(slices(&after), &key(), &value), None);
    }

    #[test]
    fn only_ours_is_taken_out(lines in lines()) {
        let (ours, others): (Vec<_>, Vec<_>) = members(&lines).into_iter().partition(|member| is_ours(member));
        let rest = without_member(slices(&lines), &key());
        prop_assert_eq!(rest.is_some(), !ours.is_empty());
        if let Some(rest) = rest {
            prop_assert_eq!(rest, others.join(&b","[..]));
        }
    }

    #[test]
    fn what_was_put_in_can_be_taken_out(lines in lines(), value in "[a-z]{1,9}") {
        let (_, others): (Vec<_>, Vec<_>) = members(&lines).into_iter().partition(|member| is_ours(member));
        if let Ok(written) = with_member(slices(&lines), &key(), &value) {
            let rest = without_member([written.as_slice()].into_iter(), &key());
            prop_assert_eq!(rest, Some(others.join(&b","[..])));
        }
    }

    #[test]
    fn where_lines_are_split_does_not_count(lines in lines()) {
        let joined = lines.join(&b","[..]);
        prop_assert_eq!(member(slices(&lines), &key()), member([joined.as_slice()].into_iter(), &key()));
        prop_assert_eq!(
            with_member(slices(&lines), &key(), "gray"),
            with_member([joined.as_slice()].into_iter(), &key(), "gray")
        );
    }

    #[test]
    fn any_value_stays_one_value(value in any::<String>()) {
        let lines = [b"a=1".to_vec()];
        if let Ok(written) = with_member(slices(&lines), &key(), &value) {
            prop_assert!(written.iter().all(u8::is_ascii_graphic));
            prop_assert_eq!(written.split(|byte| *byte == b',').count(), 2);
            let read = member([written.as_slice()].into_iter(), &key()).expect("just written");
            prop_assert_eq!(percent_decoded(read), value.into_bytes());
        }
    }
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut rest = text.iter().copied();
    let mut bytes = Vec::new();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&digits, 16).expect("two hex digits"));
        } else {
            bytes.push(byte);
        }
    }
    bytes
}
