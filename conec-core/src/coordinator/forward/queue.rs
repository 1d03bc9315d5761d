//! Whose packets are sent next, and whose give way when there are too many.
//!
//! Each sender has a [`Lane`] of its own, and lanes are served in turn by what their packets cost (deficit round robin: M.
//! Shreedhar, G. Varghese, 1996). Who sends much waits for itself, and the others wait for one turn of each sender that has
//! something to send, however much that is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{cost::cost_of, lane::Lane};
use crate::Transmit;

/// Packets that wait to be sent.
#[derive(Debug)]
pub(super) struct Queue {
    /// Senders stay, with an empty lane, until they are [forgotten](Self::forget).
    senders: BTreeMap<SenderId, Sender>,
    /// Those that have something to send, or had when it was last their turn.
    turns: VecDeque<SenderId>,
    /// Who has more than a packet or so waiting, by [`weight`].
    heavy: BTreeSet<(u32, SenderId)>,
    memory: usize,
    limit: usize,
}

/// A Client that sends, as long as it is connected: less to compare for each packet than its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SenderId(pub(super) u64);

#[derive(Debug, Default)]
struct Sender {
    lane: Lane,
    /// What it may still send in this turn. What its last packets cost more than that it owes the next.
    credit: isize,
    has_turn: bool,
    /// It is gone, but for what still waits.
    gone: bool,
}

