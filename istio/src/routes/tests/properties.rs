//! What must hold for any VirtualService and any request.

use super::*;

fn text(http: &[Value]) -> String {
    serde_json::to_string(http).expect("JSON")
}

fn stripped(http: &[Value]) -> Vec<Value> {
    strip(http).cloned().collect()
}

fn full() -> RoutingPlan {
    compiled(&lanes_of_every_sort(), &services_of_every_sort())
}

fn smaller() -> RoutingPlan {
    compiled(&[lane("bob"), lane("gray")], &[service("web.shop", &["v1", "v2:gray", "v3:bob"])])
}

/// The chosen route of the edited list must be this one with only members' destinations changed.
fn check_is_copy(
    copy: &Value,
    original: &Value,
    lane: &str,
    plan: &RoutingPlan,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(copy["name"].as_str().and_then(lane_of), Some(lane));
    if !copy["directResponse"].is_null() {
        prop_assert_eq!(&copy["corsPolicy"], &original["corsPolicy"]);
        prop_assert_eq!(lane, "only");
        return Ok(());
    }
    let keys = |route: &Value| {
        let fields = route.as_object().expect("a route");
        let mut keys: Vec<String> =
            fields.keys().filter(|key| !["name", "match"].contains(&key.as_str())).cloned().collect();
        keys.sort();
        keys
    };
    prop_assert_eq!(keys(copy), keys(original));
    for key in keys(original).iter().filter(|key| *key != "route") {
        prop_assert_eq!(&copy[key.as_str()], &original[key.as_str()]);
    }
    let (copies, originals) = (
        copy["route"].as_array().expect("destinations"),
        original["route"].as_array().expect("destinations"),
    );
    prop_assert_eq!(copies.len(), originals.len());
    for (copy, original) in copies.iter().zip(originals) {
        let mut back = copy.clone();
        let destination = back["destination"].as_object_mut().expect("a destination");
        if copy["destination"]["subset"] != original["destination"]["subset"] {
            let name = service_named(original["destination"]["host"].as_str().expect("a host"), "shop")
                .expect("a service");
            let host = plan.hosts.iter().find(|host| HostName::from(&host.host) == name).expect("a member");
            let subset = copy["destination"]["subset"].as_str().expect("a subset");
            let served =
                host.subsets.iter().find(|one| one.name.as_str() == subset).expect("a subset of the plan");
            prop_assert_eq!(served.lane.as_str(), lane);
            match original["destination"].get("subset") {
                Some(subset) => destination.insert("subset".into(), subset.clone()),
                None => destination.shift_remove("subset"),
            };
        }
        prop_assert_eq!(&back, original);
    }
    Ok(())
}

/// Whether a copy of the route is due for the lane: it leads to a host where the lane has a route.
fn is_due(original: &Value, lane: &str, plan: &RoutingPlan) -> bool {
    let lanes = LaneHosts::new(plan);
    let reaches = targets(original, &lanes, "shop")
        .iter()
        .any(|target| tags(target.host).any(|tag| tag.as_str() == lane));
    reaches && !tag::is_matched(original, header().as_str())
}

/// The route chosen after the edit must follow from the one chosen before it.
fn check_choice(
    http: &[Value],
    edited: &[Value],
    request: &Request,
    plan: &RoutingPlan,
) -> Result<(), TestCaseError> {
    let before = choose(http, request);
    let after = choose(edited, request);
    let lane = request.headers.get(crate::testing::TAG_HEADER);
    match (before, after, lane) {
        (Some(before), Some(after), Some(lane)) if is_due(before, lane, plan) => {
            check_is_copy(after, before, lane, plan)
        }
        (before, after, _) => {
            prop_assert_eq!(after, before);
            Ok(())
        }
    }
}

const TAGS: [&str; 5] = ["alice", "gray", "gray.checkout", "only", "nobody"];

proptest! {
    #[test]
    fn removal_restores_byte_for_byte(http in http_routes()) {
        let edited = inserted(&http, &full());
        prop_assert_eq!(text(&stripped(&edited)), text(&http));
    }

    #[test]
    fn insertion_is_idempotent(http in http_routes()) {
        let once = inserted(&http, &full());
        prop_assert_eq!(text(&inserted(&once, &full())), text(&once));
    }

    #[test]
    fn other_lanes_are_computed_from_the_original(http in http_routes()) {
        let before = inserted(&http, &full());
        prop_assert_eq!(text(&inserted(&before, &smaller())), text(&inserted(&http, &smaller())));
    }

    #[test]
    fn names_are_unique(http in http_routes()) {
        let edited = inserted(&http, &full());
        let mut names: Vec<&str> = edited.iter().filter_map(|route| route["name"].as_str()).filter(|name| is_ours(name)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), count);
    }

    /// A user who edits the list while lanes are on gets what they would have got with the lanes off.
    #[test]
    fn a_users_edit_survives(http in http_routes(), extra in http_match(), at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let mut live = inserted(&http, &full());
        let new = json!({"name": "new", "match": [extra], "route": [{"destination": {"host": "web"}}]});
        live.insert(at.index(live.len() + 1), new);
        let users: Vec<usize> = (0..live.len()).filter(|index| !live[*index]["name"].as_str().is_some_and(is_ours)).collect();
        live.remove(users[cut.index(users.len())]);
        let alone = stripped(&live);
        prop_assert_eq!(text(&inserted(&live, &full())), text(&inserted(&alone, &full())));
        prop_assert_eq!(text(&stripped(&inserted(&live, &full()))), text(&alone));
    }

    #[test]
    fn untagged_requests_keep_their_route(http in http_routes(), request in request()) {
        let edited = inserted(&http, &full());
        prop_assert_eq!(choose(&edited, &request), choose(&http, &request));
    }

    #[test]
    fn tagged_requests_get_the_copy_of_their_route(http in http_routes(), request in request(), lane in prop::sample::select(&TAGS[..])) {
        let plan = full();
        let edited = inserted(&http, &plan);
        check_choice(&http, &edited, &request.tagged(lane), &plan)?;
    }

    /// Where no route of the user's speaks of the tag, it is the copy of the route chosen without it.
    #[test]
    fn the_tag_alone_changes_nothing_else(mut http in http_routes(), request in request(), lane in prop::sample::select(&TAGS[..])) {
        let plan = full();
        http.retain(|route| !tag::is_matched(route, header().as_str()));
        let edited = inserted(&http, &plan);
        let untagged = choose(&http, &request);
        let tagged = choose(&edited, &request.clone().tagged(lane));
        match (untagged, tagged) {
            (Some(original), Some(copy)) if is_due(original, lane, &plan) => check_is_copy(copy, original, lane, &plan)?,
            (original, copy) => prop_assert_eq!(copy, original),
        }
    }
}
