//! Ranges of addresses, and what is left of one without another. Pure.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of addresses, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    address: u32,
    bits: u8,
}

impl Range {
    /// The range of this length that has an address; all of them where the length is 0.
    pub(super) const fn new(address: Ipv4Addr, bits: u8) -> Self {
        Self { address: address.to_bits() & mask(bits), bits }
    }

    /// One address.
    #[must_use]
    pub const fn one(address: Ipv4Addr) -> Self {
        Self::new(address, 32)
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address)
    }

    /// The bits that its addresses share, as a mask.
    #[must_use]
    pub fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(mask(self.bits))
    }

    /// How many bits its addresses share.
    pub(super) fn bits(&self) -> u8 {
        self.bits
    }

    /// The range within this one that is as long as another and whose addresses end as the other's do.
    pub(super) fn counterpart(&self, other: Self) -> Option<Self> {
        (self.bits <= other.bits).then(|| Self::new(self.with_end_of(other.address()), other.bits))
    }

    /// Its first range of a length.
    pub(super) fn first(&self, bits: u8) -> Option<Self> {
        (self.bits <= bits).then(|| Self::new(self.address(), bits))
    }

    /// Its address that ends as another does.
    pub(super) fn with_end_of(&self, other: Ipv4Addr) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address | (other.to_bits() & !mask(self.bits)))
    }

    pub(super) fn has(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.bits) == self.address
    }

    /// Whether all of another is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.has(other.address())
    }

    /// Whether they share an address: one covers the other then.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// What is left of it without another, in as few ranges as there can be.
    #[must_use]
    pub fn without(&self, other: &Self) -> Vec<Self> {
        if other.covers(self) {
            return Vec::new();
        }
        if !self.covers(other) {
            return vec![*self];
        }
        let bits = self.bits + 1;
        let upper = Self { address: self.address | (1 << (32 - bits)), bits };
        let lower = Self { address: self.address, bits };
        [lower.without(other), upper.without(other)].concat()
    }
}

/// Ranges that no other of them covers, in order.
#[must_use]
pub fn outermost(ranges: &[Range]) -> Vec<Range> {
    let mut all = ranges.to_vec();
    all.sort();
    all.dedup();
    let is_within = |range: &Range| all.iter().any(|other| other != range && other.covers(range));
    all.iter().filter(|range| !is_within(range)).copied().collect()
}

/// What is left of ranges without others, in as few ranges as there can be.
#[must_use]
pub fn without(ranges: &[Range], skip: &[Range]) -> Vec<Range> {
    let mut left = outermost(ranges);
    for one in skip {
        left = left.iter().flat_map(|range| range.without(one)).collect();
    }
    left
}

const fn mask(bits: u8) -> u32 {
    if bits == 0 { 0 } else { u32::MAX << (32 - bits) }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.bits)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no range of addresses such as 10.96.0.0/12");
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        if bits <= 32 { Ok(Self::new(address, bits)) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Range {
        text.parse().expect("a range")
    }

    #[test]
    fn ranges_are_typed_as_kubernetes_prints_them() {
        let wide = range("10.96.0.0/12");
        assert!(wide.has(Ipv4Addr::new(10, 111, 255, 255)) && !wide.has(Ipv4Addr::new(10, 112, 0, 0)));
        assert_eq!(range("10.97.3.4/12").to_string(), "10.96.0.0/12");
        for wrong in ["10.96.0.0/33", "fd00::/8", "ten", ""] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_left_has_every_address_but_those_left_out() {
        let left = range("10.0.0.0/30").without(&range("10.0.0.2/32"));
        assert_eq!(left, ["10.0.0.0/31", "10.0.0.3/32"].map(range));
        assert_eq!(range("10.0.0.0/24").without(&range("10.1.0.0/24")), [range("10.0.0.0/24")]);
        assert_eq!(range("10.0.0.0/24").without(&range("10.0.0.0/8")), []);
        let left = range("0.0.0.0/0").without(&range("10.0.0.1"));
        assert_eq!(left.len(), 32);
        assert!(!left.iter().any(|one| one.has(Ipv4Addr::new(10, 0, 0, 1))));
    }

    #[test]
    fn ranges_that_others_cover_are_not_named_again() {
        let given = ["10.96.0.0/16", "10.96.4.0/24", "10.244.0.0/24", "10.96.0.0/16"].map(range);
        assert_eq!(outermost(&given), ["10.96.0.0/16", "10.244.0.0/24"].map(range));
    }
}
