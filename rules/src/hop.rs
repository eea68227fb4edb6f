//! What a sidecar does with a request: read the tag, remember it, carry it on.
//!
//! Knows lanes by name and parent only; rules are the edge's. The correlation map is the caller's: an
//! inbound decision lists the ids to record, an outbound one asks a function what an id stands for.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::baggage;
use crate::correlation::{FlowId, FlowIds, IdSource};
use crate::edits::{Edit, Edits};
use crate::flows::Lookup;
use crate::name::{BaggageKey, HeaderName, LaneCode, LaneName, constant};
use crate::request::Headers;
use crate::request_id::{Reading, RequestIds, Uuid};
use crate::wire::{FilterConfig, Peers, WireError, WireLane};

/// Most correlation ids taken from one request.
pub const IDS_MAX: usize = 5;
/// Most parents between a lane and the baseline; more are not followed.
pub const PARENTS_MAX: usize = 16;
/// Header that says why a request was refused.
pub const REFUSED_HEADER: &str = "x-canary-refused";
/// The request id's header.
pub const REQUEST_ID: &str = "x-request-id";
/// Value of the tag header by which an application asks for the baseline at its next hop, whatever the flow's
/// other carriers say: an agent that cannot serve a request hands it on so. They stay as they are, and so the flow
/// is in its lane again from there on.
pub const BASELINE: &str = "baseline";
/// The W3C baggage header.
pub const BAGGAGE: &str = "baggage";

/// A sidecar's part, compiled from its configuration.
#[derive(Debug)]
pub struct Hop {
    tags: Tags,
    correlation: Box<[IdSource]>,
    /// Of the headers that are gathered.
    names: Names,
    /// The request id as a correlation id, where it may be one.
    request_id: Option<IdSource>,
    flow_ids: FlowIds,
    peers: Peers,
    linger_s: u32,
}

/// The lanes that exist and the carriers that name them: what edge and hop share.
#[derive(Debug)]
pub(crate) struct Tags {
    /// Sorted by name.
    lanes: Box<[TaggedLane]>,
    pub(crate) header: HeaderName,
    pub(crate) aliases: Box<[HeaderName]>,
    pub(crate) baggage: Option<BaggageKey>,
    pub(crate) request_ids: Option<RequestIds>,
}

#[derive(Debug)]
struct TaggedLane {
    name: LaneName,
    code: LaneCode,
    ancestors: Box<[LaneCode]>,
}

/// Where a request's tag came from; each request counts under one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The tag header, or an alias of it.
    Header,
    /// The baggage member.
    Baggage,
    /// A minted request id.
    RequestId,
    /// The correlation map.
    Correlation,
    /// The colour of the pod itself.
    Colour,
    /// No carrier said anything: baseline.
    None,
}

/// What an inbound sidecar does.
#[derive(Debug, PartialEq, Eq)]
pub struct Inbound<'c> {
    /// The lane's code, or the baseline's.
    pub tag: LaneCode,
    /// Where it came from.
    pub origin: Origin,
    /// The ids to record with the tag, tagged or not; at most [`IDS_MAX`], each once.
    pub record: Vec<FlowId>,
    /// What to change before the application sees the request.
    pub edits: Edits<'c>,
    /// Whether a tag was removed because the peer is no mesh member.
    pub stripped: bool,
    /// The carriers contradict each other, so the baseline serves.
    pub ambiguous: bool,
    /// Set when the request must not reach this pod.
    pub refuse: Option<Refusal<'c>>,
}

/// A tagged request at a pod of another lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<'c> {
    /// The request's lane.
    pub lane: &'c LaneName,
}

/// What an outbound sidecar does.
#[derive(Debug, PartialEq, Eq)]
pub struct Outbound<'c> {
    /// The lane's code, or the baseline's.
    pub tag: LaneCode,
    /// Where it came from.
    pub origin: Origin,
    /// What to change before the request is routed.
    pub edits: Edits<'c>,
    /// The carriers contradict each other, so the baseline serves.
    pub ambiguous: bool,
    /// The request has correlation ids, but none is known: its flow starts here, or its tag is lost.
    pub unknown_ids: bool,
}

/// Which names there are, at a glance: most of a request's headers carry nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names(u64);

