//! The input is the value to write, then `baggage` lines, one per line.
#![no_main]

use canary_rules::baggage::{
    BAGGAGE_BYTES_MAX, BaggageLimit, MEMBERS_MAX, member, saying, values, with_member, without_member,
};
use canary_rules::name::BaggageKey;
use libfuzzer_sys::fuzz_target;

const KEY: &str = "l";

fuzz_target!(|input: &[u8]| {
    let key = BaggageKey::new(KEY).expect("a baggage key");
    let mut lines = input.split(|byte| *byte == b'\n');
    let value = lines.next().and_then(|value| core::str::from_utf8(value).ok()).unwrap_or_default();

    // A list without cleverness: what any W3C reader sees.
    let all: Vec<&[u8]> = lines
        .clone()
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
        .collect();
    let others: Vec<&[u8]> = all.iter().copied().filter(|member| !is_ours(member)).collect();
    let place = all.iter().position(|member| is_ours(member)).unwrap_or(others.len());

    match with_member(lines.clone(), &key, value) {
        Ok(line) => {
            let mut written: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
            assert!(written.len() <= MEMBERS_MAX && line.len() <= BAGGAGE_BYTES_MAX);
            let ours = written.remove(place);
            assert!(
                ours.starts_with(b"l=") && ours.iter().all(u8::is_ascii_graphic) && !ours.contains(&b';')
            );
            assert_eq!(written, others);
            assert_eq!(member([line.as_slice()].into_iter(), &key), ours.get(2..));
            assert_eq!(with_member([line.as_slice()].into_iter(), &key, value).as_ref(), Ok(&line));
        }
        Err(BaggageLimit::Members) => assert!(others.len() >= MEMBERS_MAX),
        Err(BaggageLimit::Bytes) => {
            let others = others.iter().map(|member| member.len() + 1).sum::<usize>();
            // Percent-encoding makes three bytes of one at most.
            assert!(others + KEY.len() + 1 + 3 * value.len() > BAGGAGE_BYTES_MAX);
        }
    }

    let line = saying(lines.clone(), &key, "gray");
    let after = line.as_ref().map_or_else(|| lines.clone().collect(), |line| vec![line.as_slice()]);
    let said: Vec<&[u8]> = values(after.iter().copied(), &key).collect();
    assert!(said.is_empty() || said == [b"gray"], "another value goes on");

    let rest = without_member(lines.clone(), &key);
    assert_eq!(rest.is_some(), others.len() < all.len());
    assert_eq!(member(lines, &key).is_some(), rest.is_some());
    if let Some(rest) = rest {
        assert_eq!(rest, others.join(&b","[..]));
    }
});

fn is_ours(member: &[u8]) -> bool {
    let name = member.split(|byte| *byte == b'=').next().unwrap_or_default();
    name.len() < member.len() && name.trim_ascii() == KEY.as_bytes()
}
