//! From the request or offer of a peer channel to the bound channel. All transitions of [`Stage`] are here.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Ask, Peer, Stage, asker};
use crate::{
    AnswerError, Certified, ChannelId, ClientId, CloseReason, Credential, CredentialError,
    Endpoint, ErrorCode, OpenChannelError, PathPolicy, PeerInfo, Target, Violation,
    channel::{ChannelCore, Notice, Toll},
    client::{Client, ClientEvent, path::Required},
    error::WireCode,
    host::Hosted,
    identity::PeerIdentity,
    transport::{Link, PeerEnd},
    util::may_take,
    wire::{
        ClientMessage, MAX_LABEL, Offer, PeerMessage, RequestId, Role as EndRole, RoleMessage,
        Route,
    },
};

impl Client {
    pub(in crate::client) fn request_channel(
        &mut self,
        now: Instant,
        target: Target,
        label: &[u8],
        policy: PathPolicy,
    ) -> Result<ChannelId, OpenChannelError> {
        let is_open = self.is_connected() && self.is_home_open();
        if !is_open && !self.home.is_away() {
            return Err(OpenChannelError::NotConnected);
        }
        if label.len() > MAX_LABEL {
            return Err(OpenChannelError::LabelTooLong);
        }
        if self.peers().filter(|peer| peer.asked).count() >= self.config.limits.channels_per_client
        {
            return Err(OpenChannelError::TooMany);
        }
        if self.asks.is_full() {
            return Err(OpenChannelError::TooFast);
        }
        let peer = Peer {
            label: Bytes::copy_from_slice(label),
            asked: true,
            introducer: None,
            policy,
            ready: None,
            neighbour: false,
            offer: None,
            ticket: None,
            by_former: false,
            sought: match &target {
                Target::Name(name) => Some(name.clone()),
                Target::Id(_) => None,
            },
            certified: None,
            stage: Stage::Requested {
                request: None,
                target,
            },
        };
        let id = self.add_peer(peer);
        if !is_open {
            self.host.set_deadline(id, Some(now + self.ask_patience()));
        }
        self.asks.add(Ask::Channel(id));
        self.ask(now);
        Ok(id)
    }

    /// Asks for the channels whose turn it is, and introductions.
    pub(in crate::client) fn ask(&mut self, now: Instant) {
        if !self.is_connected() {
            return;
        }
        let patience = self.ask_patience();
        while let Some(id) = self.asks.pop_claim(now) {
            self.claim_peer(id);
        }
        while let Some((number, ask)) = self.asks.pop(now) {
            let id = match ask {
                Ask::Channel(id) => id,
                Ask::Introduction(id) => {
                    self.ask_to_introduce(now, id, number);
                    continue;
                }
            };
            let Some(peer) = self.peer_mut(id) else {
                continue;
            };
            let Stage::Requested { request, target } = &mut peer.stage else {
                continue;
            };
            *request = Some(number);
            let message = ClientMessage::OpenChannel {
                request: number,
                target: target.clone(),
                label: peer.label.clone(),
            };
            self.host.set_deadline(id, Some(now + patience));
            self.send_home(&message);
        }
    }

    pub(in crate::client) fn offered(&mut self, now: Instant, offer: Offer) {
        let route = offer.own_route;
        let introducer = self.introductions.take_introducer(route);
        if self.routes.contains_key(&route) {
            return self.violate_home(now, Violation::Unexpected);
        }
        if let Some(request) = offer.request {
            return self.answered(now, request, offer);
        }
        if !self.is_home_open() {
            return self.decline(route, ErrorCode::Shutdown.into());
        }
        if !self.is_as_known(&offer, None) {
            return self.decline(route, ErrorCode::KeyChanged.into());
        }
        if !self.has_place(asker(&offer, introducer)) {
            return self.decline(route, ErrorCode::Limit.into());
        }
        let policy = self.config.paths.policy;
        let peer = Peer {
            label: offer.label.clone(),
            asked: false,
            introducer,
            policy,
            ready: None,
            neighbour: false,
            offer: Some(offer),
            ticket: None,
            by_former: false,
            sought: None,
            certified: None,
            stage: Stage::Offered,
        };
        let id = self.add_peer(peer);
        let patience = self.config.limits.answer_timeout;
        self.host.set_deadline(id, Some(now + patience));
        self.host.hold_back(id);
        self.routes.insert(route, (id, None));
        if self.config.auto_accept {
            self.accept_offer(now, id, policy);
        } else {
            self.offers.insert(id);
        }
    }

