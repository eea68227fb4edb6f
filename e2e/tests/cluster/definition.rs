//! What the API server itself says of Lanes, to people who use kubectl.

use serde_json::{Value, json};

use crate::shop::Shop;

/// Has the API server judge a Lane of this name and `spec`; nothing stays.
fn judged(shop: &Shop, name: &str, spec: &Value) -> Result<(), String> {
    let lane = json!({"apiVersion": "canaryctl.io/v1alpha1", "kind": "Lane", "metadata": {"name": name}, "spec": spec});
    let ran =
        shop.cluster().run("kubectl", &["apply", "--dry-run=server", "-f", "-"], Some(&lane.to_string()));
    if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
}

pub(crate) async fn judges(shop: &Shop) {
    shop.installed();
    let cookie = json!({"name": "gray", "exact": "1"});
    let nested = json!({"all": [{"any": [{"not": {"all": [{"not": {"cookie": cookie}}]}}]}]});
    for spec in [
        json!({"rules": [{"when": {"cookie": cookie}}, {"percent": 0.29}]}),
        json!({"rules": [{"when": nested, "percent": 12.34, "sticky": false}]}),
        json!({"mode": "strict", "parent": "base", "expires": "2026-12-31T18:00:00Z", "members": {"shop/stock": {"version": "v2"}}}),
        json!({"key": [{"header": "x-user"}, {"claim": {"name": "sub"}}], "cookie": {"attributes": {"sameSite": null}}}),
    ] {
        assert_eq!(judged(shop, "gray", &spec), Ok(()), "{spec}");
    }
    for (spec, says) in [
        (json!({"rules": [{}]}), "the rule is empty: give `when`, `percent` or both"),
        (json!({"rules": [{"percent": 5.005}]}), "percent goes in steps of 0.01"),
        (json!({"rules": [{"percent": 101}]}), "less than or equal to 100"),
        (
            json!({"rules": [{"when": {"cookie": {"name": "a", "exact": "1", "prefix": "b"}}}]}),
            "Found 2 valid",
        ),
        (json!({"rules": [{"when": {"cookie": {"name": "a"}}}]}), "Found none valid"),
        (json!({"rules": [{"when": {}}]}), "at least 1 properties"),
        (json!({"rules": [{"when": {"cooky": cookie}}]}), "unknown field \"spec.rules[0].when.cooky\""),
        (json!({"parent": "gray"}), "a lane cannot be its own parent"),
        (json!({"mode": "loose"}), "\"permissive\", \"strict\""),
        (json!({"expires": "soon"}), "date-time"),
    ] {
        let error = judged(shop, "gray", &spec).expect_err("refused");
        assert!(error.contains(says), "{spec}: {error}");
    }
    judged(shop, "Gray_1", &json!({})).expect_err("no name of a lane");
}
