//! What is under way to members, which takes memory until they have acknowledged it, however long that takes them.
//!
//! It is bounded: each Client may have a [little](UNDER_WAY) under way, and besides a part of what the others leave free of all that there
//! is. So those that acknowledge nothing get less the more they are, some is left for all others, and together they never exceed it. Switches
//! share out the memory for the queues of their ports in the same way (Choudhury and Hahne, Dynamic queue length thresholds, 1998).
//!
//! What is left may be too little for a large message. Then [who is stuck](UnderWay::stuck) has to give way, and who has not acknowledged
//! anything for a while gets nothing of what that frees.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{ChannelId, StreamId, memory::UNDER_WAY};

/// What is under way to all Clients.
#[derive(Debug)]
pub(super) struct UnderWay {
    clients: BTreeMap<ChannelId, ToClient>,
    /// What they have under way beyond the little that each may have, and how much that may be.
    taken: usize,
    limit: usize,
}

/// What is under way to one.
#[derive(Debug, Default)]
struct ToClient {
    streams: BTreeMap<StreamId, OnStream>,
    len: usize,
}

/// What is under way on a stream.
#[derive(Debug, Default)]
struct OnStream {
    /// In order.
    marks: VecDeque<Mark>,
    /// How much there is after them.
    unmarked: usize,
}

/// A part of what is under way on a stream.
#[derive(Debug)]
struct Mark {
    /// At its end. Shared with the engine until it is acknowledged.
    bytes: Bytes,
    len: usize,
    /// Since when.
    since: Instant,
}

impl UnderWay {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            clients: BTreeMap::new(),
            taken: 0,
            limit,
        }
    }

    /// How much may be sent to a Client now.
    pub(super) fn room(&mut self, now: Instant, client: ChannelId) -> Room {
        let mut is_slow = false;
        let own = self.change(client, |client| {
            client.look();
            is_slow = client.streams.values().any(|it| it.waits(now, SLOW));
        });
        let free = self.limit.saturating_sub(self.taken);
        let share = match is_slow {
            true => 0,
            false => free / SHARE,
        };
        Room {
            left: (UNDER_WAY + share).saturating_sub(own),
            free,
        }
    }

    /// How much is under way to a Client, as of when that was last looked at.
    pub(super) fn held(&self, client: ChannelId) -> usize {
        self.clients.get(&client).map_or(0, |it| it.len)
    }

    /// What to give up where memory is short: all streams of one Client on which something has been under way for [too long](PATIENCE).
    /// It is the Client whose streams of that kind hold most.
    pub(super) fn stuck(&self, now: Instant) -> Vec<StreamId> {
        let stuck = |client: &ToClient| -> Vec<(StreamId, usize)> {
            let streams = client.streams.iter();
            let stuck = streams.filter(|(_, on_stream)| on_stream.waits(now, PATIENCE));
            stuck
                .map(|(&id, on_stream)| (id, on_stream.len()))
                .collect()
        };
        let clients = self.clients.values().filter(|it| it.beyond() > 0);
        let most = clients
            .map(stuck)
            .max_by_key(|streams| streams.iter().map(|it| it.1).sum::<usize>());
        most.into_iter().flatten().map(|it| it.0).collect()
    }

    /// So much was sent on a stream. It is told how much there is after the last [mark](crate::channel::ChannelCore::mark), and may give
    /// another one.
    pub(super) fn add(
        &mut self,
        now: Instant,
        stream: StreamId,
        len: usize,
        mark: impl FnOnce(usize) -> Option<Bytes>,
    ) {
        let client = self.clients.entry(stream.channel()).or_default();
        count(&mut self.taken, client, |client| {
            client.len += len;
            let on_stream = client.streams.entry(stream).or_default();
            on_stream.unmarked += len;
            if let Some(mark) = mark(on_stream.unmarked) {
                on_stream.mark(now, mark);
            }
        });
    }

    /// Looks what was acknowledged since.
    pub(super) fn look(&mut self) {
        self.clients.retain(|_, client| {
            count(&mut self.taken, client, ToClient::look);
            client.len > 0
        });
    }

    /// All of a stream was acknowledged, or is not sent any more.
    pub(super) fn ended(&mut self, stream: StreamId) {
        let left = self.change(stream.channel(), |client| {
            if let Some(on_stream) = client.streams.remove(&stream) {
                client.len -= on_stream.len();
            }
        });
        if left == 0 {
            self.clients.remove(&stream.channel());
        }
    }

    /// Changes what is under way to a Client. How much that is then.
    fn change(&mut self, client: ChannelId, change: impl FnOnce(&mut ToClient)) -> usize {
        let Some(client) = self.clients.get_mut(&client) else {
            return 0;
        };
        count(&mut self.taken, client, change);
        client.len
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.clients.len()
    }
}

