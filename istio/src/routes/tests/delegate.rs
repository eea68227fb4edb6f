//! Lanes in delegates, as Istio sees them after merging them into their roots.

use super::*;
use crate::delegates::expand;
use crate::testing::delegating;

fn terms(ignore_uri_case: bool, source_namespace: &str) -> RootTerms {
    RootTerms { ignore_uri_case, source_namespace: source_namespace.into(), ..RootTerms::default() }
}

/// A root whose only route delegates, and what it expands to with a delegate of these routes.
fn merged(root: &Value, delegate: &[Value]) -> Vec<Value> {
    let merged = expand([((), root)], "shop", |_, _| delegate.iter().map(|route| ((), route)).collect());
    merged.into_iter().map(|((), route)| route).collect()
}

fn edited(delegate: &[Value], roots: &[RootTerms]) -> Vec<Value> {
    let plan = gray_web();
    let lanes = LaneHosts::new(&plan);
    insert(delegate, &lanes, &Place { namespace: "shop", roots }).0
}

/// Checks that a tagged request to `/API` is served by the lane after merging.
#[track_caller]
fn check_served(matches: Value, roots: &[RootTerms]) {
    let delegate = [json!({"route": [{"destination": {"host": "web"}}]})];
    let http = merged(&delegating(matches, "shop", "web"), &edited(&delegate, roots));
    let request =
        Request { path: "/API".into(), source_namespace: Some("front".into()), ..Request::default() };
    let subset = |request: &Request| {
        choose(&http, request).expect("a route")["route"][0]["destination"]["subset"].clone()
    };
    assert_eq!(subset(&request), json!(null));
    assert_eq!(subset(&request.clone().tagged("gray")), json!("canary-gray"));
}

#[test]
fn a_delegates_route_without_match_agrees_with_its_root() {
    check_served(json!([]), &[]);
    check_served(json!([{"uri": {"prefix": "/API"}}]), &[terms(false, "")]);
    check_served(json!([{"uri": {"prefix": "/api"}, "ignoreUriCase": true}]), &[terms(true, "")]);
    check_served(json!([{"uri": {"prefix": "/API"}, "sourceNamespace": "front"}]), &[terms(false, "front")]);
}

#[test]
fn a_delegate_of_several_roots_has_a_copy_for_each() {
    let roots = [terms(false, ""), terms(true, ""), terms(true, "front")];
    for matches in [
        json!([{"uri": {"prefix": "/API"}}]),
        json!([{"uri": {"prefix": "/api"}, "ignoreUriCase": true}]),
        json!([{"uri": {"prefix": "/api"}, "ignoreUriCase": true, "sourceNamespace": "front"}]),
        json!([{"uri": {"prefix": "/x"}}, {"uri": {"prefix": "/api"}, "ignoreUriCase": true}]),
    ] {
        check_served(matches, &roots);
    }
}

#[test]
fn without_its_roots_terms_istio_would_drop_the_copy() {
    let delegate = [json!({"route": [{"destination": {"host": "web"}}]})];
    let root = delegating(json!([{"uri": {"prefix": "/api"}, "ignoreUriCase": true}]), "shop", "web");
    assert_eq!(merged(&root, &edited(&delegate, &[])).len(), 1);
    assert_eq!(merged(&root, &edited(&delegate, &[terms(true, "")])).len(), 2);
}

fn root_match() -> BoxedStrategy<Value> {
    http_match()
        .prop_filter("no tag", |one| !tag::is_matched(&json!({"match": [one]}), header().as_str()))
        .boxed()
}

fn terms_of(matches: &[Value]) -> Vec<RootTerms> {
    let mut all: Vec<RootTerms> = matches
        .iter()
        .map(|one| {
            terms(
                one["ignoreUriCase"].as_bool().unwrap_or(false),
                one["sourceNamespace"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    if all.is_empty() {
        all.push(RootTerms::default());
    }
    all.sort();
    all.dedup();
    all
}

proptest! {
    /// After merging, a tagged request gets the copy of the route that it got before, an untagged one that route.
    #[test]
    fn merged_delegates_keep_their_meaning(
        delegate in http_routes(),
        matches in prop::collection::vec(root_match(), 0..3),
        request in request(),
    ) {
        let plan = gray_web();
        let lanes = LaneHosts::new(&plan);
        let roots = terms_of(&matches);
        let edited = insert(&delegate, &lanes, &Place { namespace: "shop", roots: &roots }).0;
        let root = delegating(matches.into(), "shop", "web");
        let (before, after) = (merged(&root, &delegate), merged(&root, &edited));
        prop_assert_eq!(choose(&after, &request), choose(&before, &request));
        let tagged = request.tagged("gray");
        let (Some(original), Some(copy)) = (choose(&before, &tagged), choose(&after, &tagged)) else { return Ok(()) };
        let reaches = targets(original, &lanes, "shop").iter().any(|target| target.host.host.name() == "web");
        let is_ours = copy["name"].as_str().is_some_and(is_ours);
        let speaks_of_tag = delegate.iter().any(|route| tag::is_matched(route, header().as_str()));
        prop_assert_eq!(is_ours, reaches && (!speaks_of_tag || is_ours));
        if !is_ours {
            prop_assert_eq!(copy, original);
        }
        prop_assert_eq!(&copy["timeout"], &original["timeout"]);
        prop_assert_eq!(&copy["mirror"], &original["mirror"]);
    }
}
