use proptest::prelude::*;

use super::*;
use crate::testing::meshes::{mesh, some_lanes};

/// An object as its owner applies it again: with what others keep on it.
fn again(base: &Object, live: &Object) -> Object {
    let mut value = live.value().clone();
    value["spec"] = base.spec().clone();
    Object::new(value).expect("an object")
}

fn users<'a>(original: &'a [Object], now: &'a [Object]) -> impl Iterator<Item = (&'a Object, &'a Object)> {
    let live = |base: &Object| now.iter().find(|live| live.reference() == base.reference());
    original.iter().filter_map(move |base| Some((base, live(base)?)))
}

proptest! {
    /// Wherever a plan stands, a base that is applied again leaves the object as it stands.
    #[test]
    fn a_base_applied_again_changes_nothing(original in mesh(), first in some_lanes(), second in some_lanes()) {
        let mut observed = original.clone();
        for wanted in [&first, &second] {
            let owners = Owners::new();
            let desired = Desired { lanes: wanted, tag_header: &header(), owners: &owners, edge: &[], hops: &[] };
            for change in planner::plan(&desired, &observed).expect("a plan").changes {
                apply(&mut observed, &change).expect("no conflict");
                let standing = standing(&observed, wanted);
                for (base, live) in users(&original.virtual_services, &observed.virtual_services) {
                    let again = again(base, live);
                    let got = standing.virtual_service(&again, Before::Stored(live)).unwrap_or_else(|| again.into_value());
                    prop_assert_eq!(got.to_string(), live.value().to_string());
                }
            }
        }
    }

    /// Once a plan is through, it makes no difference whether an object is there or made anew.
    #[test]
    fn a_base_made_anew_is_as_the_planner_wants_it(original in mesh(), wanted in some_lanes()) {
        let mut observed = original.clone();
        carry_out(&mut observed, &wanted);
        let programmed = wanted.iter().map(|lane| lane.name.clone()).collect();
        let standing = standing(&observed, &wanted);
        for (base, live) in users(&original.virtual_services, &observed.virtual_services) {
            let got = standing.virtual_service(base, Before::Nothing(&programmed)).unwrap_or_else(|| base.value().clone());
            prop_assert_eq!(got["spec"].to_string(), live.spec().to_string());
        }
        for (base, live) in users(&original.destination_rules, &observed.destination_rules) {
            let again = again(base, live);
            for new in [base, &again] {
                let got = standing.destination_rule(new).expect("a plan");
                let got = got.unwrap_or_else(|| new.value().clone());
                prop_assert_eq!(got["spec"].to_string(), live.spec().to_string());
                prop_assert_eq!(&got["metadata"]["annotations"], &live.value()["metadata"]["annotations"]);
            }
        }
    }
}