/// A request's carriers, gathered in one pass over its headers.
#[derive(Default)]
pub(crate) struct Carried<'a> {
    pub(crate) header: Option<&'a [u8]>,
    /// More lines of the tag header; alike or not, routes do not match them.
    header_repeats: bool,
    header_contradicts: bool,
    /// The lane that aliases name.
    alias: Option<LaneCode>,
    alias_contradicts: bool,
    has_baggage: bool,
    /// The first line; proxies that join lines make one id of them, which is no UUID.
    pub(crate) request_id: Option<&'a [u8]>,
    pub(crate) request_id_repeats: bool,
    /// The first line where it is a UUID and those can say a lane.
    uuid: Option<Uuid<'a>>,
    /// Correlation ids in the order of their sources: the first line of each.
    ids: Vec<(usize, &'a [u8])>,
}

/// By what a request of a traced flow is known again.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// Every id of it, also one that speaks for itself; at most one more than [`IDS_MAX`], each once.
    pub ids: Vec<FlowId>,
    /// Whether its request id is a minted one.
    pub minted: bool,
}

/// What the carriers in a request's own headers say.
struct Said {
    tag: Option<LaneCode>,
    origin: Origin,
    contradicts: bool,
}

impl Hop {
    /// Compiles a sidecar's configuration.
    ///
    /// # Errors
    /// [`WireError::SameCode`].
    pub fn new(config: &FilterConfig) -> Result<Self, WireError> {
        let key = config.keys.as_ref().and_then(|keys| keys.derive("canaryctl flow id").next());
        let tags = Tags::new(config)?;
        let correlation = &config.carriers.correlation;
        let asked = tags.request_ids.is_some() || correlation.iter().any(|id| id.header() == REQUEST_ID);
        let names = tags.names().chain(correlation.iter().map(|id| id.header().as_bytes()));
        Ok(Self {
            names: Names::of(names),
            correlation: correlation.iter().cloned().collect(),
            tags,
            request_id: asked.then(|| IdSource::Header(constant!(HeaderName, "x-request-id"))),
            flow_ids: FlowIds::new(key.unwrap_or_default()),
            peers: config.peers,
            linger_s: config.linger_s,
        })
    }

    /// The same with a key of its own for flow ids, in place of one made of the ring.
    ///
    /// A flow's id must be the same as long as the map may know it, also while the ring's keys change.
    #[must_use]
    pub fn with_flow_key(self, key: [u8; 16]) -> Self {
        Self { flow_ids: FlowIds::new(key), ..self }
    }

    /// Life of a flow's ids beyond its response, in seconds.
    #[must_use]
    pub fn linger_s(&self) -> u32 {
        self.linger_s
    }

    /// The lanes' names, in the order of [`Hop::lane_index`].
    pub fn lanes(&self) -> impl ExactSizeIterator<Item = &LaneName> {
        self.tags.lanes.iter().map(|lane| &lane.name)
    }

    /// A lane's place among [`Hop::lanes`]; none for the baseline and for lanes that do not exist.
    #[must_use]
    pub fn lane_index(&self, code: LaneCode) -> Option<usize> {
        self.tags.lanes.iter().position(|lane| lane.code == code)
    }

