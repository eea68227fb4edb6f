//! What a user should know of a plan: stable codes, what it is about, what follows from it.
//!
//! Findings are data. Who prints them, and where, is no concern of this crate.

use std::fmt;

use canary_rules::name::LaneName;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::lane::ServiceKey;
use crate::observed::ObjectRef;
use crate::service::{Host, Labels};

#[cfg(test)]
mod tests;

/// What follows from a finding. Ordered by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Planned all the same, with the limit that the finding states.
    Warning,
    /// No lane is routed at the service: its requests stay with the baseline. Where [`Finding::refused`] says that an
    /// exchange alone is refused, lanes are routed all the same.
    Refused,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Refused => "refused",
        })
    }
}

/// Who gets nothing of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<'a> {
    /// Neither lanes nor an exchange.
    Everybody(&'a Host),
    /// An exchange; lanes have what they would have without it.
    Exchange(&'a Host),
}

/// Something about the mesh that a user should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A lane names a service that the mesh does not have.
    #[error("lane {lane} names service {service}, which does not exist")]
    UnknownService {
        /// The lane.
        lane: LaneName,
        /// The service as the lane names it.
        service: ServiceKey,
    },
    /// A lane names labels that no workload of the service carries.
    #[error("lane {lane} names {labels:?} of {host}, which no workload carries")]
    NoSuchMember {
        /// The lane.
        lane: LaneName,
        /// The service.
        host: Host,
        /// The labels as the lane names them.
        labels: Labels,
    },
    /// A workload carries the label of a lane that does not exist.
    #[error(
        "workload {workload} of {host} carries the label of lane {lane}, which does not exist: it serves nobody"
    )]
    IdleWorkload {
        /// The service.
        host: Host,
        /// The workload.
        workload: String,
        /// The lane as labelled.
        lane: String,
    },
    /// A service without a workload outside lanes.
    #[error("{host} has no workload outside lanes: untagged requests reach lane pods")]
    NoBaseline {
        /// The service.
        host: Host,
    },
    /// A service none of whose ports carries HTTP.
    #[error("{host} has no HTTP port: its ports are {ports}")]
    PortNotHttp {
        /// The service.
        host: Host,
        /// The ports, as `name:number`.
        ports: String,
    },
    /// A service whose HTTP Istio has to guess.
    #[error("{host} does not say what port {port} speaks: Istio guesses per connection")]
    PortGuessed {
        /// The service.
        host: Host,
        /// The port.
        port: u16,
    },
    /// A headless service.
    #[error("{host} is headless: a client picks the pod itself, so no proxy can choose by lane")]
    Headless {
        /// The service.
        host: Host,
    },
    /// A service whose namespace is in ambient mode.
    #[error("{host} is in an ambient namespace: clients there follow no VirtualService without a waypoint")]
    Ambient {
        /// The service.
        host: Host,
    },
    /// A service that an HTTPRoute routes inside the mesh.
    #[error("{host} is routed by HTTPRoutes inside the mesh, which a VirtualService would replace")]
    MeshHttpRoute {
        /// The service.
        host: Host,
    },
    /// A service that a gateway reaches by an HTTPRoute.
    #[error("a gateway reaches {host} by an HTTPRoute: lanes take effect behind it, not at that first hop")]
    GatewayHttpRoute {
        /// The service.
        host: Host,
    },
    /// Two VirtualServices for one host of the mesh.
    #[error("{first} and {second} both route {host} inside the mesh: sidecars use the older one only")]
    TwoVirtualServices {
        /// The service.
        host: Host,
        /// One of them.
        first: ObjectRef,
        /// Another.
        second: ObjectRef,
    },
    /// A VirtualService for a member without any HTTP route.
    #[error("{object} has no http route for {host}: there is nothing that a lane's route could be a copy of")]
    NoHttpRoutes {
        /// The VirtualService.
        object: ObjectRef,
        /// The service.
        host: Host,
    },
    /// A VirtualService that some namespaces do not see.
    #[error("{object} is not exported to every namespace: the others get a VirtualService of their own")]
    ExportedPartly {
        /// The VirtualService.
        object: ObjectRef,
    },
    /// A user's route that decides by the tag itself.
    #[error("route {route} of {object} matches the tag header itself: it is left as it is")]
    RouteMatchesTag {
        /// The VirtualService.
        object: ObjectRef,
        /// The route's name or position.
        route: String,
    },
    /// A user's route that writes the tag.
    #[error("route {route} of {object} sets or removes the tag header: lanes end there")]
    RouteWritesTag {
        /// The VirtualService.
        object: ObjectRef,
        /// The route's name or position.
        route: String,
    },
    /// A destination that Istio does not read as the service that it looks like.
    #[error("{object} names `{name}`, which Istio takes literally: it means neither a short name nor {host}")]
    HalfQualified {
        /// The VirtualService or DestinationRule.
        object: ObjectRef,
        /// The name as written.
        name: String,
        /// The service that it looks like.
        host: Host,
    },
    /// A VirtualService that leads connections past who is to have them.
    #[error("{object} leads connections of {host} to {to}: who is to have them would not get them")]
    ConnectionsLed {
        /// The VirtualService.
        object: ObjectRef,
        /// The service.
        host: Host,
        /// Where to: a subset or a port of it, or another host.
        to: String,
    },
    /// A traffic policy with a setting that a port's own settings cannot repeat.
    #[error(
        "{object} uses {setting} for {host}, which settings of a port cannot say: who is to have connections there \
         would not get them"
    )]
    PortsAlike {
        /// The DestinationRule.
        object: ObjectRef,
        /// The service.
        host: Host,
        /// The setting, as a field's path.
        setting: &'static str,
    },
    /// A user's route pins a subset that leaves out some of the baseline.
    #[error(
        "route {route} of {object} pins subset {subset} of {host}: where lane pods are lacking, requests of \
         the lane reach all of the baseline, not only that subset"
    )]
    PinnedSubset {
        /// The VirtualService.
        object: ObjectRef,
        /// The route's name or position.
        route: String,
        /// The service.
        host: Host,
        /// The user's subset.
        subset: String,
    },
    /// A user's subset that holds nothing but lane pods.
    #[error(
        "subset {subset} in {object} holds only pods of lanes: whom the user routes there reaches a lane untagged"
    )]
    SubsetOfLanePods {
        /// The DestinationRule.
        object: ObjectRef,
        /// The user's subset.
        subset: String,
    },
    /// A DestinationRule for the service in a namespace of its clients.
    #[error("{object} replaces the rules of {host} for clients in its namespace, lanes' subsets included")]
    ForeignRule {
        /// The DestinationRule.
        object: ObjectRef,
        /// The service.
        host: Host,
    },
    /// A DestinationRule that some namespaces do not see, or some workloads only.
    #[error("{object} holds for some clients of {host} only: the others would not know the lanes' subsets")]
    PartialRule {
        /// The DestinationRule.
        object: ObjectRef,
        /// The service.
        host: Host,
    },
    /// Rules for one service that Istio does not merge.
    #[error("{first} and {second} are for {host} but are not exported alike, so Istio keeps them apart")]
    RulesApart {
        /// One rule.
        first: ObjectRef,
        /// Another.
        second: ObjectRef,
        /// The service.
        host: Host,
    },
    /// A traffic policy under which the baseline cannot be told from lane pods.
    #[error("{object} uses {setting} for {host}, which leaves no way to prefer pods")]
    Unrankable {
        /// The DestinationRule.
        object: ObjectRef,
        /// The service.
        host: Host,
        /// The setting, as a field's path.
        setting: &'static str,
    },
    /// A delegate's route whose roots copy requests in ways that no copy of it can say.
    #[error(
        "{object}: requests of route {route} are copied to no lane, as the routes that delegate to it copy requests themselves in different ways"
    )]
    MirrorsApart {
        /// The VirtualService.
        object: ObjectRef,
        /// The route.
        route: String,
    },
    /// A traffic policy that ejects pods of the baseline.
    #[error("{object} ejects pods of {host}: while it does, baseline requests may reach lane pods")]
    Ejects {
        /// The DestinationRule.
        object: ObjectRef,
        /// The service.
        host: Host,
    },
    /// A wider DestinationRule whose settings our own copies.
    #[error("{host} gets a DestinationRule of its own with a copy of the settings in {object}")]
    CopiedRule {
        /// The service.
        host: Host,
        /// The wider rule.
        object: ObjectRef,
    },
    /// An object of the user's has a name that we need.
    #[error("{object} is not ours but has the name that {host} needs")]
    NameTaken {
        /// The object.
        object: ObjectRef,
        /// The service.
        host: Host,
    },
    /// A subset of the user's has a name that we need.
    #[error("subset {subset} in {object} is not ours but has the name that a lane at {host} needs")]
    SubsetTaken {
        /// The DestinationRule.
        object: ObjectRef,
        /// The service.
        host: Host,
        /// The subset.
        subset: String,
    },
}

