//! Peer channels, and how far they have come.

mod asks;
mod names;
mod resuming;
mod transitions;

pub(super) use self::asks::{Ask, Asks};

use bytes::Bytes;

use crate::{
    Certified, ClientId, Name, PathPolicy, PeerInfo, Target,
    host::{Account, Party},
    wire::{Claim, Offer, PeerMessage, RequestId, Role as EndRole, Route},
};

/// What a Client knows of a peer channel.
#[derive(Debug)]
pub(crate) struct Peer {
    label: Bytes,
    /// Whether this Client has asked for it.
    asked: bool,
    /// Who has asked for it, if it is neither this Client nor, as far as is known, the other end.
    introducer: Option<ClientId>,
    /// What its packets may travel on.
    policy: PathPolicy,
    /// The other end is ready for direct paths, and whether it wants no other.
    ready: Option<bool>,
    /// Whether the Coordinator calls the other end a neighbour.
    neighbour: bool,
    /// What the Coordinator says of it: there once that is more than a request.
    offer: Option<Offer>,
    /// What this end can be claimed with on another home channel.
    ticket: Option<Bytes>,
    /// The former Coordinator still forwards for it, and the present one does not yet.
    by_former: bool,
    /// The name by which this Client has asked for the channel.
    sought: Option<Name>,
    /// What an authority says of the other end.
    certified: Option<Certified>,
    stage: Stage,
}

impl Account for Option<Peer> {
    fn party(&self) -> Option<Party> {
        self.peer().map(Party::Client)
    }

    fn peer(&self) -> Option<ClientId> {
        Some(self.as_ref()?.offer.as_ref()?.peer)
    }
}

/// How far the setting up of a peer channel has come.
///
/// ```text
/// Requested ─offer─▶ Accepted ─start/connection─▶ Binding ─bind─▶ Bound
/// Offered ──accept──────▲                            └─bind─▶ Seeking ─direct path─▲
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Wanted by this Client, and asked for once it has its number.
    Requested {
        request: Option<RequestId>,
        target: Target,
    },
    /// Offered, and the application has not answered.
    Offered,
    /// This end is ready for the other.
    Accepted,
    /// The ends have proved who they are; now they make sure that they mean the same channel.
    Binding,
    /// Bound, and not to be opened without a direct path.
    Seeking,
    Bound,
}

/// Who has asked for a channel that is offered: who introduces the two, or else its initiator. Where that is the end that is
/// told, the Coordinator wants it.
fn asker(offer: &Offer, introducer: Option<ClientId>) -> Option<ClientId> {
    introducer.or(match offer.role {
        EndRole::Initiator => None,
        EndRole::Acceptor => Some(offer.peer),
    })
}

impl Peer {
    pub(super) fn info(&self) -> Option<PeerInfo> {
        self.offer.as_ref().map(|offer| PeerInfo {
            id: offer.peer,
            name: offer.peer_name.clone(),
            label: self.label.clone(),
            certified: self.certified.clone(),
            introducer: self.introducer,
        })
    }

    /// Who has asked this Client for it, if another one has.
    fn asker(&self) -> Option<ClientId> {
        let offer = self.offer.as_ref().filter(|_| !self.asked)?;
        asker(offer, self.introducer)
    }

    /// The offer, if the channel has come just as far as this.
    fn offer_at(&self, stage: &Stage) -> Option<&Offer> {
        self.offer.as_ref().filter(|_| self.stage == *stage)
    }

    /// Whether this Client has asked for whoever has a key, and not for who bears a name.
    fn is_asked_by_id(&self) -> bool {
        self.asked && self.sought.is_none()
    }

    /// Whether its packets go by way of the former Coordinator.
    pub(super) fn is_by_former(&self) -> bool {
        self.by_former
    }

    /// This end, as it is claimed on another home channel.
    fn claim(&self) -> Option<Claim> {
        let offer = self.offer.as_ref()?;
        Some(Claim {
            role: offer.role,
            own_route: offer.own_route,
            peer_route: offer.peer_route,
            channel: offer.channel,
            peer: offer.peer,
            label: self.label.clone(),
            direct: self.direct_message().is_some(),
            ticket: self.ticket.clone()?,
        })
    }

    fn route(&self) -> Option<Route> {
        self.offer.as_ref().map(|offer| offer.own_route)
    }

    /// What this end says before the binding, if it is ready for direct paths.
    fn direct_message(&self) -> Option<PeerMessage> {
        match self.policy {
            PathPolicy::Auto => Some(PeerMessage::Direct { required: false }),
            PathPolicy::DirectOnly(_) => Some(PeerMessage::Direct { required: true }),
            PathPolicy::ProxiedOnly => None,
        }
    }

    /// What the initiator says, and the acceptor must hear, for this to be the channel that was offered.
    fn bind_message(&self, offer: &Offer, own_id: ClientId) -> PeerMessage {
        let (initiator, acceptor) = match offer.role {
            EndRole::Initiator => (own_id, offer.peer),
            EndRole::Acceptor => (offer.peer, own_id),
        };
        PeerMessage::Bind {
            channel: offer.channel,
            initiator,
            acceptor,
            label: self.label.clone(),
        }
    }
}
