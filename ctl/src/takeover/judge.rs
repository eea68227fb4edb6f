//! Whether a Takeover can be, beside those that are older. Pure.

use canary_istio::{Object, ObservedService};
use canary_rules::wire::LANES_MAX;

use super::derive::{Known, meshes};
use super::{By, LABEL, Mode, Takeover, is_copied, overlap, passed, selected};

/// What the lane of a Takeover is called: nobody's pods are in a lane of such a name unless they mean it.
const LANE_PREFIX: &str = "dev-";

/// Why a Takeover cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

pub(super) fn refusal(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into() }
}

/// Why a Takeover cannot be beside these, if it cannot.
pub(super) fn judge(takeover: &Takeover, before: &[Takeover], known: Known<'_>) -> Option<Refusal> {
    let of_mode = || match takeover.spec.mode {
        Mode::Mesh => lane_refusal(takeover)
            .or_else(|| service_refusal(takeover, known.services?))
            .or_else(|| number_refusal(takeover, before, known))
            .or_else(|| before.iter().find_map(|other| clash(takeover, other))),
        Mode::Exchange => exchange_refusal(takeover)
            .or_else(|| match takeover.spec.by {
                By::Routes => service_refusal(takeover, known.services?),
                By::Selector => selector_refusal(takeover, known.written?),
            })
            .or_else(|| before.iter().find_map(|other| exchange_clash(takeover, other))),
        Mode::Mirror => mirror_refusal(takeover).or_else(|| copies_refusal(takeover, known.services?)),
    };
    by_refusal(takeover)
        .or_else(of_mode)
        .or_else(|| own_service_refusal(takeover, known.written?))
        .or_else(|| before.iter().find_map(|other| selector_clash(takeover, other)))
}

/// Why what brings requests to an agent cannot be what it asks for.
fn by_refusal(takeover: &Takeover) -> Option<Refusal> {
    let is_so = takeover.spec.by == By::Selector && takeover.spec.mode != Mode::Exchange;
    is_so.then(|| {
        refusal("Invalid", "by its selector all that comes to a service is taken: it is for exchange")
    })
}

/// Why a service cannot be taken by its selector.
fn selector_refusal(takeover: &Takeover, written: &[Object]) -> Option<Refusal> {
    let spec = &takeover.spec;
    let Some(service) = selected::find(written, &takeover.metadata.namespace, &spec.service) else {
        return Some(refusal("Invalid", format!("there is no Service {}", takeover.service())));
    };
    let numbers = || service.spec()["ports"].as_array().into_iter().flatten().map(|port| &port["port"]);
    if let Some(missing) = spec.ports.iter().find(|wanted| !numbers().any(|number| *number == **wanted)) {
        return Some(refusal("Invalid", format!("Service {} has no port {missing}", takeover.service())));
    }
    let why = selected::why_not(service.value())?;
    Some(refusal("Invalid", format!("{}: {why}", takeover.service())))
}

/// Why one of two cannot be where the other, or itself, has a service by its selector.
fn selector_clash(takeover: &Takeover, other: &Takeover) -> Option<Refusal> {
    let is_selected = takeover.spec.by == By::Selector || other.spec.by == By::Selector;
    let (user, service, since) = (&other.spec.owner.user, other.service(), other.since());
    (is_selected && takeover.service() == service).then(|| {
        let message = format!(
            "{user} has {} of {service} since {since}, and its selector leads to one place",
            other.what()
        );
        refusal("Taken", message)
    })
}

/// Why a Takeover's lane and rules cannot be.
fn lane_refusal(takeover: &Takeover) -> Option<Refusal> {
    let spec = &takeover.spec;
    if spec.rules.is_empty() || !spec.rules.iter().all(overlap::is_narrow) {
        let message = "each rule must ask for a value of a header named x-dev or x-dev-…, or of a cookie or query \
                       parameter named dev or dev-…, and for no percentage: others would take other people's requests";
        return Some(refusal("Invalid", message));
    }
    match &spec.lane {
        None => Some(refusal("Invalid", "it names no lane")),
        Some(lane) if !lane.as_str().starts_with(LANE_PREFIX) => {
            Some(refusal("Invalid", format!("its lane must be called {LANE_PREFIX}…, and not {lane}")))
        }
        Some(_) => None,
    }
}

/// Why one who takes everything asks for too much.
fn exchange_refusal(takeover: &Takeover) -> Option<Refusal> {
    let spec = &takeover.spec;
    let has_more = spec.lane.is_some() || !spec.rules.is_empty();
    has_more.then(|| refusal("Invalid", "an exchange takes all requests: it has neither a lane nor rules"))
}

/// Why one who wants copies asks for too much, or for nothing.
fn mirror_refusal(takeover: &Takeover) -> Option<Refusal> {
    let spec = &takeover.spec;
    if spec.lane.is_some() || !spec.rules.is_empty() {
        let message = "a mirror has copies of requests that no lane claims: it has neither a lane nor rules";
        return Some(refusal("Invalid", message));
    }
    takeover.copied_share().is_none().then(|| {
        let percent = spec.percent.unwrap_or_default();
        refusal("Invalid", format!("{percent} is no percentage: wanted 0.01 to 100, in steps of 0.01"))
    })
}

/// Why a service cannot be taken.
fn service_refusal(takeover: &Takeover, services: &[ObservedService]) -> Option<Refusal> {
    let service = match taken(takeover, services) {
        Ok(service) => service,
        Err(refused) => return Some(refused),
    };
    let why = meets_strangers(takeover, service).or_else(|| has_no_requests(takeover, service))?;
    Some(refusal("Invalid", format!("{}: {why}", takeover.service())))
}

