use serde_json::json;

use super::*;

fn key(steps: &[&'static str]) -> Vec<Step> {
    steps.iter().map(|step| Step::Key(step)).collect()
}

fn edit(steps: &[&'static str], value: Value) -> Edit {
    Edit { at: key(steps), value }
}

/// Edits, checks that the edit shows, and that taking it back gives the same bytes.
#[track_caller]
fn check(original: Value, edits: &[Edit], want_spec: Value) {
    let edited = apply(&original, edits);
    assert_eq!(edited["spec"].to_string(), want_spec.to_string());
    assert_eq!(undo(&edited).to_string(), original.to_string());
    assert_eq!(apply(&undo(&edited), edits).to_string(), edited.to_string());
}

#[test]
fn what_was_missing_is_missing_again() {
    check(
        json!({"metadata": {}, "spec": {"host": "web"}}),
        &[edit(&["spec", "a", "b"], json!(1))],
        json!({"host": "web", "a": {"b": 1}}),
    );
    check(json!({"metadata": {"annotations": null}}), &[edit(&["spec", "a"], json!(1))], json!({"a": 1}));
}

#[test]
fn what_was_there_is_back_in_its_place() {
    let original = json!({"metadata": {"annotations": {"team": "a"}}, "spec": {"a": null, "b": {"c": [1, null]}, "d": 4}});
    check(
        original,
        &[edit(&["spec", "a", "x"], json!(true)), edit(&["spec", "b", "c"], json!(2))],
        json!({"a": {"x": true}, "b": {"c": 2}, "d": 4}),
    );
}

#[test]
fn an_element_is_found_by_its_fields() {
    let original =
        json!({"metadata": {}, "spec": {"subsets": [{"name": "v1"}, {"name": "v2", "policy": {}}]}});
    let item = |name: &str| Step::Item(json!({"name": name}).as_object().expect("an object").clone());
    let at = |name: &str| [key(&["spec", "subsets"]), vec![item(name)], key(&["policy", "x"])].concat();
    let edits = [Edit { at: at("v1"), value: json!(1) }, Edit { at: at("v2"), value: json!(2) }];
    check(
        original.clone(),
        &edits,
        json!({"subsets": [{"name": "v1", "policy": {"x": 1}}, {"name": "v2", "policy": {"x": 2}}]}),
    );

    // The owner swaps the elements and adds a field beside ours.
    let mut edited = apply(&original, &edits);
    edited["spec"]["subsets"].as_array_mut().expect("subsets").reverse();
    edited["spec"]["subsets"][1]["policy"]["y"] = json!("theirs");
    let restored = undo(&edited).into_owned();
    assert_eq!(
        restored["spec"],
        json!({"subsets": [{"name": "v2", "policy": {}}, {"name": "v1", "policy": {"y": "theirs"}}]})
    );
}

#[test]
fn an_element_comes_last_and_goes_again() {
    let added = |port: u16| {
        let item = json!({"port": port});
        let at = [key(&["spec", "ports"]), vec![Step::Item(item.as_object().expect("an object").clone())]];
        Edit { at: at.concat(), value: json!({"port": port, "x": 1}) }
    };
    let at = |spec: Value| json!({"metadata": {}, "spec": spec});
    let both = [added(1), added(2)];
    check(at(json!({})), &both, json!({"ports": [{"port": 1, "x": 1}, {"port": 2, "x": 1}]}));
    check(at(json!({"ports": null, "a": 1})), &both[..1], json!({"ports": [{"port": 1, "x": 1}], "a": 1}));
    check(at(json!({"ports": []})), &both[..1], json!({"ports": [{"port": 1, "x": 1}]}));
    let theirs = at(json!({"ports": [{"port": 1}]}));
    check(theirs.clone(), &both, json!({"ports": [{"port": 1}, {"port": 2, "x": 1}]}));
    check(at(json!({"ports": 3})), &both, json!({"ports": 3}));

    // The owner adds an element of their own, and changes one of ours.
    let mut edited = apply(&theirs, &[added(2), added(3)]);
    let ports = edited["spec"]["ports"].as_array_mut().expect("ports");
    ports.insert(0, json!({"port": 9}));
    ports[3]["x"] = json!(2);
    assert_eq!(undo(&edited)["spec"], json!({"ports": [{"port": 9}, {"port": 1}, {"port": 3, "x": 2}]}));
}

#[test]
fn what_its_owner_changed_is_kept() {
    let mut edited = apply(
        &json!({"metadata": {}, "spec": {"a": 1, "b": 2}}),
        &[edit(&["spec", "a"], json!(10)), edit(&["spec", "b"], json!(20))],
    );
    edited["spec"]["a"] = json!(11);
    assert_eq!(undo(&edited).into_owned(), json!({"metadata": {}, "spec": {"a": 11, "b": 2}}));
}

#[test]
fn a_base_that_was_applied_again_stays() {
    let original = json!({"metadata": {}, "spec": {"a": 1}});
    let mut edited = apply(&original, &[edit(&["spec", "a"], json!(10)), edit(&["spec", "b"], json!(20))]);
    edited["spec"] = original["spec"].clone();
    assert_eq!(undo(&edited).into_owned(), original);
}

#[test]
fn a_spoilt_annotation_restores_nothing_and_goes() {
    let spoilt = json!({"metadata": {"annotations": {ANNOTATION: "{"}}, "spec": {"a": 10}});
    assert_eq!(undo(&spoilt).into_owned(), json!({"metadata": {"annotations": {}}, "spec": {"a": 10}}));
}

#[test]
fn an_edit_that_changes_nothing_keeps_nothing() {
    let edited = apply(&json!({"metadata": {}, "spec": {"a": 1}}), &[edit(&["spec", "a"], json!(1))]);
    assert_eq!(
        edited["metadata"]["annotations"][ANNOTATION],
        json!(r#"[{"at":["metadata","annotations"],"now":{}}]"#)
    );
}

#[test]
fn what_cannot_be_edited_is_left_alone() {
    for spec in [json!({"a": 1}), json!({"a": [1]}), json!({"a": "text"})] {
        check(json!({"metadata": {}, "spec": spec}), &[edit(&["spec", "a", "b"], json!(1))], spec.clone());
    }
}
