//! The cluster's addresses under others of this machine's, where this machine has a use of its own for them: what Telepresence
//! calls VNAT. Pure.

use std::net::Ipv4Addr;

use super::range::{Range, without};

/// Addresses that hardly a network has: reserved by RFC 1112. Linux carries them like any others.
pub const RESERVED: Range = Range::new(Ipv4Addr::new(240, 0, 0, 0), 4);

/// Addresses that mean something to every machine.
const SPECIAL: [Range; 5] = [
    Range::new(Ipv4Addr::UNSPECIFIED, 8),
    Range::new(Ipv4Addr::LOCALHOST, 8),
    Range::new(Ipv4Addr::new(192, 0, 0, 0), 24),
    Range::new(Ipv4Addr::new(224, 0, 0, 0), 4),
    Range::one(Ipv4Addr::BROADCAST),
];

/// A range, and where it is for this machine; both have as many addresses, in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translated {
    /// What it is in the cluster.
    pub range: Range,
    /// What it is here.
    pub here: Range,
}

/// Which of the cluster's ranges have other addresses here; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation(Vec<Translated>);

impl Translation {
    /// Finds a place for each range within a pool, where none of the taken ones is: the one whose addresses end as the
    /// range's do, if that is free. Ranges of the cluster must not overlap each other.
    ///
    /// # Errors
    /// With the first range that has no room.
    pub fn new(ranges: &[Range], pool: Range, taken: &[Range]) -> Result<Self, Range> {
        let mut taken = [taken, &SPECIAL].concat();
        let mut translated = Vec::with_capacity(ranges.len());
        for &range in ranges {
            let alike = pool.counterpart(range).filter(|alike| !taken.iter().any(|one| one.overlaps(alike)));
            let here = alike.or_else(|| {
                let free = without(&[pool], &taken);
                free.iter().find_map(|free| free.first(range.bits()))
            });
            let here = here.ok_or(range)?;
            taken.push(here);
            translated.push(Translated { range, here });
        }
        Ok(Self(translated))
    }

    /// What is translated.
    #[must_use]
    pub fn all(&self) -> &[Translated] {
        &self.0
    }

    /// The address by which this machine calls one of the cluster's.
    #[must_use]
    pub fn here(&self, there: Ipv4Addr) -> Ipv4Addr {
        let found = self.0.iter().find(|one| one.range.has(there));
        found.map_or(there, |one| one.here.with_end_of(there))
    }

    /// The cluster's address that this machine calls by one.
    #[must_use]
    pub fn there(&self, here: Ipv4Addr) -> Ipv4Addr {
        let found = self.0.iter().find(|one| one.here.has(here));
        found.map_or(here, |one| one.range.with_end_of(here))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().expect("a range")
    }

    #[track_caller]
    fn check(ranges: &[&str], pool: Range, taken: &[&str], want: &[&str]) {
        let all = |texts: &[&str]| texts.iter().map(|text| range(text)).collect::<Vec<_>>();
        let translation = Translation::new(&all(ranges), pool, &all(taken)).expect("room");
        let here: Vec<Range> = translation.all().iter().map(|one| one.here).collect();
        assert_eq!(here, all(want));
    }

    #[test]
    fn a_range_ends_as_in_the_cluster_where_that_is_free() {
        check(
            &["10.88.0.0/16", "172.16.0.0/12", "192.168.4.0/24"],
            RESERVED,
            &[],
            &["250.88.0.0/16", "252.16.0.0/12", "240.168.4.0/24"],
        );
        check(&["10.88.0.0/16"], RESERVED, &["250.88.7.0/24"], &["240.0.0.0/16"]);
        check(&["10.88.0.0/16", "26.88.0.0/16"], RESERVED, &[], &["250.88.0.0/16", "240.0.0.0/16"]);
        check(&["10.88.0.0/16"], range("198.18.0.0/15"), &[], &["198.18.0.0/16"]);
        check(&["10.89.0.0/16"], range("198.18.0.0/15"), &[], &["198.19.0.0/16"]);
        check(&["31.255.255.0/24"], RESERVED, &[], &["240.0.0.0/24"]);
    }

    #[test]
    fn a_pool_without_room_is_named_by_the_range_that_has_none() {
        let ranges = [range("10.88.0.0/16"), range("10.89.0.0/16")];
        assert_eq!(Translation::new(&ranges, range("198.18.0.0/16"), &[]), Err(ranges[1]));
        assert_eq!(Translation::new(&ranges, range("198.18.0.0/24"), &[]), Err(ranges[0]));
        assert_eq!(Translation::new(&ranges, range("127.0.0.0/8"), &[]), Err(ranges[0]));
    }

    #[test]
    fn every_address_of_a_range_has_one_here_and_no_other_is_changed() {
        let translation = Translation::new(&[range("10.88.0.0/16")], RESERVED, &[]).expect("room");
        let (there, here) = (Ipv4Addr::new(10, 88, 3, 7), Ipv4Addr::new(250, 88, 3, 7));
        assert_eq!((translation.here(there), translation.there(here)), (here, there));
        for other in [Ipv4Addr::new(10, 89, 0, 1), Ipv4Addr::new(250, 89, 0, 1)] {
            assert_eq!((translation.here(other), translation.there(other)), (other, other));
        }
    }
}
