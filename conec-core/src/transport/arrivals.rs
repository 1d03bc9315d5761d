//! Which packets arrive, told by their numbers.

/// Counts the gaps between the packets of a connection that have arrived.
///
/// A packet is given up when 128 later ones have been seen. The engine drops what comes later than that, too.
#[derive(Debug)]
pub(super) struct Arrivals {
    /// The highest number seen.
    highest: Option<u64>,
    /// Which of the 128 numbers up to the highest were seen: that one's bit is the lowest.
    seen: u128,
    /// Whether the last one was that was given up or left behind.
    seen_before: bool,
    gaps: u64,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            highest: None,
            seen: 0,
            seen_before: false,
            gaps: 0,
        }
    }

    /// Takes note of the number of the packet that the engine was given last. Tells how many times, so far, packets in a
    /// row were lost after one that was not.
    #[inline]
    pub(super) fn note(&mut self, latest: Option<u64>) -> u64 {
        if let Some(number) = latest {
            self.arrived(number);
        }
        self.gaps
    }

    #[inline]
    fn arrived(&mut self, number: u64) {
        let highest = *self.highest.get_or_insert(number);
        if number <= highest {
            let late = u32::try_from(highest - number).unwrap_or(u32::MAX);
            self.seen |= 1_u128.checked_shl(late).unwrap_or(0);
            return;
        }
        self.highest = Some(number);
        for _ in 0..(number - highest).min(WINDOW + 1) {
            let seen = self.seen >> (WINDOW - 1) == 1;
            self.gaps += u64::from(self.seen_before && !seen);
            self.seen_before = seen;
            self.seen <<= 1;
        }
        self.seen |= 1;
    }
}

/// For how many numbers a packet is waited for.
const WINDOW: u64 = u128::BITS as u64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn gaps(numbers: impl IntoIterator<Item = u64>) -> u64 {
        let mut arrivals = Arrivals::new();
        for number in numbers {
            arrivals.note(Some(number));
        }
        arrivals.note(None)
    }

    /// So much later that everything up to there has arrived or is given up.
    const LATER: u64 = 10_000;

    #[test]
    fn nothing_is_missing_where_all_arrive() {
        assert_eq!(Arrivals::new().note(None), 0);
        for first in [0, 1, 1000] {
            assert_eq!(gaps(first..first + 1000), 0);
        }
    }

    #[test]
    fn what_is_lost_in_a_row_is_one_gap() {
        assert_eq!(gaps((0..10).chain(12..130)), 0, "still waited for");
        let and_on = LATER..LATER + 200;
        assert_eq!(gaps((0..10).chain(and_on.clone())), 1);
        assert_eq!(gaps((0..10).chain(12..500)), 1);
        let every_second = (0..1000).step_by(2);
        assert_eq!(gaps(every_second.clone().chain(and_on.clone())), 500);
        let pairs = (0..1000).filter(|number| number % 4 < 2);
        assert_eq!(gaps(pairs.chain(and_on)), 250);
    }

    #[test]
    fn what_is_late_is_not_lost() {
        let swapped = (0..1000).map(|number| number ^ 63);
        assert_eq!(gaps(swapped), 0);
        let twice = (0..1000).flat_map(|number| [number, number]);
        assert_eq!(gaps(twice), 0);
        let late = (1..128).chain([0]).chain(128..1000);
        assert_eq!(gaps(late), 0);
        // The numbers before the first are not missed: nobody knows whether there are any.
        assert_eq!(gaps((500..1000).chain(1000..LATER)), 0);
        let too_late = (0..10).chain(11..500).chain([10]).chain(500..1000);
        assert_eq!(gaps(too_late), 1);
    }

    /// The same, told from the whole story.
    fn recounted(numbers: &[u64]) -> u64 {
        let mut seen = BTreeSet::new();
        let mut highest = numbers[0];
        for &number in numbers {
            highest = highest.max(number);
            if highest - number < WINDOW {
                seen.insert(number);
            }
        }
        let is_lost = |number: u64| !seen.contains(&number) && number + WINDOW <= highest;
        seen.iter().filter(|&&it| is_lost(it + 1)).count() as u64
    }

    #[test]
    fn a_jump_counts_all_gaps_that_it_leaves_behind() {
        let jumps = [1, 2, 126, 127, 128, 129, 130, 131, 255, 256, 257, 1000];
        for holes in [0, 1, 3, 64, 100, 126, 127, 128] {
            for jump in jumps {
                for then in jumps {
                    let mut story: Vec<u64> = (0..10).collect();
                    for step in [1 + holes, 2, 1, 1 + holes, jump, then, 1, 2] {
                        let latest = story[story.len() - 1];
                        // Something comes late, too.
                        story.extend([latest + step, latest + step - step.min(2) / 2]);
                        let counted = gaps(story.iter().copied());
                        assert_eq!(counted, recounted(&story), "{holes} {jump} {then} {step}");
                    }
                }
            }
        }
    }
}
