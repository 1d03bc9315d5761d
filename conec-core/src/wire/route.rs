//! Routes, and where a packet says it is going. All connection IDs have [`CID_LEN`] bytes.

use std::fmt;

use super::probe::{PROBE_FIRST, PROBE_LEN};

/// The length of every connection ID that an endpoint issues.
pub(crate) const CID_LEN: usize = 8;

/// One end of one peer channel, as the Coordinator allots it: 48 bits of which the first is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Route(u64);

impl Route {
    pub(crate) const LEN: usize = 6;
    const BIT: u64 = 1 << 47;

    /// The route made of the lower 47 of these bits.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits & (Self::BIT - 1) | Self::BIT)
    }

    /// The route at the front of these bytes, if their first bit says that there is one.
    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Option<Self> {
        let [a, b, c, d, e, f] = bytes;
        let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        (bits & Self::BIT != 0).then_some(Self(bits))
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let [_, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// The route that a connection ID begins with; `None` for a home channel's.
    pub(crate) fn of_cid(cid: &[u8]) -> Option<Self> {
        Self::from_bytes(*cid.first_chunk()?)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

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
    }
}
