//! What a developer's wish comes to: a Takeover of a Service. Pure.

use std::collections::BTreeMap;

use canary_istio::observed::{Port, Speaks};
use canary_rules::lane::API_VERSION;
use serde_json::{Value, json};

use super::words::short_name;
use crate::failure::{Code, Failure};
use crate::takeover::{self, By, Mode, passed, selected};

/// Longest name of a Takeover and of its Job, in bytes: it is the value of a label.
const NAME_BYTES_MAX: usize = 63;

/// Which ports of a Service are meant.
#[derive(Debug, Clone, Copy)]
pub(in crate::verb) enum Ports<'a> {
    /// This one, or the only one: of those that have requests.
    One(Option<u16>),
    /// These, or all.
    Several(&'a [u16]),
    /// These, or all, of those that have requests: nothing else of the Service meets the agent.
    Copied(&'a [u16]),
    /// These, or all, of a Service whose pods have no sidecar: whatever is spoken there.
    Whole(&'a [u16]),
}

/// Which requests are meant.
#[derive(Debug, Clone, Copy)]
pub(in crate::verb) enum What<'a> {
    /// Those that rules match; a lane carries them.
    Matched {
        /// Its name.
        lane: &'a str,
        /// The rules.
        rules: &'a [Value],
    },
    /// All of them.
    Everything,
    /// Copies of this percentage of them, of all without it.
    Copies(Option<f64>),
}

/// A Service, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verb) struct Taken {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) selector: BTreeMap<String, String>,
    pub(super) ports: Vec<TakenPort>,
    /// What brings its requests to the agent.
    pub(super) by: By,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TakenPort {
    pub(super) number: u16,
    /// Where the pods listen.
    pub(super) target: Target,
    pub(super) speaks: Speaks,
    pub(super) is_taken: bool,
}

impl TakenPort {
    /// Whether there may be requests at it.
    fn has_requests(&self) -> bool {
        self.speaks != Speaks::Other
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Number(u16),
    Name(String),
}

impl Taken {
    /// Reads a Service, and which of its ports are taken.
    ///
    /// # Errors
    /// When its requests cannot be told apart, or it is not said which port is meant.
    pub(in crate::verb) fn read(service: &Value, wanted: Ports<'_>) -> Result<Self, Failure> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&service["metadata"]["namespace"]), text(&service["metadata"]["name"]));
        let cannot = |why: &str| Failure::new(Code::Failed, format!("cannot take {namespace}/{name}: {why}"));
        let selector = selected::own_selector(service);
        let by = if matches!(wanted, Ports::Whole(_)) { By::Selector } else { By::Routes };
        if by == By::Selector {
            selected::why_not(service).map_or(Ok(()), |why| Err(cannot(&why)))?;
        } else if selector.is_empty() {
            return Err(cannot("it selects no pods, so no agent can be one of them"));
        } else if service["spec"]["clusterIP"] == "None" {
            return Err(cannot("it is headless: clients pick its pods themselves"));
        }
        let all = service["spec"]["ports"].as_array().map_or(&[][..], Vec::as_slice);
        let mut ports = Vec::with_capacity(all.len());
        for value in all {
            let number = u16::try_from(value["port"].as_u64().unwrap_or(0)).unwrap_or(0);
            let port = Port {
                name: value["name"].as_str().map(Into::into),
                number,
                app_protocol: value["appProtocol"].as_str().map(Into::into),
                udp: value["protocol"] == "UDP",
            };
            let speaks = port.speaks();
            if speaks == Speaks::Other && matches!(wanted, Ports::Copied(_)) {
                continue;
            }
            let why = passed::why_not(&port).filter(|_| by == By::Routes);
            why.map_or(Ok(()), |why| Err(cannot(&why)))?;
            let target = match (&value["targetPort"], value["targetPort"].as_u64()) {
                (Value::String(name), _) => Target::Name(name.clone()),
                (_, Some(target)) => Target::Number(u16::try_from(target).unwrap_or(number)),
                _ => Target::Number(number),
            };
            ports.push(TakenPort { number, target, speaks, is_taken: false });
        }
        if by == By::Routes {
            mixed(&ports).map_or(Ok(()), |why| Err(cannot(&why)))?;
        }
        let has_requests = |port: &&TakenPort| port.has_requests() || !matches!(wanted, Ports::One(_));
        let numbers: Vec<u16> = ports.iter().filter(has_requests).map(|port| port.number).collect();
        let is_raw = |wanted: u16| ports.iter().any(|port| port.number == wanted && !port.has_requests());
        let named = match wanted {
            Ports::One(Some(port)) if is_raw(port) => {
                let failure =
                    cannot(&format!("its port {port} is not HTTP: there are no requests to tell apart"));
                return Err(failure.help(format!(
                    "canaryctl -n {namespace} exchange {name} --port {port} --to PORT takes all of its connections"
                )));
            }
            Ports::One(Some(port)) => vec![port],
            Ports::One(None) if numbers.len() == 1 => numbers.clone(),
            Ports::One(None) => Vec::new(),
            Ports::Several([]) | Ports::Copied([]) | Ports::Whole([]) => numbers.clone(),
            Ports::Several(named) | Ports::Copied(named) | Ports::Whole(named) => named.to_vec(),
        };
        if named.is_empty() || !named.iter().all(|port| numbers.contains(port)) {
            let there = numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let failure = cannot("which port is meant is not clear");
            return Err(failure.help(format!("name one with --port; there are: {there}")));
        }
        for port in &mut ports {
            port.is_taken = named.contains(&port.number);
        }
        Ok(Self { namespace, name, selector, ports, by })
    }

    /// The ports that are taken.
    pub(super) fn taken(&self) -> impl Iterator<Item = &TakenPort> + Clone {
        self.ports.iter().filter(|port| port.is_taken)
    }

    /// Whether there may be requests at a port that is taken.
    pub(super) fn has_requests(&self) -> bool {
        self.taken().any(TakenPort::has_requests)
    }

    /// The Takeover that this user asks for.
    pub(in crate::verb) fn takeover(&self, what: What<'_>, user: &str, machine: &str) -> Value {
        let ports = self.taken().map(|port| port.number);
        let (mode, end) = match what {
            What::Matched { lane, .. } => (Mode::Mesh, lane.to_owned()),
            What::Everything => (Mode::Exchange, "exchange".to_owned()),
            What::Copies(_) => (Mode::Mirror, format!("mirror-{}", short_name(user))),
        };
        let mut takeover = json!({
            "apiVersion": API_VERSION, "kind": takeover::KIND,
            "metadata": {"name": self.takeover_name(&end), "namespace": self.namespace},
            "spec": {
                "service": self.name,
                "ports": ports.collect::<Vec<_>>(),
                "mode": mode,
                "owner": {"user": user, "machine": machine},
            },
        });
        if self.by == By::Selector {
            takeover["spec"]["by"] = json!(self.by);
        }
        if self.by == By::Routes && !matches!(what, What::Copies(_)) {
            let raw = self.ports.iter().filter(|port| !port.has_requests());
            let raw: Vec<u16> = raw.map(|port| port.number).collect();
            if !raw.is_empty() {
                takeover["spec"]["connections"] = raw.into();
            }
        }
        match what {
            What::Matched { lane, rules } => {
                takeover["spec"]["rules"] = rules.into();
                takeover["spec"]["lane"] = lane.into();
            }
            What::Copies(Some(percent)) => takeover["spec"]["percent"] = percent.into(),
            What::Copies(None) | What::Everything => {}
        }
        takeover
    }

    fn takeover_name(&self, end: &str) -> String {
        let mut name = format!("{}-{}", self.name, end.replace('.', "-"));
        name.truncate(NAME_BYTES_MAX);
        name.trim_end_matches('-').to_owned()
    }

    /// One port for each place where the pods listen: several that lead there cannot be told apart behind it, and all
    /// of them are taken with one.
    pub(super) fn by_target(&self) -> Vec<&TakenPort> {
        let mut found: Vec<&TakenPort> = Vec::with_capacity(self.ports.len());
        for port in &self.ports {
            match found.iter_mut().find(|other| other.target == port.target) {
                Some(other) if port.is_taken => *other = port,
                Some(_) => {}
                None => found.push(port),
            }
        }
        found
    }
}

/// Why an agent cannot tell what comes to it: ports that lead to one place, and only some of them to requests.
fn mixed(ports: &[TakenPort]) -> Option<String> {
    let pairs = ports.iter().flat_map(|port| ports.iter().map(move |other| (port, other)));
    let (raw, other) = pairs
        .filter(|(port, other)| port.target == other.target)
        .find(|(port, other)| !port.has_requests() && other.has_requests())?;
    Some(format!(
        "its ports {} and {} lead to one place, and one of them is not HTTP",
        raw.number, other.number
    ))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// cart, with these ports.
    pub(in super::super) fn service(ports: Value) -> Value {
        json!({
            "metadata": {"name": "cart", "namespace": "shop"},
            "spec": {"selector": {"app": "cart"}, "ports": ports},
        })
    }

    #[track_caller]
    fn refused(service: &Value, wanted: Option<u16>) -> String {
        Taken::read(service, Ports::One(wanted)).expect_err("refused").to_string()
    }

    #[test]
    fn a_service_whose_requests_cannot_be_told_apart_is_refused() {
        let tcp = service(json!([{"name": "http", "port": 80}, {"name": "tcp-raw", "port": 9000}]));
        assert!(refused(&tcp, Some(9000)).contains("its port 9000 is not HTTP: there are no requests"));
        let one_place = service(json!([
            {"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-raw", "port": 9000, "targetPort": 8080},
        ]));
        assert!(refused(&one_place, Some(80)).contains("its ports 9000 and 80 lead to one place"));
        let udp =
            service(json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]));
        assert!(refused(&udp, Some(80)).contains("its port dns:53 is UDP"));
        let two = service(json!([{"name": "http", "port": 80}, {"name": "http-b", "port": 81}]));
        assert!(refused(&two, None).contains("which port is meant"));
        assert!(refused(&two, Some(82)).contains("which port is meant"));
        let mut headless = service(json!([{"name": "http", "port": 80}]));
        headless["spec"]["clusterIP"] = "None".into();
        assert!(refused(&headless, None).contains("headless"));
        headless["spec"]["selector"] = Value::Null;
        assert!(refused(&headless, None).contains("selects no pods"));
    }

    #[test]
    fn an_exchange_takes_every_port_or_those_that_are_named() {
        let service = service(json!([{"name": "http", "port": 80}, {"name": "http-b", "port": 81}]));
        for (named, ports) in [(&[][..], json!([80, 81])), (&[81], json!([81]))] {
            let taken = Taken::read(&service, Ports::Several(named)).expect("a service");
            let takeover = taken.takeover(What::Everything, "alice", "laptop");
            assert_eq!(takeover["metadata"]["name"], "cart-exchange");
            let owner = json!({"user": "alice", "machine": "laptop"});
            let spec = json!({"service": "cart", "ports": ports, "mode": "exchange", "owner": owner});
            assert_eq!(takeover["spec"], spec);
        }
        Taken::read(&service, Ports::Several(&[80, 82])).expect_err("there is no port 82");
    }

    #[test]
    fn connections_are_taken_whole_and_by_an_exchange_alone() {
        let service = service(json!([{"name": "http", "port": 80}, {"name": "tcp-raw", "port": 9000}]));
        let rules = [json!({"when": {"header": {"name": "x-dev", "exact": "alice"}}})];
        let matched = || What::Matched { lane: "dev-alice", rules: &rules };
        // The only port with requests is meant, and the agent passes on what comes to the other.
        for (ports, what, taken) in [
            (Ports::One(None), matched(), json!([80])),
            (Ports::Several(&[]), What::Everything, json!([80, 9000])),
            (Ports::Several(&[9000]), What::Everything, json!([9000])),
        ] {
            let takeover = Taken::read(&service, ports).expect("a service").takeover(what, "alice", "laptop");
            assert_eq!(
                (&takeover["spec"]["ports"], &takeover["spec"]["connections"]),
                (&taken, &json!([9000]))
            );
        }
        let copied = Taken::read(&service, Ports::Copied(&[])).expect("a service");
        let mirror = copied.takeover(What::Copies(None), "alice", "laptop");
        assert_eq!(mirror["spec"]["connections"], Value::Null, "nothing of the Service meets the agent");
    }

    #[test]
    fn a_service_without_sidecars_is_taken_whole_whatever_is_spoken_there() {
        let ports = json!([
            {"name": "http", "port": 80}, {"port": 8080}, {"name": "tcp-db", "port": 5432, "protocol": "TCP"},
        ]);
        let mut service = service(ports);
        service["spec"]["selector"][takeover::LABEL] = "cart-exchange".into();
        let taken = Taken::read(&service, Ports::Whole(&[5432])).expect("a service");
        assert_eq!(
            taken.selector,
            BTreeMap::from([("app".to_owned(), "cart".to_owned())]),
            "whoever has it now"
        );
        let takeover = taken.takeover(What::Everything, "alice", "laptop");
        assert_eq!(
            (&takeover["spec"]["by"], &takeover["spec"]["ports"]),
            (&json!("selector"), &json!([5432]))
        );
        service["spec"]["internalTrafficPolicy"] = "Local".into();
        let refused = Taken::read(&service, Ports::Whole(&[])).expect_err("refused").to_string();
        assert!(refused.contains("cannot take shop/cart: its internalTrafficPolicy is Local"), "{refused}");
    }

    #[test]
    fn ports_that_lead_to_one_place_are_taken_together() {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": 8080}, {"name": "http-b", "port": 81, "targetPort": 8080},
            {"name": "http-c", "port": 82, "targetPort": "admin"},
        ]);
        for (wanted, host) in [(80, 80), (81, 81)] {
            let taken = Taken::read(&service(ports.clone()), Ports::One(Some(wanted))).expect("a service");
            let found: Vec<_> = taken.by_target().iter().map(|port| (port.number, port.is_taken)).collect();
            assert_eq!(found, [(host, true), (82, false)]);
        }
    }
}
