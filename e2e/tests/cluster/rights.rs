//! What people may do who have just the rights that a command is said to need, and who lack one of them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{OF_TESTS, Ran, of_tests};
use crate::shop::Shop;

mod writing;

pub(crate) use writing::{developing, installing, writing};

/// How long the API server may take to hear of a role.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(20);

/// A command, by people who have its rights alone.
struct Case<'a> {
    /// What `rbac` calls it.
    command: &'a str,
    /// What is typed.
    args: &'a [&'a str],
    /// Exit codes of a run that was let.
    codes: &'a [i32],
    /// Rights without which it works all the same, here.
    spared: &'a [&'a str],
}

/// One right of a command's roles.
struct Right {
    verb: String,
    resource: String,
    group: String,
    namespace: Option<String>,
    /// The only object that it is about, after a blank.
    name: String,
    /// Where its rule is: the object's index, the rule's.
    at: (usize, usize),
}

impl Right {
    fn words(&self) -> String {
        format!("{} {}", self.verb, self.resource)
    }

    fn is_spared(&self, case: &Case<'_>) -> bool {
        case.spared.contains(&format!("{}{}", self.words(), self.name).as_str())
    }
}

/// The roles of a command and their bindings, as the program prints them.
#[track_caller]
fn roles(shop: &Shop, command: &str) -> Vec<Value> {
    let printed = ["rbac", command, "-n", shop.namespace(), "--for-user", "tester"];
    let printed = shop.cluster().canaryctl(&printed).ok().stdout;
    let read = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
    let text = shop.cluster().run("kubectl", &read, Some(&printed)).ok().stdout;
    serde_json::Deserializer::from_str(&text)
        .into_iter::<Value>()
        .map(|object| object.expect("JSON"))
        .flat_map(|object| match object["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![object],
        })
        .collect()
}

fn rights(roles: &[Value]) -> Vec<Right> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut rights = Vec::new();
    for (object, role) in roles.iter().enumerate() {
        for (rule, value) in list(&role["rules"]).iter().enumerate() {
            for verb in list(&value["verbs"]) {
                let text = |value: &Value| value.as_str().expect("text").to_owned();
                let name =
                    value["resourceNames"][0].as_str().map_or(String::new(), |name| format!(" {name}"));
                rights.push(Right {
                    verb: text(&verb),
                    resource: text(&value["resources"][0]),
                    group: text(&value["apiGroups"][0]),
                    namespace: role["metadata"]["namespace"].as_str().map(str::to_owned),
                    name,
                    at: (object, rule),
                });
            }
        }
    }
    rights
}

/// The same roles for this user, without these rights.
fn of(roles: &[Value], user: &str, without: &[&Right]) -> Vec<Value> {
    let mut roles = roles.to_vec();
    for Right { verb, at: (object, rule), .. } in without {
        let verbs = roles[*object]["rules"][*rule]["verbs"].as_array_mut().expect("verbs");
        verbs.retain(|other| other != verb);
    }
    for rules in roles.iter_mut().filter_map(|role| role["rules"].as_array_mut()) {
        rules.retain(|rule| rule["verbs"] != json!([]));
    }
    for role in &mut roles {
        role["metadata"]["labels"] = json!({OF_TESTS.0: OF_TESTS.1});
        role["metadata"]["name"] = user.into();
        if !role["subjects"].is_null() {
            role["subjects"][0]["name"] = user.into();
            role["roleRef"]["name"] = user.into();
        }
    }
    roles
}

/// What was said of rights that are lacking: by the command, or by the API server.
fn lacking(ran: &Ran) -> Vec<String> {
    let text = format!("{}{}", ran.stdout, ran.stderr);
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some((_, right)) = line.split_once("you may not ") {
            let mut words = right.split(' ');
            let (verb, resource) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            found.push(format!("{verb} {}", resource.split('.').next().unwrap_or_default()));
        }
        for right in line.split("cannot ").skip(1) {
            if let Some((verb, rest)) =
                right.split_once(" resource \"").filter(|(verb, _)| !verb.contains(' '))
            {
                found.push(format!("{verb} {}", rest.split('"').next().unwrap_or_default()));
            }
        }
    }
    found
}