    /// The Coordinator's answer to a request of this Client.
    fn answered(&mut self, now: Instant, request: RequestId, mut offer: Offer) {
        let route = offer.own_route;
        let id = match self.asks.answered(request) {
            Some(Ask::Channel(id)) => Some(id),
            Some(Ask::Introduction(_)) => {
                return self.violate_home(now, Violation::Unexpected);
            }
            None => None,
        };
        self.ask(now);
        // The application may have given the request up.
        let Some((id, peer)) = id.and_then(|id| Some((id, self.peer_mut(id)?))) else {
            return self.decline(route, ErrorCode::Dropped.into());
        };
        let meant = match &peer.stage {
            Stage::Requested { target, .. } => match target {
                Target::Id(id) => *id == offer.peer,
                Target::Name(name) => offer.peer_name.as_ref() == Some(name),
            },
            Stage::Offered | Stage::Accepted | Stage::Binding | Stage::Seeking | Stage::Bound => {
                return self.violate_home(now, Violation::Unexpected);
            }
        };
        if !meant || peer.label != offer.label || offer.role != EndRole::Initiator {
            self.decline(route, ErrorCode::Binding.into());
            return self.end_peer(now, id, CloseReason::Identity, None);
        }
        let (policy, by_name) = (peer.policy, peer.sought.is_some());
        if !self.is_as_known(&offer, by_name.then_some(id)) {
            if by_name {
                self.decline(route, ErrorCode::KeyChanged.into());
                return self.end_peer(now, id, CloseReason::KeyChanged, None);
            }
            offer.peer_name = None;
        }
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        peer.offer = Some(offer);
        peer.stage = Stage::Offered;
        self.routes.insert(route, (id, None));
        self.accept_offer(now, id, policy);
    }

    /// Whether the application may answer the offer of this channel.
    pub(in crate::client) fn answerable(&self, id: ChannelId) -> Result<(), AnswerError> {
        // That it is over may be told by an event that the application has not taken yet.
        let channel = self.host.get(id).filter(|it| !it.core.is_ended());
        let peer = channel.and_then(|channel| channel.role.as_ref());
        let offered = peer.filter(|peer| peer.stage == Stage::Offered);
        offered.map(|_| ()).ok_or(AnswerError)
    }

