//! This machine's routes, as proc(5) has them.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use super::range::Range;

const TABLE: &str = "/proc/net/route";

/// A route that is not the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: Range,
    /// By which device.
    pub device: String,
}

/// The machine's routes but the default one.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn here() -> io::Result<Vec<Route>> {
    Ok(read(&fs::read_to_string(TABLE)?))
}

fn read(table: &str) -> Vec<Route> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let hex = |field: Option<&str>| u32::from_str_radix(field?, 16).ok().map(u32::from_be);
        let device = fields.next()?.to_owned();
        let (address, mask) = (hex(fields.next())?, hex(fields.nth(5))?);
        let bits = u8::try_from(mask.leading_ones()).ok()?;
        (mask != 0).then(|| Route { to: Range::new(Ipv4Addr::from_bits(address), bits), device })
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_routing_table_says_what_this_machine_reaches() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let to = "192.168.1.0/24".parse().expect("a range");
        assert_eq!(read(table), [Route { to, device: "eth0".into() }]);
    }
}
