//! Peer channels when the home channel is lost: what is kept, and claimed on the next one.

use std::time::Instant;

use bytes::Bytes;

use super::{Ask, Stage};
use crate::{
    ChannelId, CloseReason, Path,
    client::Client,
    transport::Link,
    wire::{ClientMessage, Route},
};

impl Client {
    /// The home channel is lost, and there will be another one. What can be claimed then goes on; what was asked for and not answered
    /// is asked for again; all else ends.
    pub(in crate::client) fn orphan_peers(&mut self, now: Instant) {
        self.asks.clear();
        self.end_introductions(CloseReason::CoordinatorLost);
        self.mapping.forget();
        let has_moved = self.home.former.is_some();
        for id in self.peer_ids() {
            let Some(peer) = self.peer_mut(id) else {
                continue;
            };
            match &mut peer.stage {
                Stage::Requested { request, .. } => {
                    *request = None;
                    self.asks.add(Ask::Channel(id));
                }
                Stage::Accepted | Stage::Binding | Stage::Seeking | Stage::Bound
                    if peer.ticket.is_some() =>
                {
                    peer.by_former = has_moved;
                }
                Stage::Offered
                | Stage::Accepted
                | Stage::Binding
                | Stage::Seeking
                | Stage::Bound => self.lose_peer(now, id),
            }
        }
    }

    /// The home channel is lost for good: nobody forwards packets any more.
    pub(in crate::client) fn end_peers(&mut self, now: Instant) {
        self.asks.clear();
        self.end_introductions(CloseReason::CoordinatorLost);
        for id in self.peer_ids() {
            self.lose_peer(now, id);
        }
    }

    /// There is another home channel: claims what was kept.
    pub(in crate::client) fn claim_peers(&mut self, now: Instant) {
        for id in self.peer_ids() {
            if self.peer_mut(id).is_some_and(|it| it.ticket.is_some()) {
                self.asks.add_claim(id);
            }
        }
        self.ask(now);
    }

    pub(in crate::client) fn claim_peer(&mut self, id: ChannelId) {
        let is_over = self.host.get(id).is_none_or(|it| it.core.is_ended());
        let claim = self.peer_mut(id).and_then(|peer| peer.claim());
        if let Some(claim) = claim.filter(|_| !is_over) {
            self.host.span(id).in_scope(|| tracing::debug!("claiming"));
            self.send_home(&ClientMessage::Resume(claim));
        }
    }

    pub(in crate::client) fn ticket_given(&mut self, route: Route, ticket: Bytes) {
        let id = self.routes.get(&route).map(|&(id, _)| id);
        if let Some(peer) = id.and_then(|id| self.peer_mut(id)) {
            peer.ticket = Some(ticket);
        }
    }

    /// Packets are forwarded again.
    pub(in crate::client) fn resumed(&mut self, route: Route) {
        let Some(&(id, _)) = self.routes.get(&route) else {
            return;
        };
        self.host.span(id).in_scope(|| tracing::debug!("resumed"));
        if let Some(peer) = self.peer_mut(id) {
            peer.by_former = false;
        }
        if let Some(link) = self.host.link(id) {
            link.nudge();
        }
        self.report_path(id);
    }

    /// Tells the Coordinator whether a channel's packets travel directly, if it is to know.
    pub(in crate::client) fn report_path(&mut self, id: ChannelId) {
        let path = self.host.channel(id).map(|channel| channel.path());
        let route = self.peer_mut(id).and_then(|peer| peer.route());
        if let Some((path, route)) = path.zip(route)
            && self.config.paths.report
            && self.is_connected()
        {
            let direct = matches!(path, Path::Direct(_));
            self.send_home(&ClientMessage::PathReport { route, direct });
        }
    }

    /// The former Coordinator is nobody once it forwards for no channel any more.
    pub(in crate::client) fn forget_former(&mut self) {
        if self.home.former.is_some() && !self.peers().any(|peer| peer.by_former) {
            self.home.former = None;
        }
    }

    fn lose_peer(&mut self, now: Instant, id: ChannelId) {
        // One that has just been closed may yet tell the other side.
        let closed = self.host.peek(id).is_some_and(Link::is_closed);
        self.end_peer(now, id, CloseReason::CoordinatorLost, None);
        if !closed {
            self.host.discard(id);
        }
    }
}
