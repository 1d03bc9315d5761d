//! One direction of a faulty path: which packets it drops, and when the others arrive. The time is given from outside.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// What lies between two places, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Path {
    pub(crate) rate: Rate,
    /// Of one direction.
    pub(crate) delay: Duration,
    /// Up to how much more or less a packet takes, at random. Packets overtake each other.
    pub(crate) jitter: Duration,
    /// Which part of the packets gets lost at random.
    pub(crate) loss: f64,
    /// How much may wait for the link, as the time that it takes at the highest rate; everything, where there is none.
    /// What comes when it is full is dropped (tail drop).
    pub(crate) queue: Option<Duration>,
    /// Drops what exceeds a rate, before the link.
    pub(crate) policer: Option<Policer>,
}

/// How fast a link is, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    Constant(u64),
    /// One rate, then another, then the first again, each for a third of this time.
    Thirds(u64, u64, Duration),
    /// Another rate between these each time, at random.
    Random(u64, u64, Duration),
}

/// A token bucket that nothing waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Policer {
    /// In bits per second.
    pub(crate) rate: u64,
    /// How much may come at once, as the time that it takes at the rate.
    pub(crate) burst: Duration,
}

/// Takes packets in, and gives them out when they have arrived.
pub(crate) struct Link<P> {
    path: Path,
    seed: u64,
    rng: StdRng,
    /// When the path's rate begins to change.
    began: Instant,
    free_at: Instant,
    /// What waits for the link: until when, and how many bytes.
    waiting: VecDeque<(Instant, usize)>,
    backlog: usize,
    tokens: f64,
    tokens_at: Instant,
    /// By their arrival.
    under_way: VecDeque<(Instant, P)>,
}

impl<P> Link<P> {
    pub(crate) fn new(now: Instant, path: Path, seed: u64) -> Self {
        Self {
            path,
            seed,
            rng: StdRng::seed_from_u64(seed),
            began: now,
            free_at: now,
            waiting: VecDeque::new(),
            backlog: 0,
            tokens: path.policer.map_or(0.0, |policer| policer.depth()),
            tokens_at: now,
            under_way: VecDeque::new(),
        }
    }

    /// Lets the path's rate begin to change.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// Takes a packet of so many bytes, unless it is dropped.
    pub(crate) fn send(&mut self, now: Instant, size: usize, packet: P) -> bool {
        if self.rng.random_bool(self.path.loss) || !self.may_pass(now, size) || !self.has_room(now)
        {
            return false;
        }
        let starts = self.free_at.max(now);
        let elapsed = starts.saturating_duration_since(self.began);
        let rate = self.path.rate.at(elapsed, self.seed);
        self.free_at = starts + Duration::from_nanos(size as u64 * 8_000_000_000 / rate);
        self.waiting.push_back((self.free_at, size));
        self.backlog += size;
        let mut delay = self.path.delay;
        if !self.path.jitter.is_zero() {
            delay += self.rng.random_range(Duration::ZERO..=self.path.jitter * 2);
            delay = delay.saturating_sub(self.path.jitter);
        }
        let at = self.free_at + delay;
        // Not far from the end: only jitter brings a packet in front of others.
        let after = self.under_way.iter().rposition(|&(other, _)| other <= at);
        let index = after.map_or(0, |after| after + 1);
        self.under_way.insert(index, (at, packet));
        true
    }

    /// When the next packet arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        Some(self.under_way.front()?.0)
    }

    /// The next packet, if it has arrived and is as it should be.
    pub(crate) fn receive(&mut self, now: Instant, is_right: impl FnOnce(&P) -> bool) -> Option<P> {
        let (at, packet) = self.under_way.front()?;
        if *at > now || !is_right(packet) {
            return None;
        }
        self.under_way.pop_front().map(|(_, packet)| packet)
    }

    /// Whether a policer, if there is one, lets so much pass.
    fn may_pass(&mut self, now: Instant, size: usize) -> bool {
        let Some(policer) = self.path.policer else {
            return true;
        };
        let came = (now - self.tokens_at).as_secs_f64() * policer.rate as f64 / 8.0;
        self.tokens = (self.tokens + came).min(policer.depth());
        self.tokens_at = now;
        let passes = self.tokens >= size as f64;
        if passes {
            self.tokens -= size as f64;
        }
        passes
    }

    fn has_room(&mut self, now: Instant) -> bool {
        while let Some(&(until, size)) = self.waiting.front()
            && until <= now
        {
            self.waiting.pop_front();
            self.backlog -= size;
        }
        let Some(queue) = self.path.queue else {
            return true;
        };
        let room = queue.as_secs_f64() * self.path.rate.highest() as f64 / 8.0;
        self.backlog as f64 <= room
    }
}

impl Rate {
    pub(crate) fn highest(self) -> u64 {
        match self {
            Self::Constant(rate) => rate,
            Self::Thirds(outer, inner, _) => outer.max(inner),
            Self::Random(low, high, _) => low.max(high),
        }
    }

    fn at(self, elapsed: Duration, seed: u64) -> u64 {
        match self {
            Self::Constant(rate) => rate,
            Self::Thirds(outer, inner, time) => {
                let third = time / 3;
                if (third..third * 2).contains(&elapsed) {
                    inner
                } else {
                    outer
                }
            }
            Self::Random(low, high, every) => {
                let step = elapsed.as_nanos() / every.as_nanos();
                let seed = seed.wrapping_mul(1 << 32).wrapping_add(step as u64);
                StdRng::seed_from_u64(seed).random_range(low..=high)
            }
        }
    }
}

impl Policer {
    fn depth(self) -> f64 {
        self.burst.as_secs_f64() * self.rate as f64 / 8.0
    }
}
