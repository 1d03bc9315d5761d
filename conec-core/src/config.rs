//! What can be set, with defaults for real use.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rustls::RootCertStore;

use crate::{
    Authorities, Certificate, ClientLimits, ConfigError, CoordinatorLimits, Credential,
    CredentialError, GroupConfig, Identity, KeyPin, KnownClients, Name, Policy, Rules, Secret,
    limits::MAX_TIME,
};

/// How a [`Client`](crate::Client) introduces itself and whom it trusts. Make one with [`new`](Self::new), and set fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The key pair that proves who this Client is.
    pub identity: Identity,
    /// How the Coordinator is recognised.
    pub trust: Trust,
    /// The name to ask for, if any. None by default.
    pub name: Option<Name>,
    /// Something secret for the Coordinator's application, at most 4096 bytes. Empty by default.
    pub token: Secret<Bytes>,
    /// What an authority says of this Client: shown to the Coordinator, and to other Clients when a channel is set up, once they have
    /// proved who they are. None by default.
    pub credential: Option<Credential>,
    /// Whose word about other Clients is taken, who have to bring it: a [`Credential`]. It is checked at this end, whatever the
    /// Coordinator says; and a Client to which a channel is opened by name has to be called so in it. By default no other
    /// Client is asked for one, and what is brought is not looked at.
    pub peers: Option<Authorities>,
    /// Which key is known to belong to which name: nobody else is taken for who bears it, whatever the Coordinator says. Names that are
    /// new are learned when a channel is set up, as [`KnownClients`] has it:
    ///
    /// * A channel that is opened by a name ends with [`KeyChanged`](crate::CloseReason::KeyChanged) if the Coordinator gives that
    ///   name to another key than is known, before the other end was sent anything. An offer of somebody who is called so is
    ///   rejected. The application is told of both by [`ClientEvent::KeyChanged`](crate::ClientEvent::KeyChanged).
    /// * The name by which this Client opens a channel, and that of an offer which its application accepts, are learned
    ///   once the other end has proved its key: [`ClientEvent::Learned`](crate::ClientEvent::Learned). Those of offers that are accepted
    ///   [automatically](Self::auto_accept) are not; nor are those of Clients to which channels are opened by [`ClientId`](crate::ClientId),
    ///   who are whom they should be in any case: where the Coordinator calls one of these by another's name, the channel
    ///   opens and shows [no name](crate::PeerInfo::name).
    /// * When [`known_names`](ClientLimits::known_names) are known, no more are learned: channels to other names open as they would
    ///   without this, and [`ClientEvent::NotLearned`](crate::ClientEvent::NotLearned) tells.
    /// * [`Client::known_mut`](crate::Client::known_mut) forgets a name, or gives it another key. Channels that stand are not
    ///   concerned.
    ///
    /// Where [`peers`](Self::peers) is set as well, both have to agree. `None`, the default, knows and learns nothing. Drivers' handles
    /// store what is learned in the [file](KnownClients::file) that it was read from, if any.
    pub known: Option<KnownClients>,
    /// The time since 1970 at which this Client begins, by which credentials expire. Adapters set it. 0 by default.
    pub unix_time: Duration,
    /// Whether channels offered by others are accepted at once, without asking the application. They are not by default.
    pub auto_accept: bool,
    /// Whether the Client connects again when its home channel is lost, and keeps its channels to other Clients meanwhile. It does by
    /// default; otherwise all ends with the home channel. If it cannot connect for the first time, it ends in any case.
    pub reconnect: bool,
    /// The home channel. As [`ChannelConfig`] has it by default.
    pub home: ChannelConfig,
    /// Channels with other Clients: by default with an idle timeout of 60 s, and a keep-alive every 20 s.
    pub peer: ChannelConfig,
    /// Which paths the packets of those channels may take. As [`PathConfig`] has it by default.
    pub paths: PathConfig,
    /// The largest UDP payload, in bytes, that the machine's own link towards the Coordinator takes: at least 1200. Larger ones
    /// are neither tried nor asked for. Where this is `None`, the default, the adapters look it up, and the core by itself
    /// assumes 1452 bytes, which fit in Ethernet's usual frames.
    pub link_mtu: Option<u16>,
    /// How much memory others can make this Client take, in bytes; what its application itself sends comes on top. 256 MiB by
    /// default.
    ///
    /// A part of it is for what is known of channels, and for what the other side of each may send at first. Half of the rest is
    /// for what other sides [may have under way](ChannelConfig::max_receive_window) besides: one channel alone gets a third of
    /// that, the next a third of what is left, and so on. The other half is for what has arrived in part, or waits for its
    /// readers, over all channels, and for what is left of channels that are over.
    ///
    /// No channel ends because its reader is slow. When more than half of that is taken, messages of more than 64 KiB
    /// come in turn, and of a channel only one at a time: the next when this one was received. A turn lasts for 30 s at most.
    /// When more than seven eighths are taken, small messages come in turn, too, and a channel with eight streams or more gets
    /// no others. What is left of channels that are over is forgotten then as far as it takes more than an eighth: of who has
    /// left most, the oldest channel.
    ///
    /// What ends, as [`Overloaded`](crate::CloseReason::Overloaded), are channels whose other side leaves messages half sent
    /// while others wait for the memory: who lets three turns in a row go by with less than 16 KiB in 3 s each; and when all is
    /// taken, more than half of it by what has arrived in part, the channel of which that is most.
    pub memory: usize,
    /// Bounds on everything else. As [`ClientLimits`] has them by default.
    pub limits: ClientLimits,
}