/// Runs it without the image that a lab's environment names, so that it takes the right to look for that.
fn run(shop: &Shop, args: &[&str], user: &str) -> Ran {
    let own = &["-u", "CANARYCTL_IMAGE", "canaryctl"];
    shop.cluster().run("env", &[own, args, &["-n", shop.namespace(), "--as", user]].concat(), None)
}

#[track_caller]
fn take_all(shop: &Shop) {
    let kinds = "clusterroles,clusterrolebindings,roles,rolebindings";
    let label = of_tests();
    for namespace in [shop.namespace(), "canaryctl-system", "istio-system"] {
        shop.cluster().kubectl(&["-n", namespace, "delete", kinds, "-l", &label, "--wait=false"]);
    }
}

/// Runs the command as somebody who lacks one of its rights, each in turn. It names the right and fails, or works
/// where that is said of it.
#[track_caller]
fn without_each(shop: &Shop, case: &Case<'_>) {
    let roles = roles(shop, case.command);
    let rights: Vec<Right> = rights(&roles);
    let chosen: Vec<(usize, &Right)> = rights.iter().enumerate().collect();
    let user = |at: usize| format!("tester-{}-{at}", case.command);
    let all: Vec<Value> = chosen.iter().flat_map(|(at, right)| of(&roles, &user(*at), &[right])).collect();
    shop.cluster().apply(&all);
    for (at, right) in chosen {
        let words = right.words();
        let is_spared = right.is_spared(case);
        let what = format!("{} without the right to {words}: spared {is_spared}", case.command);
        shop.cluster().until(&what, IN_FORCE_WITHIN, || {
            let ran = run(shop, case.args, &user(at));
            let is_so = match is_spared {
                true => case.codes.contains(&ran.code),
                false => {
                    ran.code != 0
                        && lacking(&ran).iter().all(|named| *named == words)
                        && !lacking(&ran).is_empty()
                }
            };
            is_so.then_some(()).or_else(|| {
                eprintln!("not yet so that {what}: {ran}");
                None
            })
        });
    }
    take_all(shop);
}

/// Runs it as somebody who has its rights and no others.
#[track_caller]
fn with_all(shop: &Shop, case: &Case<'_>) {
    let user = format!("tester-{}", case.command);
    shop.cluster().apply(&of(&roles(shop, case.command), &user, &[]));
    let ran = shop.cluster().until(&format!("{} is let", case.command), IN_FORCE_WITHIN, || {
        let ran = run(shop, case.args, &user);
        if lacking(&ran).is_empty() {
            return Some(ran);
        }
        eprintln!("{ran}");
        None
    });
    assert!(case.codes.contains(&ran.code), "{ran}");
    take_all(shop);
}

pub(crate) async fn reading(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["stock"]);
    shop.cluster().canaryctl(&["enable", "--cookie", "gray=1"]).ok();
    for case in [
        Case { command: "lanes", args: &["lanes"], codes: &[0], spared: &[] },
        Case {
            command: "lanes-describe",
            args: &["lanes", "describe", "gray"],
            codes: &[0],
            spared: &["list pods"],
        },
        Case {
            command: "status",
            args: &["status"],
            codes: &[0],
            spared: &["get mutatingwebhookconfigurations canaryctl-webhook"],
        },
        Case {
            command: "version",
            args: &["version"],
            codes: &[0],
            spared: &["get deployments canaryctl-controller", "list pods"],
        },
        Case {
            command: "diff",
            args: &["diff"],
            codes: &[0],
            // Nobody traces here.
            spared: &["get secrets canaryctl-trace"],
        },
        Case {
            command: "check",
            args: &["check"],
            codes: &[0],
            spared: &[
                "get mutatingwebhookconfigurations canaryctl-webhook",
                "get secrets canaryctl-trace",
                "get secrets canaryctl-webhook",
                "list networkpolicies",
                "list authorizationpolicies",
                "list requestauthentications",
                "list peerauthentications",
                // API servers before 1.35 ask for `get` alone.
                "create pods/portforward",
            ],
        },
        Case { command: "dev-list", args: &["dev", "list"], codes: &[0], spared: &["list services"] },
        Case {
            command: "release-status",
            args: &["release", "list"],
            codes: &[0],
            spared: &["get releases", "get deployments", "list pods"],
        },
    ] {
        with_all(shop, &case);
        without_each(shop, &case);
    }
    shop.cluster().canaryctl(&["disable"]).ok();
    shop.remove("gray");
}
