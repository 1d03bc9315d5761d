//! Machines that sleep and wake up: laptops whose lids are closed, virtual machines that are paused.

use std::{collections::VecDeque, time::Instant};

use conec_core::Datagram;

use super::{node::NodeId, world::World};

/// What a machine's clock does while it sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It stands still, as `Instant` does on Linux and macOS when the machine is suspended.
    Stands,
    /// It goes on, as `Instant` does on Windows, and everywhere for a process that is merely stopped.
    Runs,
}

/// A node's sleep.
pub(super) struct Sleep {
    clock: Clock,
    since: Instant,
    /// How many bytes its socket still keeps for it.
    room: usize,
    inbox: VecDeque<Datagram>,
}

impl Sleep {
    /// A datagram has come.
    pub(super) fn keep(&mut self, datagram: Datagram) {
        if let Some(room) = self.room.checked_sub(datagram.payload.len()) {
            self.room = room;
            self.inbox.push_back(datagram);
        }
    }
}

impl World {
    /// Sends a node's machine to sleep. Of what comes for it meanwhile, so many bytes wait in its socket, none where its
    /// network sleeps too.
    pub fn sleep(&mut self, node: NodeId, clock: Clock, room: usize) {
        self.note(node, format_args!("falls asleep"));
        self.nodes[node.0].sleep = Some(Sleep {
            clock,
            since: self.now(),
            room,
            inbox: VecDeque::new(),
        });
        self.touched.insert(node);
    }

    /// Wakes a node's machine up. As with drivers, what waits in the socket comes first, then what is due.
    pub fn wake(&mut self, node: NodeId) {
        let Some(sleep) = self.nodes[node.0].sleep.take() else {
            return;
        };
        self.note(node, format_args!("wakes up"));
        if sleep.clock == Clock::Stands {
            let slept = self.now() - sleep.since;
            self.nodes[node.0].slow += slept;
        }
        for datagram in sleep.inbox {
            self.hand_over(node, datagram);
        }
        let now = self.clock(node);
        let entity = &mut self.nodes[node.0].entity;
        if entity.poll_timeout().is_some_and(|due| due <= now) {
            entity.handle_timeout(now);
        }
        self.touched.insert(node);
    }
}
