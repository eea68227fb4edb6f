//! What the API server itself says of Lanes, to people who use kubectl.

use serde_json::{Value, json};

use crate::cluster::{OF_TESTS, of_tests};
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
            "give exactly one of contains, exact",
        ),
        (json!({"rules": [{"when": {"cookie": {"name": "a"}}}]}), "give exactly one of contains, exact"),
        (json!({"key": [{"header": "a", "cookie": "b"}]}), "give exactly one of header, cookie, claim"),
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

/// Whoever the lab's kubeconfig names, who may do everything.
const ADMIN: &str = "";
/// Who writes the Lanes of releases.
const CONTROLLER: &str = "system:serviceaccount:canaryctl-system:canaryctl-controller";
/// A namespace beside the shop's.
const SECOND: &str = "default";

/// Rights of somebody who may write Lanes, and of somebody who may do more.
fn rights(namespace: &str) -> Vec<Value> {
    let role = |name: &str, rules: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {(OF_TESTS.0): OF_TESTS.1}}, "rules": rules})
    };
    let reference =
        |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let user = |name: &str| json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}]);
    let everywhere = |name: &str, role: &str, subject: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": {(OF_TESTS.0): OF_TESTS.1}},
            "roleRef": reference(role), "subjects": user(subject)})
    };
    let releases = json!([{"apiGroups": ["canaryctl.io"], "resources": ["releases"], "verbs": ["*"]}]);
    let deployments = json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["update"]}]);
    let lanes =
        |verbs: Value| json!([{"apiGroups": ["canaryctl.io"], "resources": ["lanes"], "verbs": verbs}]);
    let routes = json!([{"apiGroups": ["networking.istio.io"], "resources": ["virtualservices"], "verbs": ["update"]}]);
    let within = |space: &str, role: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": role, "namespace": space, "labels": {(OF_TESTS.0): OF_TESTS.1}},
            "roleRef": reference(role), "subjects": user("release")})
    };
    vec![
        role("test-lane-writer", lanes(json!(["get", "list", "create", "update", "patch"]))),
        role("test-lane-router", lanes(json!(["route"]))),
        role("test-route-editor", routes),
        role("test-releaser", releases),
        role("test-deployer", deployments),
        everywhere("test-writer-releases", "test-releaser", "writer"),
        everywhere("test-release-releases", "test-releaser", "release"),
        within(namespace, "test-deployer"),
        within(SECOND, "test-deployer"),
        everywhere("test-writer", "test-lane-writer", "writer"),
        everywhere("test-release-writes", "test-lane-writer", "release"),
        everywhere("test-release-routes", "test-lane-router", "release"),
        within(namespace, "test-route-editor"),
        within(SECOND, "test-route-editor"),
    ]
}

