use serde_json::json;

use super::*;

#[track_caller]
fn check(name: &str, want: Named) {
    assert_eq!(named(name, "shop"), want, "{name}");
}

#[test]
fn a_short_name_is_of_the_objects_namespace() {
    check("web", Named::Service(HostName { namespace: "shop", name: "web" }));
}

#[test]
fn a_full_name_says_its_namespace() {
    check("web.front.svc.cluster.local", Named::Service(HostName { namespace: "front", name: "web" }));
}

#[test]
fn a_half_qualified_name_is_no_service() {
    check("web.front", Named::HalfQualified(HostName { namespace: "front", name: "web" }));
}

#[test]
fn other_names_are_foreign() {
    for name in ["shop.example.com", "a.b.c.svc.cluster.local", "svc.cluster.local", "10.0.0.1"] {
        check(name, Named::Foreign);
    }
}

#[test]
fn a_wildcard_is_a_suffix() {
    check("*", Named::Wildcard(""));
    check("*.shop.svc.cluster.local", Named::Wildcard(".shop.svc.cluster.local"));
}

#[test]
fn exports_name_their_readers() {
    let of = |value: Value| Exported::of(&value, "shop");
    let to = |names: &[&str]| Exported::To(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(of(json!(null)), Exported::Everywhere);
    assert_eq!(of(json!([])), Exported::Everywhere);
    assert_eq!(of(json!(["*"])), Exported::Everywhere);
    assert_eq!(of(json!([".", "front"])), to(&["front", "shop"]));
    assert_eq!(of(json!(["~"])), to(&[]));
}

#[test]
fn exports_join_and_meet() {
    let of = |value: Value| Exported::of(&value, "shop");
    let mut all = of(json!(["."]));
    all.join(&of(json!(["front"])));
    assert_eq!(all, of(json!([".", "front"])));
    assert!(all.meets(&of(json!(["front", "back"]))));
    assert!(!all.meets(&of(json!(["back"]))));
    assert!(!of(json!(["~"])).meets(&Exported::Everywhere));
    all.join(&Exported::Everywhere);
    assert_eq!(all, Exported::Everywhere);
}
