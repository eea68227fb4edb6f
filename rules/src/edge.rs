//! What an edge does with a request: believe nothing from outside, decide the lane, tag, set cookies.
//!
//! Knows rules, percentages, cookies and precedence; knows nothing of the correlation map.

mod cause;
mod claim;
mod index;
mod response;
mod share;
mod token;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

pub use response::ResponsePlan;

use crate::edits::{Edit, Edits};
use crate::facts::Facts;
use crate::hop::{Carried, Names, REQUEST_ID, Tags};
use crate::matcher::Matcher;
use crate::name::{LaneCode, LaneName};
#[cfg(feature = "explain")]
use crate::precedence::{Class, Precedence};
use crate::request::Headers;
use crate::request_id::{self, Uuid};
use crate::set_cookie::{self, CookieAttributes};
use crate::signing::{KeyRing, Purpose};
use crate::wire::{EdgeSettings, FilterConfig, WireError, WireLane};
use cause::Cause;
use index::Index;
use share::Layer;
use token::Tokens;

/// Life of the cookie that identifies a user who has no other key, in seconds.
pub const UID_MAX_AGE_S: u32 = 400 * 24 * 3600;

/// Changes to a request that goes into a lane: tag, baggage and id.
const EDITS_USUAL: usize = 3;

/// An edge's part, compiled from its configuration.
#[derive(Debug)]
pub struct Edge {
    tags: Tags,
    /// Of the headers that are gathered.
    names: Names,
    settings: EdgeSettings,
    keys: Option<KeyRing>,
    /// By precedence: priority, then name.
    lanes: Box<[EdgeLane]>,
    /// Explicit rules by precedence.
    rules: Box<[EdgeRule]>,
    index: Index,
    layers: Box<[Layer]>,
    vary: String,
}

#[derive(Debug)]
pub(crate) struct EdgeLane {
    pub(crate) name: LaneName,
    code: LaneCode,
    priority: i32,
    epoch: u32,
    expires_unix_s: Option<u64>,
    cookie_max_age_s: u32,
    cookie: Option<CookieAttributes>,
    /// Percentage rules, in the lane's order.
    pub(crate) shares: Box<[EdgeRule]>,
    /// Whether a cookie keeps users who came by a rule or a link: unless every rule says otherwise.
    keeps: bool,
}

/// A rule and whose it is.
#[derive(Debug)]
pub(crate) struct EdgeRule {
    pub(crate) lane: usize,
    /// Its place in the lane's list, from 0.
    pub(crate) place: usize,
    #[cfg(feature = "explain")]
    pub(crate) name: Box<str>,
    pub(crate) when: Option<Matcher>,
    /// In hundredths of a percent; explicit rules have none.
    pub(crate) share: Option<u16>,
    sticky: bool,
}

/// What an edge decided, and everything that follows.
#[derive(Debug, PartialEq, Eq)]
pub struct EdgeDecision<'c> {
    /// The lane; none for the baseline.
    pub lane: Option<&'c LaneName>,
    /// Why.
    pub reason: Reason,
    /// Signed things in the request whose signature does not verify.
    pub rejected_signatures: u32,
    /// Whether the request carried a tag that nobody here gave it.
    pub forged: bool,
    /// Whether no id or no lane cookie is given because another site caused the request: the user may have
    /// one that the browser kept back.
    pub held_back: bool,
    /// What to change in the request.
    pub edits: Edits<'c>,
    /// What to change in the response.
    pub response: ResponsePlan<'c>,
}

/// What an edge's guard does.
#[derive(Debug, PartialEq, Eq)]
pub struct Guarded<'c> {
    /// What to remove from the request: what it carries is forged.
    pub edits: Edits<'c>,
    /// Tag headers whose signature does not verify; the edge behind sees no trace of them.
    pub rejected_signatures: u32,
}

/// Why a request is in its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The tag header held a signed tag.
    SignedHeader,
    /// The query held a signed link's tag.
    SignedLink,
    /// An explicit rule, by its place in the lane, from 0.
    Rule(usize),
    /// The signed cookie of an earlier decision.
    Assigned,
    /// A percentage.
    Share {
        /// The rule's place in the lane, from 0.
        rule: usize,
        /// How many users of the layer are in the lane before this one, in hundredths of a percent.
        rank: u16,
    },
    /// Nothing claims the request: baseline.
    Nothing,
}

