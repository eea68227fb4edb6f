//! A service that is called on a request's way: its objects as the cluster has them now.

use canary_istio::chosen::{self, Outcome};
use canary_istio::matching::Request as Call;
use canary_istio::observed::{Speaks, manifests};
use canary_istio::{Observed, ObservedService};
use canary_rules::inquiry::{Report, Request};
use canary_rules::name::HeaderName;
use kube::Client;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Cluster, api_failure, no_service};
use crate::failure::{Code, Failure};
use crate::world;

/// What is listed.
const KINDS: [&str; 4] = ["Service", "VirtualService", "DestinationRule", "HTTPRoute"];

/// The service and what routes it.
pub(super) struct Called {
    observed: Observed,
    service: ObservedService,
    port: u16,
}

/// Who takes calls of a service. Part of the interface: keys are added, never renamed.
#[derive(Debug, Serialize)]
pub(super) struct TakenAt {
    /// The service, as `name.namespace`.
    pub(super) host: String,
    pub(super) port: u16,
    /// Null where the request is in no lane.
    pub(super) lane: Option<InLane>,
    /// A request in no lane.
    pub(super) baseline: Vec<Outcome>,
    pub(super) notes: Vec<String>,
}

/// A request in a lane.
#[derive(Debug, Serialize)]
pub(super) struct InLane {
    pub(super) name: String,
    pub(super) outcomes: Vec<Outcome>,
}

impl Called {
    /// Reads a service that is typed as `NAME[.NAMESPACE]`, and all that may route it.
    ///
    /// # Errors
    /// When there is no such service or port, or its objects cannot be listed.
    pub(super) async fn read(cluster: &Cluster, typed: &str, port: Option<u16>) -> Result<Self, Failure> {
        let host = cluster.host(typed)?;
        let manifests = manifests::read(objects(&cluster.client).await?);
        let observed = manifests.map_err(|error| Failure::from_error(Code::Failed, &error))?.observed;
        let Some(service) = observed.services.iter().find(|service| service.host == host).cloned() else {
            return Err(no_service(&host));
        };
        let port = port_of(&service, port)?;
        Ok(Self { observed, service, port })
    }

