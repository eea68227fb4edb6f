use super::*;
use crate::lane::RefusalStatus;

fn lane(name: &str) -> LaneRouting {
    LaneRouting {
        name: name_of(name),
        parent: None,
        mode: Mode::Permissive,
        members: BTreeMap::new(),
        mirror: 0,
    }
}

fn child(name: &str, parent: &str) -> LaneRouting {
    LaneRouting { parent: Some(name_of(parent)), ..lane(name) }
}

fn strict(mut lane: LaneRouting) -> LaneRouting {
    lane.mode = Mode::Strict(RefusalStatus::new(418).expect("status"));
    lane
}

fn naming(mut lane: LaneRouting, service: &str, labels: &[(&str, &str)]) -> LaneRouting {
    lane.members.insert(service.parse().expect("service key"), labels_of(labels));
    lane
}

fn name_of(name: &str) -> LaneName {
    LaneName::new(name).expect("lane name")
}

fn labels_of(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

/// A service whose workloads are `name` or `name:lane-label`; each also carries `version: <name>`.
fn service(host: &str, workloads: &[&str]) -> Service {
    let workload = |text: &&str| {
        let (name, lane) = text.split_once(':').map_or((*text, None), |(name, lane)| (name, Some(lane)));
        let mut labels = labels_of(&[("version", name)]);
        labels.extend(lane.map(|lane| (LANE_LABEL.into(), lane.into())));
        Workload { name: name.into(), labels }
    };
    Service {
        host: host.parse().expect("host"),
        port: 80,
        workloads: workloads.iter().map(workload).collect(),
        exchanged: None,
        copies: Vec::new(),
    }
}

fn compiled(lanes: &[LaneRouting], services: &[Service]) -> Result<RoutingPlan, CompileError> {
    compile(lanes, services, &HeaderName::new("x-canary-lane").expect("header"))
}

/// One line per route: `tag → who serves, in order`.
fn lines(plan: &RoutingPlan) -> Vec<String> {
    let tier = |tier: &Tier| {
        let of = match &tier.of {
            TierOf::Lane(lane) => lane.as_str(),
            TierOf::Baseline => "baseline",
        };
        format!("{of}[{}]", tier.workloads.join(" "))
    };
    let mut lines = Vec::new();
    for host in &plan.hosts {
        for route in &host.http {
            let to = match &route.to {
                Destination::Baseline => tier(&host.baseline),
                Destination::Subset(name) => {
                    let subset = host.subset(name).expect("the plan holds every subset it routes to");
                    subset.failover.iter().map(tier).collect::<Vec<_>>().join(" > ")
                }
                Destination::Refuse { status, reason } => format!("{} {reason}", status.get()),
            };
            lines.push(format!("{} {}: {to}", host.host, route.tag.as_ref().map_or("*", LaneName::as_str)));
        }
    }
    lines
}

#[track_caller]
fn check(lanes: &[LaneRouting], services: &[Service], want: &[&str]) {
    let plan = compiled(lanes, services).expect("a plan");
    assert_eq!(lines(&plan), want);
}

#[track_caller]
fn check_error(lanes: &[LaneRouting], services: &[Service], want: &str) {
    let error = compiled(lanes, services).expect_err("no plan");
    assert_eq!(error.to_string(), want);
}

#[track_caller]
fn check_findings(lanes: &[LaneRouting], services: &[Service], want: &[&str]) {
    let plan = compiled(lanes, services).expect("a plan");
    let findings: Vec<String> = plan.findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings, want);
}

#[test]
fn without_lanes_everything_is_baseline() {
    check(&[], &[service("cart.shop", &["v1", "v2"])], &["cart.shop *: baseline[v1 v2]"]);
}

#[test]
fn a_labelled_workload_serves_its_lane_and_not_the_baseline() {
    check(
        &[lane("gray")],
        &[service("web.shop", &["v1", "v2:gray"])],
        &["web.shop gray: gray[v2] > baseline[v1]", "web.shop *: baseline[v1]"],
    );
}

#[test]
fn a_named_workload_serves_its_lane_and_not_the_baseline() {
    check(
        &[naming(lane("gray"), "stock", &[("version", "v2")])],
        &[service("stock.shop", &["v1", "v2"])],
        &["stock.shop gray: gray[v2] > baseline[v1]", "stock.shop *: baseline[v1]"],
    );
}

#[test]
fn a_named_and_labelled_workload_counts_once() {
    check(
        &[naming(lane("gray"), "shop/stock", &[("version", "v2")])],
        &[service("stock.shop", &["v1", "v2:gray"])],
        &["stock.shop gray: gray[v2] > baseline[v1]", "stock.shop *: baseline[v1]"],
    );
}

#[test]
fn a_permissive_lane_without_members_needs_no_route() {
    check(&[lane("gray")], &[service("cart.shop", &["v1"])], &["cart.shop *: baseline[v1]"]);
}

#[test]
fn a_strict_lane_serves_alone() {
    check(
        &[strict(lane("gray"))],
        &[service("web.shop", &["v1", "v2:gray"])],
        &["web.shop gray: gray[v2]", "web.shop *: baseline[v1]"],
    );
}

#[test]
fn a_strict_lane_refuses_where_it_has_no_member() {
    check(
        &[strict(lane("gray"))],
        &[service("cart.shop", &["v1"])],
        &["cart.shop gray: 418 strict lane gray has no member of cart.shop", "cart.shop *: baseline[v1]"],
    );
}

