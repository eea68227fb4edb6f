//! An explanation on paper: for people, and as JSON.

use canary_istio::chosen::{Destination, Outcome, Route, Taken};
use canary_rules::explain::Explanation;
use canary_rules::inquiry::{Report, Request};
use serde::Serialize;

use super::service::TakenAt;

/// Part of the interface: keys are added, never renamed.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a TakenAt>,
}

pub(super) fn json(report: &Report, service: Option<&TakenAt>) {
    match serde_json::to_string_pretty(&Whole { report, service }) {
        Ok(text) => println!("{text}"),
        Err(error) => unreachable!("a report of strings and numbers is always JSON: {error}"),
    }
}

pub(super) fn text(
    request: &Request,
    explanation: &Explanation<'_>,
    report: &Report,
    taken: Option<&TakenAt>,
) {
    let lane = report.lane.as_deref().unwrap_or("baseline");
    println!("{} {}", request.method(), request.url());
    println!("→ {lane}   {}", report.reason);
    section("set", report.set_headers.0.iter().map(|(name, value)| format!("{name}: {value}")));
    section("remove", report.remove_headers.iter().cloned());
    section("cookies", report.set_cookies.iter().cloned());
    let width = explanation.close.iter().map(|close| close.rule.lane.as_str().len()).max().unwrap_or(0);
    let close = explanation.close.iter();
    section(
        "close",
        close.map(|close| format!("{:width$}  {} — {}", close.rule.lane.as_str(), close.rule, close.why)),
    );
    if let Some(taken) = taken {
        print!("{}", at_service(taken));
    }
}

fn section(title: &str, lines: impl Iterator<Item = String>) {
    for (index, line) in lines.enumerate() {
        println!("  {:<8} {line}", if index == 0 { title } else { "" });
    }
}