impl Finding {
    /// Who gets nothing for what it says, if anybody does not.
    #[must_use]
    pub fn refused(&self) -> Option<Refused<'_>> {
        let host = self.host().filter(|_| self.severity() == Severity::Refused)?;
        Some(match self {
            Self::ConnectionsLed { .. } | Self::PortsAlike { .. } => Refused::Exchange(host),
            _ => Refused::Everybody(host),
        })
    }

    /// The service that it is about, if it is about one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match self {
            Self::NoSuchMember { host, .. }
            | Self::IdleWorkload { host, .. }
            | Self::NoBaseline { host, .. }
            | Self::PortNotHttp { host, .. }
            | Self::PortGuessed { host, .. }
            | Self::Headless { host, .. }
            | Self::Ambient { host, .. }
            | Self::MeshHttpRoute { host, .. }
            | Self::GatewayHttpRoute { host, .. }
            | Self::TwoVirtualServices { host, .. }
            | Self::NoHttpRoutes { host, .. }
            | Self::HalfQualified { host, .. }
            | Self::ConnectionsLed { host, .. }
            | Self::PortsAlike { host, .. }
            | Self::PinnedSubset { host, .. }
            | Self::ForeignRule { host, .. }
            | Self::PartialRule { host, .. }
            | Self::RulesApart { host, .. }
            | Self::Unrankable { host, .. }
            | Self::Ejects { host, .. }
            | Self::CopiedRule { host, .. }
            | Self::NameTaken { host, .. }
            | Self::SubsetTaken { host, .. } => Some(host),
            Self::UnknownService { .. }
            | Self::ExportedPartly { .. }
            | Self::RouteMatchesTag { .. }
            | Self::RouteWritesTag { .. }
            | Self::MirrorsApart { .. }
            | Self::SubsetOfLanePods { .. } => None,
        }
    }

    /// The lane that it names, if it is about one lane.
    #[must_use]
    pub fn lane(&self) -> Option<&LaneName> {
        match self {
            Self::UnknownService { lane, .. } | Self::NoSuchMember { lane, .. } => Some(lane),
            _ => None,
        }
    }
}

