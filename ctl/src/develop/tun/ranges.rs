//! What leads to the device: exactly the cluster's ranges, as its API says them, and nothing that this machine reaches
//! otherwise.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::DEVICE;
use crate::cluster::{Cluster, api_failure};
use crate::develop::range::{Range, outermost, without};
use crate::develop::routes::{self, Route};
use crate::develop::translation::{RESERVED, Translation};
use crate::failure::{Code, Failure};

/// What the user says of ranges.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// They are the cluster's.
    pub more: &'a [Range],
    /// They are this machine's.
    pub skip: &'a [Range],
    /// How the API server is reached: never through itself.
    pub servers: &'a [Ipv4Addr],
    /// Where the cluster's ranges are for this machine that it has a use of its own for; refused where there is none.
    pub pool: Option<Range>,
}

/// What is to be.
#[derive(Debug)]
pub struct Planned {
    /// What leads to the device.
    pub routes: Vec<Range>,
    /// The cluster's ranges that are reached by their own addresses.
    pub ranges: Vec<Range>,
    /// Those that are reached by others.
    pub translation: Translation,
    /// What could not be found out.
    pub lacks: Vec<String>,
}

/// Finds the cluster's ranges, and refuses or translates those that this machine reaches already; nothing is changed.
///
/// # Errors
/// When the cluster does not say its ranges and nobody else does, or there is an overlap that is not translated.
pub async fn plan(cluster: &Cluster, asked: Asked<'_>) -> Result<Planned, Failure> {
    let (mut found, mut lacks) = (asked.more.to_vec(), Vec::new());
    let pods = pods(&cluster.client).await;
    if asked.more.is_empty() && pods.as_ref().is_ok_and(Vec::is_empty) {
        lacks.push(NO_PODS.to_owned());
    }
    for looked in [services(cluster).await, pods] {
        match looked {
            Ok(ranges) => found.extend(ranges),
            // Who says it knows.
            Err(failure) if !asked.more.is_empty() => lacks.push(failure.to_string()),
            Err(failure) => return Err(failure),
        }
    }
    if found.is_empty() {
        return Err(Failure::new(Code::Failed, "the cluster names no ranges of IPv4").help(NAME_IT));
    }
    let routes = routes::here()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot read this machine's routes: {error}")))?;
    let found = Found { ranges: without(&found, asked.skip), routes, lacks };
    found.planned(asked)
}

/// What the cluster and this machine say.
struct Found {
    ranges: Vec<Range>,
    routes: Vec<Route>,
    lacks: Vec<String>,
}

impl Found {
    fn planned(self, asked: Asked<'_>) -> Result<Planned, Failure> {
        let overlaps = overlaps(&self.ranges, asked.more, &self.routes);
        let servers: Vec<Range> = asked.servers.iter().copied().map(Range::one).collect();
        let translation = match asked.pool {
            None if overlaps.is_empty() => Translation::default(),
            None => return Err(refusal(&overlaps)),
            Some(pool) => {
                let overlapping = outermost(&overlaps.iter().map(|one| one.range).collect::<Vec<_>>());
                let others = self.routes.iter().filter(|route| route.device != DEVICE).map(|route| route.to);
                let taken: Vec<Range> = others.chain(self.ranges.iter().chain(&servers).copied()).collect();
                Translation::new(&overlapping, pool, &taken).map_err(|range| without_room(range, pool))?
            }
        };
        let is_translated = |range: &Range| translation.all().iter().any(|one| one.range == *range);
        let ranges: Vec<Range> = self.ranges.into_iter().filter(|range| !is_translated(range)).collect();
        let here = translation.all().iter().map(|one| one.here);
        let routes = without(&ranges, &servers).into_iter().chain(here).collect();
        Ok(Planned { routes, ranges, translation, lacks: self.lacks })
    }
}

const NO_PODS: &str = "no node says its pods' range, so no pod is reached, but by Services: --cluster-range 10.244.0.0/16 adds it";
const NAME_IT: &str = "name it: --cluster-range 10.96.0.0/12; may be repeated";

/// The ranges of Services, by the cluster's own words.
async fn services(cluster: &Cluster) -> Result<Vec<Range>, Failure> {
    let tried = "find out the range of Services";
    let api: Api<ServiceCIDR> = Api::all(cluster.client.clone());
    let listed = match api.list(&ListParams::default()).await {
        Ok(listed) => listed,
        // Kubernetes before 1.33 knows none.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
            return refused(cluster)
                .await
                .map_err(|error| api_failure(tried, &error))?
                .map(|range| vec![range])
                .ok_or_else(|| Failure::new(Code::Failed, format!("cannot {tried}")).help(NAME_IT));
        }
        Err(error) => return Err(api_failure(tried, &error)),
    };
    let cidrs = listed.items.into_iter().filter_map(|object| object.spec?.cidrs).flatten();
    Ok(ranges_of_4(cidrs))
}

