//! Busy polling: whether to poll for the next packet, instead of sleeping until it comes.

use std::time::{Duration, Instant};

/// Tells whether the next wait will be a short one, by the last.
///
/// Falling asleep and being woken takes a thread longer than conec takes for a packet, and longer than a fast network takes.
/// Where a few small packets go to and fro, each of them pays for that at every driver on its way, unless the driver polls
/// between them. Where more is to be moved, the processor has better work to do.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    /// Since when it waits, if it does for something small.
    since: Option<Instant>,
    /// Whether something was sent since then. What comes without that is nobody's answer, and may be a stranger's.
    answered: bool,
    /// How many more short waits it takes.
    wanted: u32,
    /// How many more turns may find nothing to do: a limit that holds even where the clock stands still.
    turns: u32,
}

impl BusyPoll {
    pub(crate) fn new() -> Self {
        Self {
            since: None,
            answered: false,
            wanted: RUN,
            turns: 0,
        }
    }

    /// Takes note of how many bytes a turn has received and sent. Waits shorter than `limit` are short.
    pub(crate) fn handle_turn(
        &mut self,
        now: Instant,
        limit: Duration,
        received: usize,
        sent: usize,
    ) {
        let late = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= limit);
        if received + sent > SMALL {
            self.since = None;
            self.wanted = self.wanted.max(RUN);
        } else if received > 0 && self.answered {
            self.wanted = match late {
                true => self.wanted.max(RUN),
                false => self.wanted.saturating_sub(1),
            };
            self.since = Some(now);
            self.answered = false;
            self.turns = TURNS;
        } else if self.is_active() {
            self.turns = self.turns.saturating_sub(1);
            if late || self.turns == 0 {
                self.since = None;
                self.wanted = RUN_AFTER_FAILURE;
            }
        }
        self.answered |= sent > 0;
    }

    /// Whether the next turn is due at once.
    pub(crate) fn is_active(&self) -> bool {
        self.wanted == 0 && self.since.is_some()
    }
}

/// Bytes that a turn moves at most where it is speed that counts, not throughput.
const SMALL: usize = 1024;
/// How many waits have to be short, one after the other.
const RUN: u32 = 8;
/// The same, but not in a row, after it has polled in vain: so that happens in one wait of so many at most.
const RUN_AFTER_FAILURE: u32 = 32;
/// How many turns fit in a wait, and then some.
const TURNS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_run_of_short_waits_it_stays_awake_until_one_is_long() {
        let mut scene = Scene::new();
        scene.exchange(SHORT, RUN);
        assert!(
            !scene.busy.is_active(),
            "the first one began the first wait"
        );
        scene.exchange(SHORT, 1);
        assert!(scene.busy.is_active());
        // Turns that find nothing, and one that sends: the answer is still to come.
        for sent in [0, 0, 100] {
            scene.turn(LIMIT / 8, 0, sent);
            assert!(scene.busy.is_active());
        }
        scene.exchange(SHORT, 100);
        assert!(scene.busy.is_active());
        scene.turn(LIMIT, 0, 0);
        assert!(!scene.busy.is_active());
    }

    #[test]
    fn who_was_awake_for_nothing_is_slow_to_try_again() {
        let mut scene = Scene::new();
        scene.exchange(SHORT, RUN + 1);
        scene.turn(LIMIT, 0, 0);
        scene.exchange(SHORT, 1);
        scene.exchange(SHORT, RUN_AFTER_FAILURE - 1);
        assert!(!scene.busy.is_active());
        scene.exchange(SHORT, 1);
        assert!(scene.busy.is_active());
    }

    #[test]
    fn a_long_wait_or_much_to_move_begins_the_run_anew() {
        for spoil in [
            (|scene: &mut Scene| scene.exchange(LIMIT, 1)) as fn(&mut Scene),
            |scene| scene.turn(SHORT, SMALL, 1),
            |scene| scene.turn(SHORT, 0, SMALL + 1),
        ] {
            for before in [RUN, 10 * RUN] {
                let mut scene = Scene::new();
                scene.exchange(SHORT, before);
                spoil(&mut scene);
                assert!(!scene.busy.is_active());
                scene.exchange(SHORT, RUN - 1);
                assert!(!scene.busy.is_active());
                scene.exchange(SHORT, 2);
                assert!(scene.busy.is_active());
            }
        }
    }

    /// What strangers send is not answered, or not often.
    #[test]
    fn what_nobody_asked_for_keeps_nobody_awake() {
        let mut scene = Scene::new();
        for _ in 0..1000 {
            scene.turn(SHORT, 100, 0);
            assert!(!scene.busy.is_active());
        }
        scene.exchange(SHORT, 2 * RUN);
        assert!(scene.busy.is_active());
        // Only the first of these can be taken for an answer.
        for _ in 0..5 {
            scene.turn(LIMIT / 4, 100, 0);
        }
        assert!(!scene.busy.is_active());
    }

    #[test]
    fn a_clock_that_stands_still_does_not_keep_it_awake() {
        let mut scene = Scene::new();
        scene.exchange(Duration::ZERO, RUN + 1);
        assert!(scene.busy.is_active());
        for _ in 0..TURNS {
            scene.turn(Duration::ZERO, 0, 0);
        }
        assert!(!scene.busy.is_active());
    }

    #[test]
    fn without_a_limit_it_never_stays_awake() {
        let mut scene = Scene::new();
        scene.limit = Duration::ZERO;
        for _ in 0..1000 {
            scene.exchange(Duration::ZERO, 1);
            assert!(!scene.busy.is_active());
        }
    }

    const LIMIT: Duration = Duration::from_micros(100);
    const SHORT: Duration = Duration::from_micros(99);

    struct Scene {
        busy: BusyPoll,
        now: Instant,
        limit: Duration,
    }

    impl Scene {
        fn new() -> Self {
            let mut scene = Self {
                busy: BusyPoll::new(),
                now: Instant::now(),
                limit: LIMIT,
            };
            scene.turn(Duration::ZERO, 0, 100);
            scene
        }

        /// Something comes after a wait, and is answered, so many times.
        fn exchange(&mut self, wait: Duration, times: u32) {
            for _ in 0..times {
                self.turn(wait, 100, 100);
            }
        }

        fn turn(&mut self, wait: Duration, received: usize, sent: usize) {
            self.now += wait;
            self.busy.handle_turn(self.now, self.limit, received, sent);
        }
    }
}