/// Code, severity and what to do, in one place so that none is forgotten.
macro_rules! table {
    ($($variant:ident => $code:literal, $severity:ident, $help:literal;)*) => {
        impl Finding {
            /// Every code there is, in order.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// Its code. It never changes its meaning.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $code,)* }
            }

            /// What follows from it.
            #[must_use]
            pub fn severity(&self) -> Severity {
                match self { $(Self::$variant { .. } => Severity::$severity,)* }
            }

            /// What to do about it.
            #[must_use]
            pub fn help(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $help,)* }
            }

            /// What to do about findings of a code, for those who have no more than that.
            #[must_use]
            pub fn help_for(code: &str) -> Option<&'static str> {
                match code { $($code => Some($help),)* _ => None }
            }
        }
    };
}

table! {
    UnknownService => "CC101", Warning, "correct the member's name in the Lane, or create the Service";
    NoSuchMember => "CC102", Warning, "deploy a workload with these labels, or correct them in the Lane";
    IdleWorkload => "CC103", Warning, "create the lane, or remove the label from the workload";
    NoBaseline => "CC104", Warning, "run the stable workload too, or end the lane here";
    PortNotHttp => "CC110", Refused, "name the port `http-…` or set its appProtocol, if it speaks HTTP";
    PortGuessed => "CC111", Info, "name the port `http-…` or set its appProtocol";
    Headless => "CC112", Refused, "give clients a Service with a cluster IP";
    Ambient => "CC113", Warning, "use sidecars in that namespace, or a waypoint";
    MeshHttpRoute => "CC114", Refused, "replace the HTTPRoute by a VirtualService";
    GatewayHttpRoute => "CC115", Warning, "replace the HTTPRoute by a VirtualService if the first hop has lane members";
    TwoVirtualServices => "CC120", Warning, "merge them into one";
    NoHttpRoutes => "CC121", Refused, "give it an http route to the service";
    ExportedPartly => "CC122", Info, "export it to every namespace";
    RouteMatchesTag => "CC123", Warning, "remove that route, and let the Lane say who is in it";
    RouteWritesTag => "CC124", Warning, "remove that header operation";
    HalfQualified => "CC125", Warning, "write the name alone or the fully qualified name";
    MirrorsApart => "CC126", Warning, "move their `mirror` and `mirrors` into the delegate's routes";
    ConnectionsLed => "CC127", Refused, "let those routes lead to the service itself, without a subset";
    PortsAlike => "CC128", Refused, "remove that setting, or exchange ports of HTTP alone";
    PinnedSubset => "CC130", Warning, "keep lane pods running, or let the route name no subset";
    SubsetOfLanePods => "CC131", Warning, "give that subset no weight, or let its pods be no members";
    ForeignRule => "CC132", Refused, "move it to the service's namespace, or remove it";
    PartialRule => "CC133", Refused, "export it to every namespace and give it no workloadSelector";
    Unrankable => "CC134", Refused, "remove that setting, or keep lane pods out of the Service's selector";
    Ejects => "CC135", Info, "mind it while lanes are on";
    CopiedRule => "CC136", Info, "nothing to do: the copy follows its original";
    NameTaken => "CC137", Refused, "rename it";
    SubsetTaken => "CC138", Refused, "rename it";
    RulesApart => "CC139", Refused, "merge them, or give them the same exportTo";
}

impl Serialize for Finding {
    /// Writes code, severity, message and help.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Finding", 4)?;
        out.serialize_field("code", self.code())?;
        out.serialize_field("severity", &self.severity())?;
        out.serialize_field("message", &self.to_string())?;
        out.serialize_field("help", self.help())?;
        out.end()
    }
}
