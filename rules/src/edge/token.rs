//! The signed tokens that a client holds: what they say, and the cookie among them kept up to date.

use alloc::vec::Vec;

use super::claim::Win;
use super::{Edge, EdgeLane};
use crate::facts::Facts;
use crate::hop::Carried;
use crate::set_cookie::{self, CookieAttributes};
use crate::signing::{self, Purpose, Ticket, TicketError};

/// What the request's signed tokens say; none where one is absent or worth nothing.
#[derive(Default)]
pub(super) struct Tokens {
    pub(super) header: Option<Ticket>,
    pub(super) link: Option<Ticket>,
    pub(super) cookie: Option<Ticket>,
    /// Any value under the lane cookie's name, valid or not.
    pub(super) has_cookie: bool,
    /// Tokens whose signature does not verify.
    pub(super) rejected: u32,
}

impl Edge {
    pub(super) fn tokens(&self, carried: &Carried<'_>, facts: &Facts<'_>, now_unix_s: u64) -> Tokens {
        let mut tokens = Tokens::default();
        let rejected = &mut tokens.rejected;
        let name = self.settings.lane_cookie.as_str();
        let cookie = facts.cookie(name);
        tokens.has_cookie = cookie.is_some();
        tokens.cookie = self.ticket(Purpose::Cookie, cookie, now_unix_s, rejected);
        tokens.header = self.ticket(Purpose::Header, carried.header, now_unix_s, rejected);
        if facts.may_have_query(name) {
            tokens.link = self.ticket(Purpose::Link, facts.query(name).as_deref(), now_unix_s, rejected);
        }
        tokens
    }

    pub(super) fn ticket(
        &self,
        purpose: Purpose,
        token: Option<&[u8]>,
        now_unix_s: u64,
        rejected: &mut u32,
    ) -> Option<Ticket> {
        let (keys, token) = (self.keys.as_ref()?, token?);
        match signing::verify(keys, purpose, token, now_unix_s) {
            Ok(ticket) => Some(ticket),
            Err(TicketError::BadSignature | TicketError::UnknownKey) => {
                *rejected = rejected.saturating_add(1);
                None
            }
            Err(TicketError::Malformed | TicketError::Expired) => None,
        }
    }

    /// The `set-cookie` line that the decision calls for: a lane cookie where the one there says something
    /// else or is past half its life, the end of one that vouches for nothing any more.
    pub(super) fn lane_cookie(&self, win: Option<&Win>, tokens: &Tokens, now_unix_s: u64) -> Option<Vec<u8>> {
        let name = &self.settings.lane_cookie;
        let own = |lane: usize| self.lanes.get(lane).map(|lane| self.attributes(lane));
        let given = win.and_then(|win| Some((win, win.assigned?, self.lanes.get(win.lane)?)));
        let (Some(keys), Some((win, assigned, lane))) = (&self.keys, given) else {
            // One that verifies may be of use to another request: this one was won by something else.
            let worthless = tokens.has_cookie && (win.is_none() || tokens.cookie.is_none());
            let attributes = tokens.cookie.as_ref().and_then(|ticket| own(self.lane_of_ticket(ticket)?));
            return worthless.then(|| set_cookie::expire(name, attributes.unwrap_or(&self.settings.cookie)));
        };
        let life_s = u64::from(lane.cookie_max_age_s);
        let same = |ticket: &&Ticket| {
            ticket.lane == lane.name && ticket.epoch == lane.epoch && ticket.assigned == assigned
        };
        let is_fresh = |ticket: &Ticket| {
            !win.renew || ticket.expires_unix_s.saturating_sub(now_unix_s) > life_s.div_euclid(2)
        };
        if tokens.cookie.as_ref().filter(same).is_some_and(is_fresh) {
            return None;
        }
        let expires_unix_s = now_unix_s.saturating_add(life_s);
        let ticket = Ticket { lane: lane.name.clone(), epoch: lane.epoch, assigned, expires_unix_s };
        let token = signing::sign(keys, Purpose::Cookie, &ticket);
        Some(set_cookie::set(name, &token, lane.cookie_max_age_s, self.attributes(lane)))
    }

    /// The attributes of a lane's cookie.
    pub(super) fn attributes<'e>(&'e self, lane: &'e EdgeLane) -> &'e CookieAttributes {
        lane.cookie.as_ref().unwrap_or(&self.settings.cookie)
    }
}
