//! What befalls Coordinators, Clients and the network, and how it ends.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conec_core::Drain;

use super::{CLIENTS, Run};
use crate::{
    keys,
    sim::{Clock, Host, NodeId},
};

/// What is to happen later. Who has begun another life since is left alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    StartCoordinator { place: usize, life: usize },
    KillCoordinator { place: usize, life: usize },
    WakeCoordinator { place: usize, life: usize },
    Reconnect(NodeId),
    StartClient(usize),
}

impl Run {
    pub(super) fn plan(&mut self, after: Duration, plan: Plan) {
        let at = self.world.now() + after;
        self.plans.push((at, plan));
    }

    /// When the next plan is due.
    pub(super) fn next_plan(&self) -> Option<Instant> {
        self.plans.iter().map(|&(at, _)| at).min()
    }

    /// Does what is due.
    pub(super) fn go_on_with_plans(&mut self) {
        let now = self.world.now();
        while let Some(due) = self.plans.iter().position(|&(at, _)| at <= now) {
            let (_, plan) = self.plans.remove(due);
            self.world.remark(format_args!("{plan:?}"));
            let is_same = |place: usize, life| self.coordinators.places[place].life == life;
            match plan {
                Plan::StartCoordinator { place, life } => {
                    if is_same(place, life) {
                        self.start_coordinator(place);
                    }
                }
                Plan::KillCoordinator { place, life } => {
                    if is_same(place, life) {
                        self.kill_coordinator(place);
                    }
                }
                Plan::WakeCoordinator { place, life } => {
                    if is_same(place, life) {
                        self.world.wake(self.coordinators.places[place].node);
                    }
                }
                Plan::Reconnect(node) => {
                    // Unless it was cut off once more, for longer.
                    let longer =
                        |(_, plan): &(_, Plan)| matches!(plan, Plan::Reconnect(it) if *it == node);
                    if !self.plans.iter().any(longer) {
                        self.set_up(node, true);
                    }
                }
                Plan::StartClient(client) => self.start_client(client),
            }
        }
    }

    /// The Coordinator is killed, and started anew after so long.
    pub(super) fn restart(&mut self, away: Duration) {
        self.shake();
        let place = self.coordinators.present;
        if self.coordinators.places[place].is_up {
            self.kill_coordinator(place);
            let life = self.coordinators.places[place].life;
            self.plan(away, Plan::StartCoordinator { place, life });
        }
    }

    /// The Coordinator is killed for good, and another one takes over.
    pub(super) fn take_over(&mut self) {
        self.shake();
        let former = self.coordinators.present;
        self.kill_coordinator(former);
        self.coordinators.present = 1 - former;
        self.start_coordinator(1 - former);
        self.tell_places();
    }

    /// The Coordinator sends its Clients to another one, and is killed after a while, if at all.
    pub(super) fn drain(&mut self, spread: Duration, lasts: Option<Duration>) {
        if !self.coordinators.present().is_up {
            return self.take_over();
        }
        self.shake();
        let former = self.coordinators.present;
        self.coordinators.present = 1 - former;
        self.start_coordinator(1 - former);
        let there = self.coordinators.present().node;
        let mut drain = Drain::default();
        drain.spread = spread;
        drain.alternatives = vec![(keys::HOST.into(), self.world.address(there))];
        let now = self.world.now();
        let node = self.coordinators.places[former].node;
        self.world.coordinator(node).drain(now, &drain);
        let (place, life) = (former, self.coordinators.places[former].life);
        if let Some(time) = lasts {
            self.plan(time, Plan::KillCoordinator { place, life });
        }
    }

    /// The Coordinator stands still for so long.
    pub(super) fn stop(&mut self, time: Duration) {
        self.shake();
        let place = self.coordinators.present;
        let node = self.coordinators.places[place].node;
        if self.coordinators.places[place].is_up {
            self.world.sleep(node, Clock::Runs, ROOM);
            let life = self.coordinators.places[place].life;
            self.plan(time, Plan::WakeCoordinator { place, life });
        }
    }

    /// A Client, or the Coordinator, is cut off for so long.
    pub(super) fn cut(&mut self, party: usize, time: Duration) {
        self.shake();
        let node = match party % (CLIENTS + 1) {
            CLIENTS => self.coordinators.present().node,
            client => self.clients[client].node,
        };
        self.set_up(node, false);
        self.plan(time, Plan::Reconnect(node));
    }

    /// A Client, or the box that it is behind, gets another address.
    pub(super) fn move_away(&mut self, client: usize) {
        self.shake();
        let node = self.clients[client].node;
        match self.clients[client].nat {
            Some(nat) => self.world.renumber(nat),
            None => {
                let address = self.world.address(node);
                let port = 6000 + address.port() % 20_000;
                let address = SocketAddr::new(address.ip(), port + 1);
                self.world.rebind(node, address);
            }
        }
    }

    /// A Client is killed, and started anew after so long. It has left its channels.
    pub(super) fn rebirth(&mut self, client: usize, away: Duration) {
        self.shake();
        if self.clients[client].is_up {
            self.kill_client(client);
            self.plan(away, Plan::StartClient(client));
        }
    }

    pub(super) fn kill_client(&mut self, client: usize) {
        self.clients[client].is_up = false;
        self.world.crash(self.clients[client].node);
        self.leave_channels(client);
    }

    fn start_client(&mut self, client: usize) {
        let node = self.clients[client].node;
        let config = self.clients[client].config.clone();
        self.world.restart_client(node, config);
        self.clients[client].is_up = true;
        self.clients[client].has_connected = false;
        self.connect(client);
    }

    fn kill_coordinator(&mut self, place: usize) {
        let it = &mut self.coordinators.places[place];
        it.is_up = false;
        it.life += 1;
        self.world.crash(it.node);
    }

    /// Starts a Coordinator, in place of one that may still be there.
    fn start_coordinator(&mut self, place: usize) {
        let config = self.coordinators.config.clone();
        let it = &mut self.coordinators.places[place];
        it.is_up = true;
        it.life += 1;
        self.world.restart_coordinator(it.node, config);
    }

    /// Applications tell their Clients of both places, where they may have forgotten one.
    fn tell_places(&mut self) {
        let nodes = self.coordinators.places.each_ref().map(|it| it.node);
        let addresses = nodes.map(|node| self.world.address(node));
        let now = self.world.now();
        for client in 0..CLIENTS {
            if self.clients[client].is_up {
                let node = self.clients[client].node;
                let told = self
                    .world
                    .client(node)
                    .set_coordinators(now, &[(keys::HOST, &addresses)]);
                if told.is_err() {
                    self.fail("a client cannot be told where its coordinators are");
                }
            }
        }
    }

    /// Cuts a node off, or reconnects it: with the box that it is behind.
    fn set_up(&mut self, node: NodeId, up: bool) {
        let nats = self.clients.iter().filter(|it| it.node == node);
        let nat = nats.filter_map(|it| it.nat).next();
        let host: Host = nat.map_or_else(|| node.into(), Into::into);
        self.world.set_up(host, up);
    }

    /// Something befalls somebody. Nobody knows yet what becomes of what does not stand.
    fn shake(&mut self) {
        let now = self.world.now();
        self.trouble.get_or_insert(now);
        for channel in &mut self.channels {
            channel.shake();
        }
    }
}

/// What the system keeps for a process that stands still, in bytes.
const ROOM: usize = 200_000;
