use canary_istio::Phase;
use canary_rules::signing::{Key, KeyId, KeyRing};
use serde_json::{Value, json};

use super::*;
use crate::world::{MeshConfigs, World};

/// 2026-01-01T00:00:00Z, when every object here was made.
const BORN: i64 = 1_767_225_600;

fn settings() -> MeshSettings {
    let key = Key::new(KeyId::new("k1").expect("id"), vec![7; 32]).expect("key");
    MeshSettings::new(KeyRing::new([key]).expect("ring"))
}

fn lane(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane",
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
    })
}

fn deployment(name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"template": {"metadata": {"labels": labels}}},
    })
}

fn pod(name: &str, labels: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "shop", "labels": labels,
            "ownerReferences": [{"kind": "ReplicaSet", "name": "x"}],
        },
    })
}

/// Stock in two versions; v2 carries these labels besides.
fn shop(v2: Value) -> Vec<Value> {
    let mut labels = json!({"app": "stock", "version": "v2"});
    labels.as_object_mut().expect("labels").extend(v2.as_object().expect("labels").clone());
    vec![
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "stock", "namespace": "shop"},
            "spec": {"selector": {"app": "stock"}, "ports": [{"name": "http", "port": 80}]},
        }),
        deployment("stock-v1", json!({"app": "stock", "version": "v1"})),
        deployment("stock-v2", labels.clone()),
        pod("stock-v1-a", json!({"app": "stock", "version": "v1"})),
        pod("stock-v2-a", labels),
    ]
}

fn plotted(objects: Vec<Value>, now: i64) -> Course {
    let seen = World { objects }.see(&MeshConfigs::default()).expect("a world");
    course(&seen, &settings(), now)
}

#[track_caller]
fn on<'a>(course: &'a Course, lane: &str) -> &'a OnLane {
    match course.lanes.get(lane) {
        Some(Verdict::On(on)) => on,
        other => panic!("{lane} is not on: {other:?}"),
    }
}

#[track_caller]
fn refused(course: &Course, lane: &str) -> String {
    match course.lanes.get(lane) {
        Some(Verdict::Refused(faults)) => faults.join("; "),
        other => panic!("{lane} is not refused: {other:?}"),
    }
}

fn gray() -> Value {
    lane("gray", json!({"rules": [{"when": {"cookie": {"name": "gray", "exact": "1"}}}]}))
}

#[test]
fn members_are_found_by_label_and_their_pods_get_the_lanes_own_key() {
    let mut objects = shop(json!({"canaryctl.io/lane": "gray"}));
    objects.push(gray());
    let course = plotted(objects, BORN);
    let member = Member { service: "shop/stock".into(), workload: "stock-v2".into(), pods: 1 };
    assert_eq!(on(&course, "gray").members, [member]);
    assert_eq!(labels(&course), ["stock-v2-a +lane.canaryctl.io/gray=member"]);
}

/// What becomes of pods' labels, as `pod +key=value -key`.
fn labels(course: &Course) -> Vec<String> {
    let text = |change: &PodChange| {
        let set = change.set.iter().map(|(key, value)| format!(" +{key}={value}"));
        let unset = change.unset.iter().map(|key| format!(" -{key}"));
        let lingers = if change.lingers { " later" } else { "" };
        format!("{}{}{lingers}", change.pod.name, set.chain(unset).collect::<String>())
    };
    course.pods.iter().map(text).collect()
}

/// The shop once v2 serves gray, by labels that were put on its pod.
fn labelled() -> Vec<Value> {
    let mut objects = shop(json!({}));
    let pod = objects.iter_mut().find(|object| object["metadata"]["name"] == "stock-v2-a").expect("a pod");
    pod["metadata"]["labels"]["canaryctl.io/lane"] = "gray".into();
    pod["metadata"]["labels"]["lane.canaryctl.io/gray"] = "member".into();
    pod["metadata"]["annotations"] =
        json!({"canaryctl.io/labelled": "canaryctl.io/lane,lane.canaryctl.io/gray"});
    objects
}

