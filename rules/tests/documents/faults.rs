//! What is wrong with documents: where, what, and what was meant.

use canary_rules::document::{FILE_BYTES_MAX, Source, read};
use canary_rules::hop::PARENTS_MAX;
use canary_rules::wire::LANES_MAX;

/// What `canaryctl` prints for files that do not compile.
fn told(files: &[(&str, &str)]) -> String {
    let sources: Vec<Source> =
        files.iter().map(|(name, text)| Source { name: (*name).into(), text: (*text).into() }).collect();
    match read(&sources) {
        Ok(_) => "no fault".into(),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    }
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ description => text, omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told(&[("lanes.yaml", text)]));
    });
}

/// A document with this spec, which begins on line 5.
fn lane(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {{name: gray}}\nspec:\n{spec}")
}

#[test]
fn fields_that_do_not_exist() {
    snapshot(
        "unknown_fields",
        &lane(
            "rule: []
prioriti: 3
rules:
  - when:
      path:
        prefx: /cart
    stiky: false
  - whn: {path: {prefix: /}}
    percent: 5
  - when: {cookie: {name: gray, is: '1'}}
cookie: {maxAge: 3, attributes: {samesite: Lax}}
key: [{headr: x-user}, {claim: {nam: sub}}]",
        ),
    );
}

#[test]
fn values_that_are_none() {
    snapshot(
        "wrong_values",
        &lane(
            "mode: strickt
priority: high
parent: Blue_
layer: [a]
expires: 2026-12-31
members: {stock: {version: 2}}
cookie: {maxAgeSeconds: -1, attributes: {secure: 'yes', sameSite: lax}}
key: [header, {header: x, cookie: z}, {}, {header: 3}]
rules:
  - percent: 5%
  - percent: '5'
    sticky: maybe
  - when: {cookie: {name: gray, exact: 1}}
  - when: {cookie: {name: gray, exact: yes}}
  - when: {cookie: {name: gray, in: [true, 007, null, 'a']}}
  - when: {cookie: {name: gray, range: {min: 1.5, max: 99999999999999999999}}}
  - when: {cookie: gray=1}
  - when: [{method: {exact: GET}}]
  - just text",
        ),
    );
}