/// The range that the API server names when it refuses a Service whose address cannot be; none is made.
async fn refused(cluster: &Cluster) -> Result<Option<Range>, kube::Error> {
    let api: Api<Service> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let service = json!({
        "metadata": {"generateName": "canaryctl-asks-"},
        "spec": {"clusterIP": "192.0.0.1", "ports": [{"port": 80}]},
    });
    let service = serde_json::from_value(service).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &service).await {
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(named(&status.message)),
        Err(error) => Err(error),
        Ok(_) => Ok(None),
    }
}

/// The range in the API server's words.
fn named(message: &str) -> Option<Range> {
    let (_, rest) = message.split_once("The range of valid IPs is ")?;
    rest.split_whitespace().next()?.trim_end_matches(['.', ',', ']']).parse().ok()
}

async fn pods(client: &Client) -> Result<Vec<Range>, Failure> {
    let api: Api<Node> = Api::all(client.clone());
    let listed = api.list(&ListParams::default()).await;
    let nodes = listed.map_err(|error| {
        api_failure("find out the ranges of pods", &error).help("name them: --cluster-range 10.244.0.0/16")
    })?;
    Ok(ranges_of_4(nodes.items.into_iter().filter_map(|node| node.spec?.pod_cidrs).flatten()))
}

/// Ranges of IPv6 are not carried.
fn ranges_of_4(cidrs: impl Iterator<Item = String>) -> Vec<Range> {
    cidrs.filter_map(|cidr| cidr.parse().ok()).collect()
}

/// A range, and who has it.
#[derive(Debug, PartialEq, Eq)]
struct Overlap<'a> {
    range: Range,
    route: &'a Route,
}

/// What this machine has routes to. Somebody who names a range takes it out of a wider one.
fn overlaps<'a>(ranges: &[Range], named: &[Range], routes: &'a [Route]) -> Vec<Overlap<'a>> {
    let mut found = Vec::new();
    for range in ranges {
        let is_named = named.iter().any(|named| named.covers(range));
        for route in routes.iter().filter(|route| route.device != DEVICE && route.to.overlaps(range)) {
            if !(is_named && route.to.covers(range) && route.to != *range) {
                found.push(Overlap { range: *range, route });
            }
        }
    }
    found
}

fn refusal(overlaps: &[Overlap<'_>]) -> Failure {
    let messages = overlaps.iter().map(|Overlap { range, route }| {
        format!("the cluster's {range} overlaps {}, which this machine reaches by {}", route.to, route.device)
    });
    let smaller = |overlap: &Overlap<'_>| match overlap.range.covers(&overlap.route.to) {
        true => overlap.route.to,
        false => overlap.range,
    };
    let skip: Vec<Range> = outermost(&overlaps.iter().map(smaller).collect::<Vec<_>>());
    let skip: Vec<String> = skip.iter().map(|range| format!("--skip-range {range}")).collect();
    Failure::list(Code::Conflict, messages)
        .help(format!(
            "nothing was changed; leave out what is this machine's: {}; or have the cluster's at addresses that are free \
             here: --translate",
            skip.join(" ")
        ))
}