impl ClientConfig {
    /// With the defaults of all other fields.
    pub fn new(identity: Identity, trust: Trust) -> Self {
        Self {
            identity,
            trust,
            name: None,
            token: Secret::default(),
            credential: None,
            peers: None,
            known: None,
            unix_time: Duration::ZERO,
            auto_accept: false,
            reconnect: true,
            home: ChannelConfig::default(),
            peer: ChannelConfig {
                idle_timeout: Duration::from_secs(60),
                keep_alive: Some(Duration::from_secs(20)),
                ..ChannelConfig::default()
            },
            paths: PathConfig::default(),
            link_mtu: None,
            memory: 256 << 20,
            limits: ClientLimits::default(),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.token.as_ref().len() > MAX_TOKEN {
            return Err(ConfigError::OutOfRange("token", "at most 4096 bytes"));
        }
        if let Some(credential) = &self.credential
            && credential.id() != self.identity.id()
        {
            return Err(CredentialError::OtherKey.into());
        }
        self.home.validate()?;
        self.peer.validate()?;
        self.paths.validate()?;
        if self.link_mtu.is_some_and(|mtu| mtu < MIN_MTU) {
            return Err(ConfigError::OutOfRange("link_mtu", "at least 1200 bytes"));
        }
        self.limits.validate()?;
        self.validate_memory()
    }

    /// With channels whose packets are no larger than the link takes.
    pub(crate) fn fit_link(mut self) -> Self {
        let link = self.link_mtu.unwrap_or(ETHERNET_MTU);
        for channel in [&mut self.home, &mut self.peer] {
            channel.max_mtu = channel.max_mtu.min(link);
        }
        self
    }
}

/// How a [`Client`](crate::Client) looks for direct paths to other Clients, and which addresses it tells them. Begin with the
/// default, and set fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PathConfig {
    /// For channels that are opened without a policy of their own. [`Auto`](PathPolicy::Auto) by default.
    pub policy: PathPolicy,
    /// Whether addresses of private networks are told to the other end, and tried. By default
    /// [where both ends are in one network](PrivateAddresses::SameNetwork), as far as the Coordinator can see.
    pub private: PrivateAddresses,
    /// Whether loopback addresses are, which lead to the same machine. For tests; they are not by default.
    pub loopback: bool,
    /// For how long a direct path is kept open while the application sends nothing on it, at most 1 day. After that, NATs may
    /// forget it, and it is looked for again when there is something to send. 120 s by default; `None` keeps it always.
    pub keep_warm: Option<Duration>,
    /// Whether the Coordinator is told of each channel whether this end's packets travel directly, for its
    /// [operator](crate::PairInfo) to see. It is not by default; it sees in any case what it forwards.
    pub report: bool,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            policy: PathPolicy::Auto,
            private: PrivateAddresses::SameNetwork,
            loopback: false,
            keep_warm: Some(Duration::from_secs(120)),
            report: false,
        }
    }
}

