//! What a Client may send to addresses that have not proved to be the other end's: over all channels together, so that
//! no number of them adds up to an attack on somebody else.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{Limits, channel::Bucket, transport::Deadlines};

#[derive(Debug)]
pub(super) struct Budget {
    rate: Bucket,
    /// How many probes to each IP address are unanswered.
    targets: BTreeMap<IpAddr, u32>,
    /// When each is forgotten.
    expiry: Deadlines<IpAddr>,
    max_targets: usize,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            rate: Bucket::per_second(limits.probe_rate.into(), limits.probe_rate.into()),
            targets: BTreeMap::new(),
            expiry: Deadlines::new(),
            max_targets: limits.probe_targets,
        }
    }

    /// Whether another probe may be sent now, wherever to.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.rate.take(now, 1)
    }

    /// Whether a probe may be sent to an address that has not proved itself; then it counts.
    pub(super) fn aim(&mut self, now: Instant, target: IpAddr) -> bool {
        while let Some(target) = self.expiry.pop_due(now) {
            self.targets.remove(&target);
        }
        if !self.targets.contains_key(&target) && self.targets.len() >= self.max_targets {
            return false;
        }
        let unanswered = self.targets.entry(target).or_insert(0);
        if *unanswered >= MAX_UNANSWERED {
            return false;
        }
        *unanswered += 1;
        self.expiry.set(target, Some(now + COOL_DOWN));
        true
    }

    /// So many probes to an address were not in vain.
    pub(super) fn hit(&mut self, target: IpAddr, probes: u32) {
        if let Some(unanswered) = self.targets.get_mut(&target) {
            *unanswered = unanswered.saturating_sub(probes);
        }
    }
}

/// Probes to one IP address that may remain unanswered before it is left alone for a while.
const MAX_UNANSWERED: u32 = 32;
/// For how long, after the last probe to it.
const COOL_DOWN: Duration = Duration::from_secs(60);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn who_does_not_answer_is_left_alone_for_a_while() {
        let mut budget = Budget::new(&Limits::default());
        let start = Instant::now();
        let aimed = (0..100).filter(|_| budget.aim(start, ip(1))).count();
        assert_eq!(aimed, 32);
        assert!(budget.aim(start, ip(2)), "others are not concerned");
        assert!(!budget.aim(start + Duration::from_secs(59), ip(1)));
        assert!(budget.aim(start + Duration::from_secs(60), ip(1)));
    }

    #[test]
    fn what_was_answered_does_not_count() {
        let mut budget = Budget::new(&Limits::default());
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
        let limits = Limits {
            probe_targets: 2,
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits);
        let start = Instant::now();
        assert!(budget.aim(start, ip(1)));
        assert!(budget.aim(start + Duration::from_secs(30), ip(2)));
        assert!(!budget.aim(start + Duration::from_secs(59), ip(3)));
        assert!(budget.aim(start + Duration::from_secs(60), ip(3)));
        assert!(!budget.aim(start + Duration::from_secs(60), ip(1)));
    }

    #[test]
    fn all_probes_together_are_limited() {
        let mut budget = Budget::new(&Limits::default());
        let start = Instant::now();
        assert_eq!((0..1000).filter(|_| budget.take(start)).count(), 200);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..1000).filter(|_| budget.take(later)).count(), 100);
    }
}
