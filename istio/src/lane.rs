//! What routing needs to know of a lane. Who gets into it is no concern of this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use canary_rules::lane::{self, Lane};
use canary_rules::name::LaneName;

use crate::service::{Host, HostError, Labels, is_dns_label};

/// Pod label that makes a workload a member of a lane: `canaryctl.io/lane: gray`.
pub const LANE_LABEL: &str = "canaryctl.io/lane";
/// Value of [`LANE_LABEL`] on the pod of somebody who has all of a service's requests: no lane can be called so. Such
/// a pod is behind every other of its service but where an exchange puts it first, and starts flows of no lane.
pub const EXCHANGE: &str = "Exchange";
/// Pod label of an agent that serves a Takeover. Such a pod is a workload of its own, whoever owns it: nobody's
/// template says what labels it has.
pub const TAKEOVER_LABEL: &str = "canaryctl.io/takeover";

/// A lane as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRouting {
    /// Its name, which is also the tag.
    pub name: LaneName,
    /// The lane it falls back to before the baseline.
    pub parent: Option<LaneName>,
    /// What happens where it has nobody to serve.
    pub mode: Mode,
    /// Members named by labels that their pods carry already, besides those that carry [`LANE_LABEL`].
    pub members: BTreeMap<ServiceKey, Labels>,
    /// Share of the requests of no lane that its members get copies of, in hundredths of a percent.
    pub mirror: u16,
}

/// What happens to a lane's request where the lane has nobody to serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The parent lane serves it, then the baseline; the tag goes on.
    Permissive,
    /// It is answered with this status.
    Strict(RefusalStatus),
}

/// The status that a strict lane answers with: 400 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalStatus(u16);

/// A status that is no refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("status {0} refuses nothing: wanted 400 to 599")]
pub struct RefusalStatusError(u16);

impl RefusalStatus {
    /// A status from its number.
    ///
    /// # Errors
    /// When it is no 4xx or 5xx.
    pub fn new(status: u16) -> Result<Self, RefusalStatusError> {
        if (400..=599).contains(&status) { Ok(Self(status)) } else { Err(RefusalStatusError(status)) }
    }

    /// Its number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for RefusalStatus {
    /// 503 Service Unavailable.
    fn default() -> Self {
        Self(503)
    }
}

/// How a Lane names a service: `stock`, or with its namespace `stock.shop` or `shop/stock`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// A name alone; it must be unique in the mesh.
    Name(Box<str>),
    /// A name and its namespace.
    Host(Host),
}

impl ServiceKey {
    /// Whether it names this service, if no other service has the name.
    #[must_use]
    pub fn may_be(&self, host: &Host) -> bool {
        match self {
            Self::Host(named) => named == host,
            Self::Name(name) => name.as_ref() == host.name(),
        }
    }
}

impl FromStr for ServiceKey {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Some((namespace, name)) = text.split_once('/') {
            return Host::new(name, namespace).map(Self::Host);
        }
        if text.contains('.') {
            return text.parse().map(Self::Host);
        }
        if !is_dns_label(text) {
            return Err(HostError::Label { text: text.into(), part: text.into() });
        }
        Ok(Self::Name(text.into()))
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Host(host) => host.fmt(f),
        }
    }
}

/// A member that a Lane document names in a way that no service can be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lane {lane} names member `{member}`, which is no service")]
pub struct MemberError {
    /// The lane.
    pub lane: LaneName,
    /// The member as named.
    pub member: String,
    /// Why it is none.
    #[source]
    pub source: HostError,
}

impl TryFrom<&Lane> for LaneRouting {
    type Error = MemberError;

    /// What routing needs of a Lane document.
    fn try_from(lane: &Lane) -> Result<Self, MemberError> {
        let name = &lane.metadata.name;
        let mut members = BTreeMap::new();
        for (member, labels) in &lane.spec.members {
            let failed = |source| MemberError { lane: name.clone(), member: member.clone(), source };
            members.insert(member.parse().map_err(failed)?, labels.clone());
        }
        let mode = match lane.spec.mode {
            lane::Mode::Permissive => Mode::Permissive,
            lane::Mode::Strict => Mode::Strict(RefusalStatus::default()),
        };
        // What is no percentage, the lane's own compilation refuses.
        let mirror = lane.spec.mirror.and_then(lane::hundredths).unwrap_or_default();
        Ok(Self { name: name.clone(), parent: lane.spec.parent.clone(), mode, members, mirror })
    }
}

#[cfg(test)]
mod tests {
    use canary_rules::lane::LaneSpec;

    use super::*;

    fn document(spec: LaneSpec) -> Lane {
        Lane {
            api_version: lane::API_VERSION.into(),
            kind: lane::KIND.into(),
            metadata: lane::Metadata { name: LaneName::new("gray").expect("lane name") },
            spec,
            status: None,
        }
    }

    #[track_caller]
    fn check_key(text: &str, want: Result<&str, ()>) {
        let got = text.parse::<ServiceKey>().map(|key| format!("{key:?}"));
        assert_eq!(got.as_deref().map_err(|_| ()), want, "{text}");
    }

    #[test]
    fn a_service_is_named_alone_or_with_its_namespace() {
        let host = r#"Host(Host { namespace: "shop", name: "stock" })"#;
        check_key("stock", Ok(r#"Name("stock")"#));
        check_key("shop/stock", Ok(host));
        check_key("stock.shop", Ok(host));
        check_key("stock.shop.svc.cluster.local", Ok(host));
        for text in ["", "Stock", "shop/", "/stock", "a/b/c", "stock.shop.example"] {
            check_key(text, Err(()));
        }
    }

    #[test]
    fn a_document_says_parent_mode_and_members() {
        let labels = Labels::from([("version".into(), "v2".into())]);
        let spec = LaneSpec {
            parent: Some(LaneName::new("base").expect("lane name")),
            mode: lane::Mode::Strict,
            members: BTreeMap::from([("shop/stock".into(), labels.clone())]),
            mirror: Some(12.5),
            ..LaneSpec::default()
        };
        let routing = LaneRouting::try_from(&document(spec)).expect("a lane");
        let stock = ServiceKey::Host(Host::new("stock", "shop").expect("host"));
        assert_eq!(
            routing,
            LaneRouting {
                name: LaneName::new("gray").expect("lane name"),
                parent: Some(LaneName::new("base").expect("lane name")),
                mode: Mode::Strict(RefusalStatus::default()),
                members: BTreeMap::from([(stock, labels)]),
                mirror: 1250,
            }
        );
    }

    #[test]
    fn a_member_that_is_no_service_is_named() {
        let spec =
            LaneSpec { members: BTreeMap::from([("Stock!".into(), Labels::new())]), ..LaneSpec::default() };
        let error = LaneRouting::try_from(&document(spec)).expect_err("no service");
        assert_eq!(error.to_string(), "lane gray names member `Stock!`, which is no service");
    }

    #[test]
    fn only_errors_refuse() {
        for status in [0, 200, 302, 399, 600] {
            RefusalStatus::new(status).expect_err("no refusal");
        }
        assert_eq!(RefusalStatus::new(418).expect("a refusal").get(), 418);
    }
}
