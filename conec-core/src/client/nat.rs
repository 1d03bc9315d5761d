//! What a Client is behind: told by where its packets are seen to come from, at two ports of the Coordinator.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Client, path::canonical};
use crate::{
    ChannelId, Transmit, Violation,
    wire::{
        PROBE_LEN, PROBE_SECRET_LEN, Probe, ProbeKeys, Role as EndRole, Route, SECOND_PORT_LABEL,
    },
};

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

impl Client {
    /// What this Client is behind, by what is known so far. Where the Coordinator has a second port, that takes a round
    /// trip after connecting, and after each change of the [observed address](Self::observed_address).
    pub fn nat(&self) -> Nat {
        let Some(observed) = self.home.observed().map(canonical) else {
            return Nat::Unknown;
        };
        let same = self.mapping.seen.map(|seen| seen == observed);
        let hosts = self.paths.hosts();
        match same {
            Some(false) => Nat::PortDependent,
            Some(true) | None if hosts.is_empty() => Nat::Unknown,
            Some(true) | None if hosts.contains(&observed) => Nat::Absent,
            Some(true) => Nat::PortIndependent,
            None => Nat::Unclassified,
        }
    }

    /// The Coordinator has a second port.
    pub(super) fn second_port(&mut self, now: Instant, route: Route, port: u16) {
        if self.mapping.second.is_some() || port == 0 {
            return self.violate_home(now, Violation::Unexpected);
        }
        let secret = self
            .host
            .peek(ChannelId::HOME)
            .and_then(|link| link.export_secret::<PROBE_SECRET_LEN>(SECOND_PORT_LABEL));
        let Some(secret) = secret else {
            return;
        };
        self.mapping.second = Some(Second {
            route,
            port,
            keys: ProbeKeys::new(&secret, EndRole::Initiator),
            counter: 0,
            before: 0,
        });
        self.mapping.restart(now);
    }

    /// The second port has heard a probe of this Client's.
    pub(super) fn seen_at(&mut self, echo: u64, address: SocketAddr) {
        let current = |second: &Second| (second.before + 1..=second.counter).contains(&echo);
        if self.mapping.second.as_ref().is_some_and(current) {
            tracing::debug!(%address, "seen at the second port");
            self.mapping.seen = Some(canonical(address));
            self.mapping.due = None;
        }
    }

    /// Asks the second port, as often as it takes.
    pub(super) fn ask_second_port(&mut self, now: Instant) {
        let Mapping {
            second: Some(second),
            tries,
            due,
            began,
            ..
        } = &mut self.mapping
        else {
            return;
        };
        let Some(home) = self.home.address else {
            *due = None;
            return;
        };
        if due.take_if(|at| *at <= now).is_none() {
            return;
        }
        let Some(&wait) = WAITS.get(*tries) else {
            return;
        };
        if *tries == 0 {
            *began = Some(now);
        }
        *tries += 1;
        *due = Some(now + wait);
        second.counter += 1;
        let payload = second
            .keys
            .seal(second.route, second.counter, Probe::Ping, PROBE_LEN);
        let transmit = Transmit {
            destination: SocketAddr::new(home.ip(), second.port),
            source_ip: None,
            ecn: None,
            segment_size: None,
            payload,
        };
        if self.paths.probe(now, transmit) {
            self.host.stats.probes_sent += 1;
        }
    }
}

/// How long after a first probe another first one may follow.
const EVERY: Duration = Duration::from_secs(5);
/// How long an answer from the second port is waited for, each time.
const WAITS: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