impl Queue {
    /// A queue that takes so much memory.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            senders: BTreeMap::new(),
            turns: VecDeque::new(),
            heavy: BTreeSet::new(),
            memory: 0,
            limit,
        }
    }

    /// Adds packets of a sender, which keep so many bytes of memory. Gives how many packets were dropped for it: the newest of
    /// who has most, or where nobody has more than a packet or so, these.
    pub(super) fn push(&mut self, from: SenderId, packets: Transmit, memory: usize) -> usize {
        let sender = self.senders.entry(from).or_default();
        if !sender.has_turn {
            sender.has_turn = true;
            // What it owes it still owes: who stops after each two batches would get both for one.
            sender.credit = sender.credit.min(0) + QUANTUM;
            self.turns.push_back(from);
        }
        let before = sender.lane.memory();
        sender.lane.push(packets, memory);
        let after = sender.lane.memory();
        self.weigh(from, before, after);
        let mut dropped = 0;
        while self.memory > self.limit {
            let heaviest = self.heavy.last().map_or(from, |&(_, id)| id);
            let Some(sender) = self.senders.get_mut(&heaviest) else {
                break;
            };
            let before = sender.lane.memory();
            dropped += sender.lane.drop_newest();
            let after = sender.lane.memory();
            self.weigh(heaviest, before, after);
        }
        dropped
    }

    /// The next packets to send, at most so many.
    pub(super) fn pop(&mut self, max_segments: usize) -> Option<Transmit> {
        while let Some(&id) = self.turns.front() {
            let Some(sender) = self.senders.get_mut(&id) else {
                self.turns.pop_front();
                continue;
            };
            if sender.lane.is_empty() {
                sender.has_turn = false;
                self.turns.pop_front();
                if sender.gone {
                    self.senders.remove(&id);
                }
                continue;
            }
            if sender.credit <= 0 {
                sender.credit += QUANTUM;
                self.turns.rotate_left(1);
                continue;
            }
            let before = sender.lane.memory();
            let packets = sender.lane.pop(max_segments, QUANTUM.unsigned_abs())?;
            let cost = cost_of(&packets);
            sender.credit = sender.credit.saturating_sub_unsigned(cost);
            let after = sender.lane.memory();
            self.weigh(id, before, after);
            return Some(packets);
        }
        None
    }

    /// A sender is gone, and sends no more. What waits of it is still sent.
    pub(super) fn forget(&mut self, id: SenderId) {
        if let Some(sender) = self.senders.get_mut(&id) {
            sender.gone = true;
            if !sender.has_turn {
                self.senders.remove(&id);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.memory == 0
    }

    /// How many things are kept, and how many bytes of packets.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        let runs = self.senders.values().map(|sender| sender.lane.len());
        self.senders.len() + self.turns.len() + runs.sum::<usize>() + self.memory
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    #[cfg(test)]
    pub(super) fn is_forgotten(&self, id: SenderId) -> bool {
        !self.senders.contains_key(&id)
    }

    /// Takes note of how much memory a lane takes.
    fn weigh(&mut self, id: SenderId, before: usize, after: usize) {
        self.memory = self.memory - before + after;
        let (before, after) = (weight(before), weight(after));
        if before != after {
            self.heavy.remove(&(before, id));
            if after > 0 {
                self.heavy.insert((after, id));
            }
        }
    }
}

/// By what lanes are compared: which power of two their memory has reached, so that it seldom changes. 0 for a packet or so.
fn weight(memory: usize) -> u32 {
    (memory / LIGHT)
        .checked_ilog2()
        .map_or(0, |power| power + 1)
}

/// More than a packet of the usual size takes.
const LIGHT: usize = 2048;
/// What a sender may send in its turn, in bytes as [`cost`](super::cost::cost()) counts them: a batch of the largest size, or 54 small packets.
pub(super) const QUANTUM: isize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::{super::cost::count, *};
    use crate::transport::MAX_BATCH;

    fn packets(to: u16, size: usize, count: usize) -> Transmit {
        Transmit {
            destination: SocketAddr::from(([192, 0, 2, 1], to)),
            source_ip: None,
            ecn: None,
            segment_size: (count > 1).then_some(size),
            payload: Bytes::from(vec![0; size * count]),
        }
    }

    fn push(queue: &mut Queue, from: u8, packets: Transmit) -> usize {
        let memory = packets.payload.len();
        queue.push(SenderId(from.into()), packets, memory)
    }

    /// Whatever the others send, in sizes and in a mix of destinations of their choice, a packet waits for no more than one turn
    /// of each, and nothing of who has little is dropped.
    #[test]
    fn a_packet_waits_for_one_turn_of_each_other() {
        const LIMIT: usize = 300_000;
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut queue = Queue::new(LIMIT);
            let others = rng.random_range(1..8);
            let kinds: Vec<_> = (0..others)
                .map(|_| {
                    let size = [1, 9, 100, 1200, 1452, 8952][rng.random_range(0..6)];
                    let most = [1, 3, MAX_BATCH / size][rng.random_range(0..3)];
                    (size, most.min(MAX_BATCH / size), rng.random_range(1..4_u16))
                })
                .collect();
            let flood = |queue: &mut Queue, rng: &mut StdRng, times: usize| {
                for _ in 0..times {
                    let from = rng.random_range(0..others);
                    let (size, most, ways) = kinds[from];
                    let to = rng.random_range(0..ways);
                    let run = packets(to, size, rng.random_range(1..=most));
                    push(queue, from as u8, run);
                    assert!(queue.memory() <= LIMIT, "seed {seed}");
                }
            };
            let max_segments = rng.random_range(1..70);
            for _ in 0..20 {
                flood(&mut queue, &mut rng, 300);
                push(&mut queue, 100, packets(100, 1200, 1));
                let mut waited = 0;
                loop {
                    let sent = queue.pop(max_segments).expect("it waits");
                    if sent.destination.port() == 100 {
                        break;
                    }
                    let segments = count(&sent);
                    assert!(segments <= max_segments && sent.payload.len() <= MAX_BATCH);
                    waited += cost_of(&sent);
                    // A turn, and by how much the last of it was more.
                    let most = 2 * QUANTUM.unsigned_abs() * others;
                    assert!(waited <= most, "seed {seed}: {waited} of {most}");
                    flood(&mut queue, &mut rng, 10);
                }
            }
            while queue.pop(max_segments).is_some() {}
            assert_eq!((queue.memory(), queue.is_empty()), (0, true));
        }
    }

    #[test]
    fn senders_share_by_what_their_packets_cost() {
        let mut queue = Queue::new(usize::MAX);
        let kinds = [(9, 1), (1200, 1), (1452, 44), (8952, 7)];
        let mut sent = [0; 4];
        for number in 0..4_000 {
            for (from, &(size, run)) in kinds.iter().enumerate() {
                if number % run == 0 {
                    push(&mut queue, from as u8, packets(from as u16, size, run));
                }
            }
        }
        for _ in 0..200 {
            let packets = queue.pop(64).expect("there is more");
            sent[usize::from(packets.destination.port())] += cost_of(&packets);
        }
        let (least, most) = (sent.iter().min(), sent.iter().max());
        let apart = most.unwrap() - least.unwrap();
        assert!(apart <= 2 * QUANTUM.unsigned_abs(), "{sent:?}");
    }

    /// A sender that has nothing left after each two batches, and then two more, gets no more than one that always has some.
    #[test]
    fn who_comes_and_goes_gets_no_more_than_who_stays() {
        let mut queue = Queue::new(usize::MAX);
        let batch = |from: u8| packets(from.into(), 1200, 54);
        let mut sent = [0; 2];
        let mut pop = |queue: &mut Queue| {
            let packets = queue.pop(64).expect("there is more");
            let from = usize::from(packets.destination.port());
            sent[from] += cost_of(&packets);
            from
        };
        for _ in 0..100 {
            for _ in 0..4 {
                push(&mut queue, 0, batch(0));
            }
            push(&mut queue, 1, batch(1));
            push(&mut queue, 1, batch(1));
            let mut left = 2;
            while left > 0 {
                left -= pop(&mut queue);
            }
            // By then it is seen to have no more.
            pop(&mut queue);
        }
        let apart = sent[1].saturating_sub(sent[0]);
        assert!(apart <= 2 * QUANTUM.unsigned_abs(), "{sent:?}");
    }

    #[test]
    fn who_has_most_gives_way() {
        let mut queue = Queue::new(100_000);
        let few = |queue: &mut Queue| push(queue, 1, packets(1, 100, 1));
        assert_eq!(few(&mut queue), 0);
        let mut dropped = 0;
        for _ in 0..1000 {
            dropped += push(&mut queue, 2, packets(2, 1200, 1));
        }
        assert!((900..1000).contains(&dropped), "{dropped}");
        for _ in 0..10 {
            // At most one of the other's for each.
            assert!(few(&mut queue) <= 1);
        }
        let mut received = 0;
        while let Some(packets) = queue.pop(1) {
            received += usize::from(packets.destination.port() == 1);
        }
        assert_eq!(received, 11);
    }

    #[test]
    fn as_much_as_may_wait_is_kept() {
        let mut free = Queue::new(usize::MAX);
        for from in 0..10 {
            push(&mut free, from, packets(1, 1200, 1));
        }
        let mut full = Queue::new(free.memory());
        for from in 0..10 {
            assert_eq!(push(&mut full, from, packets(1, 1200, 1)), 0);
        }
        assert_eq!(push(&mut full, 10, packets(1, 1200, 1)), 1);
    }

    #[test]
    fn where_all_have_a_packet_those_that_come_last_are_dropped() {
        let mut queue = Queue::new(100_000);
        let dropped = |from| push(&mut queue, from, packets(from.into(), 1200, 1));
        let dropped: Vec<_> = (0..100).map(dropped).collect();
        let kept = dropped.iter().take_while(|&&dropped| dropped == 0).count();
        assert!((50..80).contains(&kept), "{kept}");
        assert!(dropped[kept..].iter().all(|&dropped| dropped == 1));
        let sent = std::iter::from_fn(|| queue.pop(64)).map(|it| it.destination.port());
        assert!(sent.eq(0..kept as u16));
    }

    #[test]
    fn packets_that_take_turns_with_others_go_on_together() {
        let mut queue = Queue::new(usize::MAX);
        for _ in 0..10 {
            push(&mut queue, 1, packets(1, 100, 1));
            push(&mut queue, 1, packets(2, 200, 1));
        }
        let sizes =
            std::iter::from_fn(|| queue.pop(64)).map(|it| (it.payload.len(), it.segment_size));
        let expected = [(1000, Some(100)), (2000, Some(200))];
        assert_eq!(sizes.collect::<Vec<_>>(), expected);
    }
}
