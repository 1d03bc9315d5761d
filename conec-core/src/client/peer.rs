//! Peer channels: from the request or offer to the bound channel. All transitions of [`Phase`] are here.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Client, ClientEvent, Home, PeerInfo, Role};
use crate::{
    AnswerError, ChannelId, ClientId, CloseReason, ErrorCode, OpenChannelError, Target, Violation,
    channel::{Bucket, ChannelCore},
    error::WireCode,
    transport::{Link, PeerEnd},
    wire::{
        ClientMessage, MAX_LABEL, Offer, PeerMessage, RequestId, Role as EndRole, RoleMessage,
        Route,
    },
};

/// What a Client knows of a peer channel.
#[derive(Debug)]
pub(super) struct Peer {
    label: Bytes,
    phase: Phase,
}

/// How far the setting up of a peer channel has come.
///
/// ```text
/// Requested ─offer─▶ Accepted ─start/connection─▶ Binding ─bind─▶ Bound
/// Offered ──accept──────▲
/// ```
#[derive(Debug)]
enum Phase {
    /// Asked for by this Client.
    Requested {
        request: RequestId,
        target: Target,
    },
    /// Offered, and the application has not answered.
    Offered(Offer),
    /// This end is ready for the other.
    Accepted(Offer),
    /// The ends have proved who they are; now they make sure that they mean the same channel.
    Binding(Offer),
    Bound(Offer),
}

impl Peer {
    pub(super) fn info(&self) -> Option<PeerInfo> {
        self.offer().map(|offer| PeerInfo {
            id: offer.peer,
            name: offer.peer_name.clone(),
            label: self.label.clone(),
        })
    }

    fn offer(&self) -> Option<&Offer> {
        match &self.phase {
            Phase::Requested { .. } => None,
            Phase::Offered(offer)
            | Phase::Accepted(offer)
            | Phase::Binding(offer)
            | Phase::Bound(offer) => Some(offer),
        }
    }

    fn route(&self) -> Option<Route> {
        self.offer().map(|offer| offer.own_route)
    }
}

impl Client {
    pub(super) fn request_channel(
        &mut self,
        now: Instant,
        target: Target,
        label: &[u8],
    ) -> Result<ChannelId, OpenChannelError> {
        let home_open = self
            .channels
            .get(ChannelId::HOME)
            .is_some_and(|home| home.core.is_open());
        if !self.is_connected() || !home_open {
            return Err(OpenChannelError::NotConnected);
        }
        if label.len() > MAX_LABEL {
            return Err(OpenChannelError::LabelTooLong);
        }
        if self.is_full() {
            return Err(OpenChannelError::TooMany);
        }
        let request = self.next_request;
        self.next_request += 1;
        let label = Bytes::copy_from_slice(label);
        let phase = Phase::Requested {
            request,
            target: target.clone(),
        };
        let id = self.add_peer(now, label.clone(), phase);
        self.requests.insert(request, id);
        self.send_home(&ClientMessage::OpenChannel {
            request,
            target,
            label,
        });
        Ok(id)
    }

    pub(super) fn offered(&mut self, now: Instant, offer: Offer) {
        if self.routes.contains_key(&offer.own_route) {
            return self.violate_home(now, Violation::Unexpected);
        }
        match offer.request {
            Some(request) => self.answered(now, request, offer),
            None => {
                let closing = self
                    .channels
                    .get(ChannelId::HOME)
                    .is_none_or(|home| !home.core.is_open());
                if closing || self.is_full() {
                    let code = match closing {
                        true => ErrorCode::Shutdown,
                        false => ErrorCode::Limit,
                    };
                    return self.decline(offer.own_route, code.into());
                }
                let (route, peer, name) = (offer.own_route, offer.peer, offer.peer_name.clone());
                let label = offer.label.clone();
                let channel = self.add_peer(now, label.clone(), Phase::Offered(offer));
                self.routes.insert(route, (channel, None));
                if self.config.auto_accept {
                    self.accept_offer(now, channel);
                } else {
                    self.events.push_back(ClientEvent::Offered {
                        channel,
                        peer,
                        name,
                        label,
                    });
                }
            }
        }
    }

    /// The Coordinator's answer to a request of this Client.
    fn answered(&mut self, now: Instant, request: RequestId, offer: Offer) {
        // The application may have given the request up.
        let Some(id) = self.requests.remove(&request) else {
            return self.decline(offer.own_route, ErrorCode::Dropped.into());
        };
        let Some(entry) = self.channels.get_mut(id) else {
            return self.decline(offer.own_route, ErrorCode::Dropped.into());
        };
        let Role::Peer(peer) = &mut entry.role else {
            return;
        };
        let Phase::Requested { target, .. } = &peer.phase else {
            return self.violate_home(now, Violation::Unexpected);
        };
        let meant = match target {
            Target::Id(id) => *id == offer.peer,
            Target::Name(name) => offer.peer_name.as_ref() == Some(name),
        };
        if !meant || peer.label != offer.label || offer.role != EndRole::Initiator {
            self.decline(offer.own_route, ErrorCode::Binding.into());
            return self.end_peer(id, CloseReason::Identity, None);
        }
        self.routes.insert(offer.own_route, (id, None));
        peer.phase = Phase::Offered(offer);
        self.accept_offer(now, id);
    }

