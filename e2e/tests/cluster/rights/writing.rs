//! Commands that write: one right less, and nothing is changed; just those, and all of it is done.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Case, IN_FORCE_WITHIN, Right, lacking, of, rights, roles, run, take_all};
use crate::develop::Beside;
use crate::lanes::nothing_of_ours;
use crate::manifests::{self, NEXT_IMAGE};
use crate::shop::{INSTALL, Shop};

/// In how many lots rights to write are taken away.
const LOTS: usize = 5;

/// What people's commands write, and what of an installation is told by label.
const WRITTEN: &str = "lanes,releases,takeovers,jobs,deployments";
const INSTALLED: &str = "wasmplugins,configmaps,secrets,services,serviceaccounts,poddisruptionbudgets,roles,rolebindings,\
    clusterroles,clusterrolebindings,customresourcedefinitions,mutatingwebhookconfigurations,\
    validatingadmissionpolicies,validatingadmissionpolicybindings";
const OURS: &str = "app.kubernetes.io/managed-by=canaryctl";

/// The cluster's objects as people see them changed: without what the API server and controllers keep of them.
#[track_caller]
fn state(shop: &Shop) -> Vec<Value> {
    let list = |args: &[&str]| shop.cluster().get(args)["items"].as_array().cloned().expect("a list");
    let mut objects = list(&[WRITTEN, "-A"]);
    objects.extend(list(&[INSTALLED, "-A", "-l", OURS]));
    for object in &mut objects {
        let object = object.as_object_mut().expect("an object");
        object.remove("status");
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.retain(|key, _| !["resourceVersion", "generation", "managedFields"].contains(&key.as_str()));
        // What plugins are told is the controller's, which collects what a lane before has left.
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("pluginConfig");
        }
    }
    objects
}

/// Runs the command as somebody who lacks one of its rights, each in turn: it fails, names the right, and has changed
/// nothing. Rights that not everybody needs are left out.
#[track_caller]
fn refused_without_each(shop: &Shop, case: &Case<'_>) {
    let roles = roles(shop, case.command);
    let rights = needed(&roles, case);
    refused_without(shop, case, &roles, &rights.iter().map(|right| vec![right]).collect::<Vec<_>>());
}

/// The same of a command that asks for its many rights to write at once, before it does: it names each of those that
/// somebody lacks.
#[track_caller]
fn refused_without_some(shop: &Shop, case: &Case<'_>) {
    let roles = roles(shop, case.command);
    let rights = needed(&roles, case);
    let reads = |right: &&Right| ["get", "list", "watch"].contains(&right.verb.as_str());
    let (reading, writing): (Vec<&Right>, Vec<&Right>) = rights.iter().partition(reads);
    // Verbs of one thing are next to each other, and so in different lots.
    let lots = (0..LOTS).map(|first| writing.iter().skip(first).step_by(LOTS).copied().collect());
    let all: Vec<Vec<&Right>> = reading.into_iter().map(|right| vec![right]).chain(lots).collect();
    refused_without(shop, case, &roles, &all);
}

fn needed(roles: &[Value], case: &Case<'_>) -> Vec<Right> {
    rights(roles).into_iter().filter(|right| !right.is_spared(case)).collect()
}

/// Runs it as people who lack these rights each.
#[track_caller]
fn refused_without(shop: &Shop, case: &Case<'_>, roles: &[Value], lacks: &[Vec<&Right>]) {
    let user = |at: usize| format!("tester-{}-{at}", case.command);
    let all: Vec<Value> =
        lacks.iter().enumerate().flat_map(|(at, lacked)| of(roles, &user(at), lacked)).collect();
    shop.cluster().apply(&all);
    let before = state(shop);
    for (at, lacked) in lacks.iter().enumerate() {
        let words: BTreeSet<String> = lacked.iter().map(|right| right.words()).collect();
        let what = format!("{:?} without the rights to {words:?} is refused", case.args);
        shop.cluster().until(&what, IN_FORCE_WITHIN, || {
            let ran = run(shop, case.args, &user(at));
            let named: BTreeSet<String> = lacking(&ran).into_iter().collect();
            assert!(ran.code != 0 && !named.is_empty(), "{what}: {ran}");
            (named == words).then_some(())
        });
    }
    assert_eq!(state(shop), before, "{:?} has changed something", case.args);
    take_all(shop);
}