    /// What to do with a request from the network to the application.
    ///
    /// `colour` is the pod's own lane, `peer_is_member` asks whether mutual TLS shows the peer to be a
    /// mesh member; it is asked at most once, and only of requests that carry something.
    pub fn inbound(
        &self,
        headers: &Headers<'_>,
        colour: Option<LaneCode>,
        peer_is_member: impl FnOnce() -> bool,
    ) -> Inbound<'_> {
        let carried = self.gather(headers);
        let said = self.tags.said(&carried, headers);
        let in_lane = said.tag.is_some_and(|tag| !tag.is_baseline());
        let tagged = in_lane || said.contradicts || self.tags.are_in(&carried, headers);
        let mut edits = Edits::new();
        let stripped = tagged && self.peers == Peers::Mtls && !peer_is_member();
        let (tag, origin) = if stripped || said.contradicts {
            self.tags.silence(&carried, headers, &mut edits);
            (LaneCode::BASELINE, Origin::None)
        } else {
            let tag = said.tag.unwrap_or(LaneCode::BASELINE);
            if let Some(lane) = self.tags.lane(tag) {
                self.tags.write(lane, &carried, headers, &mut edits);
            }
            (tag, said.origin)
        };
        Tags::unite_request_id(carried.request_id, carried.request_id_repeats, &mut edits);
        let lane = self.tags.lane(tag);
        let foreign = |lane: &&TaggedLane| {
            colour.is_some_and(|colour| colour != lane.code && !lane.ancestors.contains(&colour))
        };
        let refuse = lane.filter(foreign).map(|lane| Refusal { lane: &lane.name });
        Inbound {
            tag,
            origin,
            record: self.ids(&carried),
            edits,
            stripped,
            ambiguous: said.contradicts && !stripped,
            refuse,
        }
    }

    /// What to do with a request from the application to the network.
    ///
    /// `colour` is the pod's own lane; `lookup` answers what the correlation map knows of an id.
    pub fn outbound(
        &self,
        headers: &Headers<'_>,
        colour: Option<LaneCode>,
        mut lookup: impl FnMut(FlowId) -> Lookup,
    ) -> Outbound<'_> {
        let carried = self.gather(headers);
        if carried.header == Some(BASELINE.as_bytes()) && !carried.header_contradicts {
            let mut edits = Edits::new();
            Tags::unite_request_id(carried.request_id, carried.request_id_repeats, &mut edits);
            return Outbound {
                tag: LaneCode::BASELINE,
                origin: Origin::Header,
                edits,
                ambiguous: false,
                unknown_ids: false,
            };
        }
        let said = self.tags.said(&carried, headers);
        let mut ambiguous = said.contradicts;
        let mut unknown_ids = false;
        let (tag, origin) = match said.tag {
            Some(tag) => (tag, said.origin),
            None if ambiguous => (LaneCode::BASELINE, Origin::None),
            None => {
                let ids = self.ids(&carried);
                let mut known = None;
                for id in &ids {
                    match lookup(*id) {
                        Lookup::Unknown => {}
                        Lookup::Ambiguous => ambiguous = true,
                        Lookup::Tag(tag) => {
                            ambiguous |= known.is_some_and(|known| known != tag);
                            known = Some(tag);
                        }
                    }
                }
                unknown_ids = !ids.is_empty() && known.is_none() && !ambiguous;
                match known {
                    _ if ambiguous => (LaneCode::BASELINE, Origin::None),
                    Some(tag) => (tag, Origin::Correlation),
                    None => match colour.filter(|colour| self.tags.lane(*colour).is_some()) {
                        Some(colour) => (colour, Origin::Colour),
                        None => (LaneCode::BASELINE, Origin::None),
                    },
                }
            }
        };
        let mut edits = Edits::new();
        let tag = match self.tags.lane(tag) {
            Some(lane) => {
                self.tags.write(lane, &carried, headers, &mut edits);
                tag
            }
            None => {
                // Whatever the carriers still say must not be routed by.
                if said.contradicts {
                    self.tags.silence(&carried, headers, &mut edits);
                } else if ambiguous {
                    self.tags.remove(&carried, headers, &mut edits);
                }
                LaneCode::BASELINE
            }
        };
        Tags::unite_request_id(carried.request_id, carried.request_id_repeats, &mut edits);
        Outbound { tag, origin, edits, ambiguous, unknown_ids }
    }

    /// By what a request is known again, should its flow be traced.
    #[must_use]
    pub fn identity(&self, headers: &Headers<'_>) -> Identity {
        let carried = self.gather(headers);
        let mut ids = self.ids(&carried);
        let own = self.request_id.as_ref().zip(carried.request_id);
        let own = own.and_then(|(source, id)| self.flow_ids.id(source, id));
        ids.extend(own.filter(|own| !ids.contains(own)));
        let minted = self.tags.request_ids.as_ref().zip(carried.uuid.as_ref());
        let minted = minted.is_some_and(|(minter, id)| matches!(minter.read_uuid(id), Reading::Minted(_)));
        Identity { ids, minted }
    }

    /// The code of the lane that the tag header names; the baseline's where it names none of ours.
    #[must_use]
    pub fn tagged(&self, headers: &Headers<'_>) -> LaneCode {
        let tag = headers.first(self.tag_header());
        let lane = tag.and_then(|tag| self.tags.named(tag.trim_ascii()));
        lane.map_or(LaneCode::BASELINE, |lane| lane.code)
    }

    /// The header that carries the tag.
    #[must_use]
    pub fn tag_header(&self) -> &str {
        self.tags.header.as_str()
    }

    /// Whether a tag or the id of a flow may ride in this header.
    #[must_use]
    pub fn is_carrier(&self, name: &[u8]) -> bool {
        let named = |known: &str| known.as_bytes() == name;
        named(self.tag_header())
            || named(REQUEST_ID)
            || (named(BAGGAGE) && self.tags.baggage.is_some())
            || self.tags.aliases.iter().any(|alias| named(alias.as_str()))
            || self.correlation.iter().any(|id| named(id.header()))
    }

    fn gather<'a>(&self, headers: &Headers<'a>) -> Carried<'a> {
        let mut carried = self.tags.gather(headers, self.names, |carried, name, value| {
            if let Some(source) = self.correlation.iter().position(|id| id.header().as_bytes() == name) {
                let place = carried.ids.iter().position(|(known, _)| *known >= source);
                let place = place.unwrap_or(carried.ids.len());
                if carried.ids.get(place).is_none_or(|(known, _)| *known != source) {
                    carried.ids.insert(place, (source, value));
                }
            }
        });
        carried.uuid = carried.request_id.filter(|_| self.tags.request_ids.is_some()).and_then(Uuid::read);
        carried
    }

    /// The request's ids for the map: its correlation ids, and its request id unless that is minted or
    /// could be, and so speaks for itself.
    fn ids(&self, carried: &Carried<'_>) -> Vec<FlowId> {
        let mut ids: Vec<FlowId> = Vec::with_capacity(carried.ids.len());
        let mut add = |id: Option<FlowId>| {
            if let Some(id) = id
                && ids.len() < IDS_MAX
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        };
        for (source, value) in &carried.ids {
            add(self.correlation.get(*source).and_then(|source| self.flow_ids.id(source, value)));
        }
        let mute = carried.request_id.filter(|_| carried.uuid.is_none());
        if let (Some(source), Some(id)) = (&self.request_id, mute) {
            add(self.flow_ids.id(source, id));
        }
        ids
    }
}

