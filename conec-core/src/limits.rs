//! Bounds on tables, queues, rates and waits, for each role.

use std::time::Duration;

use crate::ConfigError;

/// Bounds on a [`Client`](crate::Client)'s tables, queues, rates and waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientLimits {
    /// How long it may take until one of the Coordinator's addresses is connected, all of which are
    /// [tried](crate::Client::connect) until then. 10 s by default, at most 1 day.
    pub handshake_timeout: Duration,
    /// How long the Coordinator, or the other end of a peer channel, may take for its first message, in addition to
    /// `handshake_timeout`. 5 s by default, at most 1 day.
    pub hello_timeout: Duration,
    /// How long the application may take to answer an offer, here and at the other end. 30 s by default, at most 1 day.
    pub answer_timeout: Duration,
    /// How many peer channels this Client may have asked for, and how many others may have asked it for, those being set up
    /// included. One other Client alone gets less than half of the latter, and what is left is shared out in the same way.
    /// 256 by default.
    pub channels_per_client: usize,
    /// Control messages that the other end of a peer channel may send per second, on average. 100 by default, and at least.
    pub control_rate: u32,
    /// Control messages that the other end of a peer channel may send at once. 512 by default, and at least.
    pub control_burst: u32,
    /// Probes per second to all other ends together: so many pings, and as many answers to theirs. They are shared out: a
    /// channel that has sent or asked for many leaves up to half of them to those with fewer. 200 by default.
    pub probe_rate: u32,
    /// How many IP addresses that have not answered are probed within a minute. 4096 by default.
    pub probe_targets: usize,
    /// When how many names are [known](crate::ClientConfig::known) no more are learned. What the application gives itself is not
    /// bounded by it; with 0 nothing else is known. 4096 by default.
    pub known_names: usize,
    /// In how many [groups](crate::Client::join) this Client may be. 16 by default: each takes one of the
    /// [streams](crate::ChannelConfig::bi_streams) that the Coordinator allows.
    pub groups: usize,
    /// How much memory the queues of all groups may take, in bytes. Each takes its [size](crate::JoinConfig::queue), 256 bytes for each
    /// message, and 1 MiB, the largest message; and another one if who is there is to be told, or messages are sealed. 40 MiB by default.
    pub group_memory: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            hello_timeout: HELLO_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            channels_per_client: CHANNELS_PER_CLIENT,
            control_rate: CONTROL_RATE,
            control_burst: CONTROL_BURST,
            probe_rate: 200,
            probe_targets: 4096,
            known_names: 4096,
            groups: 16,
            group_memory: 40 << 20,
        }
    }
}

impl ClientLimits {
    /// How long a Client waits for the other side's word after its own part of a handshake.
    pub(crate) fn introduction(&self) -> Duration {
        self.handshake_timeout + self.hello_timeout
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        within_a_day([
            ("handshake_timeout", self.handshake_timeout),
            ("hello_timeout", self.hello_timeout),
            ("answer_timeout", self.answer_timeout),
        ])?;
        positive([
            ("probe_rate", self.probe_rate as usize),
            ("probe_targets", self.probe_targets),
        ])?;
        above_pace(self.control_rate, self.control_burst)
    }
}