/// Gives somebody the rights of a command alone, and waits until they are in force.
#[track_caller]
fn give(shop: &Shop, command: &str) -> String {
    // A name of their own: roles of somebody before them may be in force yet.
    let user = format!("tester-{command}-{:08x}", fastrand::u32(..));
    let roles = roles(shop, command);
    shop.cluster().apply(&of(&roles, &user, &[]));
    let mut one_of_each_role = rights(&roles);
    one_of_each_role.dedup_by_key(|right| right.at.0);
    for Right { verb, resource, group, namespace, name, .. } in one_of_each_role {
        let (plain, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        let object = name.trim().to_owned();
        let object = if object.is_empty() { object } else { format!("/{object}") };
        let asked = ["auth", "can-i", &verb, &format!("{plain}{group}{object}"), "--as", &user];
        let place = namespace.map_or(vec!["-A".to_owned()], |namespace| vec!["-n".to_owned(), namespace]);
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let subresource = format!("--subresource={subresource}");
        let asked = [asked.as_slice(), &place, &[&subresource]].concat();
        shop.cluster().until(&format!("{user} may {verb} {resource}"), IN_FORCE_WITHIN, || {
            (shop.cluster().kubectl(&asked).code == 0).then_some(())
        });
    }
    user
}

/// Runs it as somebody who has its rights and no others.
#[track_caller]
fn done(shop: &Shop, command: &str, args: &[&str]) {
    let user = give(shop, command);
    run(shop, args, &user).ok();
    take_all(shop);
}

fn case<'a>(command: &'a str, args: &'a [&'a str], spared: &'a [&'a str]) -> Case<'a> {
    Case { command, args, codes: &[0], spared }
}

pub(crate) async fn writing(shop: &Shop) {
    shop.installed();
    shop.gray("gray", "gray", &["stock"]);
    let enable = ["enable", "--cookie", "gray=1"];
    // No members are named.
    refused_without_each(shop, &case("enable", &enable, &["update virtualservices"]));
    done(shop, "enable", &enable);
    refused_without_each(shop, &case("disable", &["disable"], &[]));
    done(shop, "disable", &["disable"]);
    shop.remove("gray");

    let image = format!("stock={NEXT_IMAGE}");
    let start = ["release", "start", "r", "--image", &image, "--cookie", "gray=1"];
    let with_job = [start.as_slice(), &["--job", "smoke"]].concat();
    refused_without_each(shop, &case("release-start", &with_job, &[]));
    done(shop, "release-start", &start);
    for turn in ["promote", "abort", "undo"] {
        refused_without_each(shop, &case("release-promote", &["release", turn, "r"], &[]));
    }
    // These do not wait.
    for turn in ["pause", "resume", "retry"] {
        refused_without_each(shop, &case("release-promote", &["release", turn, "r"], &["watch releases"]));
    }
    for turn in ["pause", "resume", "promote", "undo"] {
        done(shop, "release-promote", &["release", turn, "r"]);
    }
    shop.cluster().kubectl(&["delete", "release", "r", "--timeout=60s"]).ok();
    done(shop, "release-start", &start);
    done(shop, "release-promote", &["release", "abort", "r"]);
    shop.cluster().kubectl(&["delete", "release", "r", "--timeout=60s"]).ok();
}

/// What nobody needs for a machine that is joined to the cluster.
const SPARED: [&str; 2] = ["list virtualservices", "list events"];

/// What takes only whoever has copies.
const OF_COPIES: [&str; 1] = ["create services"];

/// What takes only whoever has this machine be in the cluster's network.
const OF_TUN: [&str; 6] = [
    "list nodes",
    "list servicecidrs",
    "list services",
    "watch services",
    "list endpointslices",
    "watch endpointslices",
];