    /// Whether the application may answer the offer of this channel.
    pub(super) fn answerable(&self, id: ChannelId) -> Result<(), AnswerError> {
        match self.channels.get(id).map(|entry| &entry.role) {
            Some(Role::Peer(Peer {
                phase: Phase::Offered(_),
                ..
            })) => Ok(()),
            Some(Role::Peer(_) | Role::Home) | None => Err(AnswerError),
        }
    }

    pub(super) fn accept_offer(&mut self, now: Instant, id: ChannelId) {
        let Some(entry) = self.channels.get_mut(id) else {
            return;
        };
        let Role::Peer(peer) = &mut entry.role else {
            return;
        };
        let Phase::Offered(offer) = &peer.phase else {
            return;
        };
        let offer = offer.clone();
        peer.phase = Phase::Accepted(offer.clone());
        let limits = &self.config.limits;
        let patience = limits.answer_timeout + limits.handshake_timeout;
        self.deadlines.set(id, Some(now + patience));
        if offer.role == EndRole::Acceptor {
            let end = peer_end(&offer);
            let engine =
                self.transport
                    .await_peer(id, &self.config.identity, &end, &self.config.peer);
            match engine {
                Ok(engine) => {
                    self.routes.insert(offer.own_route, (id, Some(engine)));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a channel");
                    return self.end_peer(
                        id,
                        CloseReason::Identity,
                        Some(ErrorCode::Refused.into()),
                    );
                }
            }
        }
        self.send_home(&ClientMessage::Accept {
            route: offer.own_route,
        });
    }

    /// Both ends have accepted; this one begins.
    pub(super) fn start_peer(&mut self, now: Instant, route: Route) {
        let Some(&(id, _)) = self.routes.get(&route) else {
            return;
        };
        let Some(Role::Peer(peer)) = self.channels.get(id).map(|entry| &entry.role) else {
            return;
        };
        let Phase::Accepted(offer) = &peer.phase else {
            return self.violate_home(now, Violation::Unexpected);
        };
        if offer.role != EndRole::Initiator || self.transport.peek(id).is_some() {
            return self.violate_home(now, Violation::Unexpected);
        }
        let end = peer_end(offer);
        let engine =
            self.transport
                .connect_peer(now, id, &self.config.identity, &end, &self.config.peer);
        match engine {
            Ok(engine) => {
                self.routes.insert(route, (id, Some(engine)));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot start a channel");
                self.end_peer(id, CloseReason::Identity, Some(ErrorCode::Refused.into()));
            }
        }
    }

    pub(super) fn peer_connected(
        &mut self,
        now: Instant,
        id: ChannelId,
        identity: Option<ClientId>,
    ) {
        let own_id = self.id();
        let (Some(entry), Some(link)) = (self.channels.get_mut(id), self.transport.link(id)) else {
            return;
        };
        let Role::Peer(peer) = &mut entry.role else {
            return;
        };
        let Phase::Accepted(offer) = &peer.phase else {
            return;
        };
        // TLS has seen to this already.
        if identity != Some(offer.peer) {
            return link.close(now, ErrorCode::Binding.into(), CloseReason::Identity);
        }
        // Long enough for a keep-alive to show that the other end has been moved by its NAT.
        let limits = &self.config.limits;
        let patience = limits.hello_timeout + limits.handshake_timeout;
        self.deadlines.set(id, Some(now + patience));
        if offer.role == EndRole::Initiator {
            let bind = bind_message(offer, own_id, &peer.label);
            entry.core.open_control(link);
            entry.core.send_control(link, bind.encode());
        }
        peer.phase = Phase::Binding(offer.clone());
    }

    pub(super) fn peer_control(&mut self, now: Instant, id: ChannelId, payload: Bytes) {
        let own_id = self.id();
        let (Some(entry), Some(link)) = (self.channels.get_mut(id), self.transport.link(id)) else {
            return;
        };
        let Role::Peer(peer) = &mut entry.role else {
            return;
        };
        let violation = match (PeerMessage::decode(payload), &peer.phase) {
            (Ok(None), _) => return,
            (Err(_), _) => Violation::Malformed,
            (Ok(Some(PeerMessage::Bound)), Phase::Binding(offer))
                if offer.role == EndRole::Initiator =>
            {
                peer.phase = Phase::Bound(offer.clone());
                self.deadlines.set(id, None);
                return entry.core.open(link, now);
            }
            (Ok(Some(bind @ PeerMessage::Bind { .. })), Phase::Binding(offer))
                if offer.role == EndRole::Acceptor =>
            {
                if bind == bind_message(offer, own_id, &peer.label) {
                    peer.phase = Phase::Bound(offer.clone());
                    self.deadlines.set(id, None);
                    entry.core.send_control(link, PeerMessage::Bound.encode());
                    return entry.core.open(link, now);
                }
                Violation::Binding
            }
            (Ok(Some(_)), _) => Violation::Unexpected,
        };
        self.transport.stats.violations += 1;
        if let Some(link) = self.transport.link(id) {
            entry.core.violate(link, now, violation);
        }
    }