impl PathConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        self.policy.validate()?;
        if self.keep_warm.is_some_and(|time| time > MAX_TIME) {
            return Err(ConfigError::OutOfRange("keep_warm", "at most 1 day"));
        }
        Ok(())
    }
}

/// Which path the packets of a peer channel may take, as far as this end decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathPolicy {
    /// At first through the Coordinator, then directly, as soon and as long as that works.
    Auto,
    /// Only through the Coordinator. The other end learns none of this Client's addresses.
    ProxiedOnly,
    /// Only directly: nothing that the application sends goes through the Coordinator.
    ///
    /// The handshake does. The channel [opens](crate::ChannelEvent::Opened), at both ends, when a direct path is found; from
    /// then on, this end sends all packets on direct paths. When the path fails, the channel waits for a new one. It ends with
    /// [`NoDirectPath`](crate::CloseReason::NoDirectPath) when it has been without one for this long (more than a day counts
    /// as a day), and at once if the other end takes no direct paths, as with `ProxiedOnly`.
    DirectOnly(Duration),
}

impl PathPolicy {
    /// With a deadline of at most a day.
    pub(crate) fn bounded(self) -> Self {
        match self {
            Self::DirectOnly(deadline) => Self::DirectOnly(deadline.min(MAX_TIME)),
            Self::Auto | Self::ProxiedOnly => self,
        }
    }

    fn validate(self) -> Result<(), ConfigError> {
        match self {
            Self::DirectOnly(deadline) if deadline.is_zero() || deadline > MAX_TIME => Err(
                ConfigError::OutOfRange("DirectOnly", "more than 0 and at most 1 day"),
            ),
            Self::Auto | Self::ProxiedOnly | Self::DirectOnly(_) => Ok(()),
        }
    }
}

/// How addresses are used that lead somewhere only within a private network (RFC 1918, 4193, 6598).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateAddresses {
    /// They are neither told to others nor tried.
    Never,
    /// They are told to, and tried for, those that the Coordinator sees in the same network: at the same public address, or,
    /// where it is in that network too, in the same subnet (/24, or /64 of IPv6). What the other end says of itself does not
    /// matter.
    SameNetwork,
    /// They are told and tried wherever direct paths are looked for. For private networks of several subnets, where every
    /// other end may know this Client's private addresses, and have a few small packets sent to others.
    Always,
}

/// How a Client recognises its Coordinator.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Trust {
    /// By the hash of its key. CAs and host names do not matter, and the certificate may have expired.
    Pin(KeyPin),
    /// By its host name, in a certificate that one of these roots has issued, directly or not (RFC 9525).
    Roots(Arc<RootCertStore>),
}