impl Names {
    pub(crate) fn of<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        Self(names.fold(0, |all, name| all | Self::bit(name)))
    }

    /// False of a name that is not among them.
    fn may_hold(self, name: &[u8]) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// By length and last letter, which few names share.
    fn bit(name: &[u8]) -> u64 {
        let length = u32::try_from(name.len()).unwrap_or_default();
        1_u64.wrapping_shl(length ^ name.last().map_or(0, |last| u32::from(*last)))
    }
}

impl Tags {
    pub(crate) fn new(config: &FilterConfig) -> Result<Self, WireError> {
        // By insertion: sorting would bring its whole machinery into the filter, for 500 lanes at most.
        let mut lanes: Vec<TaggedLane> = Vec::with_capacity(config.lanes.len());
        for lane in &config.lanes {
            let (name, code) = (lane.name.clone(), lane.name.code());
            if let Some(first) = lanes.iter().find(|known| known.code == code) {
                return Err(WireError::SameCode { first: first.name.clone(), second: name });
            }
            let place = lanes.partition_point(|known| known.name < name);
            lanes.insert(place, TaggedLane { name, code, ancestors: ancestors(lane, &config.lanes) });
        }
        let minter = |keys: &crate::signing::KeyRing| RequestIds::new(keys.derive("canaryctl request id"));
        Ok(Self {
            lanes: lanes.into(),
            header: config.carriers.header.clone(),
            aliases: config.carriers.aliases.iter().cloned().collect(),
            baggage: config.carriers.baggage.clone(),
            request_ids: config.keys.as_ref().filter(|_| config.carriers.request_id).map(minter),
        })
    }

    fn lane(&self, code: LaneCode) -> Option<&TaggedLane> {
        if code.is_baseline() {
            return None;
        }
        self.lanes.iter().find(|lane| lane.code == code)
    }

    fn named(&self, name: &[u8]) -> Option<&TaggedLane> {
        let found = self.lanes.binary_search_by(|lane| lane.name.as_bytes().cmp(name)).ok();
        found.and_then(|index| self.lanes.get(index))
    }