fn gray_of(version: &str) -> Value {
    lane("gray", json!({"members": {"stock": {"version": version}}}))
}

#[test]
fn a_pod_is_labelled_while_it_serves_a_lane() {
    let mut objects = shop(json!({}));
    objects.push(gray_of("v2"));
    let course = plotted(objects, BORN);
    assert_eq!(labels(&course), ["stock-v2-a +canaryctl.io/lane=gray +lane.canaryctl.io/gray=member"]);
    let listed = json!({"canaryctl.io/labelled": "canaryctl.io/lane,lane.canaryctl.io/gray"});
    assert_eq!(course.pods[0].to_set().expect("a patch")["metadata"]["annotations"], listed);
    assert_eq!(course.pods[0].to_unset(), None);

    let still = plotted([labelled(), vec![gray_of("v2")]].concat(), BORN);
    assert_eq!(labels(&still), [""; 0]);
}

#[test]
fn a_pod_that_serves_no_lane_loses_the_labels_that_were_put_on_it() {
    let gone = "stock-v2-a -canaryctl.io/lane -lane.canaryctl.io/gray";
    let off = plotted(labelled(), BORN);
    assert_eq!(labels(&off), [format!("{gone} later")], "requests of the lane are under way");
    assert_eq!(
        off.pods[0].to_unset(),
        Some(json!({"metadata": {
            "labels": {"canaryctl.io/lane": null, "lane.canaryctl.io/gray": null},
            "annotations": {"canaryctl.io/labelled": null},
        }}))
    );
    let moved = plotted([labelled(), vec![gray_of("v1")]].concat(), BORN);
    let now = "stock-v1-a +canaryctl.io/lane=gray +lane.canaryctl.io/gray=member";
    assert_eq!(labels(&moved), [now, gone]);
}

#[test]
fn labels_that_a_pods_owner_wrote_stay() {
    let mut objects = shop(json!({"canaryctl.io/lane": "gray", "lane.canaryctl.io/gray": "member"}));
    objects.push(lane("other", json!({})));
    assert_eq!(labels(&plotted(objects, BORN)), [""; 0]);
}

#[test]
fn members_are_found_by_the_labels_that_a_lane_names() {
    for service in ["stock", "shop/stock", "stock.shop"] {
        let mut objects = shop(json!({}));
        objects.push(lane("gray", json!({"members": {service: {"version": "v2"}}})));
        let course = plotted(objects, BORN);
        assert_eq!(on(&course, "gray").members.len(), 1, "{service}");
        assert!(course.plan.changes.iter().any(|change| change.phase == Phase::Routes), "{service}");
    }
}

#[test]
fn cookies_of_a_lane_that_came_back_are_worthless() {
    let course = plotted(vec![gray()], BORN);
    assert_eq!(i64::from(on(&course, "gray").epoch), BORN);
    let mut later = gray();
    later["status"] = json!({"epoch": BORN + 7});
    assert_eq!(i64::from(on(&plotted(vec![later], BORN), "gray").epoch), BORN + 7);
}

#[test]
fn a_lane_ends_at_its_time_and_when_it_is_deleted() {
    let mut expiring = gray();
    expiring["spec"]["expires"] = "2026-01-01T01:00:00Z".into();
    let verdict = |now| plotted(vec![expiring.clone()], now).lanes.remove("gray");
    assert!(matches!(verdict(BORN + 3599), Some(Verdict::On(_))));
    assert_eq!(verdict(BORN + 3600), Some(Verdict::Going(Going::Expired)));
    let mut deleted = gray();
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:01Z".into();
    assert_eq!(plotted(vec![deleted], BORN).lanes["gray"], Verdict::Going(Going::Deleted));
}

