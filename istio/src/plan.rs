//! The routing plan: what every proxy of the mesh must do with a request, host by host.
//!
//! The words are Istio's (host, http route, subset, failover), so that a rendering only transcribes.

use std::collections::BTreeSet;

use canary_rules::name::{HeaderName, LaneName};

use crate::finding::Finding;
use crate::lane::{EXCHANGE, RefusalStatus};
use crate::service::Host;

/// Response header that says why a strict lane refused a request.
pub const REFUSAL_HEADER: &str = "x-canary-refused";
/// Longest subset name, in bytes: Istio wants a DNS-1123 label.
const SUBSET_NAME_BYTES_MAX: usize = 63;

/// Where tagged and untagged requests go, for every host of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingPlan {
    /// The header that the routes match.
    pub tag_header: HeaderName,
    /// One entry per service, by namespace and name.
    pub hosts: Vec<HostPlan>,
    /// What a user should know of; nothing here stops the plan.
    pub findings: Vec<Finding>,
}

/// One host's routes and the subsets they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// The service.
    pub host: Host,
    /// Its HTTP port.
    pub port: u16,
    /// In the order in which they are tried. The last one matches everything and leads to the baseline.
    pub http: Vec<HttpRoute>,
    /// One per lane that a route leads to.
    pub subsets: Vec<Subset>,
    /// Who serves what no lane claims: every workload without a lane membership.
    pub baseline: Tier,
    /// Who gets copies of what no lane claims: lanes by name, then other services.
    pub mirrors: Vec<Mirror>,
    /// Workloads that nobody is routed to.
    pub idle: Vec<IdleWorkload>,
    /// Who serves before the baseline, where somebody has all requests or connections of it.
    pub exchange: Option<Exchange>,
}

/// Workloads that serve what no lane claims, and what asks for the baseline does not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The names of the workloads; never empty.
    pub workloads: Vec<String>,
    /// Where routes to them lead; nowhere if the service has no requests.
    pub to: Option<Destination>,
    /// The ports, none of them HTTP, whose connections are theirs. No route leads those: they rank.
    pub ports: BTreeSet<u16>,
}

impl Exchange {
    /// The subset's name: no lane has it.
    pub const SUBSET: &str = "canary--exchange";

    /// One of requests, with these workloads.
    #[must_use]
    pub fn new(workloads: Vec<String>) -> Self {
        let to = Some(Destination::Subset(SubsetName(Self::SUBSET.into())));
        Self { workloads, to, ports: BTreeSet::new() }
    }
}

/// Who gets copies of requests that no lane claims. Copies fall back to nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where they go.
    pub to: MirrorTo,
    /// Of how many requests, in hundredths of a percent; never 0.
    pub share: u16,
}

/// Where copies go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorTo {
    /// To a lane's members.
    Lane {
        /// The lane.
        lane: LaneName,
        /// Its members and nobody else.
        subset: SubsetName,
    },
    /// To another service, at the port that was asked for.
    Service(Host),
}

impl Mirror {
    /// Copies of this share of requests for a lane's members, in hundredths of a percent, if that is any.
    #[must_use]
    pub fn to_lane(lane: &LaneName, share: u16) -> Option<Self> {
        let to = || MirrorTo::Lane { lane: lane.clone(), subset: SubsetName::of_mirror(lane) };
        (share > 0).then(|| Self { to: to(), share })
    }

    /// The same for another service.
    #[must_use]
    pub fn to_service(host: &Host, share: u16) -> Option<Self> {
        (share > 0).then(|| Self { to: MirrorTo::Service(host.clone()), share })
    }
}

/// A workload with the lane label of a lane that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleWorkload {
    /// Its name.
    pub workload: String,
    /// The lane as labelled; not necessarily a valid lane name.
    pub lane: String,
}

