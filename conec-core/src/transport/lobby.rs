//! Newcomers wait here until everybody else was served.
//!
//! A handshake takes longer than whatever else a packet causes, and everybody may begin one. So what newcomers send is dealt
//! with one packet a turn of the driver, when nobody who was let in has anything left to receive or to send.

use std::{collections::VecDeque, net::SocketAddr};

use quinn_proto::{ConnectionId, Incoming};

use super::{EngineId, handshakes::Newcomer};
use crate::ChannelId;

/// The newcomers that wait, in the order in which they are served.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    line: VecDeque<Waiting>,
    /// How many of them want a link.
    strangers: usize,
    /// The first of them may be served.
    open: bool,
    /// What the latest packet with a long header bears.
    latest: Option<ConnectionId>,
}

#[derive(Debug)]
pub(super) enum Waiting {
    /// Somebody wants a link.
    Stranger(Box<Stranger>),
    /// There are packets for a link whose other side was not let in yet.
    Link(ChannelId),
}

#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) engine: EngineId,
    pub(super) incoming: Incoming,
    /// What its packets bear.
    to: Option<ConnectionId>,
    pub(super) newcomer: Box<Newcomer>,
}

impl Lobby {
    /// Whoever has sent the packet that [was looked at](Self::is_forged) last wants a link.
    pub(super) fn add_stranger(
        &mut self,
        engine: EngineId,
        incoming: Incoming,
        newcomer: Box<Newcomer>,
    ) {
        self.strangers += 1;
        self.line.push_back(Waiting::Stranger(Box::new(Stranger {
            engine,
            incoming,
            to: self.latest,
            newcomer,
        })));
    }

    /// There is a packet for a link.
    pub(super) fn add_packet(&mut self, link: ChannelId) {
        self.line.push_back(Waiting::Link(link));
    }

    /// From now on, the first one may be served.
    pub(super) fn open(&mut self) {
        self.open = true;
    }

    /// Who is first, if it may be served. The others wait for the next turn.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        if !self.open {
            return None;
        }
        let waiting = self.line.pop_front()?;
        self.open = false;
        if self.line.is_empty() {
            // What it takes for many is given back.
            self.line.shrink_to_fit();
        }
        self.strangers -= usize::from(matches!(waiting, Waiting::Stranger(_)));
        Some(waiting)
    }

    /// Whether a packet with a long header is for who wants a link, but comes from elsewhere: the engine would take it for theirs.
    pub(super) fn is_forged(&mut self, packet: &[u8], from: Option<SocketAddr>) -> bool {
        self.latest = destination(packet);
        let mut strangers = self.line.iter().filter_map(|waiting| match waiting {
            Waiting::Stranger(stranger) => Some(stranger),
            Waiting::Link(_) => None,
        });
        let is_elsewhere = |it: &Stranger| from != Some(it.incoming.remote_address());
        strangers.any(|it| it.to == self.latest && is_elsewhere(it))
    }

    /// How many want a link.
    pub(super) fn strangers(&self) -> usize {
        self.strangers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }
}

/// The connection ID in a long header (RFC 8999, 5.1), if it can be one of QUIC 1.
fn destination(packet: &[u8]) -> Option<ConnectionId> {
    let id = match *packet {
        [_, _, _, _, _, len, ref rest @ ..] => rest.get(..len.into()),
        _ => None,
    };
    id.filter(|id| id.len() <= MAX_CID).map(ConnectionId::new)
}

/// The longest connection ID of QUIC 1 (RFC 9000, 17.2).
const MAX_CID: usize = 20;
