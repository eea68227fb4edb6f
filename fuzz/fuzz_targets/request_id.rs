//! The input is two bytes of lane code, then an id.
#![no_main]

use canary_rules::name::LaneCode;
use canary_rules::request_id::{Reading, RequestIds, fresh};
use libfuzzer_sys::fuzz_target;

/// Where Envoy notes its tracing decision.
const ENVOYS_DIGIT: usize = 14;

fuzz_target!(|input: &[u8]| {
    let Some((code, id)) = input.split_first_chunk() else { return };
    let code = LaneCode(u16::from_be_bytes(*code));
    let ids = RequestIds::new([[1; 16], [2; 16]]);

    let Some(minted) = ids.mint(id, code) else {
        assert_eq!(ids.read(id), Reading::NotUuid);
        // What is no UUID can still serve as entropy for one.
        if let Some(entropy) = id.first_chunk() {
            check(&ids, &fresh(*entropy), code);
        }
        return;
    };
    assert_ne!(ids.read(id), Reading::NotUuid);
    assert_eq!(minted.get(..24), id.get(..24), "the head changed");
    check(&ids, id, code);
    if let Reading::Minted(said) = ids.read(id) {
        // Whatever is read as minted for a lane is what minting for that lane makes, by one of the keys.
        let same =
            |key| RequestIds::new([key]).mint(id, said).is_some_and(|again| again.eq_ignore_ascii_case(id));
        assert!(same([1; 16]) || same([2; 16]));
    }
});

fn check(ids: &RequestIds, id: &[u8], code: LaneCode) {
    let minted = ids.mint(id, code).expect("a UUID");
    assert_eq!(ids.read(&minted), Reading::Minted(code));
    assert_eq!(ids.read(&minted.to_ascii_uppercase()), Reading::Minted(code));
    for decision in *b"49ab" {
        let mut rewritten = minted;
        rewritten[ENVOYS_DIGIT] = decision;
        assert_eq!(ids.read(&rewritten), Reading::Minted(code), "lost to Envoy's rewriting");
    }
    for at in (0..minted.len()).filter(|at| *at != ENVOYS_DIGIT && minted[*at] != b'-') {
        let mut forged = minted;
        forged[at] = if forged[at] == b'7' { b'8' } else { b'7' };
        assert_eq!(ids.read(&forged), Reading::Unminted, "a changed digit {at} still counts as minted");
    }
}