pub(crate) async fn grants(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&rights(shop.namespace()));
    let judge = |user: &str, kind: &str, spec: &Value| {
        let lane = json!({"apiVersion": "canaryctl.io/v1alpha1", "kind": kind, "metadata": {"name": "mine"}, "spec": spec});
        let who: &[&str] = match user {
            ADMIN => &[],
            _ => &["--as", user, "--as-group", "system:authenticated"],
        };
        let args = [&["apply", "--dry-run=server", "-f", "-"], who].concat();
        let ran = shop.cluster().run("kubectl", &args, Some(&lane.to_string()));
        if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
    };
    let judged = |user: &str, spec: &Value| judge(user, "Lane", spec);
    let rules = json!({"rules": [{"percent": 5}]});
    let own = json!({"members": {format!("{}/stock", shop.namespace()): {"version": "v2"}}});
    let others = json!({"members": {"stock.elsewhere": {"version": "v2"}}});
    let anyones = json!({"members": {"stock": {"version": "v2"}}});
    // A policy takes a moment to be in force.
    shop.cluster().until("the policy is in force", std::time::Duration::from_secs(30), || {
        judged("writer", &rules).is_err().then_some(())
    });
    let error = judged("writer", &rules).expect_err("no right to route");
    assert!(error.contains("the verb `route` on lanes.canaryctl.io"), "{error}");
    let error = judged("writer", &json!({"mirror": 10})).expect_err("no right to route");
    assert!(error.contains("a mirror has all users' requests copied"), "{error}");
    assert_eq!(judged("writer", &json!({"mirror": 0})), Ok(()));
    assert_eq!(judged("release", &json!({"mirror": 0.5})), Ok(()));
    assert_eq!(judged("writer", &json!({})), Ok(()));
    let error = judged("writer", &own).expect_err("no right to that namespace's routes");
    assert!(error.contains("update virtualservices.networking.istio.io"), "{error}");
    assert_eq!(judged("release", &rules), Ok(()));
    assert_eq!(judged("release", &own), Ok(()));
    let error = judged("release", &others).expect_err("another namespace");
    assert!(error.contains("elsewhere"), "{error}");
    let error = judged("release", &anyones).expect_err("every namespace");
    assert!(error.contains("without its namespace"), "{error}");

    // An expression may ask for two rights, and a policy for 28.
    let members = |spaces: &[&str]| {
        let members = spaces
            .iter()
            .enumerate()
            .map(|(at, space)| (format!("{space}/service-{at}"), json!({"version": "v2"})));
        json!({"members": members.collect::<serde_json::Map<_, _>>()})
    };
    let workloads = |spaces: &[&str]| {
        let workloads = spaces.iter().enumerate();
        let workloads = workloads
            .map(|(at, space)| json!({"deployment": format!("{space}/app-{at}"), "images": {"app": "x:2"}}));
        json!({"workloads": workloads.collect::<Vec<_>>()})
    };
    let own = [shop.namespace(); 18];
    let two = [own.as_slice(), &[SECOND, SECOND]].concat();
    let three = [two.as_slice(), &["elsewhere"]].concat();
    let many: Vec<String> = (0..20).map(|number| format!("space-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (kind, spec) in [("Lane", &members as &dyn Fn(&[&str]) -> Value), ("Release", &workloads)] {
        assert_eq!(judge("release", kind, &spec(&own)), Ok(()));
        assert_eq!(judge("release", kind, &spec(&two)), Ok(()));
        let error = judge("release", kind, &spec(&three[1..])).expect_err("a namespace of three");
        assert!(error.contains("elsewhere") && !error.contains("cost"), "{error}");
        let error = judge("release", kind, &spec(&many)).expect_err("namespaces of others");
        assert!(error.contains("space-19") && !error.contains("cost"), "{error}");
        assert_eq!(judge(ADMIN, kind, &spec(&many)), Ok(()), "{kind}");
    }
    assert_eq!(judged(CONTROLLER, &members(&many)), Ok(()));

    let released = |namespace: &str, steps: Value| {
        json!({
            "workloads": [{"deployment": format!("{namespace}/stock-v1"), "images": {"app": "x:2"}}], "steps": steps,
        })
    };
    let (own, none) = (shop.namespace(), json!([]));
    let error =
        judge("writer", "Release", &released(own, none.clone())).expect_err("no right to Deployments");
    assert!(error.contains("update deployments.apps"), "{error}");
    assert_eq!(judge("release", "Release", &released(own, json!([{"share": 5}]))), Ok(()));
    let runs = json!([{"job": {"cronJob": format!("{own}/smoke")}}]);
    let error = judge("release", "Release", &released(own, runs)).expect_err("no right to Jobs");
    assert!(error.contains(&format!("create jobs.batch in the namespaces: {own}")), "{error}");
    let error = judge("release", "Release", &released("elsewhere", none)).expect_err("another namespace");
    assert!(error.contains("elsewhere"), "{error}");
    shop.cluster().kubectl(&["delete", "clusterrole,clusterrolebinding", "-l", &of_tests()]).ok();
    shop.cluster().kubectl(&["-n", SECOND, "delete", "rolebinding", "-l", &of_tests()]).ok();
}
