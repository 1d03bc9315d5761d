//! What congestion control algorithms learn of a path, and the windows that are the same for all of them.

use std::time::{Duration, Instant};

use super::round_trips::RoundTrips;

/// What an algorithm learns when packets are acknowledged that were sent together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ack<'a> {
    pub(super) now: Instant,
    /// When they were sent.
    pub(super) sent: Instant,
    pub(super) bytes: u64,
    /// There was too little to send to fill the window.
    pub(super) app_limited: bool,
    /// The smoothed round-trip time.
    pub(super) rtt: Duration,
    pub(super) trips: &'a RoundTrips,
    /// This acknowledgement has begun another [round](RoundTrips).
    pub(super) round_began: bool,
    /// Beyond this window, nothing is known of the path, and it was chosen to make things better: slow start is to be
    /// careful.
    pub(super) cautious: bool,
}

/// What an algorithm learns when packets were lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) now: Instant,
    /// When the latest of them was sent.
    pub(super) sent: Instant,
    /// How much was lost: nothing, when a router has marked packets instead.
    pub(super) bytes: u64,
    /// Nothing at all has arrived for long (RFC 9002, section 7.6).
    pub(super) persistent: bool,
}

/// With which window a path begins (RFC 9002, section 7.2).
pub(super) fn initial_window(mtu: u16) -> u64 {
    let mtu = u64::from(mtu);
    (10 * mtu).min((2 * mtu).max(14_720))
}

/// The least window (RFC 9002, section 7.2).
pub(super) fn minimum_window(mtu: u16) -> u64 {
    2 * u64::from(mtu)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten packets, but no more than 14,720 bytes or two packets, whichever is more.
    #[test]
    fn a_path_begins_with_the_window_of_the_standard_whatever_its_packets() {
        for (mtu, window) in [
            (1200, 12_000),
            (1452, 14_520),
            (1472, 14_720),
            (1500, 14_720),
            (7360, 14_720),
            (7361, 14_722),
            (8952, 17_904),
            (9000, 18_000),
            (65_000, 130_000),
        ] {
            assert_eq!(initial_window(mtu), window, "{mtu}");
            assert!(window >= minimum_window(mtu));
        }
    }
}
