//! The memory in which packets are received.

use bytes::{Buf, BytesMut};

/// Buffers of received batches, parts of which may still be in use.
///
/// Most packets are dealt with at once, so they are passed on where they lie. But an unread byte keeps all of its batch
/// alive. So there is a bound for batches that are kept alive: beyond it, packets get memory of their own.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    lent: Vec<Lent>,
}

/// The most memory that is taken by [`Buffers`], if batches are as large as systems make them.
pub(crate) const MAX_BUFFERS: usize = MAX_LENT * (64 << 10);

#[derive(Debug)]
struct Lent {
    /// Shares the buffer of a batch, behind it.
    end: BytesMut,
    /// The size of both together.
    size: usize,
}

impl Buffers {
    /// Begins with a received batch.
    pub(crate) fn batch(&mut self, mut payload: BytesMut, segment_size: usize) -> Batch {
        let segment_size = match segment_size {
            0 => payload.len(),
            size => size,
        };
        let single = payload.len() <= segment_size;
        if !single && self.lent.len() >= MAX_LENT {
            self.lent.retain_mut(|lent| !lent.is_free());
        }
        let whole = single || self.lent.len() < MAX_LENT;
        if whole && !single {
            let size = payload.capacity();
            let end = payload.split_off(payload.len());
            self.lent.push(Lent { end, size });
        }
        Batch {
            payload,
            segment_size,
            whole,
        }
    }

    /// A buffer that is free again. Those lent last are the likeliest to be in the processor's cache.
    pub(crate) fn take(&mut self) -> Option<BytesMut> {
        let free = self.lent.iter_mut().rposition(Lent::is_free)?;
        Some(self.lent.remove(free).end)
    }
}

impl Lent {
    /// Takes all of the buffer back, if nobody else has a part of it.
    fn is_free(&mut self) -> bool {
        self.end.try_reclaim(self.size)
    }
}

/// What is left of a received batch.
pub(crate) struct Batch {
    payload: BytesMut,
    /// The size of each packet but the last.
    pub(crate) segment_size: usize,
    /// Who keeps a few bytes of it may keep all of it alive.
    whole: bool,
}

impl Batch {
    /// The first packet.
    #[inline]
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.payload.chunks(self.segment_size.max(1)).next()
    }

    /// All that is left.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.payload
    }

    /// Takes the first packet.
    #[inline]
    pub(crate) fn take_packet(&mut self) -> BytesMut {
        if self.whole {
            self.take_run(self.first_len())
        } else {
            BytesMut::from(&self.take_run(self.first_len())[..])
        }
    }

    /// Drops the first packet.
    pub(crate) fn skip_packet(&mut self) {
        self.payload.advance(self.first_len());
    }

    /// Takes the first `len` bytes as they are.
    #[inline]
    pub(crate) fn take_run(&mut self, len: usize) -> BytesMut {
        self.payload.split_to(len)
    }

    fn first_len(&self) -> usize {
        self.segment_size.min(self.payload.len())
    }
}

/// How many batches may be kept alive.
const MAX_LENT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 10_000;

    fn batch(buffers: &mut Buffers, segment_size: usize) -> (Batch, *const u8) {
        let mut payload = BytesMut::with_capacity(SIZE);
        payload.resize(SIZE - 500, 1);
        let start = payload.as_ptr();
        (buffers.batch(payload, segment_size), start)
    }

    #[test]
    fn a_buffer_comes_back_whole_once_nobody_has_a_part_of_it() {
        let mut buffers = Buffers::default();
        let (mut batch, start) = batch(&mut buffers, 1000);
        let packets: Vec<_> = (0..10).map(|_| batch.take_packet()).collect();
        assert_eq!(packets.iter().map(|it| it.len()).sum::<usize>(), SIZE - 500);
        assert!(batch.first().is_none());
        assert!(buffers.take().is_none());
        drop(batch);
        let mut packets = packets.into_iter();
        let last = packets.next_back();
        drop(packets);
        assert!(buffers.take().is_none());
        drop(last);
        let buffer = buffers.take().expect("it is free");
        assert_eq!((buffer.as_ptr(), buffer.len()), (start, 0));
        assert!(buffer.capacity() >= SIZE);
        assert!(buffers.take().is_none());
    }

    #[test]
    fn only_so_many_batches_are_kept_alive() {
        let mut buffers = Buffers::default();
        let mut kept = Vec::new();
        let mut in_place = 0;
        for _ in 0..2 * MAX_LENT {
            let (mut batch, start) = batch(&mut buffers, 1000);
            let packet = batch.take_packet();
            in_place += usize::from(packet.as_ptr() == start);
            assert_eq!(packet, vec![1; 1000]);
            kept.push(packet);
        }
        assert_eq!(in_place, MAX_LENT);
        // Those that came late have kept nothing else alive, those before make room.
        kept.truncate(MAX_LENT / 2);
        let (mut batch, start) = batch(&mut buffers, 1000);
        assert_eq!(batch.take_packet().as_ptr(), start);
    }

    #[test]
    fn buffers_that_nobody_takes_are_let_go() {
        let mut buffers = Buffers::default();
        for _ in 0..10 * MAX_LENT {
            let (mut batch, start) = batch(&mut buffers, 1000);
            assert_eq!(batch.take_packet().as_ptr(), start);
        }
        assert!(buffers.lent.len() <= MAX_LENT);
    }

    #[test]
    fn a_single_packet_is_its_receivers() {
        let mut buffers = Buffers::default();
        for segment_size in [0, SIZE - 500, SIZE] {
            let (mut batch, start) = batch(&mut buffers, segment_size);
            let packet = batch.take_packet();
            assert_eq!((packet.as_ptr(), packet.len()), (start, SIZE - 500));
        }
        assert!(buffers.lent.is_empty());
    }
}
