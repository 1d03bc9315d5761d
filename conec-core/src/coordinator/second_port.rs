//! The second port, by which Clients learn how their NATs map.

use std::{net::SocketAddr, time::Instant};

use bytes::BytesMut;

use super::{Coordinator, session::Second};
use crate::{
    ChannelId,
    util::Bucket,
    wire::{
        CoordinatorMessage, Opened, PROBE_SECRET_LEN, Probe, ProbeKeys, Role as EndRole,
        RoleMessage, Route, SECOND_PORT_LABEL,
    },
};

impl Coordinator {
    /// Tells a Client that was let in of the second port, if there is one.
    pub(super) fn announce_second_port(&mut self, client: ChannelId) {
        let Some(port) = self.config.second_port else {
            return;
        };
        let secret = self
            .host
            .peek(client)
            .and_then(|link| link.export_secret::<PROBE_SECRET_LEN>(SECOND_PORT_LABEL));
        let Some(secret) = secret else {
            return;
        };
        let route = loop {
            let route = Route::from_bits(self.host.random());
            if !self.second_routes.contains_key(&route) {
                break route;
            }
        };
        let Some(entry) = self.host.get_mut(client) else {
            return;
        };
        self.second_routes.insert(route, client);
        entry.role.second = Some(Box::new(Second {
            route,
            keys: ProbeKeys::new(&secret, EndRole::Acceptor),
            latest: 0,
            rate: Bucket::per_second(1, ANSWERS),
        }));
        let message = CoordinatorMessage::SecondPort { route, port };
        self.host.send_control(client, message.encode());
    }

    /// A datagram that claims to be a Client's probe. The answer goes the way that the Client is known to hear.
    pub(super) fn second_port_heard(
        &mut self,
        now: Instant,
        source: SocketAddr,
        route: Route,
        mut packet: BytesMut,
    ) {
        let answer = self.second_routes.get(&route).and_then(|&client| {
            let second = self.host.get_mut(client)?.role.second.as_mut()?;
            let Opened { counter, probe } = second.keys.open(&mut packet)?;
            // One that was recorded must not be good for another address.
            let fresh = probe == Probe::Ping && counter > second.latest;
            if !fresh || !second.rate.take(now, 1) {
                return None;
            }
            second.latest = counter;
            Some((client, counter))
        });
        match answer {
            Some((client, echo)) => {
                let address = SocketAddr::new(source.ip().to_canonical(), source.port());
                let message = CoordinatorMessage::SeenAt { echo, address };
                self.host.send_control(client, message.encode());
            }
            None => self.host.stats.datagrams_dropped += 1,
        }
    }
}

/// How many probes of a Client are answered at once; then one a second.
const ANSWERS: u64 = 8;