impl Edge {
    /// Compiles an edge's configuration.
    ///
    /// # Errors
    /// A rule that does not compile, two lanes of one code, malformed buckets.
    pub fn new(config: &FilterConfig) -> Result<Self, WireError> {
        let settings = config.edge.clone().unwrap_or_default();
        // By insertion: sorting would bring its whole machinery into the filter, for 500 lanes at most.
        let mut wire: Vec<&WireLane> = Vec::with_capacity(config.lanes.len());
        for lane in &config.lanes {
            let after = |known: &&WireLane| {
                (Reverse(known.priority), &known.name) <= (Reverse(lane.priority), &lane.name)
            };
            wire.insert(wire.partition_point(after), lane);
        }
        let mut lanes = Vec::with_capacity(wire.len());
        let mut rules = Vec::new();
        for (index, lane) in wire.iter().enumerate() {
            let mut shares = Vec::new();
            for (place, rule) in lane.rules.iter().enumerate() {
                let when = rule.when.as_ref().map(Matcher::new).transpose();
                let when = when.map_err(|message| WireError::Rule {
                    lane: lane.name.clone(),
                    rule: place.saturating_add(1),
                    message,
                })?;
                let compiled = EdgeRule {
                    lane: index,
                    place,
                    #[cfg(feature = "explain")]
                    name: rule.name.as_str().into(),
                    when,
                    share: rule.share,
                    sticky: rule.sticky,
                };
                if rule.share.is_some() { shares.push(compiled) } else { rules.push(compiled) }
            }
            let explicit = lane.rules.iter().filter(|rule| rule.share.is_none());
            lanes.push(EdgeLane {
                name: lane.name.clone(),
                code: lane.name.code(),
                priority: lane.priority,
                epoch: lane.epoch,
                expires_unix_s: lane.expires_unix_s,
                cookie_max_age_s: lane.cookie_max_age_s,
                cookie: lane.cookie.clone(),
                shares: shares.into(),
                keeps: explicit.clone().next().is_none() || explicit.clone().any(|rule| rule.sticky),
            });
        }
        let layers = settings.layers.iter().map(|layer| Layer::new(layer, &wire));
        let layers = layers.collect::<Result<Box<[_]>, _>>()?;
        let index = Index::new(&rules);
        let tag = config.keys.as_ref().map(|_| &config.carriers.header);
        let vary = response::vary(&rules, &lanes, &settings, tag);
        let tags = Tags::new(config)?;
        Ok(Self {
            names: Names::of(tags.names()),
            tags,
            settings,
            keys: config.keys.clone(),
            lanes: lanes.into(),
            rules: rules.into(),
            index,
            layers,
            vary,
        })
    }

    /// The lanes' names, highest precedence first.
    pub fn lanes(&self) -> impl ExactSizeIterator<Item = &LaneName> {
        self.lanes.iter().map(|lane| &lane.name)
    }

    /// Removes what an outsider may not say: tag header, aliases, baggage member. A tag header whose
    /// signature verifies stays for [`Edge::decide`].
    #[must_use]
    pub fn guard(&self, headers: &Headers<'_>, now_unix_s: u64) -> Guarded<'_> {
        let carried = self.gather(headers);
        let mut edits = Edits::new();
        self.tags.remove(&carried, headers, &mut edits);
        let mut rejected_signatures = 0;
        if self.ticket(Purpose::Header, carried.header, now_unix_s, &mut rejected_signatures).is_some() {
            edits.retain(|edit| *edit != Edit::Remove(self.tags.header.as_str()));
        }
        Guarded { edits, rejected_signatures }
    }

    /// Decides one request.
    ///
    /// `peer_address` is the connection's other end as text, `entropy` gives 16 unpredictable bytes; it is
    /// asked only when a cookie or a request id has to be made.
    pub fn decide(
        &self,
        headers: &Headers<'_>,
        peer_address: Option<&[u8]>,
        now_unix_s: u64,
        mut entropy: impl FnMut() -> [u8; 16],
    ) -> EdgeDecision<'_> {
        let facts = Facts::new(*headers, self.settings.trusted_hops, peer_address);
        let carried = self.gather(headers);
        let tokens = self.tokens(&carried, &facts, now_unix_s);
        let mut new_uid: Option<String> = None;
        let mut held_back = false;
        let mut make_uid = || {
            held_back = Cause::of(&facts).keeps_back(self.settings.cookie.same_site);
            (!held_back).then(|| new_uid.get_or_insert_with(|| hex(entropy())).clone().into_bytes())
        };
        let mut win = self.winner(&facts, &tokens, now_unix_s, &mut make_uid);
        held_back |= win.as_mut().is_some_and(|win| self.hold_back(win, &tokens, &facts));

        let mut cookies: Vec<Vec<u8>> =
            self.lane_cookie(win.as_ref(), &tokens, now_unix_s).into_iter().collect();
        if let Some(uid) = new_uid {
            let name = &self.settings.uid_cookie;
            cookies.push(set_cookie::set(name, &uid, UID_MAX_AGE_S, &self.settings.cookie));
        }

        let lane = win.as_ref().and_then(|win| self.lanes.get(win.lane));
        let code = lane.map_or(LaneCode::BASELINE, |lane| lane.code);
        let lane = lane.map(|lane| &lane.name);
        let mut edits = Edits::with_capacity(EDITS_USUAL);
        let forged = self.write_tag(lane, &tokens, &carried, headers, &mut edits);
        if !self.lanes.is_empty() {
            self.mint(code, &carried, &mut entropy, &mut edits);
        }
        EdgeDecision {
            lane,
            reason: win.map_or(Reason::Nothing, |win| win.reason),
            rejected_signatures: tokens.rejected,
            forged,
            held_back,
            edits,
            response: ResponsePlan {
                cookies,
                lane,
                show: self.settings.show_lane.then_some(&self.tags.header),
                vary: (self.settings.vary && !self.vary.is_empty()).then_some(&self.vary),
            },
        }
    }