/// How a [`Coordinator`](crate::Coordinator) presents itself and what it lets happen. Make one with [`new`](Self::new), and set
/// fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoordinatorConfig {
    /// Certificate chain and key, shown to every Client.
    pub certificate: Certificate,
    /// Whose word about Clients is taken, who have to bring it: a [`Credential`]. A Client gets the name that is in there. By default
    /// nobody is asked for one, and what is brought is not looked at.
    pub authorities: Option<Authorities>,
    /// Who may connect. Everyone by default.
    pub admission: Policy,
    /// Whether Clients may open channels to each other. They may by default. The Coordinator's own
    /// [`connect`](crate::Coordinator::connect) is always allowed.
    pub channels: Policy,
    /// Who may connect, who may reach whom, and who may do what in groups, where that is not the same for all: in place of
    /// `admission`, `channels` and `groups`, which do not count then. None by default. They [can be changed](crate::Coordinator::set_rules) later.
    pub rules: Option<Rules>,
    /// Whether Clients may make groups, join and publish in them. They may by default.
    pub groups: Policy,
    /// How groups are that Clients make. As [`GroupConfig`] has it by default.
    pub group: GroupConfig,
    /// The home channels. By default they have 16 streams of either kind, no more than 500 new ones a second, messages of up to
    /// 1 MiB, and no keep-alive, which Clients see to.
    pub home: ChannelConfig,
    /// The key of stateless resets (RFC 9000, 10.3). With the same secret key after a restart, Clients that send something notice the
    /// restart at once, and otherwise within seconds. `None`, the default, takes a random one in the core. Adapters take one
    /// that follows from the certificate's private key and the address that the socket is bound to.
    ///
    /// Coordinators that run at the same time must have different ones (RFC 9000, 21.11): who sees the packets of one could have
    /// another end its home channels. With one certificate on several machines, at the same port of all interfaces, set it.
    pub reset_key: Option<Secret<[u8; 32]>>,
    /// The key of tickets, with which Clients that have lost their home channels claim their channels to each other. Coordinators
    /// with the same secret key can go on with each other's channels. `None`, the default, takes one that follows from the certificate's
    /// private key, so that a Coordinator that was started anew goes on with those from before.
    pub ticket_key: Option<Secret<[u8; 32]>>,
    /// The time since 1970 at which this Coordinator begins, by which credentials expire, and tickets, after one to two hours.
    /// Adapters set it. 0 by default, which is the same at each start.
    pub unix_time: Duration,
    /// What was [taken away](crate::Coordinator::disconnect) before this Coordinator was started, and stays so:
    /// [`Coordinator::revocations`](crate::Coordinator::revocations) tells. Nothing by default.
    pub revocations: Vec<Revocation>,
    /// A second port, at the same IP addresses as the first, at which the driver receives as well. Clients send a few small
    /// probes there, and so learn what kind of [`Nat`](crate::Nat) they are behind. Nothing is sent from there. None by default.
    ///
    /// Adapters bind it beside the first; with 0 the system chooses. The core has to be told the actual port, under which
    /// Clients must be able to reach it.
    pub second_port: Option<u16>,
    /// How much memory Clients and strangers can make this Coordinator take, in bytes; what its application itself sends comes
    /// on top. 512 MiB by default.
    ///
    /// It is shared out among home channels as [that of a Client](ClientConfig::memory) is among its channels. 1 GB of memory in a
    /// machine is enough for the default.
    pub memory: usize,
    /// Bounds on everything else. As [`CoordinatorLimits`] has them by default.
    pub limits: CoordinatorLimits,
}

impl CoordinatorConfig {
    /// With the defaults of all other fields: everyone with a key may connect, and may reach everyone.
    pub fn new(certificate: Certificate) -> Self {
        Self {
            certificate,
            authorities: None,
            admission: Policy::Allow,
            channels: Policy::Allow,
            rules: None,
            groups: Policy::Allow,
            group: GroupConfig::default(),
            home: ChannelConfig {
                bi_streams: 16,
                uni_streams: 16,
                stream_rate: Some(500),
                max_message_size: 1 << 20,
                keep_alive: None,
                ..ChannelConfig::default()
            },
            reset_key: None,
            ticket_key: None,
            unix_time: Duration::ZERO,
            revocations: Vec::new(),
            second_port: None,
            memory: 512 << 20,
            limits: CoordinatorLimits::default(),
        }
    }

    /// Whether a Coordinator could be made of this. Fails as making one would, for who wants to know before.
    ///
    /// ```
    /// # #[cfg(feature = "self-signed")] {
    /// use conec_core::{Certificate, ConfigError, CoordinatorConfig};
    ///
    /// let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    /// assert_eq!(config.check(), Ok(()));
    /// config.limits.clients = 0;
    /// assert!(matches!(config.check(), Err(ConfigError::OutOfRange("clients", _))));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<(), ConfigError> {
        self.home.validate()?;
        self.group.validate()?;
        self.limits.validate()?;
        self.validate_memory()
    }

    pub(crate) fn rules(&self) -> Rules {
        let of_policies = || Rules::of_policies(self.admission, self.channels, self.groups);
        self.rules.clone().unwrap_or_else(of_policies)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.second_port == Some(0) {
            return Err(ConfigError::OutOfRange("second_port", "the actual port"));
        }
        self.check()
    }
}

/// A channel between Clients that the application has taken away, and that cannot be claimed with tickets any more.
///
/// It can be forgotten two hours later, when its tickets have expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// The channel's number, which is the same at both ends and at all Coordinators.
    pub channel: u64,
    /// The hour since 1970 in which that was.
    pub hour: u32,
}

