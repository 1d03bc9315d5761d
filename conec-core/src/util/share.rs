//! How places are shared out among those who want them.

/// Whether somebody who has `own` of `limit` places gets another when `taken` are taken in all.
///
/// The last eighth of all is kept for those who have none. Others get one more as long as they have fewer than are free of
/// the rest (dynamic thresholds: Choudhury and Hahne, 1998). So one alone gets somewhat less than half, the next one as much
/// of what is left, and so on: however many have come before, there is room for others.
pub(crate) fn may_take(own: usize, taken: usize, limit: usize) -> bool {
    taken < limit && (own == 0 || own + taken + limit / 8 < limit)
}

/// What more somebody may take of memory that is shared out in the same way, who has `own` of what is taken in all: as long
/// as it is less than half of what is free. So one alone gets a third.
pub(crate) fn share(own: u64, taken: u64, all: u64) -> u64 {
    all.saturating_sub(taken.saturating_add(2 * own)) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many places each gets who comes and takes all that it can.
    fn shares(limit: usize, askers: usize) -> Vec<usize> {
        let mut taken = 0;
        let mut share = || {
            let mut own = 0;
            while may_take(own, taken, limit) {
                own += 1;
                taken += 1;
            }
            own
        };
        (0..askers).map(|_| share()).collect()
    }

    #[test]
    fn nobody_takes_all_places() {
        assert_eq!(shares(256, 4), [112, 56, 28, 14]);
        // Many who take all that they can leave some for as many others.
        let many = shares(256, 100);
        assert!(many.iter().all(|&own| own > 0) || many.iter().sum::<usize>() == 256);
        assert!(many[..30].iter().all(|&own| own > 0), "{many:?}");
        for (limit, alone) in [(0, 0), (1, 1), (2, 1), (3, 2), (10, 5)] {
            assert_eq!(shares(limit, 1), [alone], "of {limit}");
        }
    }

    #[test]
    fn one_alone_gets_a_third_and_the_next_as_much_of_the_rest() {
        let mut taken = 0;
        let mut take_all = || {
            let mut own = 0;
            while share(own, taken, 9000) > 0 {
                let more = share(own, taken, 9000);
                own += more;
                taken += more;
            }
            own
        };
        let shares = [(); 3].map(|()| take_all());
        for (got, expected) in shares.into_iter().zip([3000, 2000, 1333]) {
            assert!((expected - 10..=expected).contains(&got), "{shares:?}");
        }
        assert_eq!(share(5000, 9000, 9000), 0);
    }
}
