//! What a Client is behind: told by where its packets are seen to come from, at two ports of the Coordinator.

mod second_port;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::wire::{ProbeKeys, Route};

/// What is between a Client and its Coordinator, as far as the addresses tell at which the Client is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nat {
    /// Not known: the Client is not connected, or its driver has not reported the machine's addresses.
    Unknown,
    /// None: packets come from an address of the machine's own. There may be a firewall.
    Absent,
    /// A NAT of which no more is known: the Coordinator has no
    /// [second port](crate::CoordinatorConfig::second_port), or nothing was heard from there yet.
    Unclassified,
    /// A NAT that shows the same address and port to both ports of the Coordinator. Mostly it shows it to everyone
    /// (endpoint-independent mapping, RFC 4787), so that others find a direct path here. The few NATs that make a
    /// difference between IP addresses, but not between ports, look the same.
    PortIndependent,
    /// A NAT that shows another address or port to each port (address and port-dependent mapping, RFC 4787; often called
    /// symmetric). Those who are behind such a NAT too, or whose firewall looks at ports, find no direct path here.
    PortDependent,
}

/// What is heard from the Coordinator's second port.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    second: Option<Second>,
    /// Where probes to the second port come from.
    seen: Option<SocketAddr>,
    /// How many probes were sent since the Client is where it is, and when the next is due.
    tries: usize,
    due: Option<Instant>,
    /// When the first of them was sent.
    began: Option<Instant>,
}

#[derive(Debug)]
struct Second {
    route: Route,
    port: u16,
    keys: ProbeKeys,
    /// The number of the last probe, and of the last before the Client was where it is.
    counter: u64,
    before: u64,
}

impl Mapping {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// The Coordinator is gone, with its second port.
    pub(super) fn forget(&mut self) {
        *self = Self {
            began: self.began,
            ..Self::default()
        };
    }

    /// The Client is seen somewhere else.
    pub(super) fn restart(&mut self, now: Instant) {
        if let Some(second) = &mut self.second {
            second.before = second.counter;
            self.seen = None;
            self.tries = 0;
            // Who seems to move all the time does not ask all the time.
            self.due = self.began.map(|at| at + EVERY).max(Some(now));
        }
    }
}

/// How long after a first probe another first one may follow.
const EVERY: Duration = Duration::from_secs(5);
