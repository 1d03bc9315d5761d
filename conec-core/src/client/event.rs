//! What a Client tells its application.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    ChannelEvent, ChannelId, ClientId, CloseReason, GroupEvent, GroupId, IntroductionId, KeyChange,
    Name,
};

/// What a [`Client`](crate::Client) tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The Coordinator has admitted this Client, for the first time or again.
    Connected {
        /// The name that it granted.
        name: Option<Name>,
        /// Where this Client's packets come from, as the Coordinator sees it.
        observed: SocketAddr,
    },
    /// The home channel was lost, or nothing is heard on it any more, and the Client [looks for the
    /// Coordinator anew](crate::ClientConfig::reconnect). Channels to other Clients stay; [`Connected`](Self::Connected) follows, or the
    /// end of the [home channel](crate::Client::home) that was to be.
    Reconnecting {
        /// Why the home channel was lost, or another attempt was in vain: this is told of each.
        reason: CloseReason,
    },
    /// The Coordinator is about to stop. A Client that [reconnects](crate::ClientConfig::reconnect) goes over to another one in its
    /// own time, and [`Connected`](Self::Connected) follows.
    Draining,
    /// This Client's packets now come from another address, as the Coordinator sees it.
    AddressObserved {
        /// The address.
        address: SocketAddr,
    },
    /// The Coordinator has dropped packets that this Client sent on peer channels, as they exceeded the rate that it
    /// grants. Nothing is lost but speed: the channels send more slowly, and send again.
    Throttled {
        /// How many, since the last of these events.
        packets: u64,
    },
    /// Somebody wants a channel: [`accept`](crate::Client::accept) or [`reject`](crate::Client::reject) it. Without an
    /// answer it is rejected after [`answer_timeout`](crate::ClientLimits::answer_timeout).
    Offered {
        /// The channel, once it is accepted.
        channel: ChannelId,
        /// Who is at the other end. The channel opens only if the other end proves to be it.
        peer: ClientId,
        /// What the Coordinator calls it.
        name: Option<Name>,
        /// What the channel is for, as its opener said.
        label: Bytes,
    },
    /// A name was learned, to be [known](crate::ClientConfig::known) from now on, and to be stored where that is to last. Told before
    /// the channel is [open](ChannelEvent::Opened).
    Learned {
        /// The name.
        name: Name,
        /// Whose it is.
        id: ClientId,
    },
    /// A name was not learned, as [as many](crate::ClientLimits::known_names) are known as may be: who comes under it next may be somebody
    /// else. [Forget](crate::KnownClients::forget) others, or give it by [`insert`](crate::KnownClients::insert). Only the
    /// last of these events waits.
    NotLearned {
        /// The name.
        name: Name,
    },
    /// The Coordinator gives a name to somebody else than it is [known](crate::ClientConfig::known) to belong to. A channel that this
    /// Client had asked for by that name ends with [`KeyChanged`](CloseReason::KeyChanged), and one that it was offered was
    /// rejected. Of each name, only the last of these events waits.
    KeyChanged {
        /// The channel that ends by it: one that this Client had asked for by that name.
        channel: Option<ChannelId>,
        /// The name, and the two to whom it cannot both belong.
        change: KeyChange,
    },
    /// Two others have accepted the channel that this Client has [asked for them](crate::Client::introduce).
    Introduced {
        /// What was asked for.
        introduction: IntroductionId,
    },
    /// Two others have no channel that this Client has [asked for them](crate::Client::introduce), or it is not known whether they have.
    IntroductionFailed {
        /// What was asked for.
        introduction: IntroductionId,
        /// Why. [`TimedOut`](CloseReason::TimedOut) also where the Coordinator is of a version that does not know what an introduction is;
        /// [`CoordinatorLost`](CloseReason::CoordinatorLost) if the home channel was lost meanwhile, and the two may have a channel.
        reason: CloseReason,
    },
    /// Something happened to a membership of a [group](crate::Client::join).
    Group {
        /// The membership.
        group: GroupId,
        /// What happened.
        event: GroupEvent,
    },
    /// Something happened on a channel.
    Channel {
        /// The channel.
        channel: ChannelId,
        /// What happened.
        event: ChannelEvent,
    },
}