/// What may be sent to a Client, as of when it was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// After so much, no more.
    left: usize,
    free: usize,
}

impl Room {
    /// Whether something of this size may be sent after as much as was sent since.
    pub(super) fn takes(self, sent: usize, len: usize) -> bool {
        sent < self.left && (len <= UNDER_WAY || len <= self.free)
    }
}

impl ToClient {
    fn beyond(&self) -> usize {
        self.len.saturating_sub(UNDER_WAY)
    }

    fn look(&mut self) {
        self.streams.retain(|_, on_stream| {
            self.len -= on_stream.look();
            !on_stream.is_empty()
        });
    }
}

impl OnStream {
    fn len(&self) -> usize {
        self.marks.iter().map(|it| it.len).sum::<usize>() + self.unmarked
    }

    fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.unmarked == 0
    }

    /// Whether something of it has waited so long to be acknowledged.
    fn waits(&self, now: Instant, time: Duration) -> bool {
        let first = self.marks.front();
        first.is_some_and(|first| first.since + time <= now)
    }

    fn mark(&mut self, now: Instant, bytes: Bytes) {
        let len = std::mem::take(&mut self.unmarked);
        match self.marks.back_mut() {
            Some(last) if last.len + len <= STEP => {
                last.bytes = bytes;
                last.len += len;
            }
            Some(_) | None => self.marks.push_back(Mark {
                bytes,
                len,
                since: now,
            }),
        }
    }

    /// Forgets what was acknowledged. How much that is.
    fn look(&mut self) -> usize {
        let mut acknowledged = 0;
        while let Some(first) = self.marks.front()
            && first.bytes.is_unique()
        {
            acknowledged += first.len;
            self.marks.pop_front();
        }
        acknowledged
    }
}

/// Changes what is under way to a Client, of all that is taken.
fn count(taken: &mut usize, client: &mut ToClient, change: impl FnOnce(&mut ToClient)) {
    let before = client.beyond();
    change(client);
    *taken = *taken + client.beyond() - before;
}