    /// The headers that [`Tags::gather`] takes itself.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let own = core::iter::once(&self.header).chain(&self.aliases).map(HeaderName::as_bytes);
        own.chain([REQUEST_ID.as_bytes(), BAGGAGE.as_bytes()])
    }

    /// One pass over the headers. Lines of `names` that are no carriers of ours go to `others`.
    pub(crate) fn gather<'a>(
        &self,
        headers: &Headers<'a>,
        names: Names,
        mut others: impl FnMut(&mut Carried<'a>, &[u8], &'a [u8]),
    ) -> Carried<'a> {
        let mut carried = Carried::default();
        for (name, value) in headers.all().iter().filter(|(name, _)| names.may_hold(name)) {
            if !self.take(&mut carried, name, value) {
                others(&mut carried, name, value);
            }
        }
        carried
    }

    /// Takes a line that is a carrier of ours; false when it is none.
    fn take<'a>(&self, carried: &mut Carried<'a>, name: &[u8], value: &'a [u8]) -> bool {
        if name == self.header.as_bytes() {
            match carried.header {
                Some(first) => {
                    carried.header_repeats = true;
                    carried.header_contradicts |= first != value;
                }
                None => carried.header = Some(value),
            }
        } else if name == REQUEST_ID.as_bytes() {
            carried.request_id_repeats = carried.request_id.is_some();
            carried.request_id = carried.request_id.or(Some(value));
        } else if name == BAGGAGE.as_bytes() {
            carried.has_baggage = self.baggage.is_some();
        } else if self.aliases.iter().any(|alias| alias.as_bytes() == name) {
            if let Some(lane) = self.named(value.trim_ascii()) {
                carried.alias_contradicts |= carried.alias.is_some_and(|first| first != lane.code);
                carried.alias = Some(lane.code);
            }
        } else {
            return false;
        }
        true
    }

    /// Whether any carrier that an outsider could write holds a tag, be it of a lane or not.
    fn are_in(&self, carried: &Carried<'_>, headers: &Headers<'_>) -> bool {
        let member = |key| baggage::member(headers.lines(BAGGAGE), key).is_some();
        carried.header.is_some()
            || carried.alias.is_some()
            || (carried.has_baggage && self.baggage.as_ref().is_some_and(member))
    }

    /// What the request's own headers say: header, alias, baggage, request id, in this order. A carrier
    /// that names no lane of ours is silent.
    fn said(&self, carried: &Carried<'_>, headers: &Headers<'_>) -> Said {
        let silent = Said { tag: None, origin: Origin::None, contradicts: false };
        let contradiction = Said { contradicts: true, ..silent };
        let by_name = |value: Option<&[u8]>| value.and_then(|value| self.named(value.trim_ascii()));
        let said = |tag, origin| Said { tag: Some(tag), origin, contradicts: false };
        if carried.header_contradicts {
            return contradiction;
        }
        if let Some(lane) = by_name(carried.header) {
            return said(lane.code, Origin::Header);
        }
        if carried.alias_contradicts {
            return contradiction;
        }
        if let Some(lane) = carried.alias {
            return said(lane, Origin::Header);
        }
        if let Some(key) = self.baggage.as_ref().filter(|_| carried.has_baggage) {
            let values = baggage::values(headers.lines(BAGGAGE), key);
            let mut lanes = values.filter_map(|value| by_name(Some(value))).map(|lane| lane.code);
            if let Some(lane) = lanes.next() {
                let contradicts = lanes.any(|other| other != lane);
                return if contradicts { contradiction } else { said(lane, Origin::Baggage) };
            }
        }
        if let (Some(minter), Some(id)) = (&self.request_ids, &carried.uuid)
            && let Reading::Minted(code) = minter.read_uuid(id)
        {
            let tag = if self.lane(code).is_some() { code } else { LaneCode::BASELINE };
            return said(tag, Origin::RequestId);
        }
        silent
    }

    /// Makes every carrier say this lane; touches none that does already.
    fn write<'c>(
        &'c self,
        lane: &'c TaggedLane,
        carried: &Carried<'_>,
        headers: &Headers<'_>,
        edits: &mut Edits<'c>,
    ) {
        if carried.header_repeats || carried.header != Some(lane.name.as_bytes()) {
            edits.push(Edit::Set(self.header.as_str(), Cow::Borrowed(lane.name.as_bytes())));
        }
        // An alias is another system's to write. One that names another lane of ours would be followed
        // at the next hop, should the application drop our header.
        for alias in &self.aliases {
            let names_other =
                |value: &[u8]| self.named(value.trim_ascii()).is_some_and(|other| other.code != lane.code);
            if headers.lines(alias.as_str()).any(names_other) {
                edits.push(Edit::Remove(alias.as_str()));
            }
        }
        self.write_baggage(&lane.name, carried, headers, edits);
        self.remint(carried.uuid.as_ref(), lane.code, edits);
    }

    /// Makes the baggage say this lane, once. Where its limits leave no room for that, it says none.
    pub(crate) fn write_baggage(
        &self,
        lane: &LaneName,
        carried: &Carried<'_>,
        headers: &Headers<'_>,
        edits: &mut Edits<'_>,
    ) {
        if let Some(key) = &self.baggage {
            let line = match carried.has_baggage {
                true => baggage::saying(headers.lines(BAGGAGE), key, lane.as_str()),
                false => baggage::saying(core::iter::empty(), key, lane.as_str()),
            };
            edits.extend(line.map(baggage_edit));
        }
    }

    /// Makes a request id say this lane.
    pub(crate) fn remint<'c>(&self, id: Option<&Uuid<'_>>, code: LaneCode, edits: &mut Edits<'c>) {
        if let (Some(minter), Some(id)) = (&self.request_ids, id)
            && let Some(minted) = minter.remint_uuid(id, code)
        {
            edits.push(Edit::Set(REQUEST_ID, Cow::Owned(minted.to_vec())));
        }
    }

    /// Makes every carrier say that the request is in no lane.
    fn silence<'c>(&'c self, carried: &Carried<'_>, headers: &Headers<'_>, edits: &mut Edits<'c>) {
        self.remove(carried, headers, edits);
        self.remint(carried.uuid.as_ref(), LaneCode::BASELINE, edits);
    }

    /// Leaves one line of a repeated request id: what its others say has been read by nobody.
    pub(crate) fn unite_request_id(first: Option<&[u8]>, repeats: bool, edits: &mut Edits<'_>) {
        let is_set = || edits.iter().any(|edit| matches!(edit, Edit::Set(REQUEST_ID, _)));
        if let Some(id) = first.filter(|_| repeats && !is_set()) {
            edits.push(Edit::Set(REQUEST_ID, Cow::Owned(id.to_vec())));
        }
    }

    /// Removes the tag from header, aliases and baggage.
    ///
    /// Other members of the baggage stay byte-identical.
    pub(crate) fn remove<'c>(&'c self, carried: &Carried<'_>, headers: &Headers<'_>, edits: &mut Edits<'c>) {
        if carried.header.is_some() {
            edits.push(Edit::Remove(self.header.as_str()));
        }
        for name in &self.aliases {
            if headers.first(name.as_str()).is_some() {
                edits.push(Edit::Remove(name.as_str()));
            }
        }
        if let Some(key) = self.baggage.as_ref().filter(|_| carried.has_baggage) {
            edits.extend(baggage::without_member(headers.lines(BAGGAGE), key).map(baggage_edit));
        }
    }
}