    fn gather<'a>(&self, headers: &Headers<'a>) -> Carried<'a> {
        self.tags.gather(headers, self.names, |_, _, _| {})
    }

    /// A request's facts under this edge's settings.
    #[cfg(feature = "explain")]
    pub(crate) fn facts<'a>(&self, headers: &Headers<'a>, peer_address: Option<&'a [u8]>) -> Facts<'a> {
        Facts::new(*headers, self.settings.trusted_hops, peer_address)
    }

    /// Every rule: explicit ones by precedence, then percentages.
    #[cfg(feature = "explain")]
    pub(crate) fn all_rules(&self) -> impl Iterator<Item = &EdgeRule> {
        self.rules.iter().chain(self.lanes.iter().flat_map(|lane| lane.shares.iter()))
    }

    /// The lane of a rule.
    #[cfg(feature = "explain")]
    pub(crate) fn lane_of(&self, rule: &EdgeRule) -> Option<&LaneName> {
        self.lanes.get(rule.lane).map(|lane| &lane.name)
    }

    /// A rule's rank among those that hold.
    #[cfg(feature = "explain")]
    pub(crate) fn precedence<'e>(&'e self, rule: &EdgeRule) -> Option<Precedence<'e>> {
        let lane = self.lanes.get(rule.lane)?;
        let class = if rule.share.is_some() { Class::Share } else { Class::Rule };
        Some(Precedence { class, priority: Reverse(lane.priority), lane: &lane.name, rule: rule.place })
    }

    /// Whether a rule's lane has not expired.
    #[cfg(feature = "explain")]
    pub(crate) fn is_live(&self, rule: &EdgeRule, now_unix_s: u64) -> bool {
        self.lane_is_live(rule.lane, now_unix_s)
    }

    /// Whether a percentage covers the user; none for one whom the request does not tell apart.
    #[cfg(feature = "explain")]
    pub(crate) fn covers_user(&self, rule: &EdgeRule, facts: &Facts<'_>) -> Option<bool> {
        let layer = self.layers.iter().find(|layer| layer.lanes.contains(&rule.lane))?;
        let holder = layer.holder(&self.user(layer, facts)?);
        Some(holder.is_some_and(|(lane, rank)| lane == rule.lane && rule.covers(rank)))
    }

    /// The name of the cookie that keeps users in their lane.
    #[cfg(feature = "explain")]
    pub(crate) fn lane_cookie_name(&self) -> &str {
        self.settings.lane_cookie.as_str()
    }

    /// Makes header and baggage say the lane and nothing else; tells whether they said something that
    /// nobody here signed.
    fn write_tag<'c>(
        &'c self,
        lane: Option<&'c LaneName>,
        tokens: &Tokens,
        carried: &Carried<'_>,
        headers: &Headers<'_>,
        edits: &mut Edits<'c>,
    ) -> bool {
        self.tags.remove(carried, headers, edits);
        let header = self.tags.header.as_str();
        let signed = tokens.header.is_some();
        let forged = edits.iter().any(|edit| !(signed && *edit == Edit::Remove(header)));
        if let Some(lane) = lane {
            edits.retain(|edit| *edit != Edit::Remove(header) && !changes_baggage(edit));
            edits.push(Edit::Set(header, Cow::Borrowed(lane.as_bytes())));
            self.tags.write_baggage(lane, carried, headers, edits);
        }
        forged
    }

    /// Mints the request id, so that it names the lane, or the baseline, to every hop that sees it.
    fn mint(
        &self,
        code: LaneCode,
        carried: &Carried<'_>,
        entropy: &mut dyn FnMut() -> [u8; 16],
        edits: &mut Edits<'_>,
    ) {
        match (carried.request_id, &self.tags.request_ids) {
            (Some(id), _) => {
                self.tags.remint(Uuid::read(id).as_ref(), code, edits);
                Tags::unite_request_id(Some(id), carried.request_id_repeats, edits);
            }
            (None, Some(minter)) => {
                if let Some(minted) = minter.mint(&request_id::fresh(entropy()), code) {
                    edits.push(Edit::Set(REQUEST_ID, Cow::Owned(minted.to_vec())));
                }
            }
            (None, None) => {}
        }
    }
}

fn changes_baggage(edit: &Edit<'_>) -> bool {
    matches!(edit, Edit::Remove(crate::hop::BAGGAGE) | Edit::Set(crate::hop::BAGGAGE, _))
}

fn hex(bytes: [u8; 16]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}
