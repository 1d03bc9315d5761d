//! The datagrams from one end of a channel to the other: each comes at most once, as it was sent.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

#[derive(Default)]
pub(crate) struct Datagrams {
    /// How many were sent.
    pub(crate) sent: u32,
    received: BTreeSet<u32>,
}

impl Datagrams {
    /// One has arrived on this way. Whether it was sent, and has not come before.
    pub(crate) fn receive(&mut self, way: (usize, usize), bytes: &Bytes) -> bool {
        let number = bytes.get(8..12).and_then(|number| number.try_into().ok());
        let number = number.map_or(u32::MAX, u32::from_be_bytes);
        let size = bytes.len().saturating_sub(HEADER);
        let was_sent = number < self.sent && *bytes == datagram(way, number, size);
        was_sent && self.received.insert(number)
    }
}

/// The datagram of this number and size, beside its header, from the end of a channel that `way` names.
pub(crate) fn datagram((channel, side): (usize, usize), number: u32, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER + size);
    bytes.put_u32(channel as u32);
    bytes.put_u32(side as u32);
    bytes.put_u32(number);
    bytes.put_bytes(number as u8, size);
    bytes.freeze()
}

pub(crate) const HEADER: usize = 12;