/// Windows, buffers and times of one kind of channel. Begin with the default, and set fields.
///
/// The memory that other sides can make all channels take is bounded by [`memory`](CoordinatorConfig::memory). What the
/// application itself sends takes up to `send_window` for each channel, and up to `send_buffer + max_message_size` for each
/// stream that it writes to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChannelConfig {
    /// How many bidirectional data streams the other side may have open at once. 64 by default, at most 65,536.
    pub bi_streams: u32,
    /// How many unidirectional data streams the other side may have open at once. 64 by default, at most 65,536.
    pub uni_streams: u32,
    /// How many data streams of both kinds the other side may open in a second, all of them at once if it likes. Further ones
    /// wait. Unbounded by default.
    pub stream_rate: Option<u32>,
    /// Bytes that one stream may receive ahead of its reader. It becomes more, up to `max_receive_window`, while hundreds of
    /// packets are missing. 16 MiB by default.
    pub stream_window: u32,
    /// Bytes that all streams together may receive ahead of their readers, in the beginning; at a Coordinator, 16 KiB at most until
    /// the Client is let in. 32 KiB by default. When streams
    /// that nobody reads have filled it, all others wait. The other end keeps an eighth, but at most 64 KiB, free for the
    /// channel's control messages, such as requests on a home channel, and as much for streams that have little to send.
    pub receive_window: u32,
    /// Bytes up to which `receive_window` grows when the other side fills it, as long as there is
    /// [memory](CoordinatorConfig::memory). 32 MiB by default.
    pub max_receive_window: u32,
    /// Bytes that the QUIC engine holds until they are acknowledged, over all streams. 16 MiB by default. Streams with much to
    /// send use no more of it than four congestion windows, or 256 KiB if that is more.
    pub send_window: u32,
    /// Bytes that a stream takes from the application before it says [`Blocked`](crate::SendError::Blocked). A message of any
    /// size is taken when less than this is waiting. 256 KiB by default.
    pub send_buffer: usize,
    /// The largest message, in bytes, to send or to receive. 16 MiB by default, at most 1 GiB.
    pub max_message_size: usize,
    /// Bytes of unreliable datagrams that wait to be sent, and as many that wait to be received. 256 KiB by default, at least
    /// 66,000.
    pub datagram_buffer: usize,
    /// A channel ends when nothing was heard from the other side for this long: the smaller one of what both sides have set.
    /// 30 s by default, from 1 s to 1 day.
    ///
    /// After half of it, the other side is asked for an answer, and then has all of it to give one. So a machine that sleeps
    /// for less finds its channels open, and the end of a peer that vanishes is noticed after one and a half times this long.
    pub idle_timeout: Duration,
    /// How often to send something when there is nothing to send, so that NATs and firewalls on the way do not forget the
    /// channel. One side suffices: the Coordinator leaves it to the Clients, and of two Clients only the one that initiated
    /// the channel does it. 10 s by default; shorter than `idle_timeout`.
    pub keep_alive: Option<Duration>,
    /// The round-trip time that is assumed before one was measured. 200 ms by default, from 1 ms to 2 s.
    pub initial_rtt: Duration,
    /// How this end shares a path with others: [`Fair`](CongestionControl::Fair) by default. Can be changed while the channel
    /// lives: [`Channel::set_congestion`](crate::Channel::set_congestion).
    pub congestion: CongestionControl,
    /// The largest UDP payload to try, from 1200 to 9000 bytes. The other end is asked for no larger ones either. 8952 by
    /// default, which fit in jumbo frames, as far as the Client's [link](ClientConfig::link_mtu) takes them.
    pub max_mtu: u16,
    /// Where to log what the QUIC engine does with each packet (feature `qlog`). Nowhere by default.
    #[cfg(feature = "qlog")]
    pub qlog: Option<Arc<dyn crate::Qlog>>,
    /// Whom to tell the secrets of TLS (feature `key-log`), as Wireshark needs them. Nobody by default. **Who has them reads all that is said on
    /// the channel**, so that a warning is logged whenever it is used.
    #[cfg(feature = "key-log")]
    pub key_log: Option<Arc<dyn rustls::KeyLog>>,
}

impl Default for ChannelConfig {
    fn default() -> Self {
        Self {
            bi_streams: 64,
            uni_streams: 64,
            stream_rate: None,
            // 1 Gbit/s over 100 ms are 12 MiB under way. A stream that nobody reads leaves room for others.
            stream_window: 16 << 20,
            receive_window: 32 << 10,
            max_receive_window: 32 << 20,
            send_window: 16 << 20,
            send_buffer: 256 << 10,
            max_message_size: 16 << 20,
            datagram_buffer: 256 << 10,
            idle_timeout: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(10)),
            initial_rtt: Duration::from_millis(200),
            congestion: CongestionControl::default(),
            max_mtu: JUMBO_MTU,
            #[cfg(feature = "qlog")]
            qlog: None,
            #[cfg(feature = "key-log")]
            key_log: None,
        }
    }
}