/// Bounds on a [`Coordinator`](crate::Coordinator)'s tables, queues, rates and waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoordinatorLimits {
    /// How many Clients may be connected. 1024 by default; each more takes 176 KiB of
    /// [`memory`](crate::CoordinatorConfig::memory).
    pub clients: usize,
    /// How many of them may have come from one network: an IPv4 /24 or an IPv6 /56. The others are refused with
    /// [`Limit`](crate::ErrorCode::Limit), and can try again. A Client counts where it was first let in, wherever it moves to
    /// as long as it is connected.
    ///
    /// By default, places are shared out: one network alone gets somewhat less than half of them (448 of 1024), the next one
    /// as much of what is left, and so on; the last eighth is kept for networks that have none. Where all Clients come from one
    /// network, as in an office, set this to [`clients`](Self::clients), or `clients` to more than twice their number.
    pub clients_per_network: Option<usize>,
    /// How many newcomers there may be, connections that were not let in yet, or will not be. Whoever comes then gets no
    /// answer, and tries again. Each takes at most 64 KiB. 512 by default.
    pub handshakes: usize,
    /// With how many newcomers further ones must first prove their address (RFC 9000, 8.1.2). 64 by default.
    pub handshakes_before_retry: usize,
    /// How many newcomers with a proven address there may be from one network: an IPv4 /24 or an IPv6 /56. 256 by default.
    pub handshakes_per_network: usize,
    /// How long a TLS handshake may take. 10 s by default, at most 1 day.
    pub handshake_timeout: Duration,
    /// How long a Client may take to introduce itself after its handshake. 5 s by default, at most 1 day.
    pub hello_timeout: Duration,
    /// How long the application may take to answer a request, and the Client that a channel is offered to, to answer the
    /// offer. 30 s by default, at most 1 day.
    pub answer_timeout: Duration,
    /// How long channels between Clients are kept for one that has lost its home channel without a word, and how long one end that
    /// was claimed with a ticket waits for the other. 30 s by default, at most 1 day.
    pub resume_timeout: Duration,
    /// For how long nobody else gets the name of a Client that is gone, so that the Client finds it free when it is back. As many
    /// names are kept as there may be `clients`. At most 1 day; 0 by default, which keeps none: a program that makes a new identity at
    /// each start would have to wait for its own name.
    pub names_kept: Duration,
    /// How often in a minute one identity may take its own session over. Two machines with the same key would push each
    /// other out for ever. 6 by default.
    pub takeovers_per_minute: u32,
    /// How many peer channels one Client may have asked for, and how many others may have asked it for, those being set up
    /// included. Of the latter, one other Client alone gets less than half, and what is left is shared out in the same way;
    /// what the application itself [connects](crate::Coordinator::connect) counts as asked for by the first of the two,
    /// and gets a place as long as there is one. 256 by default.
    pub channels_per_client: usize,
    /// How many channels between Clients there may be in all, those being set up included. One Client alone gets less than half
    /// of them, and what is left is shared out in the same way. 16,384 by default.
    pub pairs: usize,
    /// How many events may wait for the application before no more Clients are taken and no more channels arranged, until
    /// some have been taken. 8,192 by default.
    pub events: usize,
    /// Control messages that one Client may send per second, on average, answers to what it was asked not counted. 100 by
    /// default, and at least: Clients keep to a pace below that by themselves.
    pub control_rate: u32,
    /// Control messages that one Client may send at once, answers not counted. 512 by default, and at least.
    pub control_burst: u32,
    /// Memory for forwarded datagrams that wait to be sent, in bytes, at least 100,000. Clients are served in turn, each with
    /// about 64 KiB or 54 small datagrams at a time; what is too much is dropped of the Client of which most waits. 4 MiB by
    /// default.
    pub forward_queue: usize,
    /// Bytes per second that are forwarded for one Client, at least 65,536. A datagram counts for no less than 1200, as it is
    /// no less work. What exceeds it is dropped, and the Client is [told](crate::ClientEvent::Throttled). By default, so much
    /// as fills [`forward_queue`](Self::forward_queue) in a millisecond: 4 GB, or 3.5 million small datagrams. `u64::MAX` is
    /// no bound.
    pub forward_rate: Option<u64>,
    /// How many groups there may be. 1024 by default; places are shared out to those who make them as those of
    /// [channels](Self::pairs) are.
    pub groups: usize,
    /// In how many groups one Client may be. 16 by default.
    pub groups_per_client: usize,
    /// How much memory the messages that [groups keep](crate::GroupConfig::history) may take together, in bytes. When it is full, the group that
    /// takes most keeps fewer. 32 MiB by default, at least 4 MiB.
    pub group_memory: usize,
    /// How many bytes may be under way to members of groups, over all: sent and not acknowledged, or waiting to be sent. Each Client may have
    /// 16 KiB, and besides a quarter of what is free of this. A member that acknowledges nothing is sent no more, and lags behind. When
    /// many have used it up, others are still sent what is no larger than 16 KiB. Larger messages wait until enough of it is free. When
    /// that takes more than a second, members to whom something has been under way for 10 seconds are sent away
    /// ([`TooSlow`](crate::ErrorCode::TooSlow)), those that hold most first. 32 MiB by default, at least 4 MiB; it can take twice as much memory.
    pub member_memory: usize,
    /// Bytes per second that groups send for one publisher, to all members together, at least 65,536: a message counts for each member that
    /// hears it, and for no less than 256 bytes. What exceeds it waits, at its publisher. By default as much as
    /// [`forward_rate`](Self::forward_rate) is.
    pub publish_rate: Option<u64>,
}

