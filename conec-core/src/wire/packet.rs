//! What a packet is, and where it says it is going.

use super::{
    probe::{PROBE_FIRST, PROBE_LEN},
    route::{CID_LEN, Route},
};

/// What a datagram is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PacketKind {
    /// A packet with a long header; with the route of its destination, if it has one.
    Long(Option<Route>),
    /// A packet with a short header, likewise.
    Short(Option<Route>),
    /// A probe for the end with this route.
    Probe(Route),
    /// None of these: too short, or without QUIC's fixed bit.
    Other,
}

/// Looks at the header (RFC 8999 for what never changes, RFC 9000, 17 for the fixed bit).
pub(crate) fn classify(packet: &[u8]) -> PacketKind {
    match *packet {
        [first, _, _, _, _, cid_len, ref rest @ ..] if first & 0x80 != 0 => {
            let cid = rest.get(..usize::from(cid_len)).unwrap_or_default();
            // Other lengths are a stranger's: only ours can hold a route.
            PacketKind::Long(Route::of_cid(cid).filter(|_| cid.len() == CID_LEN))
        }
        [first, ref rest @ ..] if first & 0xc0 == 0x40 && rest.len() >= CID_LEN => {
            PacketKind::Short(Route::of_cid(rest))
        }
        [PROBE_FIRST, ref rest @ ..] if packet.len() >= PROBE_LEN => {
            Route::of_cid(rest).map_or(PacketKind::Other, PacketKind::Probe)
        }
        _ => PacketKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{PROBE_SECRET_LEN, Probe, ProbeKeys, Role};

    #[test]
    fn packets_say_where_they_go() {
        let route = Route::from_bits(0x1234_5678_9abc);
        let mut cid = [0; CID_LEN];
        cid[..Route::LEN].copy_from_slice(&route.to_bytes());

        let mut short = vec![0x41];
        short.extend_from_slice(&cid);
        assert_eq!(classify(&short), PacketKind::Short(Some(route)));
        assert_eq!(classify(&short[..8]), PacketKind::Other);

        let mut long = vec![0xc0, 0, 0, 0, 1, CID_LEN as u8];
        long.extend_from_slice(&cid);
        assert_eq!(classify(&long), PacketKind::Long(Some(route)));
        assert_eq!(classify(&long[..13]), PacketKind::Long(None));

        short[1] &= 0x7f;
        assert_eq!(classify(&short), PacketKind::Short(None));
        assert_eq!(classify(&[0x00; 80]), PacketKind::Other);

        let mut probe = vec![0; PROBE_LEN];
        probe[0] = PROBE_FIRST;
        assert_eq!(classify(&probe), PacketKind::Other);
        probe[1..7].copy_from_slice(&route.to_bytes());
        assert_eq!(classify(&probe), PacketKind::Probe(route));
        assert_eq!(classify(&probe[..PROBE_LEN - 1]), PacketKind::Other);
        assert_eq!(classify(&[]), PacketKind::Other);

        let keys = ProbeKeys::new(&[1; PROBE_SECRET_LEN], Role::Initiator);
        let observed = "[2001:db8::1]:1".parse().unwrap();
        for probe in [Probe::Ping, Probe::Pong { echo: 0, observed }] {
            let sealed = keys.seal(route, u64::MAX, probe, 0);
            assert_eq!(classify(&sealed), PacketKind::Probe(route));
        }
    }
}
