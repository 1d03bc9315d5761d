//! Which numbers were seen: each counts once, and late ones only if they are not too late (as in RFC 4303, 3.4.3).

#[derive(Debug, Default)]
pub(super) struct Window {
    latest: u64,
    /// Bit n: whether `latest - n` was seen.
    seen: u128,
}

impl Window {
    /// Whether this number is seen for the first time.
    pub(super) fn is_new(&mut self, number: u64) -> bool {
        if number > self.latest {
            let ahead = number - self.latest;
            self.seen = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.seen.checked_shl(ahead))
                .unwrap_or(0)
                | 1;
            self.latest = number;
            return true;
        }
        let Some(bit) = u32::try_from(self.latest - number)
            .ok()
            .and_then(|behind| 1_u128.checked_shl(behind))
        else {
            return false;
        };
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_once() {
        let mut window = Window::default();
        for number in [1, 3, 2, 130, 4] {
            assert!(window.is_new(number), "{number}");
            assert!(!window.is_new(number), "{number}");
        }
        // Too late to know.
        assert!(!window.is_new(2));
        assert!(window.is_new(u64::MAX));
        assert!(window.is_new(u64::MAX - 127));
        assert!(!window.is_new(u64::MAX - 128));
        assert!(!window.is_new(u64::MAX));
        assert!(!window.is_new(130));
    }
}
