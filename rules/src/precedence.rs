//! Which of several lanes a request gets.

use core::cmp::Reverse;

use crate::name::LaneName;

/// How strongly something claims a request; the first wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A signed tag or link names the lane.
    Signed,
    /// An explicit rule holds.
    Rule,
    /// The user's signed cookie names the lane.
    Assigned,
    /// A percentage covers the user.
    Share,
}

/// A claim's rank: the least one gets the request.
///
/// Explicit rules of any lane beat percentages; then the lane's priority, higher first; then its name;
/// then the rule's place within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence<'a> {
    /// What claims.
    pub class: Class,
    /// The lane's priority.
    pub priority: Reverse<i32>,
    /// The lane.
    pub lane: &'a LaneName,
    /// The rule, counted from 0 within the lane.
    pub rule: usize,
}