    /// Who takes calls that are like this request, as the edge passed it on.
    pub(super) fn taken(&self, request: &Request, report: &Report, tag_header: &HeaderName) -> TakenAt {
        let call = call(request, report, self.port);
        let mut plain = call.clone();
        plain.headers.remove(tag_header.as_str());
        let outcomes = |call: &Call| chosen::outcomes(&self.observed, &self.service.host, call);
        TakenAt {
            host: self.service.host.to_string(),
            port: self.port,
            lane: report.lane.clone().map(|name| InLane { name, outcomes: outcomes(&call) }),
            baseline: outcomes(&plain),
            notes: self.notes(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.service.http_routes.in_mesh {
            notes.push("HTTPRoutes are attached to the Service; what they do is not looked at".into());
        }
        if self.service.headless {
            notes.push(
                "the Service is headless: a client that picks a pod itself goes past every subset".into(),
            );
        }
        notes
    }
}

async fn objects(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for kind in KINDS {
        match world::list_named(client, kind).await {
            Ok(found) => objects.extend(found),
            // The Gateway API need not be there.
            Err(kube::Error::Api(status)) if status.code == 404 && kind == "HTTPRoute" => {}
            Err(error) => return Err(api_failure(&format!("list {kind}s"), &error)),
        }
    }
    Ok(objects)
}

/// The port that is asked about, or the first one with HTTP.
fn port_of(service: &ObservedService, wanted: Option<u16>) -> Result<u16, Failure> {
    let host = &service.host;
    let is_http = |speaks| speaks != Speaks::Other;
    let ports = || service.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Some(wanted) = wanted else {
        if service.ports.iter().any(|port| is_http(port.speaks())) {
            return Ok(service.as_service().port);
        }
        return Err(Failure::new(
            Code::Failed,
            format!("{host} has no port with HTTP: its ports are {}", ports()),
        )
        .help("canaryctl check says what to do about a port that does speak it"));
    };
    match service.ports.iter().find(|port| port.number == wanted) {
        Some(port) if is_http(port.speaks()) => Ok(wanted),
        Some(port) => Err(Failure::new(
            Code::Failed,
            format!("port {port} of {host} has no HTTP: no route is looked at"),
        )
        .help("canaryctl check says what to do about a port that does speak it")),
        None => {
            Err(Failure::new(Code::Usage, format!("{host} has no port {wanted}: its ports are {}", ports())))
        }
    }
}

/// The request as a service in the mesh gets it when every application passes it on: what the edge sets is set, what it
/// removes is gone.
fn call(request: &Request, report: &Report, port: u16) -> Call {
    let mut call = Call { method: request.method().to_owned(), port: u64::from(port), ..Call::default() };
    for (name, value) in request.headers() {
        match name.as_str() {
            ":path" => {
                let (path, query) = value.split_once('?').unwrap_or((value, ""));
                path.clone_into(&mut call.path);
                for part in query.split('&').filter(|part| !part.is_empty()) {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    call.query.entry(name.to_owned()).or_insert_with(|| value.to_owned());
                }
            }
            name if name.starts_with(':') => {}
            name => {
                let line = call.headers.entry(name.to_owned()).or_default();
                if !line.is_empty() {
                    line.push(',');
                }
                line.push_str(value);
            }
        }
    }
    for name in &report.remove_headers {
        call.headers.remove(name);
    }
    call.headers.extend(report.set_headers.0.iter().cloned());
    call
}

#[cfg(test)]
mod tests {
    use canary_istio::observed::Port;
    use canary_rules::inquiry::SetHeaders;

    use super::*;

    fn service(ports: &[(&str, u16)]) -> ObservedService {
        let port = |(name, number): &(&str, u16)| Port {
            name: Some((*name).into()),
            number: *number,
            app_protocol: None,
            udp: false,
        };
        ObservedService {
            host: "cart.shop".parse().expect("a host"),
            ports: ports.iter().map(port).collect(),
            headless: false,
            selector: [].into(),
            workloads: Vec::new(),
            http_routes: canary_istio::observed::HttpRoutes::default(),
            distribution: None,
            exchanged: None,
            copies: Vec::new(),
        }
    }

    #[test]
    fn a_port_is_the_one_that_is_asked_for_or_the_first_with_http() {
        let both = service(&[("tcp-db", 9000), ("http", 8080), ("web", 8081)]);
        assert_eq!(port_of(&both, None).ok(), Some(8080));
        assert_eq!(port_of(&both, Some(8081)).ok(), Some(8081));
        let refused =
            |service: &ObservedService, port| port_of(service, port).expect_err("no port").to_string();
        let want = "port tcp-db:9000 of cart.shop has no HTTP: no route is looked at";
        assert_eq!(refused(&both, Some(9000)), want);
        let want = "cart.shop has no port 1: its ports are tcp-db:9000, http:8080, web:8081";
        assert_eq!(refused(&both, Some(1)), want);
        let want = "cart.shop has no port with HTTP: its ports are tcp-db:9000";
        assert_eq!(refused(&service(&[("tcp-db", 9000)]), None), want);
    }

    #[test]
    fn a_call_is_the_request_as_the_edge_passes_it_on() {
        let typed = ["x-canary-lane: forged", "Accept: a", "accept: b", "gone: 1"];
        let request = Request::new("PUT", "https://shop.test/cart?x=1&x=2&y", typed).expect("a request");
        let report = Report {
            lane: Some("gray".into()),
            rule: None,
            reason: String::new(),
            set_headers: SetHeaders(vec![("x-canary-lane".into(), "gray".into())]),
            remove_headers: vec!["gone".into()],
            set_cookies: Vec::new(),
            close: Vec::new(),
        };
        let call = call(&request, &report, 80);
        let pairs = |map: std::collections::BTreeMap<String, String>| map.into_iter().collect::<Vec<_>>();
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!((call.path.as_str(), call.method.as_str(), call.port), ("/cart", "PUT", 80));
        assert_eq!(pairs(call.query), [text("x", "1"), text("y", "")]);
        assert_eq!(pairs(call.headers), [text("accept", "a,b"), text("x-canary-lane", "gray")]);
        assert_eq!((call.authority, call.scheme), (None, None), "the next caller's own");
    }
}
