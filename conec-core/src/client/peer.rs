//! Peer channels: from the request or offer to the bound channel. All transitions of [`Phase`] are here.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Client, ClientEvent, Home, PeerInfo, Role, path::Required};
use crate::{
    AnswerError, ChannelId, ClientId, CloseReason, Endpoint, ErrorCode, OpenChannelError,
    PathPolicy, Target, Violation,
    channel::{Bucket, ChannelCore, Entry},
    error::WireCode,
    identity::PeerIdentity,
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
    /// What its packets may travel on.
    policy: PathPolicy,
    /// The other end is ready for direct paths, and whether it wants no other.
    ready: Option<bool>,
    phase: Phase,
}

/// How far the setting up of a peer channel has come.
///
/// ```text
/// Requested ─offer─▶ Accepted ─start/connection─▶ Binding ─bind─▶ Bound
/// Offered ──accept──────▲                            └─bind─▶ Seeking ─direct path─▲
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
    /// Bound, and not to be opened without a direct path.
    Seeking(Offer),
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
            | Phase::Seeking(offer)
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
        policy: PathPolicy,
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
        let id = self.add_peer(now, label.clone(), policy, phase);
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
                let (route, label) = (offer.own_route, offer.label.clone());
                let policy = self.config.paths.policy;
                let channel = self.add_peer(now, label, policy, Phase::Offered(offer));
                self.channels.hold_back(channel);
                self.routes.insert(route, (channel, None));
                if self.config.auto_accept {
                    self.accept_offer(now, channel, policy);
                } else {
                    self.offers.insert(channel);
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
        let policy = peer.policy;
        peer.phase = Phase::Offered(offer);
        self.accept_offer(now, id, policy);
    }

    /// Whether the application may answer the offer of this channel.
    pub(super) fn answerable(&self, id: ChannelId) -> Result<(), AnswerError> {
        // That it is over may be told by an event that the application has not taken yet.
        let entry = self.channels.get(id).filter(|it| !it.core.is_ended());
        match entry.map(|entry| &entry.role) {
            Some(Role::Peer(Peer {
                phase: Phase::Offered(_),
                ..
            })) => Ok(()),
            Some(Role::Peer(_) | Role::Home) | None => Err(AnswerError),
        }
    }

    pub(super) fn accept_offer(&mut self, now: Instant, id: ChannelId, policy: PathPolicy) {
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
        peer.policy = match policy.bounded() {
            // A channel of a Client to itself has nothing to look for.
            PathPolicy::Auto if offer.peer == self.config.identity.id() => PathPolicy::ProxiedOnly,
            policy @ (PathPolicy::Auto | PathPolicy::ProxiedOnly | PathPolicy::DirectOnly(_)) => {
                policy
            }
        };
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

    pub(super) fn peer_connected(&mut self, now: Instant, id: ChannelId, identity: PeerIdentity) {
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
        if identity.id != offer.peer {
            return link.close(now, ErrorCode::Binding.into(), CloseReason::Identity);
        }
        // Long enough for a keep-alive to show that the other end has been moved by its NAT.
        let patience = self.config.limits.introduction();
        self.deadlines.set(id, Some(now + patience));
        if offer.role == EndRole::Initiator {
            let bind = bind_message(offer, own_id, &peer.label);
            entry.core.open_control(link);
            if let Some(direct) = direct_message(peer.policy) {
                entry.core.send_control(link, direct.encode());
            }
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
            (Ok(Some(PeerMessage::Direct { required })), Phase::Binding(_))
                if peer.ready.is_none() =>
            {
                peer.ready = Some(required);
                return;
            }
            (Ok(Some(PeerMessage::Bound)), Phase::Binding(offer))
                if offer.role == EndRole::Initiator =>
            {
                return self.bound(now, id);
            }
            (Ok(Some(bind @ PeerMessage::Bind { .. })), Phase::Binding(offer))
                if offer.role == EndRole::Acceptor =>
            {
                if bind == bind_message(offer, own_id, &peer.label) {
                    if let Some(direct) = direct_message(peer.policy) {
                        entry.core.send_control(link, direct.encode());
                    }
                    entry.core.send_control(link, PeerMessage::Bound.encode());
                    return self.bound(now, id);
                }
                Violation::Binding
            }
            (
                Ok(Some(PeerMessage::Candidates {
                    generation,
                    addresses,
                })),
                Phase::Seeking(_) | Phase::Bound(_),
            ) => match self.peer_candidates(now, id, generation, addresses) {
                Ok(()) => return,
                Err(violation) => violation,
            },
            (Ok(Some(_)), _) => Violation::Unexpected,
        };
        self.transport.stats.violations += 1;
        if let (Some(entry), Some(link)) = (self.channels.get_mut(id), self.transport.link(id)) {
            entry.core.violate(link, now, violation);
        }
    }

    /// The ends know that they mean the same channel.
    fn bound(&mut self, now: Instant, id: ChannelId) {
        let (Some(entry), Some(link)) = (self.channels.get_mut(id), self.transport.link(id)) else {
            return;
        };
        let Role::Peer(peer) = &mut entry.role else {
            return;
        };
        let Phase::Binding(offer) = &peer.phase else {
            return;
        };
        let offer = offer.clone();
        let (able, patience) = match peer.policy {
            PathPolicy::Auto => (true, None),
            PathPolicy::ProxiedOnly => (false, None),
            PathPolicy::DirectOnly(patience) => {
                (offer.peer != self.config.identity.id(), Some(patience))
            }
        };
        let able = able && peer.ready.is_some();
        let required = patience.is_some() || peer.ready == Some(true);
        if required && !able {
            let code = ErrorCode::NoDirectPath.into();
            return link.close(now, code, CloseReason::NoDirectPath);
        }
        if required {
            peer.phase = Phase::Seeking(offer.clone());
            // The end that wants it so sees to it that it does not take for ever.
            let deadline = patience.map(|patience| now + patience);
            self.deadlines.set(id, deadline);
        } else {
            peer.phase = Phase::Bound(offer.clone());
            self.deadlines.set(id, None);
            entry.core.open(link, now);
            if entry.is_unheard() {
                self.offers.insert(id);
            }
        }
        if able {
            let required = required.then(|| Required::new(patience));
            self.start_path(now, id, &offer, required);
        }
    }

    /// A direct path is there.
    pub(super) fn peer_direct(&mut self, now: Instant, id: ChannelId) {
        let (Some(entry), Some(link)) = (self.channels.get_mut(id), self.transport.link(id)) else {
            return;
        };
        let Role::Peer(peer) = &mut entry.role else {
            return;
        };
        if let Phase::Seeking(offer) = &peer.phase {
            peer.phase = Phase::Bound(offer.clone());
            self.deadlines.set(id, None);
            entry.core.open(link, now);
            if entry.is_unheard() {
                self.offers.insert(id);
            }
        }
    }

    /// A peer channel was not set up in time.
    pub(super) fn peer_deadline_passed(&mut self, id: ChannelId) {
        let phase = match self.channels.get(id).map(|entry| &entry.role) {
            Some(Role::Peer(peer)) => &peer.phase,
            Some(Role::Home) | None => return,
        };
        let (reason, code) = match phase {
            Phase::Seeking(_) => (CloseReason::NoDirectPath, ErrorCode::NoDirectPath),
            Phase::Requested { .. }
            | Phase::Offered(_)
            | Phase::Accepted(_)
            | Phase::Binding(_)
            | Phase::Bound(_) => (CloseReason::TimedOut, ErrorCode::NoAnswer),
        };
        self.end_peer(id, reason, Some(code.into()));
    }

    /// A peer channel has ended: the Coordinator can forget it, and so can we.
    pub(super) fn peer_ended(&mut self, now: Instant, id: ChannelId, reason: CloseReason) {
        // What the other end was told, which the Coordinator may be the first to bring it.
        let said = self.transport.peek(id).and_then(Link::close_code);
        let code = said.unwrap_or_else(|| match reason {
            CloseReason::Application(code) => code.into(),
            CloseReason::Remote(code) => code.into(),
            CloseReason::Violation(violation) => violation.code().into(),
            CloseReason::Local => ErrorCode::Dropped.into(),
            CloseReason::NoDirectPath => ErrorCode::NoDirectPath.into(),
            CloseReason::Identity
            | CloseReason::Version
            | CloseReason::TimedOut
            | CloseReason::Unreachable(_)
            | CloseReason::Reset
            | CloseReason::Overloaded
            | CloseReason::CoordinatorLost
            | CloseReason::Transport(_) => ErrorCode::PeerGone.into(),
        });
        // The other end may have begun in the same moment: nobody is here for it.
        if let Some(link) = self.transport.link(id) {
            link.close(now, code, reason);
        }
        self.release_peer(id, Some(code));
        self.update_home_hold();
        if self.channels.get(id).is_some_and(Entry::is_unheard) {
            self.offers.remove(&id);
            match self.config.auto_accept {
                // Its end is the application's to know.
                true => self.channels.let_through(id),
                // The end of an offer that it has not seen is not.
                false => self.channels.remove(id),
            }
        }
    }

    /// Whether the application is to answer the offer of this channel, and which that is.
    pub(super) fn offer(&self, id: ChannelId) -> Option<ClientEvent> {
        self.answerable(id).ok()?;
        let PeerInfo {
            id: peer,
            name,
            label,
        } = self.peer(id)?;
        Some(ClientEvent::Offered {
            channel: id,
            peer,
            name,
            label,
        })
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
        self.end_path(id);
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

    fn add_peer(
        &mut self,
        now: Instant,
        label: Bytes,
        policy: PathPolicy,
        phase: Phase,
    ) -> ChannelId {
        let id = self.transport.fresh_id();
        let limits = &self.config.limits;
        let rate = Bucket::per_second(limits.control_rate.into(), limits.control_burst.into());
        let core = ChannelCore::new(id, &self.config.peer, Some(rate));
        let peer = Peer {
            label,
            policy,
            ready: None,
            phase,
        };
        self.channels.insert(id, core, Role::Peer(peer));
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

/// What an end says before the binding, if it is ready for direct paths.
fn direct_message(policy: PathPolicy) -> Option<PeerMessage> {
    match policy {
        PathPolicy::Auto => Some(PeerMessage::Direct { required: false }),
        PathPolicy::DirectOnly(_) => Some(PeerMessage::Direct { required: true }),
        PathPolicy::ProxiedOnly => None,
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