pub(crate) async fn developing(shop: &Shop) {
    shop.installed();
    let mesh = ["mesh", "cart", "--to", "127.0.0.1:9", "--header", "x-dev=tester"];
    let exchange = ["exchange", "cart", "--to", "127.0.0.1:9"];
    let mirror = ["mirror", "cart", "--to", "127.0.0.1:9"];
    let connect = ["connect", "--port", "0"];
    let forward = ["forward", "cart", "0:80"];
    let preview = ["preview", "coupons", "--to", "127.0.0.1:9"];
    let all = [
        ("mesh", &mesh[..]),
        ("mesh", &exchange),
        ("mesh", &mirror),
        ("preview", &preview),
        ("connect", &connect),
        ("forward", &forward),
    ];
    for (command, args) in all {
        let of_others = match args[0] {
            "connect" => &OF_TUN[..],
            "mesh" | "exchange" => &OF_COPIES,
            _ => &[],
        };
        refused_without_each(shop, &case(command, args, &[&SPARED, of_others].concat()));
    }
    for (command, args) in all {
        let user = give(shop, command);
        let own = ["-u", "CANARYCTL_IMAGE", "canaryctl"];
        let as_user = ["-n", shop.namespace(), "--as", &user, "-o", "json"];
        let args = [own.as_slice(), args, &as_user].concat();
        tokio::task::block_in_place(|| {
            let mut beside = Beside::of(shop, "env", &args);
            if command == "mesh" {
                stopped(shop, &user);
            } else {
                assert_eq!(beside.interrupt().code(), Some(0), "{command}");
            }
        });
        take_all(shop);
    }
    done(shop, "dev-stop", &["dev", "clean"]);
    tokio::task::block_in_place(|| {
        shop.cluster().until("nothing is left of it", IN_FORCE_WITHIN, || {
            let left = shop.kubectl(&["get", "lanes,takeovers,jobs", "-o", "name"]).ok().stdout;
            left.is_empty().then_some(())
        });
    });
}

/// What nobody needs where there is no service of a preview.
const OF_PREVIEW: [&str; 4] = ["list services", "delete services", "list pods", "delete jobs"];

/// Another ends what somebody has.
#[track_caller]
fn stopped(shop: &Shop, owner: &str) {
    let found = shop.kubectl(&["get", "takeovers", "-o", "jsonpath={.items[0].metadata.name}"]).ok().stdout;
    let stop = ["dev", "stop", &found, "--yes"];
    refused_without_each(shop, &case("dev-stop", &stop, &OF_PREVIEW));
    let more = [&OF_PREVIEW[..], &["delete takeovers", "watch takeovers"]].concat();
    refused_without_each(shop, &case("dev-stop", &["dev", "clean"], &more));
    assert!(!found.is_empty(), "{owner} has nothing");
    done(shop, "dev-stop", &stop);
}

/// What uninstalling takes where an exchange outside the mesh was left behind.
const WITH_SELECTED: [&str; 3] = ["patch services", "list endpointslices", "delete endpointslices"];
/// What only `--no-webhook` takes.
const WITH_WEBHOOK: [&str; 3] = [
    "delete mutatingwebhookconfigurations canaryctl-webhook",
    "delete secrets canaryctl-webhook",
    "delete services canaryctl-webhook",
];

pub(crate) async fn installing(shop: &Shop) {
    shop.installed();
    shop.cluster().apply(&[manifests::deployment(shop.namespace(), Shop::service("stock"), "v2", None, 1)]);
    shop.rolled_out();
    let enable = ["enable", "--cookie", "gray=1", "--member", "stock=version:v2"];
    let controller = shop.cluster().get(&["-n", "canaryctl-system", "deploy", "canaryctl-controller"]);
    let image = controller["spec"]["template"]["spec"]["containers"][0]["image"].as_str().expect("an image");
    let install = [INSTALL.as_slice(), &["--image", image]].concat();
    let uninstall = ["uninstall", "--purge", "--yes"];
    refused_without_some(shop, &case("install", &install, &WITH_WEBHOOK));
    refused_without_some(shop, &case("uninstall", &uninstall, &WITH_SELECTED));
    // Lanes end by their controller, or without one.
    shop.cluster().canaryctl(&enable).ok();
    done(shop, "uninstall", &uninstall);
    nothing_of_ours(shop);
    // Rights of a namespace are granted in one that is there.
    shop.cluster().kubectl(&["create", "namespace", "canaryctl-system"]).ok();
    done(shop, "install", &install);
    shop.cluster().canaryctl(&enable).ok();
    for alone in [&["scale", "--replicas=0"][..], &["rollout", "status"]] {
        let of_controller = ["-n", "canaryctl-system", "deploy/canaryctl-controller"];
        shop.cluster().kubectl(&[alone, &of_controller].concat()).ok();
    }
    done(shop, "uninstall", &uninstall);
    nothing_of_ours(shop);
    shop.remove("v2");
}
