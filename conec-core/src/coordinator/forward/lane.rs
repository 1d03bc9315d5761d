//! What waits of one sender's packets.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::cost::{cost, count, packet_size};
use crate::{Transmit, transport::MAX_BATCH};

/// Packets of one sender, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Lane {
    runs: VecDeque<Queued>,
    memory: usize,
}

/// Packets of one size that go the same way.
#[derive(Debug)]
struct Queued {
    packets: Transmit,
    /// How much memory it takes.
    memory: usize,
}

impl Lane {
    /// Adds packets that keep so many bytes of memory.
    pub(super) fn push(&mut self, packets: Transmit, memory: usize) {
        let memory = memory + OVERHEAD;
        self.memory += memory;
        let len = self.runs.len();
        if len == self.runs.capacity() {
            self.runs.reserve_exact(len / 4 + 4);
        }
        self.runs.push_back(Queued { packets, memory });
    }

    /// Takes the packets that are first, at least one: as many as can be sent at once and cost no more than `most`.
    pub(super) fn pop(&mut self, max_segments: usize, most: usize) -> Option<Transmit> {
        let run = self.runs.front_mut()?;
        let front = &mut run.packets;
        let size = packet_size(front);
        let max_segments = max_segments.min(most / cost(1, size)).max(1);
        let limit = size.saturating_mul(max_segments);
        if front.payload.len() > limit {
            let payload = front.payload.split_to(limit);
            let several = |bytes: usize| Some(size).filter(|&size| bytes > size);
            front.segment_size = several(front.payload.len());
            return Some(Transmit {
                segment_size: several(payload.len()),
                payload,
                ..front.clone()
            });
        }
        let Queued { packets, memory } = self.runs.pop_front()?;
        self.memory -= memory;
        let packets = self.put_together(packets, max_segments);
        self.shrink();
        Some(packets)
    }

    /// Drops the packets that came last. Gives how many they were.
    pub(super) fn drop_newest(&mut self) -> usize {
        let Some(Queued { packets, memory }) = self.runs.pop_back() else {
            return 0;
        };
        self.memory -= memory;
        self.shrink();
        count(&packets)
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    #[cfg(feature = "__testing")]
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// The first packets together with those of the next that can be sent with them. To copy small ones costs less than to
    /// send each. Those that go elsewhere are passed by.
    fn put_together(&mut self, first: Transmit, max_segments: usize) -> Transmit {
        let size = packet_size(&first);
        let max = size.saturating_mul(max_segments).min(MAX_BATCH);
        if first.payload.len() > SMALL {
            return first;
        }
        let mut bytes = first.payload.len();
        let mut taken = 0_u64;
        for (at, Queued { packets: next, .. }) in self.runs.iter().take(LOOK_AHEAD).enumerate() {
            if next.destination != first.destination {
                continue;
            }
            let fits = next.payload.len() <= SMALL
                && bytes + next.payload.len() <= max
                && next.source_ip == first.source_ip
                && next.ecn == first.ecn
                // Only the last packet of a batch may be shorter than the others. And none that is larger than all others: if
                // it searches for a larger MTU, the system may refuse it, and all with it.
                && bytes.is_multiple_of(size)
                && match next.segment_size {
                    Some(next) => next == size,
                    None if next.payload.len() < size => bytes > size,
                    None => next.payload.len() == size,
                };
            if !fits {
                break;
            }
            bytes += next.payload.len();
            taken |= 1 << at;
        }
        if taken == 0 {
            return first;
        }
        let mut payload = BytesMut::with_capacity(bytes);
        payload.extend_from_slice(&first.payload);
        let last = taken.ilog2() as usize;
        let mut passed_by = Vec::new();
        for (at, run) in self.runs.drain(..=last).enumerate() {
            if taken & (1 << at) == 0 {
                passed_by.push(run);
            } else {
                self.memory -= run.memory;
                payload.extend_from_slice(&run.packets.payload);
            }
        }
        for run in passed_by.into_iter().rev() {
            self.runs.push_front(run);
        }
        Transmit {
            segment_size: Some(size),
            payload: payload.freeze(),
            ..first
        }
    }

    /// Keeps no more room than for half as much again.
    fn shrink(&mut self) {
        let len = self.runs.len();
        if self.runs.capacity() > len + len / 2 + 8 {
            self.runs.shrink_to(len + len / 4 + 4);
        }
    }
}

/// What is worth a copy: a packet of any size.
const SMALL: usize = 9 << 10;
/// Among how many runs are those looked for that can be sent together.
const LOOK_AHEAD: usize = 64;
/// What a run takes besides its bytes, with the room that is kept for others, and what counts who shares a buffer.
const OVERHEAD: usize = size_of::<Queued>() * 3 / 2 + 48;

#[cfg(test)]
mod tests {
    use super::{super::cost::cost_of, *};

    fn packets(size: usize, count: usize) -> Transmit {
        Transmit {
            destination: ([192, 0, 2, 1], 1).into(),
            source_ip: None,
            ecn: None,
            segment_size: (count > 1).then_some(size),
            payload: vec![0; size * count].into(),
        }
    }

    /// In one run, and in one run each.
    #[test]
    fn as_many_packets_are_given_as_were_paid_for_and_no_more() {
        for (size, paid, given) in [
            (1200, 12_000, 10),
            (1200, 11_999, 9),
            (1452, 14_519, 9),
            (8952, 50_000, 5),
            // To handle a small one takes its time.
            (100, 12_000, 10),
            // The first comes in any case: who gave it pays later.
            (1200, 1199, 1),
            (1200, 0, 1),
        ] {
            for in_one_run in [true, false] {
                let mut lane = Lane::default();
                let (runs, each) = if in_one_run { (1, 20) } else { (20, 1) };
                for _ in 0..runs {
                    lane.push(packets(size, each), 0);
                }
                let first = lane.pop(usize::MAX, paid).expect("packets");
                assert_eq!(count(&first), given, "{size} {paid} {in_one_run}");
                assert!(cost_of(&first) <= paid || given == 1);
                // And so until there are no more.
                let rest = std::iter::from_fn(|| lane.pop(usize::MAX, paid));
                assert_eq!(rest.map(|it| count(&it)).sum::<usize>(), 20 - given);
                assert!(lane.is_empty() && lane.memory() == 0);
            }
        }
    }

    #[test]
    fn a_lane_that_was_long_gives_its_room_back() {
        let mut lane = Lane::default();
        for _ in 0..1000 {
            lane.push(packets(1200, 20), 0);
        }
        for left in (0..1000).rev() {
            let given = match left % 2 {
                0 => lane.pop(20, usize::MAX).map(|it| count(&it)),
                _ => Some(lane.drop_newest()),
            };
            assert_eq!(given, Some(20));
            assert_eq!(lane.runs.len(), left);
            assert!(lane.runs.capacity() <= left + left / 2 + 8, "{left}");
        }
    }
}