/// Why no copies can be made of a service's requests.
fn copies_refusal(takeover: &Takeover, services: &[ObservedService]) -> Option<Refusal> {
    let service = match taken(takeover, services) {
        Ok(service) => service,
        Err(refused) => return Some(refused),
    };
    if service.headless {
        let message = format!("{}: it is headless, so clients pick its pods themselves", takeover.service());
        return Some(refusal("Invalid", message));
    }
    let is_taken = |number: u16| takeover.spec.ports.contains(&number);
    let raw = service.ports.iter().find(|port| is_taken(port.number) && !is_copied(port))?;
    let message =
        format!("{}: its port {raw} is not HTTP: there are no requests to copy", takeover.service());
    Some(refusal("Invalid", message))
}

/// Why there can be no Service of its own.
fn own_service_refusal(takeover: &Takeover, written: &[Object]) -> Option<Refusal> {
    let own = takeover.own_service()?;
    let other = selected::find(written, own.namespace(), own.name())?;
    let is_ours = other.value()["metadata"]["labels"][LABEL] == takeover.metadata.name.as_str();
    (!is_ours).then(|| {
        let (namespace, name) = (own.namespace(), own.name());
        refusal(
            "Invalid",
            format!("there is a Service {namespace}/{name} that somebody made: name it otherwise"),
        )
    })
}

/// The service that is meant, which has the ports that are.
fn taken<'a>(takeover: &Takeover, services: &'a [ObservedService]) -> Result<&'a ObservedService, Refusal> {
    let spec = &takeover.spec;
    let of = |service: &&ObservedService| {
        service.host.namespace() == takeover.metadata.namespace && service.host.name() == spec.service
    };
    let found = services.iter().find(of);
    let service =
        found.ok_or_else(|| refusal("Invalid", format!("there is no Service {}", takeover.service())))?;
    let has = |number: &u16| service.ports.iter().any(|port| port.number == *number);
    match spec.ports.iter().find(|number| !has(number)) {
        Some(missing) => {
            Err(refusal("Invalid", format!("Service {} has no port {missing}", takeover.service())))
        }
        None => Ok(service),
    }
}

/// Why there can be no lane of this name, or no further one.
fn number_refusal(takeover: &Takeover, before: &[Takeover], known: Known<'_>) -> Option<Refusal> {
    let name = takeover.lane();
    if known.lanes.iter().any(|lane| lane.name() == name) {
        let message = format!("there is a Lane {name} that somebody wrote: name another one");
        return Some(refusal("LaneTaken", message));
    }
    let mut lanes: Vec<&str> = meshes(before).map(Takeover::lane).collect();
    lanes.sort_unstable();
    lanes.dedup();
    (!lanes.contains(&name) && known.lanes.len() + lanes.len() >= LANES_MAX)
        .then(|| refusal("Invalid", format!("there are {LANES_MAX} lanes, and no more fit")))
}

/// Why nobody else can have all requests of a service that somebody has.
fn exchange_clash(takeover: &Takeover, other: &Takeover) -> Option<Refusal> {
    let is_taken = other.spec.mode == Mode::Exchange && other.service() == takeover.service();
    let (user, what, service, since) = (&other.spec.owner.user, other.what(), other.service(), other.since());
    is_taken.then(|| refusal("Exchanged", format!("{user} has {what} of {service} since {since}")))
}

/// Why clients would meet an agent of a service past its gate.
fn meets_strangers(takeover: &Takeover, service: &ObservedService) -> Option<String> {
    if service.headless {
        return Some("it is headless, so clients pick its pods themselves".into());
    }
    passed::unknown(takeover, service)
}

/// Why rules find nothing to match at a port that is taken.
fn has_no_requests(takeover: &Takeover, service: &ObservedService) -> Option<String> {
    let is_taken = |number: u16| takeover.spec.ports.contains(&number);
    let mut raw = service.ports.iter().filter(|port| is_taken(port.number) && passed::is_passed(port));
    let port = raw.next().filter(|_| takeover.spec.mode == Mode::Mesh)?;
    Some(format!("its port {port} is not HTTP: there are no requests that a rule could match"))
}

/// Why a Takeover cannot be beside an older one.
fn clash(takeover: &Takeover, other: &Takeover) -> Option<Refusal> {
    let (ours, theirs) = (&takeover.spec, &other.spec);
    if theirs.mode != Mode::Mesh {
        // It has what no lane has.
        return None;
    }
    let (user, service, since) = (&theirs.owner.user, other.service(), other.since());
    let rule = other.what();
    if ours.lane == theirs.lane {
        if ours.owner.user != theirs.owner.user {
            let message = format!("lane {} is {user}'s since {since}: name another one", other.lane());
            return Some(refusal("LaneTaken", message));
        }
        if ours.rules != theirs.rules {
            let message = format!(
                "lane {} has another rule for {service} since {since} ({rule}): give the same, or name another lane",
                other.lane()
            );
            return Some(refusal("LaneTaken", message));
        }
        // Requests of one lane would go to either agent, and each knows its own ports only.
        return (takeover.service() == service).then(|| {
            refusal("Taken", format!("{user} has {service} since {since} with the same rule ({rule})"))
        });
    }
    // A request is in one lane: of two that claim it one would never get it, whatever their services are.
    overlap::surely(&ours.rules, &theirs.rules)
        .then(|| refusal("Taken", format!("{user} has {service} since {since} with the same rule ({rule})")))
}
