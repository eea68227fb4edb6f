//! Documents that are right: every form says the same.

use canary_rules::document::{Documents, Source, read};
use canary_rules::lane::{Lane, Mode};

#[track_caller]
fn documents(text: &str) -> Documents {
    read(&[Source { name: "lanes.yaml".into(), text: text.into() }]).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())
    })
}

const FULL: &str = "apiVersion: canaryctl.io/v1alpha1
kind: Lane
metadata:
  name: gray
  labels: {team: shop}
  resourceVersion: '12'
spec:
  priority: -3
  mode: strict
  parent: blue
  layer: checkout
  expires: 2026-12-31T18:00:00+02:00
  members:
    stock: {version: v2}
    shop/cart: {version: v2, track: gray}
  cookie:
    maxAgeSeconds: 60
    attributes: {secure: true, sameSite: null, domain: shop.test, path: /shop, partitioned: true, httpOnly: false}
  key:
    - header: X-User
    - cookie: user
    - claim: {name: sub, from: {header: X-Token}}
    - claim: {name: realm.sub}
  rules:
    - name: testers
      when:
        cookie: {name: gray, exact: '1'}
        header: {name: X-Dev, in: [a, b], ignoreCase: true}
        query: {name: q, range: {min: 1, max: 5}}
        path: {glob: '/a/**', ignoreCase: false}
        method: {in: [GET, HEAD]}
        host: {suffix: .shop.test}
        client: {cidr: [10.0.0.0/8, '::1']}
        claim: {name: roles, from: {cookie: session}, regex: 'a|b'}
        all: [{header: {name: a, exists: true}}]
        any: [{header: {name: b, prefix: x}}, {header: {name: b, suffix: z}}]
        not: {query: {name: c, contains: d}}
      sticky: false
    - percent: 12.34
status: {epoch: 4, buckets: AAEAAg, conditions: [{type: Ready}]}
---
{apiVersion: canaryctl.io/v1alpha1, kind: Lane, metadata: {name: blue}, spec: {}}
";

#[test]
fn every_field_is_read_and_written() {
    let documents = documents(FULL);
    let gray = &documents.lanes[0];
    assert_eq!(gray.spec.mode, Mode::Strict);
    assert_eq!(documents.compiled.lanes[0].expires_unix_s, Some(1_798_732_800));
    assert_eq!(documents.compiled.lanes[0].cookie.as_ref().and_then(|cookie| cookie.same_site), None);
    // What is written is read as the same, by whoever has no ear for faults.
    let json = serde_json::to_string(&documents.lanes).expect("JSON");
    assert_eq!(serde_json::from_str::<Vec<Lane>>(&json).expect("lanes"), documents.lanes);
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("compiled", documents.compiled.lanes);
    });
}

#[test]
fn json_is_yaml() {
    let lanes = documents(FULL).lanes;
    for json in [
        lanes
            .iter()
            .map(|lane| serde_json::to_string(lane).expect("JSON"))
            .collect::<Vec<_>>()
            .join("\n---\n"),
        lanes
            .iter()
            .map(|lane| serde_json::to_string_pretty(lane).expect("JSON"))
            .collect::<Vec<_>>()
            .join("\n---\n"),
        lanes
            .iter()
            .map(|lane| serde_json::to_string_pretty(lane).expect("JSON").replace("  ", "\t"))
            .collect::<Vec<_>>()
            .join("\n---\n"),
    ] {
        assert_eq!(documents(&json).lanes, lanes, "{json}");
    }
}

#[test]
fn anchors_and_windows_line_ends_are_read() {
    let anchored = "apiVersion: canaryctl.io/v1alpha1\nkind: Lane\nmetadata: {name: a}\nspec:\n  rules:\n    - when: &w {path: {prefix: /a}}\n    - when: {not: *w}\n";
    assert_eq!(documents(anchored).lanes[0].spec.rules.len(), 2);
    assert_eq!(documents(&anchored.replace('\n', "\r\n")).lanes, documents(anchored).lanes);
    assert_eq!(documents(&format!("\u{feff}{anchored}")).lanes, documents(anchored).lanes);
}

#[test]
fn percentages_are_hundredths() {
    for (percent, share) in [
        ("0", 0),
        ("0.01", 1),
        ("0.07", 7),
        ("0.29", 29),
        ("1", 100),
        ("5.5", 550),
        ("57.68", 5768),
        ("99.99", 9999),
        ("100", 10_000),
        ("100.0", 10_000),
        ("1e1", 1000),
    ] {
        let text = format!(
            "{{apiVersion: canaryctl.io/v1alpha1, kind: Lane, metadata: {{name: a}}, spec: {{rules: [{{percent: {percent}}}]}}}}"
        );
        assert_eq!(documents(&text).compiled.lanes[0].rules[0].share, Some(share), "{percent}");
    }
}

/// Every hundredth of a percent, as people write it.
#[test]
fn every_step_is_a_percentage() {
    let rules: Vec<String> =
        (0..=10_000).map(|share| format!("{{percent: {}.{:02}}}", share / 100, share % 100)).collect();
    let text = format!(
        "{{apiVersion: canaryctl.io/v1alpha1, kind: Lane, metadata: {{name: a}}, spec: {{rules: [{}]}}}}",
        rules.join(", ")
    );
    let shares: Vec<Option<u16>> =
        documents(&text).compiled.lanes[0].rules.iter().map(|rule| rule.share).collect();
    assert_eq!(shares, (0..=10_000).map(Some).collect::<Vec<_>>());
}
