//! How a Client asks at the second port, and what it concludes.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Mapping, Nat, Second};
use crate::{
    Transmit, Violation,
    client::{Client, path::canonical},
    wire::{
        PROBE_LEN, PROBE_SECRET_LEN, Probe, ProbeKeys, Role as EndRole, Route, SECOND_PORT_LABEL,
    },
};

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
    pub(in crate::client) fn second_port(&mut self, now: Instant, route: Route, port: u16) {
        if self.mapping.second.is_some() || port == 0 {
            return self.violate_home(now, Violation::Unexpected);
        }
        let secret = self
            .host
            .peek(self.home.id)
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
    pub(in crate::client) fn seen_at(&mut self, echo: u64, address: SocketAddr) {
        let current = |second: &Second| (second.before + 1..=second.counter).contains(&echo);
        if self.mapping.second.as_ref().is_some_and(current) {
            tracing::debug!(%address, "seen at the second port");
            self.mapping.seen = Some(canonical(address));
            self.mapping.due = None;
        }
    }

    /// Asks the second port, as often as it takes.
    pub(in crate::client) fn ask_second_port(&mut self, now: Instant) {
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

/// How long an answer from the second port is waited for, each time.
const WAITS: [Duration; 6] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
