use super::{Reading, RequestIds, fresh};
use crate::name::LaneCode;

const ID: &[u8; 36] = b"3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const GRAY: LaneCode = LaneCode(0x2a7f);

fn ids() -> RequestIds {
    RequestIds::new([[7; 16]])
}

#[track_caller]
fn check_reading(id: &[u8], expected: Reading) {
    assert_eq!(ids().read(id), expected, "{}", String::from_utf8_lossy(id));
}

#[test]
fn the_head_stays_and_the_tail_says_the_code() {
    let minted = ids().mint(ID, GRAY).expect("a UUID");
    assert!(minted.starts_with(b"3f2504e0-4f89-41d3-9a0c-2a7f"), "{}", String::from_utf8_lossy(&minted));
    check_reading(&minted, Reading::Minted(GRAY));
}

#[test]
fn the_wire_form_is_fixed() {
    // A change of this text is a change of the protocol between proxies.
    assert_eq!(ids().mint(ID, GRAY), Some(*b"3f2504e0-4f89-41d3-9a0c-2a7f83ae8504"));
}

#[test]
fn the_baseline_is_minted_too() {
    let minted = ids().mint(ID, LaneCode::BASELINE).expect("a UUID");
    check_reading(&minted, Reading::Minted(LaneCode::BASELINE));
}

#[test]
fn every_code_survives_whatever_envoy_writes_into_digit_14() {
    for code in 0..=u16::MAX {
        let mut minted = ids().mint(ID, LaneCode(code)).expect("a UUID");
        for decision in *b"49abF" {
            minted[14] = decision;
            assert_eq!(ids().read(&minted), Reading::Minted(LaneCode(code)));
        }
    }
}

#[test]
fn minting_again_gives_the_same_id_or_changes_its_lane() {
    let gray = ids().mint(ID, GRAY).expect("a UUID");
    assert_eq!(ids().mint(&gray, GRAY), Some(gray));
    let blue = ids().mint(&gray, LaneCode(1)).expect("a UUID");
    check_reading(&blue, Reading::Minted(LaneCode(1)));
}

#[test]
fn case_does_not_count_and_is_kept() {
    let upper = ids().mint(&ID.to_ascii_uppercase(), GRAY).expect("a UUID");
    assert!(upper.starts_with(b"3F2504E0-4F89-41D3-9A0C-2a7f"));
    check_reading(&upper, Reading::Minted(GRAY));
    check_reading(&upper.to_ascii_lowercase(), Reading::Minted(GRAY));
    check_reading(&upper.to_ascii_uppercase(), Reading::Minted(GRAY));
}

#[test]
fn any_other_changed_digit_unmints_the_id() {
    let minted = ids().mint(ID, GRAY).expect("a UUID");
    for at in (0..36).filter(|at| ![8, 13, 14, 18, 23].contains(at)) {
        let mut changed = minted;
        changed[at] = if changed[at] == b'5' { b'6' } else { b'5' };
        assert_eq!(ids().read(&changed), Reading::Unminted, "digit {at}");
    }
}

#[test]
fn what_is_not_uuid_shaped_carries_nothing() {
    for id in [
        &b""[..],
        b"abc",
        b"3f2504e04f8941d39a0c0305e82c3301",
        b"3f2504e0-4f89-41d3-9a0c-0305e82c330",
        b"3f2504e0-4f89-41d3-9a0c-0305e82c33011",
        b"3f2504e0-4f89-41d3-9a0c-0305e82c330g",
        b"3f2504e0-4f89-41d3-9a0c00305e82c3301",
        b"3f2504e0-4f89-41d3-9a0c-0305e82c330\xff",
        b"{f2504e0-4f89-41d3-9a0c-0305e82c330}",
    ] {
        check_reading(id, Reading::NotUuid);
        assert_eq!(ids().mint(id, GRAY), None);
    }
}

#[test]
fn an_ordinary_uuid_is_unminted() {
    check_reading(ID, Reading::Unminted);
    check_reading(b"00000000-0000-0000-0000-000000000000", Reading::Unminted);
}

#[test]
fn the_first_key_mints_and_all_keys_read() {
    let (old, new, other) = ([1; 16], [2; 16], [3; 16]);
    let rotated = RequestIds::new([new, old]);
    let by_old = RequestIds::new([old]).mint(ID, GRAY).expect("a UUID");
    let by_rotated = rotated.mint(ID, GRAY).expect("a UUID");
    assert_eq!(rotated.read(&by_old), Reading::Minted(GRAY));
    assert_eq!(rotated.read(&by_rotated), Reading::Minted(GRAY));
    assert_eq!(RequestIds::new([new]).read(&by_rotated), Reading::Minted(GRAY));
    assert_eq!(RequestIds::new([other]).read(&by_rotated), Reading::Unminted);
}

#[test]
fn without_a_key_nothing_is_minted() {
    let none = RequestIds::new([]);
    assert_eq!(none.mint(ID, GRAY), None);
    assert_eq!(none.read(ID), Reading::Unminted);
}

#[test]
fn a_fresh_id_is_a_version_4_uuid() {
    assert_eq!(&fresh([0; 16]), b"00000000-0000-4000-8000-000000000000");
    assert_eq!(&fresh([0xff; 16]), b"ffffffff-ffff-4fff-bfff-ffffffffffff");
    let bytes = core::array::from_fn(|at| u8::try_from(at * 17).expect("under 256"));
    assert_eq!(&fresh(bytes), b"00112233-4455-4677-8899-aabbccddeeff");
}
