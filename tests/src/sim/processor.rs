//! Machines whose processors take their time: where more comes than they can do, it waits, and is lost in the end.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use conec_core::Datagram;

use super::{node::NodeId, world::World};

/// A node's processor. In a turn it receives a batch and sends one, if there are any, and then is busy for a while.
#[derive(Debug)]
pub(super) struct Processor {
    receive: Duration,
    send: Duration,
    /// How many more bytes its socket keeps for it.
    room: usize,
    inbox: VecDeque<Datagram>,
    busy_until: Instant,
    /// What this turn takes.
    turn: Duration,
    sent: bool,
}

impl Processor {
    /// Gives a datagram back that it has time for, or keeps it while there is room.
    pub(super) fn take(&mut self, now: Instant, datagram: Datagram) -> Option<Datagram> {
        if now >= self.busy_until {
            return Some(datagram);
        }
        if let Some(room) = self.room.checked_sub(datagram.payload.len()) {
            self.room = room;
            self.inbox.push_back(datagram);
        }
        None
    }

    /// The datagram that waits for longest, if it has time now.
    pub(super) fn next_waiting(&mut self, now: Instant) -> Option<Datagram> {
        if now < self.busy_until {
            return None;
        }
        let datagram = self.inbox.pop_front()?;
        self.room += datagram.payload.len();
        Some(datagram)
    }

    /// A datagram was received.
    pub(super) fn received(&mut self) {
        self.turn += self.receive;
    }

    /// Whether it has time to send now.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        now >= self.busy_until && !self.sent
    }

    /// A datagram was sent.
    pub(super) fn sent(&mut self) {
        self.turn += self.send;
        self.sent = true;
    }

    /// The turn is over. Until when it is busy, if it is.
    pub(super) fn rest(&mut self, now: Instant) -> Option<Instant> {
        self.busy_until = self.busy_until.max(now) + std::mem::take(&mut self.turn);
        self.sent = false;
        Some(self.busy_until).filter(|&until| until > now)
    }
}

impl World {
    /// Gives a node a processor that takes so long for each batch that it receives and each that it sends, and a socket that
    /// keeps so many bytes for it meanwhile.
    pub fn set_processor(&mut self, node: NodeId, receive: Duration, send: Duration, room: usize) {
        self.nodes[node.0].processor = Some(Processor {
            receive,
            send,
            room,
            inbox: VecDeque::new(),
            busy_until: self.now(),
            turn: Duration::ZERO,
            sent: false,
        });
    }
}
