//! Routes, and the connection IDs that begin with them. All have [`CID_LEN`] bytes.

use std::fmt;

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