fn without_room(range: Range, pool: Range) -> Failure {
    let message = format!(
        "in {pool} there is no room for the cluster's {range}, which overlaps what this machine reaches"
    );
    Failure::new(Code::Conflict, message)
        .help(format!("nothing was changed; --translate alone takes addresses of {RESERVED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().expect("a range")
    }

    fn route(to: &str, device: &str) -> Route {
        Route { to: range(to), device: device.to_owned() }
    }

    #[track_caller]
    fn check(ranges: &[&str], named: &[&str], routes: &[Route], want: usize) {
        let all = |texts: &[&str]| texts.iter().map(|text| range(text)).collect::<Vec<_>>();
        assert_eq!(overlaps(&all(ranges), &all(named), routes).len(), want);
    }

    #[test]
    fn what_this_machine_reaches_is_refused() {
        let routes = [route("10.244.1.0/24", "docker0"), route("192.168.1.0/24", "eth0")];
        check(&["10.96.0.0/12"], &[], &routes, 0);
        check(&["10.244.0.0/16"], &[], &routes, 1);
        check(&["10.244.1.0/25"], &[], &routes, 1);
        check(&["10.244.1.0/24"], &[], &[route("10.244.1.0/24", DEVICE)], 0);
    }

    #[test]
    fn who_names_a_range_takes_it_out_of_a_wider_one() {
        let routes = [route("10.0.0.0/8", "wg0"), route("10.244.1.0/24", "docker0")];
        check(&["10.96.0.0/12"], &[], &routes, 1);
        check(&["10.96.0.0/12"], &["10.96.0.0/12"], &routes, 0);
        check(&["10.244.1.0/24"], &["10.244.1.0/24"], &routes, 1);
        check(&["10.244.0.0/16"], &["10.244.0.0/16"], &routes, 1);
    }

    #[test]
    fn a_refusal_names_both_and_what_to_type() {
        let routes = [route("10.244.1.0/24", "docker0")];
        let failure = refusal(&overlaps(&[range("10.244.0.0/16")], &[], &routes));
        assert_eq!(
            failure.to_string(),
            "the cluster's 10.244.0.0/16 overlaps 10.244.1.0/24, which this machine reaches by docker0"
        );
        assert_eq!(
            failure.advice(),
            Some(
                "nothing was changed; leave out what is this machine's: --skip-range 10.244.1.0/24; or have the \
                 cluster's at addresses that are free here: --translate"
            )
        );
        assert!(
            overlaps(&without(&[range("10.244.0.0/16")], &[range("10.244.1.0/24")]), &[], &routes).is_empty()
        );
    }

    #[test]
    fn the_api_server_is_never_reached_through_itself() {
        let left = without(&[range("10.96.0.0/30")], &[Range::one(Ipv4Addr::new(10, 96, 0, 1))]);
        assert_eq!(left, ["10.96.0.0/32", "10.96.0.2/31"].map(range));
    }

    #[test]
    fn the_api_server_names_its_range_when_it_refuses() {
        let message = "Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"192.0.0.1\"]: failed to \
                       allocate IP 192.0.0.1: the provided IP (192.0.0.1) is not in the valid range. The range \
                       of valid IPs is 10.96.0.0/12";
        assert_eq!(named(message), Some(range("10.96.0.0/12")));
        assert_eq!(named("Service \"x\" is invalid"), None);
    }

    fn planned(ranges: &[&str], routes: &[Route], server: Ipv4Addr, pool: &str) -> Result<Planned, Failure> {
        let ranges = ranges.iter().map(|text| range(text)).collect();
        let asked = Asked { more: &[], skip: &[], servers: &[server], pool: Some(range(pool)) };
        Found { ranges, routes: routes.to_vec(), lacks: Vec::new() }.planned(asked)
    }

    #[test]
    fn what_this_machine_reaches_is_at_other_addresses_where_that_is_asked_for() {
        let routes =
            [route("10.244.1.0/24", "docker0"), route("10.244.2.0/24", "tap0"), route("10.0.0.0/30", "eth0")];
        let server = Ipv4Addr::new(10, 96, 0, 1);
        let planned =
            planned(&["10.96.0.0/30", "10.244.0.0/16"], &routes, server, "240.0.0.0/4").expect("room");
        assert_eq!(planned.ranges, [range("10.96.0.0/30")]);
        let translated: Vec<_> = planned.translation.all().iter().map(|one| (one.range, one.here)).collect();
        assert_eq!(translated, [(range("10.244.0.0/16"), range("250.244.0.0/16"))]);
        assert_eq!(planned.routes, ["10.96.0.0/32", "10.96.0.2/31", "250.244.0.0/16"].map(range));
    }

    #[test]
    fn what_overlaps_nothing_keeps_its_addresses() {
        let server = Ipv4Addr::new(192, 168, 1, 1);
        let planned = planned(&["10.244.0.0/16"], &[], server, "240.0.0.0/4").expect("room");
        assert_eq!(
            (planned.routes.as_slice(), planned.translation.all()),
            (planned.ranges.as_slice(), [].as_slice())
        );
    }

    #[test]
    fn a_pool_that_is_too_small_is_refused() {
        let routes = [route("10.244.1.0/24", "docker0"), route("198.18.0.0/16", "wg0")];
        let server = Ipv4Addr::new(192, 168, 1, 1);
        let refused = planned(&["10.244.0.0/16"], &routes, server, "198.18.0.0/16").expect_err("no room");
        assert_eq!(
            refused.to_string(),
            "in 198.18.0.0/16 there is no room for the cluster's 10.244.0.0/16, which overlaps what this machine reaches"
        );
        assert_eq!(
            refused.advice(),
            Some("nothing was changed; --translate alone takes addresses of 240.0.0.0/4")
        );
    }
}
