//! What a Coordinator tells its application, and the queue in which that waits.

use std::{collections::VecDeque, net::SocketAddr};

use bytes::Bytes;

use crate::{
    Certified, ChannelEvent, ChannelId, ClientId, CloseReason, MembershipId, Name, PairId, Secret,
};

/// What a [`Coordinator`](crate::Coordinator) tells its application.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CoordinatorEvent {
    /// A Client wants to be admitted, and the policy or the [rules](crate::Rules) say [`Ask`](crate::Policy::Ask):
    /// [`admit`](crate::Coordinator::admit) or [`refuse`](crate::Coordinator::refuse) it. Without an answer it is
    /// refused after [`answer_timeout`](crate::CoordinatorLimits::answer_timeout).
    ClientAsks {
        /// The Client's home channel, which names the Client from now on until the channel's end.
        client: ChannelId,
        /// Who it is, proved by its key.
        id: ClientId,
        /// The name that it would like, or that rules give it. Another identity may have it: see
        /// [`find`](crate::Coordinator::find).
        name: Option<Name>,
        /// Its credential.
        token: Secret<Bytes>,
        /// What an authority says of it, if one of [those that are trusted](crate::CoordinatorConfig::authorities) does. Then `name` is what
        /// it calls the Client.
        certified: Option<Certified>,
    },
    /// A Client has used an [invitation](crate::Coordinator::invite). From now on it is let in by its key: the
    /// [rules](crate::Coordinator::rules) say so, and are to be stored. [`ClientConnected`](Self::ClientConnected) follows.
    ClientJoined {
        /// The Client's home channel.
        client: ChannelId,
        /// Who it is, proved by its key.
        id: ClientId,
    },
    /// A Client is admitted. That it is gone will be told by the end of its home channel. Where an identity takes its own
    /// session over, this comes before the end of the former one.
    ClientConnected {
        /// The Client's home channel.
        client: ChannelId,
        /// Who it is, proved by its key.
        id: ClientId,
        /// Its name.
        name: Option<Name>,
        /// Where its packets come from.
        address: SocketAddr,
    },
    /// A Client wants a channel to another, or both want one to go on [here](Self::PairResumed), and the policy or the
    /// [rules](crate::Rules) say [`Ask`](crate::Policy::Ask):
    /// [`grant`](crate::Coordinator::grant) or [`deny`](crate::Coordinator::deny) it. Without an answer it is denied
    /// after [`answer_timeout`](crate::CoordinatorLimits::answer_timeout). What is known of the two, and was proved,
    /// [`info`](crate::Coordinator::info) tells.
    PairAsks {
        /// The two ends to be.
        pair: PairId,
        /// Who asks.
        from: ClientId,
        /// Whom it wants to reach.
        to: ClientId,
        /// What for.
        label: Bytes,
    },
    /// A Client wants two others to be connected, one of which may be itself, and the [rules](crate::Rules) say
    /// [`Ask`](crate::Policy::Ask): of who introduces, or of who may reach whom.
    /// [`grant`](crate::Coordinator::grant) or [`deny`](crate::Coordinator::deny) it, as what a Client
    /// [asks for itself](Self::PairAsks).
    IntroductionAsks {
        /// The two ends to be.
        pair: PairId,
        /// Who asks.
        by: ClientId,
        /// Who is to reach the other.
        from: ClientId,
        /// The other.
        to: ClientId,
        /// What for.
        label: Bytes,
    },
    /// Both Clients have accepted a channel between them; packets are forwarded from now on.
    PairStarted {
        /// The two ends.
        pair: PairId,
        /// Who began.
        from: ClientId,
        /// The other.
        to: ClientId,
    },
    /// A channel that stood before this Coordinator was started, or stood at another one, goes on here: both Clients have claimed it,
    /// and the policy allows it. Channels that go on where they were are not told.
    PairResumed {
        /// The two ends, from now on.
        pair: PairId,
        /// Who began.
        from: ClientId,
        /// The other.
        to: ClientId,
    },
    /// A channel between two Clients is over, or has never come about.
    PairClosed {
        /// The two ends that were.
        pair: PairId,
        /// Why, as the first of the ends to say so has put it.
        reason: CloseReason,
    },
    /// A Client wants to be a member of a group, and the policy or the [rules](crate::Rules) say [`Ask`](crate::Policy::Ask):
    /// [`grant_membership`](crate::Coordinator::grant_membership) or [`deny_membership`](crate::Coordinator::deny_membership). Without an
    /// answer it is denied after [`answer_timeout`](crate::CoordinatorLimits::answer_timeout).
    MemberAsks {
        /// What is to be answered.
        request: MembershipId,
        /// Who asks: its home channel, and its id.
        client: ChannelId,
        /// Its id.
        id: ClientId,
        /// Which group.
        group: Name,
        /// Whether it wants to publish.
        publish: bool,
        /// Whether there is no such group, so that it would be made.
        create: bool,
    },
    /// In a group that the application [listens](crate::Coordinator::subscribe) to something was published:
    /// [`group_recv`](crate::Coordinator::group_recv) gives it. Told once, until all was received. Drivers that take channel events by
    /// themselves hear it by [`poll_group_event`](crate::Endpoint::poll_group_event).
    GroupReadable {
        /// Which group.
        group: Name,
    },
    /// Something happened on a Client's home channel.
    Channel {
        /// The Client's home channel.
        channel: ChannelId,
        /// What happened.
        event: ChannelEvent,
    },
}

/// Events that the application has not taken.
#[derive(Debug)]
pub(super) struct Events {
    waiting: VecDeque<CoordinatorEvent>,
    limit: usize,
    /// The oldest give way to others, as nobody wants them.
    ignored: bool,
    missed: u64,
}

impl Events {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            limit,
            ignored: false,
            missed: 0,
        }
    }

    pub(super) fn push(&mut self, event: CoordinatorEvent) {
        if self.ignored && self.waiting.len() >= self.limit {
            self.waiting.pop_front();
            self.missed += 1;
        }
        self.waiting.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<CoordinatorEvent> {
        self.waiting.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether so many wait that nothing may begin which leads to more.
    pub(super) fn is_full(&self) -> bool {
        !self.ignored && self.waiting.len() >= self.limit
    }

    pub(super) fn ignore(&mut self, ignored: bool) {
        self.ignored = ignored;
    }

    pub(super) fn missed(&self) -> u64 {
        self.missed
    }
}
