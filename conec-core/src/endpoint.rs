//! What a driver sees: datagrams and time in, datagrams and events out.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    Certified, Channel, ChannelEvent, ChannelId, ClientId, Datagram, EndpointStats, GroupEvent,
    GroupId, Name, PathStats, Transmit, Unreachable,
};

/// A protocol endpoint without a socket or a clock: a [`Client`](crate::Client) or a
/// [`Coordinator`](crate::Coordinator).
///
/// Methods named `handle_*` take what happened outside, methods named `poll_*` give what is to happen next. Any order
/// of calls is correct. The one that wastes nothing, after any input or command: drain
/// [`poll_event`](Self::poll_event), drain [`poll_transmit`](Self::poll_transmit), then sleep until
/// [`poll_timeout`](Self::poll_timeout) or the next datagram. The crate's guide shows the whole loop.
///
/// Each `now` must come from the same clock; one that runs backwards is read as the latest seen.
///
/// Everything but events is the same for both kinds of endpoint, and can be had from a `dyn Endpoint`.
pub trait Endpoint: sealed::Sealed {
    /// What this kind of endpoint tells its application.
    type Event
    where
        Self: Sized;

    /// Takes received datagrams. Infallible: what strangers send is never the caller's error.
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram);

    /// A buffer that a [batch](Datagram) of several datagrams was given in, whole and empty, once nobody has a use for it
    /// any more: to receive into again, which is cheaper than to take and give back memory for each. To be asked before
    /// receiving. Of those that nobody asks for, not many are kept.
    #[must_use = "buffers are given back once"]
    fn take_buffer(&mut self) -> Option<BytesMut>;

    /// Does what is due. To be called when [`poll_timeout`](Self::poll_timeout) is reached; harmless earlier or later.
    fn handle_timeout(&mut self, now: Instant);

    /// Takes note that the socket has failed to send or to receive. Counted, and otherwise as good as lost on the way.
    fn handle_socket_error(&mut self);

    /// Takes note that datagrams do not get to this destination, as sending has failed to say or as the system has learned
    /// by ICMP. It counts nothing: a call that has failed is a [socket error](Self::handle_socket_error) besides.
    ///
    /// A Client that connects skips an address without a [route](Unreachable::NoRoute) at once. What else it is told of an
    /// address has it try the next one at once, but is not enough: a firewall may have had too much to do, a Coordinator may
    /// be about to start, and anybody can claim such a thing. When it is told again half a second after it first tried the
    /// address, or later, which by default is of its second packet, it gives the address up. Of one that has answered, and
    /// at all other times, it believes nothing. A Coordinator never does.
    fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr, reason: Unreachable);

    /// Whether the driver is to ask the system for what it learns by ICMP, at least every 100 ms, and to report it by
    /// [`handle_unreachable`](Self::handle_unreachable): while a Client connects.
    #[must_use]
    fn wants_unreachable(&self) -> bool;

    /// Whether the driver is to look up the machine's addresses now, and to report them by
    /// [`handle_host_addresses`](Self::handle_host_addresses). To be asked after each input, in the same turn; says so
    /// once for each time.
    ///
    /// A Client wants it when it begins to connect, at most a second after something went wrong that a change of network
    /// explains, and otherwise every 15 seconds, as long as it is given input: it wakes nobody for it. A Coordinator never
    /// does.
    #[must_use = "says so once"]
    fn wants_host_addresses(&mut self) -> bool;

    /// Takes note of the machine's addresses: those of its interfaces, with the port of the socket that the endpoint's
    /// datagrams are sent from; only those that the socket is bound to. That of the default route comes first.
    ///
    /// They can be reported unasked, as by a driver that is told of changes. Where a [`PathPolicy`](crate::PathPolicy)
    /// allows direct paths, a Client tells other ends those that may be of use to them, as
    /// [`PrivateAddresses`](crate::PrivateAddresses) has it. Only the first 64 are looked at. A Coordinator has no use for
    /// them.
    fn handle_host_addresses(&mut self, now: Instant, addresses: &[SocketAddr]);

    /// The next event, if any.
    #[must_use = "events are given once"]
    fn poll_event(&mut self) -> Option<Self::Event>
    where
        Self: Sized;

    /// The next event about a channel's inside, for drivers that take these by themselves and leave all else where it is
    /// until the application asks for it: offers ([`Client::poll_offer`](crate::Client::poll_offer)), events
    /// ([`Coordinator::poll_application_event`](crate::Coordinator::poll_application_event)), and streams
    /// ([`Channel::accept`]), of which [`StreamsWaiting`](ChannelEvent::StreamsWaiting) tells here.
    ///
    /// What waits like that is bounded, and slows down who causes it. Use either this or
    /// [`poll_event`](Self::poll_event).
    ///
    /// A channel's end is told at once here. What is [left](ChannelEvent::Closed) of it by then stays: its streams can be
    /// accepted and received until all of them have ended, were stopped, or [`Channel::abort`] forgets them. So the driver has to
    /// stop what nobody holds. It counts in the memory of the endpoint with all that it takes, and is the first to go when that is used
    /// up. The end of the endpoint itself changes nothing about it.
    #[must_use = "events are given once"]
    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)>;

    /// The next event about a membership of a [group](crate::Client::join), for drivers that take
    /// [channel events by themselves](Self::poll_channel_event). Of a Coordinator's
    /// [subscriptions](crate::Coordinator::subscribe), that there is something to be received.
    ///
    /// A membership's end is told at once here. What was heard before stays, to be received, until the membership is
    /// [forgotten](crate::Group::forget), which such a driver has to do.
    #[must_use = "events are given once"]
    fn poll_group_event(&mut self) -> Option<(GroupId, GroupEvent)>;

    /// Whether an offer waits for the application, or an event, apart from those about channels.
    #[must_use]
    fn has_application_events(&self) -> bool;

    /// Whether a Client's [state](crate::Client::state) is another one than when this was asked last, or it has something new to
    /// [tell of names](crate::KnownClients::poll_key_change). A Coordinator has neither.
    #[must_use = "says so once"]
    fn state_changed(&mut self) -> bool;

    /// The next datagrams to send, at most `max_segments` of them at once, all to one destination.
    ///
    /// Pass 1 without segmentation offload. A datagram that cannot be sent may be dropped, as a network would.
    #[must_use = "a transmit that is not sent is lost"]
    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit>;

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next. In the past while output is waiting.
    #[must_use]
    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout_cause().map(|(at, _)| at)
    }

    /// Like [`poll_timeout`](Self::poll_timeout), and what for: for logs and tests.
    #[must_use]
    fn poll_timeout_cause(&self) -> Option<(Instant, TimeoutCause)>;

    /// Like [`poll_timeout`](Self::poll_timeout) for drivers that take [channel events](Self::poll_channel_event) by
    /// themselves: what waits for the application is no reason to act.
    #[must_use]
    fn poll_wakeup(&self) -> Option<Instant>;

    /// Access to a channel, until its [terminal event](ChannelEvent).
    fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>>;

    /// Who is at the other end of a channel: of a peer channel from the offer on, of a Client's home channel as long as it is
    /// connected. `None` where that is the Coordinator.
    #[must_use]
    fn peer(&self, id: ChannelId) -> Option<PeerInfo>;

    /// What a peer channel's packets have travelled on so far. `None` for home channels, and once the channel's
    /// [terminal event](ChannelEvent) was given.
    #[must_use]
    fn path_stats(&self, id: ChannelId) -> Option<PathStats>;

    /// The channel and what happened on it, where an event is about a channel's inside; else the event itself.
    ///
    /// Lets a driver treat the channels of both kinds of endpoint alike.
    fn channel_event(event: Self::Event) -> Result<(ChannelId, ChannelEvent), Self::Event>
    where
        Self: Sized;

    /// Closes all channels gracefully, as [`Channel::close`] does, a Client's home channel last; a Coordinator takes no
    /// more Clients. After `patience` everything ends in any case.
    fn close(&mut self, now: Instant, patience: Duration);

    /// Whether the endpoint has ended and has nothing left to send: it can be dropped.
    #[must_use]
    fn is_finished(&self) -> bool;

    /// What was counted so far.
    fn stats(&self) -> EndpointStats;
}

