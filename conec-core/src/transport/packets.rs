//! Where the engine builds packets.

use bytes::{Bytes, BytesMut};

use crate::buffers::Lent;

/// A buffer for one batch of packets at a time, whose memory is used again once the batch is sent.
#[derive(Debug, Default)]
pub(super) struct PacketBuffer {
    buf: Vec<u8>,
    /// The batch that was given out last, if its memory is worth having back.
    lent: Lent<1>,
}

impl PacketBuffer {
    /// An empty buffer.
    pub(super) fn clear(&mut self) -> &mut Vec<u8> {
        if self.buf.capacity() == 0
            && let Some(sent) = self.lent.take(|_| true)
        {
            self.buf = Vec::from(sent);
        }
        self.buf.clear();
        &mut self.buf
    }

    /// The first `size` bytes of what was built.
    pub(super) fn take(&mut self, size: usize) -> Bytes {
        // A single packet must not keep a buffer made for a batch.
        if size < self.buf.capacity() / 2 {
            return Bytes::copy_from_slice(&self.buf[..size]);
        }
        self.buf.truncate(size);
        // Only in this way does it become one of the kind that comes back. Nothing is copied.
        let mut batch = BytesMut::from(Bytes::from(std::mem::take(&mut self.buf)));
        self.lent.lend(&mut batch);
        batch.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_was_sent_makes_room_for_the_next() {
        let mut packets = PacketBuffer::default();
        packets.clear().resize(60_000, 1);
        let first = packets.take(50_000);
        let at = first.as_ptr();
        assert_eq!(first, vec![1; 50_000]);
        drop(first);
        let buf = packets.clear();
        assert!(buf.is_empty() && buf.capacity() >= 50_000);
        buf.resize(60_000, 2);
        let second = packets.take(60_000);
        assert_eq!(second.as_ptr(), at);
        // One that is kept stays as it is.
        packets.clear().resize(60_000, 3);
        assert_eq!(second, vec![2; 60_000]);
        assert_eq!(packets.take(60_000), vec![3; 60_000]);
    }

    #[test]
    fn a_packet_keeps_no_more_than_itself() {
        let mut packets = PacketBuffer::default();
        packets.clear().resize(60_000, 1);
        packets.clear().resize(40, 2);
        let packet = packets.take(40);
        assert_eq!(packet, vec![2; 40]);
        assert_eq!(
            packet.try_into_mut().map(|packet| packet.capacity()),
            Ok(40)
        );
    }
}
