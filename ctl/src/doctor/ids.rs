//! What a workload hands on, by what the filters in its proxies counted under real traffic. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::proxy::Proxy;

/// Where tags are found that the application itself handed on.
const CARRIERS: [&str; 4] = ["header", "baggage", "request_id", "correlation"];
/// Where a tag is found that it did not.
const COLOUR: &str = "colour";
/// No tag.
const NONE: &str = "none";

/// What a workload's proxies counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ids {
    /// Tagged requests to the application.
    pub tagged: u64,
    /// Its calls, tagged or not.
    pub calls: u64,
    /// Its calls by what carried their tag.
    pub by_carrier: BTreeMap<String, u64>,
    /// Its calls that got their tag from the pod's colour.
    pub by_colour: u64,
    /// Calls with ids that nobody knows.
    pub lost: u64,
    /// Requests and calls whose carriers contradict each other.
    pub ambiguous: u64,
    /// Tags removed because the caller is no mesh member.
    pub stripped: u64,
    /// Configurations refused.
    pub rejected: u64,
}

impl Ids {
    /// The sum of these proxies.
    #[must_use]
    pub fn of(proxies: &[Proxy]) -> Self {
        let sum = |name: &str| proxies.iter().filter_map(|proxy| proxy.counted.get(name)).sum::<u64>();
        let out = |origin: &str| sum(&format!("outbound.{origin}"));
        let by_carrier: BTreeMap<String, u64> = CARRIERS
            .iter()
            .map(|carrier| ((*carrier).to_owned(), out(carrier)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let by_colour = out(COLOUR);
        let tagged = CARRIERS.iter().chain([&COLOUR]).map(|origin| sum(&format!("inbound.{origin}"))).sum();
        Self {
            tagged,
            calls: by_carrier.values().sum::<u64>() + by_colour + out(NONE),
            by_carrier,
            by_colour,
            lost: sum("lost"),
            ambiguous: sum("ambiguous"),
            stripped: sum("stripped"),
            rejected: sum("config.rejected"),
        }
    }

    /// Whether it got tags and makes calls, none of which carries one.
    #[must_use]
    pub fn drops_all(&self) -> bool {
        self.tagged > 0 && self.calls > 0 && self.by_carrier.is_empty()
    }
}

impl std::fmt::Display for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by: Vec<String> =
            self.by_carrier.iter().map(|(carrier, count)| format!("{carrier} {count}")).collect();
        match (self.tagged, self.calls) {
            (0, _) => write!(f, "no tagged request has come yet"),
            (tagged, 0) => write!(f, "{tagged} tagged requests came, and it calls nobody"),
            (tagged, calls) if self.by_carrier.is_empty() => {
                write!(f, "nothing: {tagged} tagged requests came, none of {calls} calls carries a tag")
            }
            (tagged, calls) => {
                write!(f, "{}, in {calls} calls after {tagged} tagged requests", by.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(counted: &[(&str, u64)]) -> Proxy {
        let counted = counted.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Proxy { counted, ..Proxy::default() }
    }

    #[track_caller]
    fn check(counted: &[(&str, u64)], want: &str, drops_all: bool) {
        let ids = Ids::of(&[proxy(counted), proxy(&[])]);
        assert_eq!((ids.to_string().as_str(), ids.drops_all()), (want, drops_all));
    }

    #[test]
    fn what_is_handed_on_is_told_by_its_carriers() {
        check(&[("inbound.none", 5), ("outbound.none", 9)], "no tagged request has come yet", false);
        check(&[("inbound.header", 5)], "5 tagged requests came, and it calls nobody", false);
        check(
            &[("inbound.header", 5), ("outbound.colour", 2), ("outbound.none", 3)],
            "nothing: 5 tagged requests came, none of 5 calls carries a tag",
            true,
        );
        check(
            &[
                ("inbound.header", 5),
                ("outbound.baggage", 4),
                ("outbound.request_id", 1),
                ("outbound.none", 1),
            ],
            "baggage 4, request_id 1, in 6 calls after 5 tagged requests",
            false,
        );
    }

    #[test]
    fn proxies_are_counted_together() {
        let one = || proxy(&[("lost", 2), ("stripped", 1), ("config.rejected", 3), ("ambiguous", 4)]);
        let ids = Ids::of(&[one(), one()]);
        assert_eq!((ids.lost, ids.stripped, ids.rejected, ids.ambiguous), (4, 2, 6, 8));
    }
}
