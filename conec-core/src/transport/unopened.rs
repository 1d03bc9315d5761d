//! What a newcomer has sent, and nobody has looked at.

use std::collections::VecDeque;

use quinn_proto::ConnectionEvent;

/// The packets of a newcomer that nobody has looked at.
#[derive(Debug, Default)]
pub(super) struct Unopened {
    packets: VecDeque<ConnectionEvent>,
    bytes: usize,
}

impl Unopened {
    /// Whether there is room for a packet of this size. There is for one, whatever its size.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.packets.is_empty() || self.bytes + bytes + OVERHEAD <= UNOPENED
    }

    /// Keeps a packet. Whether it is the only one.
    pub(super) fn add(&mut self, packet: ConnectionEvent, bytes: usize) -> bool {
        self.bytes += bytes + OVERHEAD;
        self.packets.push_back(packet);
        self.packets.len() == 1
    }

    /// The one that came first.
    pub(super) fn pop(&mut self) -> Option<ConnectionEvent> {
        let packet = self.packets.pop_front();
        if self.packets.is_empty() {
            self.bytes = 0;
        }
        packet
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

/// How many bytes of a newcomer wait to be looked at: a handshake's and the largest `Hello`'s, at the usual sizes of packets.
const UNOPENED: usize = 8 << 10;
/// What is kept of a packet besides its bytes.
const OVERHEAD: usize = 256;
