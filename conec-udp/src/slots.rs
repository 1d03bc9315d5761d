//! Where received batches are put, and how their memory is used again.

use std::io::IoSliceMut;

use bytes::BytesMut;
use quinn_udp::BATCH_SIZE;

/// Buffers for what one system call receives.
///
/// Taking memory for every batch of 64 KiB from the allocator, and giving it back, costs more than to receive it. So a
/// full buffer goes to the core as it is, and when the core has no more use for any part of it, it is used again. What
/// is far from full is copied instead: whatever the core keeps of it pins no more memory than it must.
pub(crate) struct Slots {
    slots: [BytesMut; SLOTS],
    /// The other ends of buffers that the core has, the latest last.
    lent: Vec<BytesMut>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| BytesMut::zeroed(SLOT)),
            lent: Vec::new(),
        }
    }

    pub(crate) fn room(&mut self) -> [IoSliceMut<'_>; SLOTS] {
        self.slots.each_mut().map(|slot| IoSliceMut::new(slot))
    }

    /// Takes the first `len` bytes of a slot.
    pub(crate) fn take(&mut self, slot: usize, len: usize) -> BytesMut {
        let slot = &mut self.slots[slot];
        if len < WORTH_LENDING {
            return BytesMut::from(&slot[..len]);
        }
        let fresh = reclaim(&mut self.lent).unwrap_or_else(|| BytesMut::zeroed(SLOT));
        let mut full = std::mem::replace(slot, fresh);
        let payload = full.split_to(len);
        if self.lent.len() < MAX_LENT {
            self.lent.push(full);
        }
        payload
    }
}

/// A buffer that the core has let go of. Those lent last are the likeliest to be in the processor's cache.
fn reclaim(lent: &mut Vec<BytesMut>) -> Option<BytesMut> {
    let index = lent.iter_mut().rposition(|buffer| {
        // What is left of it counts as well.
        buffer.clear();
        buffer.try_reclaim(SLOT)
    })?;
    let mut buffer = lent.remove(index);
    buffer.resize(SLOT, 0);
    Some(buffer)
}

/// How many batches one system call receives at most. More would only leave the processor's cache before they are
/// dealt with.
pub(crate) const SLOTS: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };
/// Room for what the system coalesces at most.
const SLOT: usize = 64 << 10;
const WORTH_LENDING: usize = SLOT / 2;
/// How many buffers are kept for being used again.
const MAX_LENT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_buffers_are_lent_and_used_again() {
        let mut slots = Slots::new();
        let mut seen = Vec::new();
        for round in 0..100 {
            slots.room()[0].fill(round);
            let payload = slots.take(0, 60_000);
            assert_eq!(payload, vec![round; 60_000]);
            assert_eq!(slots.room()[0].len(), SLOT);
            if !seen.contains(&payload.as_ptr()) {
                seen.push(payload.as_ptr());
            }
        }
        assert_eq!(seen.len(), 2, "one in the slot, one lent");
    }

    #[test]
    fn what_is_kept_stays_as_it_is_and_memory_stays_bounded() {
        let mut slots = Slots::new();
        let mut kept = Vec::new();
        for round in 0..100 {
            slots.room()[1].fill(round);
            let batch = slots.take(1, 50_000).freeze();
            kept.push(batch.slice(1000..1100));
        }
        assert!(slots.lent.len() <= MAX_LENT);
        for (round, part) in (0..).zip(&kept) {
            assert_eq!(part, &vec![round; 100]);
        }
        kept.clear();
        let lent = slots.lent.len();
        drop(slots.take(1, 50_000));
        assert_eq!(
            slots.lent.len(),
            lent,
            "taken from those lent, and lent again"
        );
    }

    #[test]
    fn little_is_copied() {
        let mut slots = Slots::new();
        slots.room()[0].fill(1);
        let payload = slots.take(0, 100);
        assert_eq!((payload.len(), payload.capacity()), (100, 100));
        assert!(slots.lent.is_empty());
    }
}