    pub(in crate::client) fn accept_offer(
        &mut self,
        now: Instant,
        id: ChannelId,
        policy: PathPolicy,
    ) {
        let own_id = self.id();
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let Some(offer) = peer.offer_at(&Stage::Offered) else {
            return;
        };
        let (route, role, end) = (offer.own_route, offer.role, peer_end(offer));
        peer.policy = match policy.bounded() {
            // A channel of a Client to itself has nothing to look for.
            PathPolicy::Auto if offer.peer == own_id => PathPolicy::ProxiedOnly,
            policy @ (PathPolicy::Auto | PathPolicy::ProxiedOnly | PathPolicy::DirectOnly(_)) => {
                policy
            }
        };
        let direct = peer.direct_message().is_some();
        peer.stage = Stage::Accepted;
        let limits = &self.config.limits;
        let patience = limits.answer_timeout + limits.handshake_timeout;
        self.host.set_deadline(id, Some(now + patience));
        if role == EndRole::Acceptor {
            let (identity, config) = (&self.config.identity, &self.config.peer);
            let engine = self.host.transport.await_peer(id, identity, &end, config);
            match engine {
                Ok(engine) => self.routes.insert(route, (id, Some(engine))),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a channel");
                    let code = ErrorCode::Refused.into();
                    return self.end_peer(now, id, CloseReason::Identity, Some(code));
                }
            };
        }
        self.send_home(&ClientMessage::Accept { route, direct });
    }

    /// Both ends have accepted; this one begins.
    pub(in crate::client) fn start_peer(&mut self, now: Instant, route: Route) {
        let Some(&(id, _)) = self.routes.get(&route) else {
            return;
        };
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let offer = peer.offer_at(&Stage::Accepted);
        let end = offer
            .filter(|it| it.role == EndRole::Initiator)
            .map(peer_end);
        let Some(end) = end.filter(|_| self.host.peek(id).is_none()) else {
            return self.violate_home(now, Violation::Unexpected);
        };
        let (identity, config) = (&self.config.identity, &self.config.peer);
        let link = self
            .host
            .transport
            .connect_peer(now, id, identity, &end, config);
        match link {
            Ok(link) => {
                self.routes.insert(route, (id, Some(link.engine())));
                self.host.add_link(id, link);
            }
            Err(error) => {
                let span = self.host.span(id);
                span.in_scope(|| tracing::debug!(%error, "cannot start a channel"));
                let code = ErrorCode::Refused.into();
                self.end_peer(now, id, CloseReason::Identity, Some(code));
            }
        }
    }

    /// The Coordinator says whether the other end is a neighbour.
    pub(in crate::client) fn called_neighbour(
        &mut self,
        now: Instant,
        route: Route,
        neighbour: bool,
    ) {
        let id = self.routes.get(&route).map(|&(id, _)| id);
        if let Some((id, peer)) = id.and_then(|id| Some((id, self.peer_mut(id)?))) {
            peer.neighbour = neighbour;
            self.path_to_neighbour(now, id, neighbour);
        }
    }

    pub(in crate::client) fn peer_notice(&mut self, now: Instant, id: ChannelId, notice: Notice) {
        match notice {
            Notice::Control(payload) => self.peer_control(now, id, payload),
            // Memberships are the home channel's.
            Notice::Closing | Notice::Stream(..) | Notice::StreamsAvailable => {}
            Notice::GivenUp => self.host.abandon(id, CloseReason::Local),
            Notice::Ended(reason) => self.peer_ended(now, id, reason),
        }
    }

    pub(in crate::client) fn peer_connected(
        &mut self,
        now: Instant,
        id: ChannelId,
        identity: PeerIdentity,
    ) {
        let (own_id, credential) = (self.id(), self.config.credential.clone());
        let Some((peer, core, link)) = self.linked_peer(id) else {
            return;
        };
        let Some(offer) = peer.offer_at(&Stage::Accepted) else {
            return;
        };
        // TLS has seen to this already.
        if identity.id != offer.peer {
            return link.close(now, ErrorCode::Binding.into(), CloseReason::Identity);
        }
        core.connected(link);
        if offer.role == EndRole::Initiator {
            core.open_control(link);
            let bind = peer.bind_message(offer, own_id);
            let shown = credential.as_ref().map(credential_message);
            let first = peer.direct_message().into_iter().chain(shown);
            for message in first.chain([bind]) {
                core.send_control(link, message.encode());
            }
        }
        peer.stage = Stage::Binding;
        // Long enough for a keep-alive to show that the other end has been moved by its NAT.
        let patience = self.config.limits.introduction();
        self.host.set_deadline(id, Some(now + patience));
    }

    fn peer_control(&mut self, now: Instant, id: ChannelId, payload: Bytes) {
        match self.heed_peer(now, id, payload) {
            Ok(()) => {}
            Err(violation) => self.host.violate(now, id, violation),
        }
    }

    /// Does what the other end says, if it may say that now.
    fn heed_peer(&mut self, now: Instant, id: ChannelId, payload: Bytes) -> Result<(), Violation> {
        let (own_id, credential) = (self.id(), self.config.credential.clone());
        let peers = self.config.peers.as_ref();
        let is_wanted = peers.is_some_and(|it| it.is_required());
        let Some((peer, _, link)) = self.linked_peer(id) else {
            return Ok(());
        };
        let is_missing = is_wanted && peer.certified.is_none();
        let message = match PeerMessage::decode(payload) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(_) => return Err(Violation::Malformed),
        };
        let binding = peer.offer_at(&Stage::Binding);
        match (message, binding.map(|offer| (offer, offer.role))) {
            (PeerMessage::Direct { required }, Some(_)) if peer.ready.is_none() => {
                peer.ready = Some(required);
            }
            (PeerMessage::Credential { chain }, Some((offer, _))) if peer.certified.is_none() => {
                let peer = offer.peer;
                self.peer_credential(now, id, peer, chain);
            }
            (PeerMessage::Bound, Some((_, EndRole::Initiator))) if is_missing => {
                refuse(link, now, CredentialError::Missing);
            }
            (PeerMessage::Bound, Some((_, EndRole::Initiator))) => {
                if self.recognised(now, id) {
                    self.bound(now, id);
                }
            }
            (bind @ PeerMessage::Bind { .. }, Some((offer, EndRole::Acceptor))) => {
                if bind != peer.bind_message(offer, own_id) {
                    return Err(Violation::Binding);
                }
                if is_missing {
                    refuse(link, now, CredentialError::Missing);
                    return Ok(());
                }
                if !self.recognised(now, id) {
                    return Ok(());
                }
                let Some((peer, core, link)) = self.linked_peer(id) else {
                    return Ok(());
                };
                let shown = credential.as_ref().map(credential_message);
                let first = peer.direct_message().into_iter().chain(shown);
                for message in first.chain([PeerMessage::Bound]) {
                    core.send_control(link, message.encode());
                }
                self.bound(now, id);
            }
            (
                PeerMessage::Candidates {
                    generation,
                    addresses,
                },
                None,
            ) if matches!(peer.stage, Stage::Seeking | Stage::Bound) => {
                return self.peer_candidates(now, id, generation, addresses);
            }
            (
                PeerMessage::Direct { .. }
                | PeerMessage::Credential { .. }
                | PeerMessage::Bound
                | PeerMessage::Bind { .. }
                | PeerMessage::Candidates { .. },
                _,
            ) => return Err(Violation::Unexpected),
        }
        Ok(())
    }

    /// The other end has shown what an authority says of it.
    fn peer_credential(&mut self, now: Instant, id: ChannelId, whose: ClientId, chain: Bytes) {
        let Some(authorities) = &self.config.peers else {
            return;
        };
        let proved = authorities.check(whose, chain, self.host.unix_time(now));
        let Some((peer, _, link)) = self.linked_peer(id) else {
            return;
        };
        // Who was asked for by a name has to be called so by who is trusted, and not only by the Coordinator.
        let is_sought = |it: &Certified| peer.sought.as_ref().is_none_or(|name| *name == it.name);
        match proved {
            Ok(proved) if is_sought(&proved) => peer.certified = Some(proved),
            Ok(_) => refuse(link, now, CredentialError::BadName),
            Err(error) => refuse(link, now, error),
        }
    }

    /// Whether the other end, which has proved its key, has the one that belongs to its name. Otherwise it is not talked to.
    fn recognised(&mut self, now: Instant, id: ChannelId) -> bool {
        let is_recognised = self.recognise(id);
        if !is_recognised && let Some(link) = self.host.link(id) {
            link.close(now, ErrorCode::KeyChanged.into(), CloseReason::KeyChanged);
        }
        is_recognised
    }

    /// The ends know that they mean the same channel.
    fn bound(&mut self, now: Instant, id: ChannelId) {
        let own_id = self.id();
        let Some((peer, _, link)) = self.linked_peer(id) else {
            return;
        };
        let Some(offer) = peer.offer_at(&Stage::Binding) else {
            return;
        };
        let (able, patience) = match peer.policy {
            PathPolicy::Auto => (true, None),
            PathPolicy::ProxiedOnly => (false, None),
            PathPolicy::DirectOnly(patience) => (offer.peer != own_id, Some(patience)),
        };
        let able = able && peer.ready.is_some();
        let required = patience.is_some() || peer.ready == Some(true);
        if required && !able {
            let code = ErrorCode::NoDirectPath.into();
            return link.close(now, code, CloseReason::NoDirectPath);
        }
        let (role, peer_route, neighbour) = (offer.role, offer.peer_route, peer.neighbour);
        if required {
            peer.stage = Stage::Seeking;
            // The end that wants it so sees to it that it does not take for ever.
            let deadline = patience.map(|patience| now + patience);
            self.host.set_deadline(id, deadline);
        } else {
            self.open_peer(now, id);
        }
        if able {
            let required = required.then(|| Required::new(patience));
            self.start_path(now, id, role, (peer_route, neighbour), required);
        }
    }

    /// A direct path is there.
    pub(in crate::client) fn peer_direct(&mut self, now: Instant, id: ChannelId) {
        if self
            .peer_mut(id)
            .is_some_and(|it| it.stage == Stage::Seeking)
        {
            self.open_peer(now, id);
        }
    }

    /// Nothing stands in the way of the application's streams any more.
    fn open_peer(&mut self, now: Instant, id: ChannelId) {
        self.host.set_deadline(id, None);
        if let Some((peer, core, link)) = self.linked_peer(id) {
            peer.stage = Stage::Bound;
            core.open(link, now);
        }
        if self.host.get(id).is_some_and(Hosted::is_unheard) {
            self.offers.insert(id);
        }
    }

    /// A peer channel was not set up in time.
    pub(in crate::client) fn peer_deadline_passed(&mut self, now: Instant, id: ChannelId) {
        let Some(peer) = self.peer_mut(id) else {
            return;
        };
        let (reason, code) = match peer.stage {
            Stage::Seeking => (CloseReason::NoDirectPath, ErrorCode::NoDirectPath),
            Stage::Requested { .. }
            | Stage::Offered
            | Stage::Accepted
            | Stage::Binding
            | Stage::Bound => (CloseReason::TimedOut, ErrorCode::NoAnswer),
        };
        self.end_peer(now, id, reason, Some(code.into()));
    }

    /// A peer channel has ended: the Coordinator can forget it, and so can we.
    pub(in crate::client) fn peer_ended(
        &mut self,
        now: Instant,
        id: ChannelId,
        reason: CloseReason,
    ) {
        // What the other end was told, which the Coordinator may be the first to bring it.
        let said = self.host.peek(id).and_then(Link::close_code);
        let code = said.unwrap_or_else(|| match reason {
            CloseReason::Application(code) => code.into(),
            CloseReason::Remote(code) => code.into(),
            CloseReason::Violation(violation) => violation.code().into(),
            CloseReason::Local => ErrorCode::Dropped.into(),
            CloseReason::NoDirectPath => ErrorCode::NoDirectPath.into(),
            CloseReason::Credential(error) => error.code().into(),
            CloseReason::KeyChanged => ErrorCode::KeyChanged.into(),
            CloseReason::Identity
            | CloseReason::Signer
            | CloseReason::Version
            | CloseReason::TimedOut
            | CloseReason::Unreachable(_)
            | CloseReason::Reset
            | CloseReason::Overloaded
            | CloseReason::CoordinatorLost
            | CloseReason::Transport(_) => ErrorCode::PeerGone.into(),
        });
        // The other end may have begun in the same moment: nobody is here for it.
        if let Some(link) = self.host.link(id) {
            link.close(now, code, reason);
        }
        self.release_peer(id, Some(code));
        self.update_home_hold();
        if self.host.get(id).is_some_and(Hosted::is_unheard) {
            self.offers.remove(&id);
            match self.config.auto_accept {
                // Its end is the application's to know.
                true => self.host.let_through(id),
                // The end of an offer that it has not seen is not.
                false => self.host.remove(id),
            }
        }
    }

    /// Whether the application is to answer the offer of this channel, and which that is.
    pub(in crate::client) fn offer(&self, id: ChannelId) -> Option<ClientEvent> {
        self.answerable(id).ok()?;
        let PeerInfo {
            id: peer,
            name,
            label,
            certified: _,
            introducer: _,
        } = self.peer(id)?;
        Some(ClientEvent::Offered {
            channel: id,
            peer,
            name,
            label,
        })
    }

    /// Ends a peer channel from outside its link. With a code, the Coordinator is told.
    pub(in crate::client) fn end_peer(
        &mut self,
        now: Instant,
        id: ChannelId,
        reason: CloseReason,
        code: Option<WireCode>,
    ) {
        self.release_peer(id, code);
        if self.host.get(id).is_none() {
            return;
        }
        if let Some(link) = self.host.link(id) {
            let code = code.unwrap_or(WireCode::Protocol(ErrorCode::None));
            link.close(now, code, reason);
        }
        self.host.abandon(id, reason);
    }

    pub(in crate::client) fn close_peers(&mut self, now: Instant, patience: Duration) {
        for id in self.peer_ids() {
            match self.host.linked(id) {
                Some((channel, _)) if channel.core.is_closing() => {}
                Some((channel, link)) => channel.core.close(link, now, patience),
                None => self.host.abandon(id, CloseReason::Local),
            }
        }
    }

    /// Frees what a peer channel's end holds here, and at the Coordinator if it is to be told.
    fn release_peer(&mut self, id: ChannelId, code: Option<WireCode>) {
        self.host.set_deadline(id, None);
        self.end_path(id);
        let Some(peer) = self.host.get(id).and_then(|it| it.role.as_ref()) else {
            return;
        };
        if let Stage::Requested { request, .. } = peer.stage {
            self.asks.give_up(id, request);
        }
        let Some(route) = peer.route() else {
            return;
        };
        let Some((_, engine)) = self.routes.remove(&route) else {
            return;
        };
        if let Some(engine) = engine {
            match self.host.peek(id) {
                Some(_) => self.paths.leave(route, id, engine),
                None => self.host.transport.remove_engine(engine),
            }
        }
        if let Some(code) = code {
            self.decline(route, code);
        }
    }

    /// Tells the Coordinator that this end of a channel is over.
    fn decline(&mut self, route: Route, code: WireCode) {
        if self.is_connected() {
            self.send_home(&ClientMessage::CloseChannel { route, code });
        }
    }

    fn add_peer(&mut self, peer: Peer) -> ChannelId {
        let id = self.host.fresh_id();
        let limits = &self.config.limits;
        let toll = Toll::new(limits.control_rate, limits.control_burst, |_| false);
        let core = ChannelCore::new(id, &self.config.peer, Some(toll));
        self.host.insert(id, core, Some(peer));
        self.update_home_hold();
        id
    }

    pub(super) fn peer_mut(&mut self, id: ChannelId) -> Option<&mut Peer> {
        self.host.get_mut(id)?.role.as_mut()
    }

    fn linked_peer(&mut self, id: ChannelId) -> Option<(&mut Peer, &mut ChannelCore, &mut Link)> {
        let (channel, link) = self.host.linked(id)?;
        Some((channel.role.as_mut()?, &mut channel.core, link))
    }

    /// The peer channels.
    pub(super) fn peer_ids(&self) -> Vec<ChannelId> {
        let channels = self.host.iter();
        let peers = channels.filter(|(_, channel)| channel.role.is_some());
        peers.map(|(id, _)| id).collect()
    }

    /// How long a channel may take that is asked for: the Coordinator answers within its own time; this is for when it does not.
    pub(in crate::client) fn ask_patience(&self) -> Duration {
        let limits = &self.config.limits;
        limits.answer_timeout + limits.hello_timeout
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = &Peer> {
        let channels = self.host.iter();
        channels.filter_map(|(_, channel)| channel.role.as_ref())
    }

    /// Whether there is a place for a channel that this Client has not asked for, but this one, if another Client has.
    fn has_place(&self, asker: Option<ClientId>) -> bool {
        let taken = self.peers().filter(|peer| !peer.asked).count();
        let is_its = |peer: &&Peer| peer.asker() == asker;
        let own = asker.map_or(0, |_| self.peers().filter(is_its).count());
        may_take(own, taken, self.config.limits.channels_per_client)
    }
}

fn peer_end(offer: &Offer) -> PeerEnd {
    PeerEnd {
        own_route: offer.own_route,
        peer_route: offer.peer_route,
        id: offer.peer,
    }
}

/// What a Client with this credential shows others.
fn credential_message(credential: &Credential) -> PeerMessage {
    PeerMessage::Credential {
        chain: credential.to_wire(),
    }
}

/// Does not take the other end for who it is.
fn refuse(link: &mut Link, now: Instant, error: CredentialError) {
    tracing::debug!(%error, "a credential is not good");
    link.close(now, error.code().into(), CloseReason::Credential(error));
}
