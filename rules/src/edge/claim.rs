//! Who gets a request: its claimants from the strongest to the weakest, the first one wins.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::cause::Cause;
use super::share::Layer;
use super::token::Tokens;
use super::{Edge, EdgeLane, EdgeRule, Reason};
use crate::facts::Facts;
use crate::precedence::{Class, Precedence};
use crate::signing::{Assigned, Ticket};

/// Longest value of the uid cookie that is taken for one, in bytes.
const UID_BYTES_MAX: usize = 64;

/// A lane won, and what its cookie should vouch for.
pub(super) struct Win {
    pub(super) lane: usize,
    pub(super) reason: Reason,
    /// None where no cookie is given out.
    pub(super) assigned: Option<Assigned>,
    /// Whether the cookie may be given a longer life: what it vouches for has just been seen to hold.
    pub(super) renew: bool,
}

impl Edge {
    /// The strongest claim on a request. Weaker ones are not even looked at: the order here is that of
    /// [`Class`], and within a class that of [`Precedence`].
    pub(super) fn winner(
        &self,
        facts: &Facts<'_>,
        tokens: &Tokens,
        now_unix_s: u64,
        make_uid: &mut dyn FnMut() -> Option<Vec<u8>>,
    ) -> Option<Win> {
        self.signed(tokens, now_unix_s)
            .or_else(|| self.ruled(facts, now_unix_s))
            .or_else(|| self.assigned(tokens, now_unix_s))
            .or_else(|| self.shared(facts, now_unix_s, make_uid))
    }

    /// A trusted tool's tag goes for this request only; a link, for whoever opened it.
    fn signed(&self, tokens: &Tokens, now_unix_s: u64) -> Option<Win> {
        let live = |ticket: &Option<Ticket>| self.live(ticket.as_ref()?, now_unix_s);
        if let Some(lane) = live(&tokens.header) {
            return Some(Win { lane, reason: Reason::SignedHeader, assigned: None, renew: false });
        }
        let lane = live(&tokens.link)?;
        let assigned = self.lanes.get(lane).filter(|lane| lane.keeps).map(|_| Assigned::Rule);
        Some(Win { lane, reason: Reason::SignedLink, assigned, renew: true })
    }

    fn ruled(&self, facts: &Facts<'_>, now_unix_s: u64) -> Option<Win> {
        let live = |rule: &EdgeRule| self.lane_is_live(rule.lane, now_unix_s);
        let rule = self.index.first(&self.rules, facts, live)?;
        let assigned = rule.sticky.then_some(Assigned::Rule);
        Some(Win { lane: rule.lane, reason: Reason::Rule(rule.place), assigned, renew: true })
    }

    /// The lane that the user's cookie names, while what gave it out still stands: the lane with this
    /// epoch, and of a percentage the user's rank below the share.
    fn assigned(&self, tokens: &Tokens, now_unix_s: u64) -> Option<Win> {
        let ticket = tokens.cookie.as_ref()?;
        let lane = self.live(ticket, now_unix_s)?;
        let holder = self.lanes.get(lane)?;
        let (stands, renew) = match ticket.assigned {
            Assigned::Rule => (holder.keeps, false),
            Assigned::Percent { rank } => {
                (holder.shares.iter().any(|rule| rule.sticky && rule.covers(rank)), true)
            }
        };
        let assigned = Some(ticket.assigned);
        stands.then_some(Win { lane, reason: Reason::Assigned, assigned, renew })
    }

    fn shared(
        &self,
        facts: &Facts<'_>,
        now_unix_s: u64,
        make_uid: &mut dyn FnMut() -> Option<Vec<u8>>,
    ) -> Option<Win> {
        let mut best: Option<(Precedence<'_>, Win)> = None;
        for layer in &self.layers {
            let user = match self.user(layer, facts) {
                None if self.asks_who(layer, facts, now_unix_s) => make_uid(),
                known => known,
            };
            let place = user.as_ref().map_or_else(|| layer.sole_holder(), |user| layer.holder(user));
            let Some((lane, rank)) = place else { continue };
            let Some(holder) = self.lanes.get(lane) else { continue };
            let mut shares = holder.shares.iter().filter(|_| self.lane_is_live(lane, now_unix_s));
            let Some(rule) = shares.find(|rule| rule.covers(rank) && rule.asks(facts)) else { continue };
            let priority = Reverse(holder.priority);
            let claim = Precedence { class: Class::Share, priority, lane: &holder.name, rule: rule.place };
            if best.as_ref().is_none_or(|(strongest, _)| claim < *strongest) {
                let assigned = (rule.sticky && user.is_some()).then_some(Assigned::Percent { rank });
                let reason = Reason::Share { rule: rule.place, rank };
                best = Some((claim, Win { lane, reason, assigned, renew: true }));
            }
        }
        best.map(|(_, win)| win)
    }

    /// Takes the cookie off a win that another cookie might have forestalled, had the browser not kept it
    /// back; tells whether.
    pub(super) fn hold_back(&self, win: &mut Win, tokens: &Tokens, facts: &Facts<'_>) -> bool {
        if win.assigned.is_none() || tokens.has_cookie {
            return false;
        }
        let cause = Cause::of(facts);
        let kept_back = |lane: &EdgeLane| cause.keeps_back(self.attributes(lane).same_site);
        let holds = match win.reason {
            Reason::Rule(_) => self.lanes.get(win.lane).is_some_and(kept_back),
            // Any lane's cookie comes before a percentage.
            Reason::Share { .. } => self.lanes.iter().any(kept_back),
            // These come before every cookie, or are one.
            Reason::SignedHeader | Reason::SignedLink | Reason::Assigned | Reason::Nothing => false,
        };
        if holds {
            win.assigned = None;
        }
        holds
    }

    /// What tells the user apart in a layer; last, the cookie that an edge has given out.
    pub(super) fn user(&self, layer: &Layer, facts: &Facts<'_>) -> Option<Vec<u8>> {
        let is_uid = |value: &&[u8]| {
            (1..=UID_BYTES_MAX).contains(&value.len()) && value.iter().all(u8::is_ascii_alphanumeric)
        };
        let uid = || facts.cookie(self.settings.uid_cookie.as_str()).filter(is_uid).map(<[u8]>::to_vec);
        layer.user(facts).or_else(uid)
    }

    /// Whether any percentage of a layer might take this request, whoever sent it.
    fn asks_who(&self, layer: &Layer, facts: &Facts<'_>, now_unix_s: u64) -> bool {
        let live = layer.lanes.iter().filter(|lane| self.lane_is_live(**lane, now_unix_s));
        let mut shares = live.filter_map(|lane| self.lanes.get(*lane)).flat_map(|lane| lane.shares.iter());
        shares.any(|rule| rule.covers(0) && rule.asks(facts))
    }

    fn live(&self, ticket: &Ticket, now_unix_s: u64) -> Option<usize> {
        let lane = self.lane_of_ticket(ticket)?;
        let epoch = self.lanes.get(lane)?.epoch;
        (epoch == ticket.epoch && self.lane_is_live(lane, now_unix_s)).then_some(lane)
    }

    pub(super) fn lane_of_ticket(&self, ticket: &Ticket) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.name == ticket.lane)
    }

    pub(super) fn lane_is_live(&self, lane: usize, now_unix_s: u64) -> bool {
        let expires = self.lanes.get(lane).and_then(|lane| lane.expires_unix_s);
        expires.is_none_or(|expires| now_unix_s < expires)
    }
}

impl EdgeRule {
    /// Whether the request is what the rule asks for, percentage aside.
    fn asks(&self, facts: &Facts<'_>) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(facts))
    }
}