/// Which part of what is left free a Client may have.
const SHARE: usize = 4;
/// How much is known to be acknowledged together.
const STEP: usize = 8 << 10;
/// A Client for which something has been under way for so long gets no part of what is free.
const SLOW: Duration = Duration::from_secs(1);
/// For how long something may be under way while others wait for the memory that it takes. At a megabit per second, a message of a
/// megabyte arrives in that time.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn stream(client: u64, index: u64) -> StreamId {
        StreamId {
            channel: ChannelId(client),
            index,
        }
    }

    /// Sends as much as may be sent, in pieces, and gives what the engine holds then.
    fn fill(under_way: &mut UnderWay, stream: StreamId, piece: usize) -> Vec<Bytes> {
        let mut held = Vec::new();
        while under_way
            .room(Instant::now(), stream.channel())
            .takes(0, piece)
        {
            let mark = Bytes::from(vec![1]);
            under_way.add(Instant::now(), stream, piece, |_| Some(mark.clone()));
            held.push(mark);
        }
        held
    }

    #[test]
    fn who_acknowledges_gets_as_much_again() {
        let mut under_way = UnderWay::new(LIMIT);
        let mut held = fill(&mut under_way, stream(1, 0), STEP);
        let all = held.len() * STEP;
        assert!(all > LIMIT / 6 && all <= LIMIT / SHARE + UNDER_WAY, "{all}");
        // What comes later counts as soon as all before it is acknowledged, too.
        drop(held.pop());
        assert!(!under_way.room(Instant::now(), ChannelId(1)).takes(0, STEP));
        held.drain(..2);
        assert!(under_way.room(Instant::now(), ChannelId(1)).takes(0, STEP));
        assert_eq!(under_way.clients[&ChannelId(1)].len, all - 2 * STEP);
        held.clear();
        under_way.look();
        assert!(under_way.clients.is_empty());
        assert_eq!(under_way.taken, 0);
    }

    /// However many they are, what they have stays in bounds, and everybody else may have a little.
    #[test]
    fn those_that_acknowledge_nothing_leave_something_to_others() {
        for piece in [100, STEP, UNDER_WAY] {
            let mut under_way = UnderWay::new(LIMIT);
            let mut held = Vec::new();
            for client in 1..=100 {
                held.push(fill(&mut under_way, stream(client, 0), piece));
                let all = held.iter().map(Vec::len).sum::<usize>() * piece;
                let most = LIMIT + held.len() * (UNDER_WAY + piece);
                assert!(all <= most, "{all} of {most}");
            }
            assert!(under_way.taken > LIMIT / 2);
            let others = fill(&mut under_way, stream(200, 0), 1000);
            assert!(others.len() * 1000 >= UNDER_WAY);
        }
    }

    #[test]
    fn what_is_large_has_to_fit_into_what_is_free() {
        let mut under_way = UnderWay::new(LIMIT);
        let room = under_way.room(Instant::now(), ChannelId(1));
        assert!(room.takes(0, LIMIT) && !room.takes(0, LIMIT + 1) && !room.takes(LIMIT, 1));
        let _held = fill(&mut under_way, stream(1, 0), STEP);
        let room = under_way.room(Instant::now(), ChannelId(2));
        assert!(!room.takes(0, LIMIT) && room.takes(0, LIMIT / 2));
    }

    /// Who has most of what is under way for long gives way, and no more than that.
    #[test]
    fn who_is_stuck_is_who_has_most_of_what_is_old() {
        let mut under_way = UnderWay::new(LIMIT);
        let begun = Instant::now();
        let mut held = Vec::new();
        let mut send = |under_way: &mut UnderWay, after, stream, len| {
            let mark = Bytes::from(vec![1]);
            under_way.add(begun + after, stream, len, |_| Some(mark.clone()));
            held.push(mark);
        };
        send(&mut under_way, Duration::ZERO, stream(1, 0), 50_000);
        send(&mut under_way, Duration::ZERO, stream(2, 0), 60_000);
        send(&mut under_way, Duration::ZERO, stream(2, 4), 10_000);
        send(&mut under_way, PATIENCE / 2, stream(2, 8), 10_000);
        send(&mut under_way, PATIENCE / 2, stream(3, 0), 200_000);
        // What everybody may have is nobody's fault.
        send(&mut under_way, Duration::ZERO, stream(4, 0), UNDER_WAY);
        let early = begun + PATIENCE - Duration::from_nanos(1);
        assert_eq!(under_way.stuck(early), []);
        let late = begun + PATIENCE;
        assert_eq!(under_way.stuck(late), [stream(2, 0), stream(2, 4)]);
        // As soon as the oldest is acknowledged, it is not.
        held.remove(1);
        under_way.look();
        assert_eq!(under_way.stuck(late), [stream(1, 0)]);
        under_way.ended(stream(1, 0));
        under_way.ended(stream(2, 4));
        assert_eq!(under_way.stuck(late), []);
        assert_eq!(under_way.stuck(late + PATIENCE), [stream(3, 0)]);
    }

    /// One that is not read does not hold up another of the same Client.
    #[test]
    fn streams_are_acknowledged_on_their_own() {
        let now = Instant::now();
        let mut under_way = UnderWay::new(LIMIT);
        let marks = [stream(1, 0), stream(1, 4)].map(|stream| {
            let mark = Bytes::from(vec![1]);
            under_way.add(now, stream, 400, |unmarked| {
                assert_eq!(unmarked, 400);
                None
            });
            under_way.add(now, stream, 600, |unmarked| {
                assert_eq!(unmarked, 1000);
                Some(mark.clone())
            });
            mark
        });
        let [first, second] = marks;
        drop(second);
        under_way.look();
        assert_eq!(under_way.clients[&ChannelId(1)].len, 1000);
        // What has no mark yet counts until the stream ends.
        under_way.add(now, stream(1, 0), UNDER_WAY, |_| None);
        drop(first);
        under_way.look();
        assert_eq!(under_way.clients[&ChannelId(1)].len, UNDER_WAY);
        under_way.add(now, stream(1, 4), 10, |_| None);
        assert_eq!(under_way.taken, 10);
        under_way.ended(stream(1, 0));
        assert_eq!(under_way.clients[&ChannelId(1)].len, 10);
        under_way.ended(stream(1, 4));
        assert!(under_way.clients.is_empty());
        assert_eq!(under_way.taken, 0);
        under_way.ended(stream(1, 4));
    }

    #[test]
    fn little_pieces_share_a_mark() {
        let mut under_way = UnderWay::new(LIMIT);
        let held = fill(&mut under_way, stream(1, 0), 100);
        let marks = &under_way.clients[&ChannelId(1)].streams[&stream(1, 0)].marks;
        assert!(marks.len() <= held.len() * 100 / STEP * 2);
    }
}
