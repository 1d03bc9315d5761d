//! What applications do with a connection, and what they see of it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::connection::{Connection, End};

/// What is sent on a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Large messages, as fast as they are taken.
    Bulk,
    /// So many bytes at once, and again some time later.
    Bursts(usize, Duration),
    /// A small message some time after the other.
    Small(Duration),
}

/// The streams of one connection.
pub(crate) struct Load {
    streams: Vec<Stream>,
    /// Until then something is sent.
    until: Instant,
    began: Instant,
    rng: StdRng,
}

struct Stream {
    from: End,
    /// What the connection calls it.
    number: usize,
    kind: Kind,
    next: Instant,
    /// Small messages that were not taken yet.
    waiting: VecDeque<Bytes>,
    /// Bytes of a burst that were not taken yet.
    left: usize,
    bytes_sent: u64,
    bytes_received: u64,
    /// When the small messages under way were made, oldest first.
    made: VecDeque<Instant>,
    /// Of a small message.
    part: usize,
    latencies: Vec<Duration>,
}

impl Load {
    /// Opens streams of these kinds on a connection that is ready. Small messages go first, where that can be said.
    pub(crate) fn begin(
        connection: &mut dyn Connection,
        kinds: &[(End, Kind)],
        from: Instant,
        until: Instant,
        seed: u64,
    ) -> Self {
        let streams = kinds.iter().map(|&(end, kind)| Stream {
            from: end,
            number: connection.open(end, i32::from(matches!(kind, Kind::Small(_)))),
            kind,
            next: from,
            waiting: VecDeque::new(),
            left: 0,
            bytes_sent: 0,
            bytes_received: 0,
            made: VecDeque::new(),
            part: 0,
            latencies: Vec::new(),
        });
        Self {
            streams: streams.collect(),
            until,
            began: from,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Sends and receives what can be.
    pub(crate) fn turn(&mut self, now: Instant, connection: &mut dyn Connection) {
        for end in [End::Near, End::Far] {
            connection.receive(end, &mut |number, bytes| {
                let stream = self
                    .streams
                    .iter_mut()
                    .find(|stream| stream.from == end.other() && stream.number == number);
                if let Some(stream) = stream {
                    stream.receive(now, bytes.len());
                }
            });
        }
        if now < self.until {
            for stream in &mut self.streams {
                stream.make(now, &mut self.rng);
            }
        }
        for stream in &mut self.streams {
            stream.send(now < self.until, connection);
        }
    }

    /// When there is something new to send, beside what the connection does not take yet.
    pub(crate) fn wakes(&self) -> Option<Instant> {
        let wakes = self.streams.iter().map(|stream| stream.next);
        wakes.filter(|&at| at < self.until).min()
    }

    /// Whether nothing is sent any more, and everything that was has arrived.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
            && self.streams.iter().all(|stream| {
                stream.bytes_sent == stream.bytes_received && stream.waiting.is_empty()
            })
    }

    /// Bytes that have arrived at one of the ends.
    pub(crate) fn received(&self, at: End) -> u64 {
        let streams = self.streams.iter().filter(|stream| stream.from != at);
        streams.map(|stream| stream.bytes_received).sum()
    }

    /// How long small messages took from one end to the other. Those that have not arrived have taken so long already.
    pub(crate) fn latencies(&self, now: Instant) -> Vec<Duration> {
        let streams = self.streams.iter();
        streams
            .flat_map(|stream| {
                let missing = stream.made.iter().map(|&made| now - made);
                stream.latencies.iter().copied().chain(missing)
            })
            .collect()
    }

    /// Since when it runs.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }
}

impl Stream {
    fn receive(&mut self, now: Instant, len: usize) {
        self.bytes_received += len as u64;
        if let Kind::Small(_) = self.kind {
            self.part += len;
            while self.part >= SMALL {
                self.part -= SMALL;
                let made = self.made.pop_front();
                self.latencies.extend(made.map(|made| now - made));
            }
        }
    }

    /// What there is to send by now.
    fn make(&mut self, now: Instant, rng: &mut StdRng) {
        while self.next <= now {
            match self.kind {
                // The connection says when.
                Kind::Bulk => {
                    self.left = usize::MAX;
                    self.next = now + A_LONG_TIME;
                }
                Kind::Bursts(size, every) => {
                    self.left = self.left.saturating_add(size);
                    self.next += every;
                }
                Kind::Small(every) => {
                    self.made.push_back(self.next);
                    self.waiting.push_back(Bytes::from_static(&[0x5a; SMALL]));
                    // Not in step with anything.
                    self.next += every.mul_f64(rng.random_range(0.75..1.25));
                }
            }
        }
    }

    fn send(&mut self, goes_on: bool, connection: &mut dyn Connection) {
        while let Some(message) = self.waiting.front()
            && connection.send(self.from, self.number, message)
        {
            self.bytes_sent += message.len() as u64;
            self.waiting.pop_front();
        }
        let message = Bytes::from_static(&[0x5a; LARGE]);
        while goes_on
            && self.left > 0
            && connection.send(
                self.from,
                self.number,
                &message.slice(..LARGE.min(self.left)),
            )
        {
            let sent = LARGE.min(self.left);
            self.bytes_sent += sent as u64;
            if !matches!(self.kind, Kind::Bulk) {
                self.left -= sent;
            }
        }
    }
}

const SMALL: usize = 64;
const LARGE: usize = 64 << 10;
const A_LONG_TIME: Duration = Duration::from_secs(24 * 60 * 60);
