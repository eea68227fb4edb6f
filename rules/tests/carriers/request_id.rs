//! Minted request ids.

use canary_rules::name::LaneCode;
use canary_rules::request_id::{Reading, RequestIds, fresh};
use proptest::prelude::*;

/// Where Envoy notes its tracing decision.
const ENVOYS_DIGIT: usize = 14;

proptest! {
    #[test]
    fn what_was_minted_is_read(
        key: [u8; 16],
        entropy: [u8; 16],
        code: u16,
        envoy in "[0-9a-f]",
        upper: bool,
    ) {
        let ids = RequestIds::new([key]);
        let id = fresh(entropy);
        let mut minted = ids.mint(&id, LaneCode(code)).expect("a UUID");
        prop_assert_eq!(&minted[..24], &id[..24]);
        minted[ENVOYS_DIGIT] = envoy.as_bytes()[0];
        if upper {
            minted.make_ascii_uppercase();
        }
        prop_assert_eq!(ids.read(&minted), Reading::Minted(LaneCode(code)));
        // Minting for the same lane again, after Envoy, changes nothing that counts.
        let again = ids.mint(&minted, LaneCode(code)).expect("a UUID");
        prop_assert!(again.eq_ignore_ascii_case(&minted));
    }

    #[test]
    fn an_id_is_minted_again_unless_it_says_the_lane_by_any_key(
        keys in prop::collection::vec(any::<[u8; 16]>(), 1..4),
        by in 0..4_usize,
        entropy: [u8; 16],
        code: u16,
        other in any::<Option<u16>>(),
    ) {
        let ids = RequestIds::new(keys.clone());
        let was_for = LaneCode(other.unwrap_or(code));
        let id = match keys.get(by) {
            Some(key) => RequestIds::new([*key]).mint(&fresh(entropy), was_for).expect("a UUID"),
            None => fresh(entropy),
        };
        let wanted = if ids.read(&id) == Reading::Minted(LaneCode(code)) { None } else { ids.mint(&id, LaneCode(code)) };
        prop_assert_eq!(ids.remint(&id, LaneCode(code)), wanted);
    }

    #[test]
    fn what_was_not_minted_says_nothing(key: [u8; 16], entropy: [u8; 16]) {
        prop_assert_eq!(RequestIds::new([key]).read(&fresh(entropy)), Reading::Unminted);
    }

    #[test]
    fn another_mesh_mints_nothing_for_us(ours: [u8; 16], theirs: [u8; 16], entropy: [u8; 16], code: u16) {
        prop_assume!(ours != theirs);
        let minted = RequestIds::new([theirs]).mint(&fresh(entropy), LaneCode(code)).expect("a UUID");
        prop_assert_eq!(RequestIds::new([ours]).read(&minted), Reading::Unminted);
    }

    #[test]
    fn a_changed_code_is_no_longer_minted(key: [u8; 16], entropy: [u8; 16], code: u16, other: u16) {
        prop_assume!(code != other);
        let ids = RequestIds::new([key]);
        let mut minted = ids.mint(&fresh(entropy), LaneCode(code)).expect("a UUID");
        minted[24..28].copy_from_slice(format!("{other:04x}").as_bytes());
        prop_assert_eq!(ids.read(&minted), Reading::Unminted);
    }

    #[test]
    fn any_bytes_are_read_and_only_uuids_are_minted(id: Vec<u8>) {
        let ids = RequestIds::new([[1; 16]]);
        prop_assert_eq!(ids.read(&id), Reading::NotUuid);
        prop_assert_eq!(ids.mint(&id, LaneCode(1)), None);
    }

    #[test]
    fn a_fresh_id_is_a_version_4_uuid(entropy: [u8; 16]) {
        let id = String::from_utf8(fresh(entropy).to_vec()).expect("ASCII");
        let digits: String = id.split('-').collect();
        prop_assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        let number = u128::from_str_radix(&digits, 16).expect("hex");
        prop_assert_eq!(number >> 76 & 0xF, 4);
        prop_assert_eq!(number >> 62 & 0x3, 2);
        let fixed = 0xF << 76 | 0xC << 60;
        prop_assert_eq!(number & !fixed, u128::from_be_bytes(entropy) & !fixed);
    }
}
