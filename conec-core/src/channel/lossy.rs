//! Readers that prefer loss to back-pressure.

/// How much waits for the reader of a stream that prefers loss to back-pressure, for
/// [`Stream::set_lossy`](crate::Stream::set_lossy).
///
/// As many of the newest messages are kept as fit in both limits. What comes beyond makes the oldest of them go, and these are
/// counted: the reader is told [how many](crate::RecvError::Lagged) before it gets the next. The newest message is always
/// kept, however large it is and whatever the limits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lossy {
    /// How many messages are kept, at most; 0 is taken for 1. 256 by default.
    pub messages: usize,
    /// How many bytes they have together, at most. 256 KiB by default.
    pub bytes: usize,
}

impl Lossy {
    /// At most so many messages, of so many bytes together.
    pub const fn new(messages: usize, bytes: usize) -> Self {
        Self { messages, bytes }
    }

    /// The newest message alone, whatever its size.
    pub const fn latest() -> Self {
        Self::new(1, 0)
    }

    /// Whether so many messages are kept, if they have so many bytes together. One always is.
    pub const fn keeps(self, messages: usize, bytes: usize) -> bool {
        messages <= 1 || messages <= self.messages && bytes <= self.bytes
    }
}

impl Default for Lossy {
    fn default() -> Self {
        Self::new(256, 256 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_kept_whatever_the_limits_are() {
        for lossy in [Lossy::new(0, 0), Lossy::latest(), Lossy::new(5, 0)] {
            assert!(lossy.keeps(1, usize::MAX));
            assert!(!lossy.keeps(2, 1));
        }
        assert!(Lossy::default().keeps(256, 256 << 10));
        assert!(!Lossy::default().keeps(257, 0));
        assert!(!Lossy::default().keeps(2, (256 << 10) + 1));
    }
}