/// How a channel's sender shares its path with others: congestion control.
///
/// Each end chooses for what it sends. Whatever is chosen, slow start ends when queues build up (HyStart++, RFC 9406).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CongestionControl {
    /// Takes an equal share beside others that do the same: CUBIC (RFC 9438), as most of the Internet's traffic does.
    ///
    /// Where packets overtake each other by so much that some that seem lost are only late, those count as they do for
    /// [`LossTolerant`](Self::LossTolerant).
    #[default]
    Fair,
    /// For paths that lose packets though there is room, such as radio links: CUBIC, but losses count only when packets
    /// wait in queues as well, or more than one in twenty is lost.
    ///
    /// Where queues are too short for delay to be noticed, below some 5 ms, it takes bandwidth away from others, `Fair` ones
    /// too. Use it where you know the path.
    LossTolerant,
    /// Takes what others leave, for what is in no hurry, such as backups: LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus), which
    /// slows down as soon as packets wait in queues for more than 15 ms.
    ///
    /// Alone on a path it uses nearly all of it. Beside others that fill the queues it can come close to a standstill.
    Background,
}

impl ChannelConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let positive = |what, value: usize| {
            (value > 0)
                .then_some(())
                .ok_or(ConfigError::OutOfRange(what, "at least 1"))
        };
        positive("stream_window", self.stream_window as usize)?;
        positive("receive_window", self.receive_window as usize)?;
        if self.max_receive_window < self.receive_window {
            return Err(ConfigError::OutOfRange(
                "max_receive_window",
                "at least receive_window",
            ));
        }
        positive("send_window", self.send_window as usize)?;
        positive("send_buffer", self.send_buffer)?;
        positive(
            "stream_rate",
            self.stream_rate.map_or(1, |rate| rate as usize),
        )?;
        positive("max_message_size", self.max_message_size)?;
        if self.bi_streams > MAX_STREAMS || self.uni_streams > MAX_STREAMS {
            return Err(ConfigError::OutOfRange(
                "bi_streams or uni_streams",
                "at most 65536",
            ));
        }
        if self.max_message_size > MAX_MESSAGE {
            return Err(ConfigError::OutOfRange("max_message_size", "at most 1 GiB"));
        }
        if self.datagram_buffer < MIN_DATAGRAM_BUFFER {
            return Err(ConfigError::OutOfRange(
                "datagram_buffer",
                "at least 66000 bytes",
            ));
        }
        if !(Duration::from_secs(1)..=MAX_TIME).contains(&self.idle_timeout) {
            return Err(ConfigError::OutOfRange(
                "idle_timeout",
                "from 1 second to 1 day",
            ));
        }
        if self
            .keep_alive
            .is_some_and(|every| every.is_zero() || every >= self.idle_timeout)
        {
            return Err(ConfigError::OutOfRange(
                "keep_alive",
                "shorter than idle_timeout",
            ));
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(2)).contains(&self.initial_rtt) {
            return Err(ConfigError::OutOfRange("initial_rtt", "from 1 ms to 2 s"));
        }
        if !(MIN_MTU..=MAX_MTU).contains(&self.max_mtu) {
            return Err(ConfigError::OutOfRange(
                "max_mtu",
                "from 1200 to 9000 bytes",
            ));
        }
        Ok(())
    }
}

pub(crate) const MAX_TOKEN: usize = 4096;
const MAX_STREAMS: u32 = 1 << 16;
const MAX_MESSAGE: usize = 1 << 30;
/// The engine counts its own overhead against this buffer, yet advertises all of it.
const MIN_DATAGRAM_BUFFER: usize = 66_000;
const MIN_MTU: u16 = 1200;
/// What fits in frames of 1500 and 9000 bytes beside IPv6 and UDP headers.
const ETHERNET_MTU: u16 = 1452;
const JUMBO_MTU: u16 = 8952;
const MAX_MTU: u16 = 9000;
