//! Packets as they are on the device, as far as anybody but the stack must know them. Pure.

use std::net::SocketAddrV4;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket, UdpPacket, UdpRepr};

/// Hops that an answer may take: there is one.
const HOPS: u8 = 64;

/// Who sends to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
}

/// A datagram of UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) ends: Ends,
    pub(super) payload: Vec<u8>,
}

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// The first one of a connection.
    Opens(Ends),
    /// Any other of one.
    Tcp,
    Udp(Datagram),
    Other,
}

/// Reads a packet.
pub(super) fn read(bytes: &[u8]) -> Packet {
    known(bytes).unwrap_or(Packet::Other)
}

fn known(bytes: &[u8]) -> Option<Packet> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let ends = |from, to| Ends {
        from: SocketAddrV4::new(packet.src_addr(), from),
        to: SocketAddrV4::new(packet.dst_addr(), to),
    };
    match packet.next_header() {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(packet.payload()).ok()?;
            match tcp.syn() && !tcp.ack() {
                true => Some(Packet::Opens(ends(tcp.src_port(), tcp.dst_port()))),
                false => Some(Packet::Tcp),
            }
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(packet.payload()).ok()?;
            let ends = ends(udp.src_port(), udp.dst_port());
            Some(Packet::Udp(Datagram { ends, payload: udp.payload().to_vec() }))
        }
        _ => None,
    }
}

/// The packet that a datagram is.
pub(super) fn write(datagram: &Datagram) -> Vec<u8> {
    let Ends { from, to } = datagram.ends;
    let udp = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let ip = Ipv4Repr {
        src_addr: *from.ip(),
        dst_addr: *to.ip(),
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + datagram.payload.len(),
        hop_limit: HOPS,
    };
    let checksums = ChecksumCapabilities::default();
    let mut bytes = vec![0; ip.buffer_len() + ip.payload_len];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes);
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &(*from.ip()).into(),
        &(*to.ip()).into(),
        datagram.payload.len(),
        |payload| payload.copy_from_slice(&datagram.payload),
        &checksums,
    );
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_read_as_it_was_written() {
        let ends = Ends {
            from: "192.0.0.1:53".parse().expect("an address"),
            to: "192.0.0.2:40000".parse().expect("an address"),
        };
        let datagram = Datagram { ends, payload: b"answer".to_vec() };
        let bytes = write(&datagram);
        assert_eq!(read(&bytes), Packet::Udp(datagram));
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Packet::Other, "{end} bytes");
        }
    }
}
