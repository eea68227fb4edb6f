//! IP networks as conditions name them.

use alloc::format;
use alloc::string::String;
use core::net::{IpAddr, Ipv6Addr};

/// Bits that an IPv4 address leaves over in an IPv6 one.
const MAPPED_BITS: u32 = 96;

/// An IP network. IPv4 stands as IPv4-mapped IPv6: a client is the same whichever way it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a network such as 10.0.0.0/8 or 2001:db8::/32");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => bits,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        let free = bits.checked_sub(length).ok_or_else(wrong)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        let network = Self { address: mapped(address) & mask, mask };
        if network.address != mapped(address) {
            return Err(format!(
                "`{text}` has address bits set beyond its length; did you mean `{network}`?"
            ));
        }
        Ok(network)
    }

    /// No IPv4 client is in an IPv6 network, not even in `::/0`, unless it is one of mapped addresses.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let address = mapped(address);
        let comparable = self.mask.count_ones() >= MAPPED_BITS || as_ipv4(address).is_none();
        comparable && address & self.mask == self.address
    }
}

impl core::fmt::Display for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let length = self.mask.count_ones();
        match as_ipv4(self.address).zip(length.checked_sub(MAPPED_BITS)) {
            Some((address, length)) => write!(f, "{address}/{length}"),
            None => write!(f, "{}/{length}", Ipv6Addr::from_bits(self.address)),
        }
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn as_ipv4(mapped: u128) -> Option<core::net::Ipv4Addr> {
    Ipv6Addr::from_bits(mapped).to_ipv4_mapped()
}
