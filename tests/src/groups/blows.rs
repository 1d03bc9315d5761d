//! What befalls the Coordinator, Clients and the network, and how it ends.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conec_core::Drain;

use super::{CLIENTS, Run};
use crate::sim::{LinkConfig, NodeId};

/// What is to happen later. Who has begun another life since is left alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Plan {
    StartCoordinator { life: usize },
    KillCoordinator { life: usize },
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
            match plan {
                Plan::StartCoordinator { life } if life == self.coordinator.life => {
                    let config = self.coordinator.config.clone();
                    self.coordinator.is_up = true;
                    self.coordinator.life += 1;
                    let node = self.coordinator.node;
                    self.world.restart_coordinator(node, config);
                    self.make_groups();
                }
                Plan::KillCoordinator { life } if life == self.coordinator.life => {
                    self.kill_coordinator(RESTART);
                }
                Plan::StartCoordinator { .. } | Plan::KillCoordinator { .. } => {}
                Plan::Reconnect(node) => {
                    // Unless it was cut off once more, for longer.
                    let longer =
                        |(_, plan): &(_, Plan)| matches!(plan, Plan::Reconnect(it) if *it == node);
                    if !self.plans.iter().any(longer) {
                        self.world.set_up(node, true);
                    }
                }
                Plan::StartClient(client) => self.start_client(client),
            }
        }
    }

    /// The Coordinator is killed, and started anew after so long.
    pub(super) fn restart(&mut self, away: Duration) {
        if self.coordinator.is_up {
            self.kill_coordinator(away);
        }
    }

    fn kill_coordinator(&mut self, away: Duration) {
        self.shake();
        // What members have heard may be the last that it has done.
        self.take_coordinator_events();
        self.coordinator.is_up = false;
        self.coordinator.life += 1;
        self.world.crash(self.coordinator.node);
        for group in &mut self.groups {
            group.order = None;
        }
        let life = self.coordinator.life;
        self.plan(away, Plan::StartCoordinator { life });
    }

    /// The Coordinator sends its Clients away, and is killed after a while.
    pub(super) fn drain(&mut self, lasts: Duration) {
        if self.coordinator.is_up {
            self.shake();
            let (now, node) = (self.world.now(), self.coordinator.node);
            let mut drain = Drain::default();
            drain.spread = lasts / 2;
            self.world.coordinator(node).drain(now, &drain);
            let life = self.coordinator.life;
            self.plan(lasts, Plan::KillCoordinator { life });
        }
    }

    /// A Client, or the Coordinator, is cut off for so long.
    pub(super) fn cut(&mut self, party: usize, time: Duration) {
        self.shake();
        let node = match party % (CLIENTS + 1) {
            CLIENTS => self.coordinator.node,
            client => self.clients[client].node,
        };
        self.world.set_up(node, false);
        self.plan(time, Plan::Reconnect(node));
    }

    /// The link to a Client becomes another one, and so that from it.
    pub(super) fn change_link(&mut self, client: usize, how: u8) {
        self.shake();
        let mut link = LinkConfig::default();
        match how % 6 {
            0 => link.rate = Some(5000),
            1 => link.rate = Some(40_000),
            2 => link = LinkConfig::rough(),
            3 => link.reorder = 0.3,
            4 => link.loss = 0.2,
            _ => {}
        }
        self.set_link(client, &link);
    }

    pub(super) fn set_link(&mut self, client: usize, link: &LinkConfig) {
        let (here, there) = (self.clients[client].node, self.coordinator.node);
        for (from, to) in [(here, there), (there, here)] {
            let it = self.world.link(from, to);
            let up = it.up;
            *it = LinkConfig { up, ..link.clone() };
        }
    }

    /// A Client gets another address.
    pub(super) fn move_away(&mut self, client: usize) {
        self.shake();
        let node = self.clients[client].node;
        let address = self.world.address(node);
        let port = 6000 + address.port() % 20_000;
        let address = SocketAddr::new(address.ip(), port + 1);
        self.world.rebind(node, address);
    }

    /// A Client is killed, and started anew after so long.
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
    }

    fn start_client(&mut self, client: usize) {
        let node = self.clients[client].node;
        let config = self.clients[client].config.clone();
        self.world.restart_client(node, config);
        let it = &mut self.clients[client];
        it.is_up = true;
        it.life += 1;
        it.has_connected = false;
        self.connect(client);
    }

    /// Something befalls somebody.
    fn shake(&mut self) {
        self.trouble = true;
        for seat in &mut self.seats {
            seat.shaken = true;
        }
    }
}

/// How long it takes to start a Coordinator that has sent its Clients away.
const RESTART: Duration = Duration::from_millis(100);
