//! Where received batches are put, and how their memory is used again.

use std::{
    io::IoSliceMut,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
};

use bytes::BytesMut;
use quinn_udp::BATCH_SIZE;

/// Buffers for what one system call receives.
///
/// Allocating and freeing memory for every batch of 64 KiB costs more than receiving it. So a full buffer goes to the core as
/// it is, and is used again when the core gives it back. One that is far from full is copied instead, so that what the core
/// keeps of it does not keep all of the buffer alive.
///
/// The core knows when nobody has a part of a buffer any more, and [gives it back](conec_core::Endpoint::take_buffer) whole.
/// What comes back is only kept, [`SLOTS`] buffers at most, for the next call.
pub(crate) struct Slots {
    slots: [BytesMut; SLOTS],
    /// For slots whose buffers are taken.
    spare: Vec<BytesMut>,
}

/// Lends slots for as long as something is received. All sockets of a process share them: of many sockets, most have nothing
/// to receive at any moment, and memory that was used just now is likely to be in the processor's cache.
pub(crate) fn with<T>(f: impl FnOnce(&mut Slots) -> T) -> T {
    static IDLE: Mutex<Vec<Slots>> = Mutex::new(Vec::new());
    static MOST: OnceLock<usize> = OnceLock::new();
    let idle = || IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = idle().pop();
    let mut slots = taken.unwrap_or_else(Slots::new);
    let result = f(&mut slots);
    // As many as can receive at once.
    let most = *MOST.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
    let mut idle = idle();
    if idle.len() < most {
        idle.push(slots);
    }
    result
}

impl Slots {
    fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| BytesMut::zeroed(SLOT)),
            spare: Vec::new(),
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
        let mut fresh = self.spare.pop().unwrap_or_default();
        fresh.resize(SLOT, 0);
        let mut full = std::mem::replace(slot, fresh);
        full.truncate(len);
        full
    }

    /// Whether another spare buffer would be kept.
    pub(crate) fn has_room_for_spare(&self) -> bool {
        self.spare.len() < SLOTS
    }

    /// Takes a buffer to be used again.
    pub(crate) fn add_spare(&mut self, buffer: BytesMut) {
        if self.has_room_for_spare() && buffer.capacity() >= SLOT {
            self.spare.push(buffer);
        }
    }
}

/// How many batches one system call receives at most. More would only leave the processor's cache before they are
/// dealt with.
pub(crate) const SLOTS: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };
/// Room for what the system coalesces at most.
const SLOT: usize = 64 << 10;
const WORTH_LENDING: usize = SLOT / 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn full_buffers_are_passed_on_and_used_again() {
        let mut slots = Slots::new();
        let mut seen = BTreeSet::new();
        for round in 0..100 {
            slots.room()[0].fill(round);
            let payload = slots.take(0, 60_000);
            assert_eq!(payload, vec![round; 60_000]);
            assert_eq!(slots.room()[0].len(), SLOT);
            seen.insert(payload.as_ptr());
            slots.add_spare(payload);
        }
        assert_eq!(seen.len(), 2, "one in the slot, one given back");
    }

    #[test]
    fn what_is_kept_stays_as_it_is() {
        let mut slots = Slots::new();
        let mut kept = Vec::new();
        for round in 0..100 {
            slots.room()[1].fill(round);
            let batch = slots.take(1, 50_000).freeze();
            kept.push(batch.slice(1000..1100));
        }
        for (round, part) in (0..).zip(&kept) {
            assert_eq!(part, &vec![round; 100]);
        }
    }

    #[test]
    fn not_more_is_kept_than_there_are_slots() {
        let mut slots = Slots::new();
        for _ in 0..100 {
            slots.add_spare(BytesMut::with_capacity(SLOT));
        }
        assert_eq!(slots.spare.len(), SLOTS);
        slots.spare.clear();
        slots.add_spare(BytesMut::with_capacity(SLOT - 1));
        assert!(slots.spare.is_empty());
    }

    #[test]
    fn little_is_copied() {
        let mut slots = Slots::new();
        slots.room()[0].fill(1);
        let payload = slots.take(0, 100);
        assert_eq!((payload.len(), payload.capacity()), (100, 100));
    }
}
