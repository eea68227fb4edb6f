//! Whether flows went where they had to go.

use std::collections::BTreeMap;

use canary_localmesh::app::Access;

use crate::flows::Answer;
use crate::shop::{GRAY_SERVICES, Shop};

/// Whose flow it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    /// Has the cookie.
    Gray,
    /// Has nothing.
    Plain,
    /// Has nothing, and claims to be gray.
    Forger,
}

impl User {
    /// The path by which logs tell whose flow it is, whatever any filter made of it.
    pub(crate) fn path(self) -> String {
        format!("/?user={self:?}")
    }
}

/// A lane, and how its pods are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    /// The services that have pods of it.
    pub(crate) services: &'static [&'static str],
    /// How the names of their Deployments end.
    pub(crate) end: &'static str,
}

impl Lane {
    /// The gray versions of [`Shop::gray`].
    pub(crate) const GRAY: Self = Self { services: &GRAY_SERVICES, end: "-gray" };
}

/// Where gray users' flows must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// To the baseline: no lane is on.
    Off,
    /// To either: a lane is coming or going.
    Moving,
    /// To the lane.
    On,
    /// To the lane, and so may anybody else's, all the way.
    Shared,
    /// To the lane, and so must everybody's.
    Everybody,
    /// To either, and so may anybody else's: a share of all users is coming or going.
    Spreading,
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    pub(crate) by_user: BTreeMap<User, usize>,
    faults: Vec<String>,
}

impl Tally {
    /// Judges a flow by the rules that held when it was sent. Says whether it was the first to be at fault.
    pub(crate) fn judge(&mut self, lane: Lane, user: User, rules: Rules, answer: &Answer) -> bool {
        self.sent += 1;
        *self.by_user.entry(user).or_default() += 1;
        if let Some(failure) = &answer.failure {
            let now = jiff::Timestamp::now();
            self.faults.push(format!("{now:.3} {user:?} flow failed: {failure}"));
            return self.faults.len() == 1;
        }
        let (gray, all) = (answer.served_by(lane.services, lane.end), lane.services.len());
        let wrong = match (user, rules) {
            (_, Rules::Spreading) => false,
            (User::Plain | User::Forger, Rules::Shared) => gray > 0 && gray != all,
            (_, Rules::Everybody) | (User::Gray, Rules::On | Rules::Shared) => gray != all,
            (User::Plain | User::Forger, _) | (User::Gray, Rules::Off) => gray > 0,
            (User::Gray, Rules::Moving) => false,
        };
        if wrong {
            let now = jiff::Timestamp::now();
            self.faults.push(format!("{now:.3} {user:?} flow while {rules:?} went {}", answer.path()));
        }
        wrong && self.faults.len() == 1
    }

    /// Asserts that there were flows of every user, that an app failed some of this user's with this status, and that
    /// there was no other fault.
    #[track_caller]
    pub(crate) fn clean_but_for(mut self, user: User, status: u16, at_least: usize) {
        let (whose, part) = (format!("{user:?} flow failed"), format!("\"status\":{status}"));
        let all = self.faults.len();
        self.faults.retain(|fault| !(fault.contains(&whose) && fault.contains(&part)));
        assert!(self.faults.len() < all, "no app failed a flow of {user:?} with {status}");
        self.clean(at_least);
    }

    /// Asserts that there were flows of every user, and no fault.
    #[track_caller]
    pub(crate) fn clean(&self, at_least: usize) {
        let count = self.faults.len();
        let some = (self.faults.iter().take(5), self.faults.last());
        assert!(count == 0, "{count} of {} flows: {some:#?}", self.sent);
        assert!(self.sent >= at_least, "only {} flows were sent", self.sent);
        for user in [User::Gray, User::Plain, User::Forger] {
            assert!(self.by_user.contains_key(&user), "no flow of {user:?}");
        }
    }
}

/// Asserts that pods of a lane saw no request but the lane's, by their own logs: neither untagged ones nor those of
/// users who are in no lane.
#[track_caller]
pub(crate) fn lane_pods_saw_only(shop: &Shop, version: &str, lane: &str, at_least: usize) {
    let seen = shop.access_logs(version);
    let others = [User::Plain.path(), User::Forger.path()];
    let is_strange = |access: &&Access| {
        access.headers.get("x-canary-lane").map(String::as_str) != Some(lane)
            || others.contains(&access.target)
    };
    let strangers: Vec<_> = seen.iter().filter(is_strange).collect();
    let some = &strangers[..strangers.len().min(5)];
    assert!(strangers.is_empty(), "{} of {} requests: {some:#?}", strangers.len(), seen.len());
    assert!(seen.len() >= at_least, "lane pods saw only {} requests", seen.len());
}