impl HostPlan {
    /// Whether neither lanes nor an exchange touch this host, so that nothing needs to be written for it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_routed() && self.idle.is_empty() && self.exchange.is_none()
    }

    /// Whether some requests, or copies of them, go elsewhere than to the baseline.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        self.http.len() > 1 || self.exchanged_to().is_some() || !self.mirrors.is_empty()
    }

    /// Where requests go that no lane claims, if somebody has them.
    pub(crate) fn exchanged_to(&self) -> Option<&Destination> {
        self.exchange.as_ref().and_then(|exchange| exchange.to.as_ref())
    }

    /// Leads no request anywhere; connections stay with who has them.
    pub(crate) fn unroute_requests(&mut self) {
        self.http.retain(|route| route.tag.is_none());
        self.mirrors.clear();
        if let Some(exchange) = &mut self.exchange {
            exchange.to = None;
        }
    }

    /// Leads everything to the baseline; the workloads stay what they are.
    pub fn unroute(&mut self) {
        self.unroute_requests();
        self.end_exchange();
    }

    /// Leads nothing to who has what no lane claims; their workloads stay what they are, and nobody meets them.
    pub(crate) fn end_exchange(&mut self) {
        let workloads = self.exchange.take().map(|exchange| exchange.workloads);
        let idle = |workload| IdleWorkload { workload, lane: EXCHANGE.into() };
        self.idle.extend(workloads.into_iter().flatten().map(idle));
    }

    /// The lanes whose members get copies, and their subsets for that.
    pub(crate) fn mirror_subsets(&self) -> impl Iterator<Item = (&LaneName, &SubsetName)> {
        self.mirrors.iter().filter_map(|mirror| match &mirror.to {
            MirrorTo::Lane { lane, subset } => Some((lane, subset)),
            MirrorTo::Service(_) => None,
        })
    }

    /// A subset of this host by its name.
    #[must_use]
    pub fn subset(&self, name: &SubsetName) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == *name)
    }
}

/// One route: which tag it matches, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoute {
    /// `canary-gray`, or `default` for the last.
    pub name: String,
    /// Matches requests whose tag header is exactly this lane's name; `None` matches all.
    pub tag: Option<LaneName>,
    /// Where it leads.
    pub to: Destination,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The host itself: the baseline.
    Baseline,
    /// A lane's subset.
    Subset(SubsetName),
    /// An answer from the caller's own proxy.
    Refuse {
        /// The HTTP status.
        status: RefusalStatus,
        /// Value of [`REFUSAL_HEADER`].
        reason: String,
    },
}

/// The endpoints that serve one lane's requests for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Its name in the DestinationRule and in Envoy's cluster names.
    pub name: SubsetName,
    /// The lane it serves.
    pub lane: LaneName,
    /// Who serves, in order of preference; priority 0 first. Never empty, no tier is empty.
    pub failover: Vec<Tier>,
}

/// Endpoints of equal rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Whose they are.
    pub of: TierOf,
    /// Names of the workloads.
    pub workloads: Vec<String>,
}

/// Whose endpoints a tier holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TierOf {
    /// A lane's members.
    Lane(LaneName),
    /// Everything without a lane membership.
    Baseline,
}

/// A lane's subset: `canary-gray`. A DNS-1123 label, as Istio demands, whatever the lane's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubsetName(Box<str>);

impl SubsetName {
    /// What all of them start with.
    pub const PREFIX: &str = "canary-";

    /// Whether a subset of this name is a lane's.
    #[must_use]
    pub fn is_ours(name: &str) -> bool {
        name.starts_with(Self::PREFIX)
    }

    /// The subset of a lane.
    ///
    /// A name that holds a dot or is too long is made to fit and ends in the lane's code.
    #[must_use]
    pub fn of(lane: &LaneName) -> Self {
        Self::fit(Self::PREFIX, lane)
    }

    /// The subset of a lane's members alone, for copies: no lane's own is called so.
    #[must_use]
    pub fn of_mirror(lane: &LaneName) -> Self {
        Self::fit("canary--mirror-", lane)
    }

    fn fit(prefix: &str, lane: &LaneName) -> Self {
        let plain = lane.as_str();
        if !plain.contains('.') && prefix.len() + plain.len() <= SUBSET_NAME_BYTES_MAX {
            return Self(format!("{prefix}{plain}").into());
        }
        let suffix = format!("-{:04x}", lane.code().0);
        let room = SUBSET_NAME_BYTES_MAX - prefix.len() - suffix.len();
        let head: String = plain.chars().take(room).map(|c| if c == '.' { '-' } else { c }).collect();
        Self(format!("{prefix}{head}{suffix}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::is_dns_label;

    #[track_caller]
    fn check(lane: &str, want: &str) {
        let name = SubsetName::of(&LaneName::new(lane).expect("lane name"));
        assert_eq!(name.as_str(), want);
        assert!(is_dns_label(name.as_str()), "{want}");
    }

    #[test]
    fn a_plain_lane_names_its_subset() {
        check("gray", "canary-gray");
        check("dev-alice", "canary-dev-alice");
    }

    #[test]
    fn dots_and_length_are_made_to_fit_and_told_apart_by_the_code() {
        let code = |lane: &str| format!("{:04x}", LaneName::new(lane).expect("lane name").code().0);
        check("gray.checkout", &format!("canary-gray-checkout-{}", code("gray.checkout")));
        let long = "a".repeat(63);
        check(&long, &format!("canary-{}-{}", "a".repeat(51), code(&long)));
        let mirror = SubsetName::of_mirror(&LaneName::new(&long).expect("lane name"));
        assert!(is_dns_label(mirror.as_str()), "{mirror:?}");
    }
}