impl Default for CoordinatorLimits {
    fn default() -> Self {
        Self {
            clients: 1024,
            clients_per_network: None,
            handshakes: 512,
            handshakes_before_retry: 64,
            handshakes_per_network: 256,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            hello_timeout: HELLO_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
            resume_timeout: Duration::from_secs(30),
            names_kept: Duration::ZERO,
            takeovers_per_minute: 6,
            channels_per_client: CHANNELS_PER_CLIENT,
            pairs: 16_384,
            events: 8192,
            control_rate: CONTROL_RATE,
            control_burst: CONTROL_BURST,
            forward_queue: 4 << 20,
            forward_rate: None,
            groups: 1024,
            groups_per_client: 16,
            group_memory: 32 << 20,
            member_memory: 32 << 20,
            publish_rate: None,
        }
    }
}

impl CoordinatorLimits {
    /// Bytes per second that are forwarded for one Client.
    pub(crate) fn forward_rate(&self) -> u64 {
        let rate = self.forward_queue as u64 * QUEUES_PER_SECOND;
        self.forward_rate.unwrap_or(rate)
    }

    /// Bytes per second that groups send for one publisher.
    pub(crate) fn publish_rate(&self) -> u64 {
        self.publish_rate.unwrap_or_else(|| self.forward_rate())
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (what, rate) in [
            ("forward_rate", self.forward_rate),
            ("publish_rate", self.publish_rate),
        ] {
            if rate.is_some_and(|rate| rate < MIN_FORWARD_RATE) {
                return Err(ConfigError::OutOfRange(
                    what,
                    "at least 65536 bytes per second",
                ));
            }
        }
        for (what, memory) in [
            ("group_memory", self.group_memory),
            ("member_memory", self.member_memory),
        ] {
            if memory < MIN_GROUP_MEMORY {
                return Err(ConfigError::OutOfRange(what, "at least 4 MiB"));
            }
        }
        if self.forward_queue < MIN_FORWARD_QUEUE {
            return Err(ConfigError::OutOfRange(
                "forward_queue",
                "at least 100000 bytes",
            ));
        }
        within_a_day([
            ("handshake_timeout", self.handshake_timeout),
            ("hello_timeout", self.hello_timeout),
            ("answer_timeout", self.answer_timeout),
            ("resume_timeout", self.resume_timeout),
        ])?;
        if self.names_kept > MAX_TIME {
            return Err(ConfigError::OutOfRange("names_kept", "at most 1 day"));
        }
        positive([
            ("clients", self.clients),
            ("clients_per_network", self.clients_per_network.unwrap_or(1)),
            ("handshakes", self.handshakes),
            ("handshakes_per_network", self.handshakes_per_network),
            ("pairs", self.pairs),
            ("events", self.events),
        ])?;
        above_pace(self.control_rate, self.control_burst)
    }
}

fn within_a_day<const N: usize>(waits: [(&'static str, Duration); N]) -> Result<(), ConfigError> {
    let bad = |&(_, time): &(_, Duration)| time.is_zero() || time > MAX_TIME;
    match waits.into_iter().find(bad) {
        Some((what, _)) => Err(ConfigError::OutOfRange(
            what,
            "more than 0 and at most 1 day",
        )),
        None => Ok(()),
    }
}

/// Whether nobody is cut off who keeps to the protocol's pace.
fn above_pace(rate: u32, burst: u32) -> Result<(), ConfigError> {
    if rate < CONTROL_RATE {
        return Err(ConfigError::OutOfRange("control_rate", "at least 100"));
    }
    if burst < CONTROL_BURST {
        return Err(ConfigError::OutOfRange("control_burst", "at least 512"));
    }
    Ok(())
}

fn positive<const N: usize>(counts: [(&'static str, usize); N]) -> Result<(), ConfigError> {
    match counts.into_iter().find(|&(_, count)| count == 0) {
        Some((what, _)) => Err(ConfigError::OutOfRange(what, "at least 1")),
        None => Ok(()),
    }
}

/// No wait is longer, so that times can be added up.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
/// What both roles have by default.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const CHANNELS_PER_CLIENT: usize = 256;
const CONTROL_RATE: u32 = 100;
const CONTROL_BURST: u32 = 512;
const MIN_FORWARD_RATE: u64 = 1 << 16;
/// The largest messages fit in, and others beside them.
const MIN_GROUP_MEMORY: usize = 4 << 20;
/// A batch of the largest size fits in.
const MIN_FORWARD_QUEUE: usize = 100_000;
/// How many times a second a Client may fill the queue, where nothing else was configured.
const QUEUES_PER_SECOND: u64 = 1000;