#[test]
fn one_lane_that_cannot_be_does_not_keep_the_others_off() {
    let faulty = lane("bad", json!({"rules": [{}]}));
    let unreadable = lane("odd", json!({"rulez": []}));
    let orphan = lane("orphan", json!({"parent": "nobody"}));
    let child_of_bad = lane("child", json!({"parent": "bad"}));
    let course = plotted(vec![faulty, unreadable, orphan, child_of_bad, gray()], BORN);
    on(&course, "gray");
    assert!(refused(&course, "bad").contains("the rule is empty"));
    assert!(refused(&course, "odd").contains("unknown field `rulez`"));
    assert!(refused(&course, "orphan").contains("there is no lane `nobody`"));
    assert!(refused(&course, "child").contains("there is no lane `bad`"));
}

#[test]
fn of_two_lanes_that_claim_one_workload_the_later_one_is_refused() {
    let claim = |name: &str| lane(name, json!({"members": {"shop/stock": {"version": "v2"}}}));
    let mut objects = shop(json!({}));
    objects.extend([claim("b"), claim("a")]);
    let course = plotted(objects, BORN);
    on(&course, "a");
    assert!(refused(&course, "b").contains("claimed by lane"), "{:?}", course.lanes);
}

/// A Lane as it is written now, which was on before in another form.
fn changed(mut now: Value, before: &Value) -> Value {
    now["metadata"]["generation"] = 4.into();
    now["status"] = json!({"inForce": {"generation": 3, "spec": before["spec"].to_string()}});
    now
}

/// Who is on as before though written otherwise, with what is wrong with that.
fn kept(course: &Course) -> Vec<(&str, String)> {
    let kept = course.lanes.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::On(on) if !on.faults.is_empty() => Some((name.as_str(), on.faults.join("; "))),
        _ => None,
    });
    kept.collect()
}

#[track_caller]
fn check_kept(course: &Course, name: &str, why: &str) {
    let kept = kept(course);
    assert!(
        matches!(kept.as_slice(), [(found, faults)] if *found == name && faults.contains(why)),
        "{kept:?}"
    );
}

#[test]
fn a_lane_that_is_changed_into_what_cannot_be_stays_as_it_was() {
    let gray = gray();
    let plan = |lane: Value| format!("{:?}", plotted(vec![lane], BORN).plan.changes);
    for (spec, why) in [
        (json!({"rules": [{}]}), "the rule is empty"),
        (json!({"rulez": []}), "unknown field `rulez`"),
        (json!({"parent": "nobody"}), "there is no lane `nobody`"),
    ] {
        let now = changed(lane("gray", spec), &gray);
        check_kept(&plotted(vec![now.clone()], BORN), "gray", why);
        assert_eq!(plan(now), plan(gray.clone()), "{why}");
    }
    let sound = changed(lane("gray", json!({"rules": [{"percent": 5}]})), &gray);
    assert_eq!(kept(&plotted(vec![sound], BORN)), []);
}

#[test]
fn what_was_before_and_cannot_be_any_more_is_off() {
    let child = lane("child", json!({"parent": "gray"}));
    let now = changed(lane("child", json!({"rules": [{}]})), &child);
    check_kept(&plotted(vec![now.clone(), gray()], BORN), "child", "the rule is empty");
    assert!(refused(&plotted(vec![now], BORN), "child").contains("the rule is empty"));
    let expired = lane("gray", json!({"expires": "2025-12-31T00:00:00Z"}));
    let now = changed(lane("gray", json!({"rules": [{}]})), &expired);
    refused(&plotted(vec![now], BORN), "gray");
}

#[test]
fn a_change_puts_nobody_out_who_did_not_change() {
    let share = |name: &str, percent: u32| lane(name, json!({"rules": [{"percent": percent}]}));
    // The later by name would have to go if both were new.
    let stands = changed(share("b", 50), &share("b", 50));
    let grown = changed(share("a", 60), &share("a", 40));
    let course = plotted(vec![grown.clone(), stands.clone()], BORN);
    check_kept(&course, "a", "");
    assert!(on(&course, "b").faults.is_empty());
    // A new one must not either, and a change that fits comes in beside them.
    let fits = changed(share("c", 5), &share("c", 1));
    let course = plotted(vec![share("0", 30), grown, stands, fits], BORN);
    refused(&course, "0");
    check_kept(&course, "a", "");
    assert!(on(&course, "c").faults.is_empty());
}