/// Who takes it at a service, in the lane and without.
fn at_service(taken: &TakenAt) -> String {
    let mut lines = Vec::new();
    let lane = taken.lane.iter().map(|lane| (lane.name.as_str(), &lane.outcomes));
    for (who, outcomes) in lane.chain([("baseline", &taken.baseline)]) {
        lines.push(format!("{}:{}   {who}", taken.host, taken.port));
        for outcome in outcomes {
            lines.extend(outcome_lines(outcome, &taken.host));
        }
    }
    lines.extend(taken.notes.iter().map(|note| format!("note: {note}")));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn outcome_lines(outcome: &Outcome, host: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let indent = if outcome.when.is_empty() { "  " } else { "    " };
    if !outcome.when.is_empty() {
        lines.push(format!("  where {}:", outcome.when.join(" and ")));
    }
    match &outcome.taken {
        Taken::Route(route) => {
            lines.push(format!("{indent}{}", route_line(route)));
            lines.extend(leads(route).into_iter().map(|line| format!("{indent}→ {line}")));
        }
        Taken::NoRoute { virtual_service } => {
            lines.push(format!("{indent}VirtualService {virtual_service}  no route matches"));
            lines.push(format!("{indent}→ 404"));
        }
        Taken::Service => {
            lines.push(format!("{indent}no VirtualService"));
            lines.push(format!("{indent}→ {host}   the Service itself"));
        }
    }
    lines
}

fn route_line(route: &Route) -> String {
    let mut line = format!("VirtualService {}  http[{}]", route.virtual_service, route.index);
    if let Some(name) = &route.name {
        line += &format!(" {name}");
    }
    match &route.matched {
        Some(matched) => line += &format!("  match[{}] {}", matched.index, matched.terms),
        None => line += "  matches everything",
    }
    if let Some(root) = &route.delegated_by {
        line += &format!("  delegated by {root}");
    }
    line
}

fn leads(route: &Route) -> Vec<String> {
    match route.answers {
        _ if route.redirects => vec!["redirects the caller".into()],
        Some(status) => vec![format!("answers {status} itself")],
        None => {
            let copies = route
                .mirrors
                .iter()
                .map(|mirror| format!("copies {} % to {}", mirror.percent, destination(&mirror.to)));
            route.destinations.iter().map(destination).chain(copies).collect()
        }
    }
}

fn destination(destination: &Destination) -> String {
    let mut text = destination.host.clone();
    if let Some(port) = destination.port {
        text += &format!(":{port}");
    }
    if let Some(weight) = destination.weight {
        text += &format!("  weight {weight}");
    }
    let Some(subset) = &destination.subset else { return text };
    text += &format!("  subset {}", subset.name);
    let labels: Vec<String> = subset.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !labels.is_empty() {
        text += &format!("  with {}", labels.join(","));
    }
    if !subset.prefers.is_empty() {
        text += &format!("  prefers {}", subset.prefers.join(","));
    }
    if subset.destination_rule.is_none() {
        text += "  in no DestinationRule: 503";
    }
    text
}

#[cfg(test)]
mod tests {
    use canary_istio::chosen::{Matched, Mirror, Subset};
    use serde_json::json;

    use super::super::service::InLane;
    use super::*;

    fn subset(name: &str, rule: Option<&str>, prefers: &[&str], labels: &[(&str, &str)]) -> Subset {
        Subset {
            name: name.into(),
            destination_rule: rule.map(Into::into),
            labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            prefers: prefers.iter().map(ToString::to_string).collect(),
        }
    }

    fn to(subset: Option<Subset>) -> Destination {
        Destination { host: "cart.shop".into(), port: None, weight: None, subset }
    }

    fn route(index: usize, matched: Option<serde_json::Value>, destinations: Vec<Destination>) -> Route {
        Route {
            virtual_service: "shop/cart".into(),
            delegated_by: None,
            index,
            name: None,
            lane: None,
            matched: matched.map(|terms| Matched { index: 0, terms }),
            destinations,
            mirrors: Vec::new(),
            answers: None,
            redirects: false,
        }
    }

    #[test]
    fn each_outcome_is_told_with_what_it_depends_on() {
        let lane = "lane.canaryctl.io/gray=member";
        let gray = Route {
            name: Some("canaryctl-gray-0123abcd".into()),
            ..route(
                0,
                Some(json!({"headers": {"x-canary-lane": {"exact": "gray"}}})),
                vec![to(Some(subset("canary-gray", Some("shop/canaryctl-cart"), &[lane], &[])))],
            )
        };
        let pinned =
            Destination { port: Some(8080), weight: Some(90), ..to(Some(subset("v1", None, &[], &[]))) };
        let stable = subset("v1", Some("shop/cart"), &[], &[("version", "v1")]);
        let mirrors = vec![Mirror { to: to(Some(subset("x", Some("shop/cart"), &[], &[]))), percent: 12.5 }];
        let copied = Route { mirrors, ..route(2, None, vec![pinned, to(Some(stable))]) };
        let only =
            |when: &[&str], taken| Outcome { when: when.iter().map(ToString::to_string).collect(), taken };
        let refusal =
            Route { answers: Some(503), delegated_by: Some("shop/root".into()), ..route(1, None, vec![]) };
        let taken = TakenAt {
            host: "cart.shop".into(),
            port: 80,
            lane: Some(InLane {
                name: "gray".into(),
                outcomes: vec![only(&[], Taken::Route(Box::new(gray)))],
            }),
            baseline: vec![
                only(&["the caller is in namespace a", "b is so"], Taken::Route(Box::new(refusal))),
                only(&["c is so"], Taken::NoRoute { virtual_service: "shop/cart".into() }),
                only(&["d is so"], Taken::Route(Box::new(copied))),
                only(&[], Taken::Service),
            ],
            notes: vec!["something".into()],
        };
        insta::assert_snapshot!(at_service(&taken), @r#"
        cart.shop:80   gray
          VirtualService shop/cart  http[0] canaryctl-gray-0123abcd  match[0] {"headers":{"x-canary-lane":{"exact":"gray"}}}
          → cart.shop  subset canary-gray  prefers lane.canaryctl.io/gray=member
        cart.shop:80   baseline
          where the caller is in namespace a and b is so:
            VirtualService shop/cart  http[1]  matches everything  delegated by shop/root
            → answers 503 itself
          where c is so:
            VirtualService shop/cart  no route matches
            → 404
          where d is so:
            VirtualService shop/cart  http[2]  matches everything
            → cart.shop:8080  weight 90  subset v1  in no DestinationRule: 503
            → cart.shop  subset v1  with version=v1
            → copies 12.5 % to cart.shop  subset x
          no VirtualService
          → cart.shop   the Service itself
        note: something
        "#);
    }
}