#[test]
fn a_child_falls_back_to_its_parent_then_to_the_baseline() {
    check(
        &[lane("gray"), child("gray.checkout", "gray")],
        &[service("web.shop", &["v1", "v2:gray", "v3:gray.checkout"])],
        &[
            "web.shop gray: gray[v2] > baseline[v1]",
            "web.shop gray.checkout: gray.checkout[v3] > gray[v2] > baseline[v1]",
            "web.shop *: baseline[v1]",
        ],
    );
}

#[test]
fn a_child_without_members_of_its_own_is_served_by_its_parent() {
    check(
        &[lane("gray"), child("gray.checkout", "gray")],
        &[service("web.shop", &["v1", "v2:gray"])],
        &[
            "web.shop gray: gray[v2] > baseline[v1]",
            "web.shop gray.checkout: gray[v2] > baseline[v1]",
            "web.shop *: baseline[v1]",
        ],
    );
}

#[test]
fn a_strict_child_does_not_use_its_parent() {
    check(
        &[lane("gray"), strict(child("dev", "gray"))],
        &[service("web.shop", &["v1", "v2:gray"])],
        &[
            "web.shop dev: 418 strict lane dev has no member of web.shop",
            "web.shop gray: gray[v2] > baseline[v1]",
            "web.shop *: baseline[v1]",
        ],
    );
}

#[test]
fn lanes_never_serve_each_other() {
    check(
        &[lane("gray"), lane("alice")],
        &[service("web.shop", &["v1", "v2:gray", "v3:alice"])],
        &[
            "web.shop alice: alice[v3] > baseline[v1]",
            "web.shop gray: gray[v2] > baseline[v1]",
            "web.shop *: baseline[v1]",
        ],
    );
}

#[test]
fn a_lane_may_be_all_there_is_of_a_service() {
    check(
        &[lane("gray")],
        &[service("new.shop", &["v1:gray"])],
        &["new.shop gray: gray[v1]", "new.shop *: baseline[]"],
    );
}

#[test]
fn the_plan_does_not_depend_on_the_order_of_its_input() {
    let mut lanes = vec![lane("gray"), lane("alice"), child("gray.checkout", "gray")];
    let mut services =
        vec![service("web.shop", &["v1", "v2:gray"]), service("cart.shop", &["v1", "v2:alice"])];
    let plan = compiled(&lanes, &services).expect("a plan");
    lanes.reverse();
    services.reverse();
    assert_eq!(compiled(&lanes, &services).expect("a plan"), plan);
}

#[test]
fn a_workload_of_a_lane_that_does_not_exist_serves_nobody() {
    let services = [service("web.shop", &["v1", "v2:gone"])];
    check(&[], &services, &["web.shop *: baseline[v1]"]);
    check_findings(
        &[],
        &services,
        &["workload v2 of web.shop carries the label of lane gone, which does not exist: it serves nobody"],
    );
}

#[test]
fn members_that_cannot_be_found_are_told() {
    check_findings(
        &[naming(naming(lane("gray"), "stock", &[("version", "v9")]), "nosuch", &[("version", "v2")])],
        &[service("stock.shop", &["v1", "v2"])],
        &[
            "lane gray names service nosuch, which does not exist",
            r#"lane gray names {"version": "v9"} of stock.shop, which no workload carries"#,
        ],
    );
}

#[test]
fn contradictions_are_refused() {
    check_error(&[lane("gray"), lane("gray")], &[], "lane gray is defined twice");
    check_error(
        &[],
        &[service("web.shop", &[]), service("web.shop", &[])],
        "service web.shop is defined twice",
    );
    check_error(&[child("gray", "nosuch")], &[], "lane gray has parent nosuch, which does not exist");
    check_error(
        &[child("a", "b"), child("b", "a")],
        &[],
        "the parents of lane a lead in a circle or are more than 8",
    );
    check_error(
        &[naming(lane("gray"), "web", &[("version", "v2")])],
        &[service("web.shop", &["v2"]), service("web.test", &["v2"])],
        "lane gray names service web, which exists in several namespaces: web.shop and web.test",
    );
    check_error(
        &[lane("gray"), naming(lane("alice"), "web", &[("version", "v2")])],
        &[service("web.shop", &["v1", "v2:gray"])],
        "lane alice names workload v2 of web.shop, which its own label puts in lane gray",
    );
    check_error(
        &[naming(lane("alice"), "web", &[("version", "v2")])],
        &[service("web.shop", &["v1", "v2:gray"])],
        "lane alice names workload v2 of web.shop, which its own label puts in lane gray",
    );
    let v2 = |name| naming(lane(name), "web", &[("version", "v2")]);
    check_error(
        &[v2("gray"), v2("alice")],
        &[service("web.shop", &["v1", "v2"])],
        "workload v2 of web.shop is claimed by lane alice and by lane gray",
    );
}

#[test]
fn a_chain_of_parents_as_long_as_the_limit_is_fine() {
    let lanes: Vec<LaneRouting> = (0..=LANE_DEPTH_MAX)
        .map(|depth| match depth {
            0 => lane("l0"),
            _ => child(&format!("l{depth}"), &format!("l{}", depth - 1)),
        })
        .collect();
    compiled(&lanes, &[]).expect("a plan");
}