fn baggage_edit<'c>(line: Vec<u8>) -> Edit<'c> {
    if line.is_empty() { Edit::Remove(BAGGAGE) } else { Edit::Set(BAGGAGE, Cow::Owned(line)) }
}

impl Origin {
    /// Every origin, in the order of [`Origin::index`].
    pub const ALL: [Self; 6] =
        [Self::Header, Self::Baggage, Self::RequestId, Self::Correlation, Self::Colour, Self::None];

    /// Its place among [`Origin::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name in metrics and in traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Baggage => "baggage",
            Self::RequestId => "request_id",
            Self::Correlation => "correlation",
            Self::Colour => "colour",
            Self::None => "none",
        }
    }
}

/// A pod's own lane from its label; none where the label names no lane.
#[must_use]
pub fn colour(label: &[u8]) -> Option<LaneCode> {
    core::str::from_utf8(label).ok().and_then(|text| LaneName::new(text).ok()).map(|lane| lane.code())
}

fn ancestors(lane: &WireLane, lanes: &[WireLane]) -> Box<[LaneCode]> {
    let parent_of = |lane: &WireLane| lane.parent.clone();
    core::iter::successors(parent_of(lane), |name| {
        lanes.iter().find(|lane| lane.name == *name).and_then(parent_of)
    })
    .take(PARENTS_MAX)
    .map(|name| name.code())
    .collect()
}