#[test]
fn conditions_that_make_no_sense() {
    snapshot(
        "conditions",
        &lane(
            "rules:
  - {}
  - when: {}
  - when: {any: []}
  - when: {cookie: {name: gray}}
  - when: {cookie: {name: gray, exact: a, prefix: b, ignoreCase: true}}
  - when: {cookie: {name: 'a b', exact: a}}
  - when: {header: {name: Host, exact: shop.test}}
  - when: {header: {name: ':path', exact: /}}
  - when: {query: {name: '', exists: true}}
  - when: {claim: {name: '', exists: true}}
  - when: {claim: {name: sub, from: {cookie: 'a b'}, exists: true}}
  - when: {header: {name: x, in: []}}
  - when: {header: {name: x, contains: ''}}
  - when: {header: {name: x, regex: ''}}
  - when: {header: {name: x, regex: 'a('}}
  - when: {header: {name: x, regex: '(a)\\1'}}
  - when: {header: {name: x, regex: 'a)|(b'}}
  - when: {header: {name: x, regex: '(a{1000}){1000}'}}
  - when: {header: {name: x, range: {}}}
  - when: {header: {name: x, range: {min: 2, max: 1}, ignoreCase: false}}
  - when: {header: {name: x, exists: true, ignoreCase: true}}
  - when: {path: {exact: cart}}
  - when: {path: {prefix: /cart?x=1}}
  - when: {path: {glob: cart/*}}
  - when: {path: {glob: '*abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz'}}
  - when: {method: {exact: get}}
  - when: {host: {exact: 'shop.test:443'}}
  - when: {host: {exact: 'https://shop.test'}}
  - when: {host: {in: [shop.test, '*.shop.test']}}
  - when: {client: {cidr: []}}
  - when: {client: {cidr: [10.0.0.0/8, 10.0.0.1/8, 10.0.0.0/33, '2001:db8::1/32', 10.0.0, localhost]}}
  - when: {not: {not: {not: {not: {not: {not: {method: {exact: GET}}}}}}}}
  - percent: 100.01
  - percent: -1
  - percent: 0.005
  - percent: .nan",
        ),
    );
}

#[test]
fn lanes_that_make_no_sense() {
    snapshot(
        "lanes",
        &lane(
            "layer: ''
parent: gray
expires: tomorrow
cookie: {maxAgeSeconds: 0, attributes: {sameSite: None, path: cart}}
members: {stock: {}}
key: [{header: 'a b'}, {claim: {name: ''}}]",
        ),
    );
}

#[test]
fn documents_that_are_no_lanes() {
    snapshot(
        "foreign",
        "apiVersion: canaryctl.io/v1alpha1
kind: Lan
metadata: {name: gray}
spec: {}
---
kind: Release
---
just text
---
- a list
---
apiVersion: canaryctl.io/v1
kind: Lane
metadata: {name: Gray}
---
apiVersion: 1
kind: Lane
metadata: {}
spec: []
---
",
    );
}

#[test]
fn an_older_api_version_is_named() {
    snapshot("api_version", &lane("{}").replace("v1alpha1", "v1alpha0"));
}

#[test]
fn lanes_that_do_not_go_together() {
    let document = |name: &str, spec: &str| {
        format!(
            "apiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
        )
    };
    snapshot(
        "relations",
        &[
            document("a", "{rules: [{percent: 60}], parent: b}"),
            document("b", "{rules: [{percent: 50.5}], parent: c}"),
            document("c", "{parent: a}"),
            document("a", "{parent: gone}"),
            document("d", "{layer: other, rules: [{percent: 1}], key: [{header: x}]}"),
            document("e", "{layer: other, rules: [{percent: 1}], key: [{cookie: x}]}"),
        ]
        .concat(),
    );
}

#[test]
fn texts_that_are_no_yaml() {
    snapshot("yaml_tab", "apiVersion: canaryctl.io/v1alpha1\nspec:\n\trules: []\n");
    snapshot("yaml_unclosed", "apiVersion: [\n");
    snapshot("yaml_quote", "kind: \"Lane\nmetadata: {}\n");
    snapshot("yaml_alias", "kind: *unknown\n");
    snapshot(
        "yaml_repeated",
        "kind: Lane\nkind: Lane\nmetadata: {name: a, name: b}\nspec: {}\napiVersion: canaryctl.io/v1alpha1\n",
    );
    snapshot(
        "json",
        "{\"apiVersion\": \"canaryctl.io/v1alpha1\",\n \"kind\": \"Lane\",\n \"metadata\": {\"name\": \"gray\"},\n \"spec\": {\"priorty\": 3, \"rules\": {}}}\n",
    );
    snapshot("empty", "");
    snapshot("comments", "# nothing\n---\n---\n");
}

#[test]
fn a_fault_is_one_line_that_a_terminal_can_show() {
    let kind = "apiVersion: canaryctl.io/v1alpha1\nkind: Lan\n\n  e\nmetadata: {name: gray}\nspec: {}\n";
    assert_eq!(
        told(&[("lanes.yaml", kind)]),
        "lanes.yaml:2:7: `Lan\\ne` is not a kind known here: expected `Lane`\n"
    );
    let red = lane("\"\\e[31m\": 1");
    assert!(!told(&[("lanes.yaml", &red)]).contains('\u{1b}'));
}

/// Every file's faults, each under its own name, in the order of files and lines.
#[test]
fn several_files_are_told_apart() {
    let bad = lane("rules: [{percent: 5}]\npriorty: 1");
    let told = told(&[("b.yaml", &bad), ("a.json", "{\"kind\": \"Lane\"}"), ("-", "kind: [")]);
    let places: Vec<&str> = told.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(places, ["b.yaml:6:3", "a.json:1:1", "-:1:7"], "{told}");
}

#[test]
fn a_lane_of_another_file_may_be_a_parent() {
    let child = lane("parent: blue");
    let parent = lane("{}").replace("gray", "blue");
    assert_eq!(told(&[("a.yaml", &child), ("b.yaml", &parent)]), "no fault");
    assert!(told(&[("a.yaml", &child)]).contains("a.yaml:5:3: spec.parent: there is no lane `blue`"));
}

/// A parent that could not be read is not called missing.
#[test]
fn a_fault_draws_no_other_after_it() {
    let child = lane("parent: blue");
    let parent = lane("{}").replace("gray", "Blue");
    assert_eq!(told(&[("a.yaml", &child), ("b.yaml", &parent)]).lines().count(), 1);
    let told = told(&[("a.yaml", &lane("rules: [{when: {cookie: {name: gray, exct: '1'}}}]"))]);
    assert_eq!(told, "a.yaml:5:40: unknown field `exct` in cookie; did you mean `exact`?\n");
}

#[test]
fn texts_of_no_use_are_refused_by_size() {
    let text = "#".repeat(FILE_BYTES_MAX + 1);
    assert_eq!(told(&[("big.yaml", &text)]), "big.yaml: larger than 1048576 bytes\n");
}

#[test]
fn limits_are_told() {
    let document = |name: &str, spec: &str| lane(spec).replace("gray", name) + "---\n";
    let many: String = (0..=LANES_MAX).map(|number| document(&format!("l{number}"), "{}")).collect();
    let told_of = told(&[("many.yaml", &many)]);
    assert!(told_of.contains("501 lanes, but at most 500 fit"), "{told_of}");
    let tower: String = (0..=PARENTS_MAX + 1)
        .map(|number| {
            let spec = if number == 0 { "{}".into() } else { format!("parent: l{}", number - 1) };
            document(&format!("l{number}"), &spec)
        })
        .collect();
    let told_of = told(&[("tower.yaml", &tower)]);
    assert_eq!(told_of.lines().count(), 1, "{told_of}");
    assert!(told_of.contains("more than 16 lanes above one another"), "{told_of}");
}

/// Aliases that multiply must not take the machine's memory.
#[test]
fn a_text_that_explodes_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let previous = level - 1;
        let ten = format!("*a{previous}, ").repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{ten}]\n"));
    }
    let told = told(&[("bomb.yaml", &text)]);
    assert_eq!(told.lines().count(), 1, "{told}");
    let nested = told_of_depth(10_000);
    assert_eq!(nested.lines().count(), 1, "{nested}");
}

fn told_of_depth(depth: usize) -> String {
    told(&[("deep.yaml", &format!("spec: {}{}", "[".repeat(depth), "]".repeat(depth)))])
}

#[test]
fn a_mirror_is_a_percentage_and_needs_no_rules() {
    assert_eq!(told(&[("lanes.yaml", &lane("mirror: 12.34"))]), "no fault");
    for percent in ["-1", "100.01", "0.005", ".nan"] {
        let told = told(&[("lanes.yaml", &lane(&format!("mirror: {percent}")))]);
        let wanted = "is not a percentage from 0 to 100 in steps of 0.01";
        assert!(told.starts_with("lanes.yaml:5:") && told.contains(wanted), "{percent}: {told}");
    }
}
