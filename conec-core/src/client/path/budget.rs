//! What a Client may send to addresses that have not proved to be the other end's: over all channels together, so that
//! no number of them adds up to an attack on somebody else.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    ClientLimits,
    util::{Bucket, Deadlines},
};

#[derive(Debug)]
pub(super) struct Budget {
    pings: Bucket,
    pongs: Bucket,
    /// Of either, up to so many are left to those who have sent less of late.
    reserve: u64,
    /// How many probes to each IP address may remain unanswered.
    targets: BTreeMap<IpAddr, Bucket>,
    /// When each is forgotten.
    expiry: Deadlines<IpAddr>,
    max_targets: usize,
    share: Share,
}

/// What is one channel's own of the [`Budget`]: whatever others ask for, or make this Client answer, it gets as much.
///
/// Pings are on this end's account, and pongs on that of who has asked for them, so that neither takes the other's place.
#[derive(Debug, Clone)]
pub(super) struct Share {
    pings: Bucket,
    pongs: Bucket,
}

impl Budget {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        let rate = u64::from(limits.probe_rate);
        // All shares together are half of the whole: however many make use of theirs, there is something left for each.
        let seconds = 2 * limits.channels_per_client.clamp(1, 1 << 20) as u64;
        let share = Bucket::new(rate, Duration::from_secs(seconds), SHARE_BURST);
        Self {
            pings: Bucket::per_second(rate, rate),
            pongs: Bucket::per_second(rate, rate),
            reserve: rate / 2,
            targets: BTreeMap::new(),
            expiry: Deadlines::new(),
            max_targets: limits.probe_targets,
            share: Share {
                pings: share.clone(),
                pongs: share,
            },
        }
    }

    /// For a new channel.
    pub(super) fn share(&self) -> Share {
        self.share.clone()
    }

    /// Whether another ping may be sent now, wherever to.
    pub(super) fn ask(&mut self, now: Instant, share: &mut Share) -> bool {
        take(now, &mut self.pings, &mut share.pings, self.reserve)
    }

    /// Whether another ping may be answered now.
    pub(super) fn answer(&mut self, now: Instant, share: &mut Share) -> bool {
        take(now, &mut self.pongs, &mut share.pongs, self.reserve)
    }

    /// Whether a probe may be sent to an address that has not proved itself; then it counts.
    pub(super) fn aim(&mut self, now: Instant, target: IpAddr) -> bool {
        while let Some(target) = self.expiry.pop_due(now) {
            self.targets.remove(&target);
        }
        if !self.targets.contains_key(&target) && self.targets.len() >= self.max_targets {
            return false;
        }
        let full = || Bucket::new(1, UNANSWERED_EVERY, MAX_UNANSWERED);
        let allowed = self.targets.entry(target).or_insert_with(full).take(now, 1);
        if allowed {
            // Full again by then.
            let forgotten = now + UNANSWERED_EVERY * MAX_UNANSWERED as u32;
            self.expiry.set(target, Some(forgotten));
        }
        allowed
    }

    /// So many probes to an address were not in vain.
    pub(super) fn hit(&mut self, target: IpAddr, probes: u32) {
        if let Some(unanswered) = self.targets.get_mut(&target) {
            unanswered.give(probes.into());
        }
    }
}

fn take(now: Instant, all: &mut Bucket, own: &mut Bucket, reserve: u64) -> bool {
    // Who has used more of its own leaves more to those who have used less.
    let used = SHARE_BURST - own.level(now);
    let allowed = all.take_leaving(now, 1, reserve * used / SHARE_BURST);
    if allowed {
        own.take(now, 1);
    }
    allowed
}

/// Enough to find a path, and to be found.
const SHARE_BURST: u64 = 16;
/// Probes to one IP address that may remain unanswered before it is left alone, but for one now and then.
const MAX_UNANSWERED: u64 = 32;
const UNANSWERED_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn who_does_not_answer_is_left_alone_but_for_one_now_and_then() {
        let mut budget = Budget::new(&ClientLimits::default());
        let start = Instant::now();
        let aimed = (0..100).filter(|_| budget.aim(start, ip(1))).count();
        assert_eq!(aimed, 32);
        assert!(budget.aim(start, ip(2)), "others are not concerned");
        let mut aimed = 0;
        for second in 1..=60 {
            let now = start + Duration::from_secs(second);
            aimed += (0..100).filter(|_| budget.aim(now, ip(1))).count();
        }
        assert_eq!(aimed, 30);
    }

    #[test]
    fn what_was_answered_does_not_count() {
        let mut budget = Budget::new(&ClientLimits::default());
        let start = Instant::now();
        for _ in 0..100 {
            assert!(budget.aim(start, ip(1)));
            budget.hit(ip(1), 1);
        }
        budget.hit(ip(1), 5);
        budget.hit(ip(2), 5);
        let aimed = (0..100).filter(|_| budget.aim(start, ip(1))).count();
        assert_eq!(aimed, 32);
    }

    #[test]
    fn a_full_table_takes_nobody_in_until_somebody_is_forgotten() {
        let limits = ClientLimits {
            probe_targets: 2,
            ..ClientLimits::default()
        };
        let mut budget = Budget::new(&limits);
        let start = Instant::now();
        assert!(budget.aim(start, ip(1)));
        assert!(budget.aim(start + Duration::from_secs(30), ip(2)));
        assert!(!budget.aim(start + Duration::from_secs(63), ip(3)));
        assert!(budget.aim(start + Duration::from_secs(64), ip(3)));
        assert!(!budget.aim(start + Duration::from_secs(64), ip(1)));
    }

    #[test]
    fn all_pings_together_are_limited_and_so_are_all_pongs() {
        let mut budget = Budget::new(&ClientLimits::default());
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        for send in [Budget::ask, Budget::answer] {
            let mut shares = vec![budget.share(); 100];
            let mut count = |now| {
                let turns = (0..10_000).map(|turn| turn % 100);
                turns
                    .filter(|&turn| send(&mut budget, now, &mut shares[turn]))
                    .count()
            };
            let (first, then) = (count(start), count(later));
            assert!((150..=200).contains(&first), "{first}");
            assert!(then >= 90 && first + then <= 300, "{then}");
        }
    }

    /// A channel that asks, or is asked, without end leaves the others what they need. So do a great many together.
    #[test]
    fn nobody_takes_the_share_of_another() {
        for greedy in [1, 240] {
            let mut budget = Budget::new(&ClientLimits::default());
            let start = Instant::now();
            let mut modest = budget.share();
            let mut done = [0, 0];
            let mut greedy = vec![budget.share(); greedy];
            for milli in 0..60_000_u64 {
                let now = start + Duration::from_millis(milli);
                let turn = milli as usize % greedy.len();
                let share = &mut greedy[turn];
                for _ in 0..5 {
                    budget.ask(now, share);
                    budget.answer(now, share);
                }
                // In the first rush, a search has its turn like all others.
                if (1000..6000).contains(&milli) && done != [5, 5] {
                    done[0] += u32::from(done[0] < 5 && budget.ask(now, &mut modest));
                    done[1] += u32::from(done[1] < 5 && budget.answer(now, &mut modest));
                }
                // Then, a look every three seconds.
                if milli > 6000 && milli % 3000 == 2999 {
                    assert_eq!(done, [5, 5]);
                    assert!(budget.ask(now, &mut modest), "after {milli} ms");
                    assert!(budget.answer(now, &mut modest), "after {milli} ms");
                }
            }
        }
    }
}
