//! Memory that is used again: large buffers come back once nobody has a part of them.
//!
//! Taking large buffers from the allocator for each use, and giving them back, costs several percent: it has their pages
//! mapped anew each time.

use bytes::{Buf, BytesMut};

/// Buffers that were given out, and come back by themselves. It knows no more than `MAX` at a time.
#[derive(Debug, Default)]
pub(crate) struct Lent<const MAX: usize> {
    /// The oldest first.
    buffers: Vec<Buffer>,
}

#[derive(Debug)]
struct Buffer {
    /// Shares the memory, behind what was given out.
    end: BytesMut,
    /// How much memory it is.
    size: usize,
}

impl<const MAX: usize> Lent<MAX> {
    /// Remembers a buffer that is about to be given out. Where that is one too many, the oldest is forgotten, and belongs to
    /// who has it.
    pub(crate) fn lend(&mut self, buffer: &mut BytesMut) {
        if self.is_full() {
            self.forget_oldest();
        }
        let size = buffer.capacity();
        let end = buffer.split_off(buffer.len());
        self.buffers.push(Buffer { end, size });
    }

    /// Takes an empty buffer back, of a size that fits. Those lent last are the likeliest to be in the processor's cache.
    pub(crate) fn take(&mut self, fits: impl Fn(usize) -> bool) -> Option<BytesMut> {
        let is_free = |buffer: &mut Buffer| fits(buffer.size) && buffer.is_free();
        let free = self.buffers.iter_mut().rposition(is_free)?;
        Some(self.buffers.remove(free).end)
    }

    /// Forgets those that came back and were not taken.
    pub(crate) fn forget_free(&mut self) {
        self.buffers.retain_mut(|buffer| !buffer.is_free());
    }

    /// Forgets the one that was lent first.
    pub(crate) fn forget_oldest(&mut self) {
        if !self.buffers.is_empty() {
            self.buffers.remove(0);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.buffers.clear();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.buffers.len() >= MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffers.is_empty()
    }

    /// Bytes in all of them.
    pub(crate) fn memory(&self) -> usize {
        self.buffers.iter().map(|buffer| buffer.size).sum()
    }
}

impl Buffer {
    /// Takes all of the memory back, if nobody else has a part of it.
    fn is_free(&mut self) -> bool {
        self.end.try_reclaim(self.size)
    }
}

/// Buffers of received batches, parts of which may still be in use.
///
/// Most packets are dealt with at once, so they are passed on where they lie. But an unread byte keeps all of its batch in
/// memory. So the number of batches in use is bounded: beyond it, packets are copied to memory of their own.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    lent: Lent<MAX_BATCHES>,
}

/// The most memory that is taken by [`Buffers`], if batches are as large as systems make them.
pub(crate) const MAX_BUFFERS: usize = MAX_BATCHES * (64 << 10);

impl Buffers {
    /// Begins with a received batch.
    pub(crate) fn batch(&mut self, mut payload: BytesMut, segment_size: usize) -> Batch {
        let segment_size = match segment_size {
            0 => payload.len(),
            size => size,
        };
        let size = payload.capacity();
        let single = payload.len() <= segment_size;
        if !single && self.lent.is_full() {
            self.lent.forget_free();
        }
        let whole = single || !self.lent.is_full();
        if whole && !single {
            self.lent.lend(&mut payload);
        }
        Batch {
            payload,
            segment_size,
            size,
            whole,
        }
    }

    /// A buffer that is free again.
    pub(crate) fn take(&mut self) -> Option<BytesMut> {
        self.lent.take(|_| true)
    }
}

/// What is left of a received batch.
pub(crate) struct Batch {
    payload: BytesMut,
    /// The size of each packet but the last.
    pub(crate) segment_size: usize,
    /// How much memory it is.
    size: usize,
    /// Packets are passed on where they lie: whoever keeps one keeps all of the batch in memory.
    whole: bool,
}

impl Batch {
    /// The first packet.
    #[inline]
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.payload.chunks(self.segment_size.max(1)).next()
    }

    /// Whether the first byte has any of these bits.
    #[inline]
    pub(crate) fn begins_with(&self, bits: u8) -> bool {
        self.payload.first().is_some_and(|first| first & bits != 0)
    }

    /// All that is left.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.payload
    }

    /// Takes the first packet.
    #[inline]
    pub(crate) fn take_packet(&mut self) -> BytesMut {
        if self.whole {
            self.payload.split_to(self.first_len())
        } else {
            BytesMut::from(&self.payload.split_to(self.first_len())[..])
        }
    }

    /// Drops the first packet.
    pub(crate) fn skip_packet(&mut self) {
        self.payload.advance(self.first_len());
    }

    /// Takes the first `len` bytes, and tells how much memory they keep. If they are the smaller part of the batch they are
    /// copied, so that they do not keep all of it.
    #[inline]
    pub(crate) fn take_run(&mut self, len: usize) -> (BytesMut, usize) {
        let run = self.payload.split_to(len);
        if 2 * len >= self.size {
            (run, self.size)
        } else {
            (BytesMut::from(&run[..]), len)
        }
    }

    /// The size of the first packet.
    pub(crate) fn first_len(&self) -> usize {
        self.segment_size.min(self.payload.len())
    }
}

/// How many batches may be in use at a time.
const MAX_BATCHES: usize = 16;

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
        for _ in 0..2 * MAX_BATCHES {
            let (mut batch, start) = batch(&mut buffers, 1000);
            let packet = batch.take_packet();
            in_place += usize::from(packet.as_ptr() == start);
            assert_eq!(packet, vec![1; 1000]);
            kept.push(packet);
        }
        assert_eq!(in_place, MAX_BATCHES);
        // Those that came late have kept nothing else alive, those before make room.
        kept.truncate(MAX_BATCHES / 2);
        let (mut batch, start) = batch(&mut buffers, 1000);
        assert_eq!(batch.take_packet().as_ptr(), start);
    }

    /// A packet that comes alone is the engine's, and not waited for.
    #[test]
    fn what_is_one_packet_is_not_lent() {
        let mut buffers = Buffers::default();
        for segment_size in [0, SIZE] {
            let (mut batch, start) = batch(&mut buffers, segment_size);
            assert_eq!(batch.take_packet().as_ptr(), start);
            drop(batch);
            assert!(buffers.take().is_none());
        }
    }

    #[test]
    fn buffers_that_nobody_takes_are_let_go() {
        let mut buffers = Buffers::default();
        for _ in 0..10 * MAX_BATCHES {
            let (mut batch, start) = batch(&mut buffers, 1000);
            assert_eq!(batch.take_packet().as_ptr(), start);
        }
        assert!(buffers.lent.buffers.len() <= MAX_BATCHES);
    }

    #[test]
    fn a_run_keeps_no_more_than_twice_its_length() {
        let mut buffers = Buffers::default();
        let (mut batch, start) = batch(&mut buffers, 1000);
        let (large, kept) = batch.take_run(SIZE / 2);
        assert_eq!((large.as_ptr(), large.len(), kept), (start, SIZE / 2, SIZE));
        let (small, kept) = batch.take_run(1000);
        assert_eq!((small.capacity(), kept), (1000, 1000));
        drop((large, batch));
        assert!(buffers.take().is_some(), "nothing keeps it");
        assert_eq!(small, vec![1; 1000]);
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
