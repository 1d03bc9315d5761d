//! When the driver is asked for the machine's addresses.

use std::time::{Duration, Instant};

/// Asks at the start, when the addresses are in doubt, and now and then: an interface that comes up beside others gives
/// no other sign.
#[derive(Debug, Default)]
pub(super) struct HostRefresh {
    asked: Option<Instant>,
    due: Option<Instant>,
    wanted: bool,
}

impl HostRefresh {
    /// Something has gone wrong that a change of network explains.
    pub(super) fn doubt(&mut self, now: Instant) {
        let earliest = self.asked.map_or(now, |at| at + AGAIN);
        self.due = Some(self.due.map_or(earliest, |due| due.min(earliest)));
        self.awake(now);
    }

    /// The driver can be asked, as it is up in any case.
    pub(super) fn awake(&mut self, now: Instant) {
        self.wanted |= self.due.is_some_and(|due| due <= now);
    }

    /// Whether the driver is to look now. Says so once.
    pub(super) fn wants(&mut self, now: Instant) -> bool {
        let wanted = std::mem::take(&mut self.wanted);
        if wanted {
            self.asked = Some(now);
            self.due = Some(now + EVERY);
        }
        wanted
    }
}

/// As often as a direct path is kept warm. The system takes some ten microseconds for each interface.
const EVERY: Duration = Duration::from_secs(15);
/// What goes wrong goes wrong often.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_asked_when_it_is_up_and_not_too_often() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut refresh = HostRefresh::default();
        refresh.awake(at(0));
        assert!(!refresh.wants(at(0)), "nothing is connected");
        refresh.doubt(at(0));
        assert!(refresh.wants(at(0)));
        assert!(!refresh.wants(at(0)), "once");
        refresh.awake(at(14_999));
        assert!(!refresh.wants(at(14_999)));
        // A call that is about something else is no reason.
        assert!(!refresh.wants(at(20_000)));
        refresh.awake(at(20_000));
        assert!(refresh.wants(at(20_000)));
        refresh.doubt(at(20_100));
        refresh.doubt(at(20_900));
        assert!(!refresh.wants(at(20_900)));
        refresh.awake(at(21_000));
        assert!(refresh.wants(at(21_000)));
        refresh.doubt(at(23_000));
        assert!(refresh.wants(at(23_000)), "at once");
    }
}