    /// A peer channel has ended: the Coordinator can forget it, and so can we.
    pub(super) fn peer_ended(&mut self, id: ChannelId, reason: CloseReason) {
        // What the other end was told, which the Coordinator may be the first to bring it.
        let said = self.transport.peek(id).and_then(Link::close_code);
        let code = said.unwrap_or_else(|| match reason {
            CloseReason::Application(code) => code.into(),
            CloseReason::Remote(code) => code.into(),
            CloseReason::Violation(violation) => violation.code().into(),
            CloseReason::Local => ErrorCode::Dropped.into(),
            CloseReason::Identity
            | CloseReason::Version
            | CloseReason::TimedOut
            | CloseReason::Reset
            | CloseReason::Overloaded
            | CloseReason::CoordinatorLost
            | CloseReason::Transport(_) => ErrorCode::PeerGone.into(),
        });
        self.release_peer(id, Some(code));
        self.update_home_hold();
    }

    /// Ends a peer channel from outside its link. With a code, the Coordinator is told.
    pub(super) fn end_peer(&mut self, id: ChannelId, reason: CloseReason, code: Option<WireCode>) {
        self.release_peer(id, code);
        let Some(entry) = self.channels.get_mut(id) else {
            return;
        };
        if let (Some(link), Some(now)) = (self.transport.link(id), self.now) {
            let code = code.unwrap_or(WireCode::Protocol(ErrorCode::None));
            link.close(now, code, reason);
        }
        entry.core.abandon(reason);
        self.accessed.insert(id);
    }

    pub(super) fn close_peers(&mut self, now: Instant, patience: Duration) {
        for id in self.channels.ids() {
            let Some(entry) = self.channels.get_mut(id) else {
                continue;
            };
            if matches!(entry.role, Role::Home) || entry.core.is_closing() {
                continue;
            }
            match self.transport.link(id) {
                Some(link) => entry.core.close(link, now, patience),
                None => {
                    entry.core.abandon(CloseReason::Local);
                    self.accessed.insert(id);
                }
            }
        }
    }

    /// Frees what a peer channel's end holds here, and at the Coordinator if it is to be told.
    fn release_peer(&mut self, id: ChannelId, code: Option<WireCode>) {
        self.deadlines.set(id, None);
        let Some(Role::Peer(peer)) = self.channels.get(id).map(|entry| &entry.role) else {
            return;
        };
        if let Phase::Requested { request, .. } = peer.phase {
            self.requests.remove(&request);
        }
        let Some(route) = peer.route() else {
            return;
        };
        let Some((_, engine)) = self.routes.remove(&route) else {
            return;
        };
        if let Some(engine) = engine
            && self.transport.peek(id).is_none()
        {
            self.transport.remove_engine(engine);
        }
        if let Some(code) = code {
            self.decline(route, code);
        }
    }

    /// Tells the Coordinator that this end of a channel is over.
    fn decline(&mut self, route: Route, code: WireCode) {
        if matches!(self.home, Home::Ready { .. }) {
            self.send_home(&ClientMessage::CloseChannel { route, code });
        }
    }

    fn add_peer(&mut self, now: Instant, label: Bytes, phase: Phase) -> ChannelId {
        let id = self.transport.fresh_id();
        let limits = &self.config.limits;
        let rate = Bucket::per_second(limits.control_rate.into(), limits.control_burst.into());
        let core = ChannelCore::new(id, &self.config.peer, Some(rate));
        self.channels
            .insert(id, core, Role::Peer(Peer { label, phase }));
        // The Coordinator answers within its own time; this is for when it does not.
        let patience = limits.answer_timeout + limits.hello_timeout;
        self.deadlines.set(id, Some(now + patience));
        self.update_home_hold();
        id
    }

    fn is_full(&self) -> bool {
        // The home channel is one of them.
        self.channels.len() > self.config.limits.channels_per_client
    }
}

fn peer_end(offer: &Offer) -> PeerEnd {
    PeerEnd {
        own_route: offer.own_route,
        peer_route: offer.peer_route,
        id: offer.peer,
    }
}

/// What the initiator says, and the acceptor must hear, for this to be the channel that was offered.
fn bind_message(offer: &Offer, own_id: ClientId, label: &Bytes) -> PeerMessage {
    let (initiator, acceptor) = match offer.role {
        EndRole::Initiator => (own_id, offer.peer),
        EndRole::Acceptor => (offer.peer, own_id),
    };
    PeerMessage::Bind {
        channel: offer.channel,
        initiator,
        acceptor,
        label: label.clone(),
    }
}