/// What a Client knows of the other end of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Who it is: proved by its key, once the channel is open.
    pub id: ClientId,
    /// What the Coordinator calls it, unless somebody else is [known](crate::ClientConfig::known) by that.
    pub name: Option<Name>,
    /// What the channel is for, as its opener said.
    pub label: Bytes,
    /// What an authority says of it that [is trusted here](crate::ClientConfig::peers), once the channel is open. Of a Coordinator's
    /// Clients it is not kept.
    pub certified: Option<Certified>,
    /// Who has asked for the channel, if the Coordinator says that it is a third, which has [introduced](crate::Client::introduce) both
    /// ends to each other.
    pub introducer: Option<ClientId>,
}

/// What an endpoint wants to be [woken](Endpoint::poll_timeout_cause) for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TimeoutCause {
    /// Events wait for the application.
    Events,
    /// Datagrams wait to be sent, or something was done that leads to others.
    Output,
    /// A connection has something to do: acknowledge, send again, keep alive, give up.
    Connection,
    /// A channel should have been set up by then; or it is time to try the next of the Coordinator's addresses, or to ask for
    /// the next channel.
    Setup,
    /// A path is looked for, kept warm, or in doubt (Clients only).
    Path,
    /// The second port is asked again (Clients only).
    SecondPort,
    /// The ends of a pair should have answered by then (Coordinator only).
    Pair,
    /// Members of a group are to be told who is there, or have had enough time; or a publisher may go on (Coordinator only).
    Group,
}

pub(crate) mod sealed {
    /// Nobody else has endpoints.
    #[cfg_attr(
        not(feature = "__testing"),
        expect(unnameable_types, reason = "sealing a trait takes an unnameable one")
    )]
    pub trait Sealed {}
}
