//! What can go wrong: one small enum per command, and the reasons for which things end.

use thiserror::Error;

use crate::Code;

/// Why a channel ended. For a Client's home channel: why the Client is no longer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed by this side")]
    Local,
    /// The application at the other side closed it, or rejected the offer, with this code.
    #[error("closed by the other side with {0}")]
    Application(Code),
    /// The other side, or the Coordinator, ended or refused it.
    #[error("{0}")]
    Remote(ErrorCode),
    /// The other side broke the protocol, so this side closed the channel.
    #[error("the other side broke the protocol: {0}")]
    Violation(Violation),
    /// The other side did not prove the identity that was asked for.
    #[error(
        "the other side did not prove the expected identity: check the pin, host name or client id"
    )]
    Identity,
    /// The other side has not shown what this side takes for who it is.
    #[error("{0}")]
    Credential(CredentialError),
    /// The Coordinator gives the name by which this side asked for the other to somebody else than it is
    /// [known](crate::ClientConfig::known) to belong to: [`KeyChanged`](crate::ClientEvent::KeyChanged) says whom.
    #[error(
        "the name belongs to another key than the one that is known: somebody may pose as the other side. Ask it which id is right, by another way"
    )]
    KeyChanged,
    /// Who has this side's key did not sign with it, or not as a [`Signer`](crate::Signer) has to.
    #[error(
        "this side's signer did not sign, or not with the key that it says it has: see its own log, or conec's on DEBUG"
    )]
    Signer,
    /// The other side speaks no version of conec that this side speaks.
    #[error("no common protocol version: the other side is no conec endpoint or needs an update")]
    Version,
    /// Nothing was heard from the other side for too long, or it missed a deadline.
    #[error(
        "timed out: the other side does not respond. Check that it runs, and that no firewall stops UDP on the way"
    )]
    TimedOut,
    /// The Coordinator cannot be reached, and the system says why. Only before anything was heard from it: later, the
    /// channel waits until it has timed out.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// The other side has lost its state, most likely by a restart.
    #[error("the other side has restarted")]
    Reset,
    /// This side ended it: the other side took too much memory. It left messages half sent while others waited for what there
    /// [is](crate::CoordinatorConfig::memory), or did not read what it was told.
    #[error(
        "closed by this side: the other side left messages half sent, or unread, and memory was short. If it is honest, give this side more memory"
    )]
    Overloaded,
    /// The Client's connection to its Coordinator was lost, and the channel with it, even if its packets travelled
    /// directly.
    #[error("the connection to the coordinator was lost")]
    CoordinatorLost,
    /// The channel may only travel directly, and no direct path was found, or none was left, in time.
    #[error(
        "no direct path to the other end was found in time: allow the proxied one, or forward a port"
    )]
    NoDirectPath,
    /// The QUIC layer failed with this error code (RFC 9000, 20.1).
    #[error("transport error {0:#x}")]
    Transport(u64),
}

impl CloseReason {
    /// Whether to connect again, or to open the channel again, would end in the same way: it was wanted so, or one side has to be
    /// changed first. Otherwise another attempt may do better, after a while.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::Local
            | Self::Application(_)
            | Self::Violation(_)
            | Self::Identity
            | Self::Credential(_)
            | Self::KeyChanged
            | Self::Version
            | Self::NoDirectPath => true,
            Self::Signer
            | Self::TimedOut
            | Self::Unreachable(_)
            | Self::Reset
            | Self::Overloaded
            | Self::CoordinatorLost
            | Self::Transport(_) => false,
            Self::Remote(code) => code.is_permanent(),
        }
    }
}

/// Why datagrams do not get to where they are sent, as far as the system knows.
///
/// [`NoRoute`](Self::NoRoute) it knows by itself. The others are mostly what it was told by ICMP (RFC 792, RFC 4443), which
/// nobody vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
#[non_exhaustive]
pub enum Unreachable {
    /// The system has no way there: no network, no route, or no address of that IP version.
    #[error(
        "this machine has no way to the coordinator's address: check its network, and that it has that IP version"
    )]
    NoRoute,
    /// A router has no way there, or the host is not there.
    #[error("the network says that the coordinator's host is not there: check the address")]
    Host,
    /// A firewall forbids it, on this machine or on the way.
    #[error("a firewall forbids it: have it let UDP to the coordinator's port pass")]
    Prohibited,
    /// The host says that nothing listens at the port.
    #[error(
        "nothing listens at the coordinator's address: check that it runs, and that the port is right"
    )]
    Port,
}

/// Why a [`Credential`](crate::Credential) is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// There is none, and there has to be one.
    #[error("there is no credential: have an authority issue one")]
    Missing,
    /// It is damaged, or something else.
    #[error("the credential is damaged, or holds something else than X.509 certificates")]
    Malformed,
    /// Its certificates have too many bytes.
    #[error("the credential is larger than 7000 bytes")]
    TooLarge,
    /// It has too many certificates.
    #[error("the credential has more than 4 certificates: leave out roots")]
    TooDeep,
    /// Its leaf is for another key than that of who shows it.
    #[error("the credential is for another key")]
    OtherKey,
    /// It is not valid yet.
    #[error("the credential is not valid yet: check the clocks")]
    NotYetValid,
    /// It is not valid any more.
    #[error("the credential has expired: have another one issued, or check the clocks")]
    Expired,
    /// None of the roots vouches for it.
    #[error("the credential was issued by nobody that is known here")]
    UnknownIssuer,
    /// Its issuer has revoked it.
    #[error("the credential was revoked")]
    Revoked,
    /// It is for something else than authenticating clients.
    #[error("the credential is not for the authentication of clients")]
    Purpose,
    /// Its issuer may not issue it, or what was issued is broken in itself.
    #[error("the credential, or one that it was issued with, does not follow the rules")]
    Rules,
    /// It names nobody.
    #[error("the credential names nobody: one DNS name is to be its subject alternative name")]
    NoName,
    /// It has more than one name.
    #[error("the credential has more than one name")]
    ManyNames,
    /// Its name is not one that a Client can have, or not the one that was asked for.
    #[error("the name in the credential is another one, or none that a client can have")]
    BadName,
}

/// Codes by which endpoints tell each other why something ended or was refused. `PROTOCOL.md` lists their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A regular end.
    #[error("closed")]
    None,
    /// A message was malformed or came at the wrong time.
    #[error("the other side reports a protocol violation")]
    Protocol,
    /// The Client did not introduce itself in time.
    #[error("the client did not introduce itself in time")]
    HelloTimeout,
    /// Another identity holds the name.
    #[error("the name is held by another identity: choose another name")]
    NameInUse,
    /// The Coordinator's application did not admit the Client, or not to this name or channel.
    #[error("refused by the coordinator")]
    Refused,
    /// The same identity connected again and took over.
    #[error("the same identity connected again elsewhere")]
    Superseded,
    /// The endpoint is shutting down.
    #[error("the other side is shutting down")]
    Shutdown,
    /// No such Client is connected, or none that this Client may reach.
    #[error("no client of that name or id is connected")]
    NotFound,
    /// The Client at the other end is gone.
    #[error("the client at the other end is gone")]
    PeerGone,
    /// The offer was not answered, or the channel not set up, in time.
    #[error("the client at the other end did not answer in time")]
    NoAnswer,
    /// A limit of the other side was reached.
    #[error("a limit of the other side was reached: close something first")]
    Limit,
    /// Requests came too fast.
    #[error("requests came too fast: slow down")]
    RateLimited,
    /// The binding message of a peer channel disagrees with what the Coordinator said.
    #[error("the channel is not the one that the coordinator announced")]
    Binding,
    /// The application dropped its end without saying why.
    #[error("dropped by the application")]
    Dropped,
    /// A message exceeds the receiver's limit.
    #[error("a message exceeds the receiver's limit")]
    TooLarge,
    /// The channel may only travel directly, and there is no direct path.
    #[error("the other side allows only direct paths, and there is none")]
    NoDirectPath,
    /// The Coordinator does not take this Client for an end of the channel: the channel was taken away, or the Client was without its
    /// home channel for hours.
    #[error("the channel cannot be resumed: open another one")]
    NotResumed,
    /// The Client has gone over to another Coordinator.
    #[error("the client has gone over to another coordinator")]
    Moved,
    /// The credential is not good.
    #[error("the credential was not accepted: the other side knows why")]
    Credential,
    /// There is no credential.
    #[error("the other side wants a credential: have an authority that it trusts issue one")]
    CredentialMissing,
    /// The credential has expired, or is not valid yet.
    #[error(
        "the credential has expired, or is not valid yet: have another one issued, or check the clocks"
    )]
    CredentialExpired,
    /// The other side knows this one's name with another key.
    #[error(
        "the other side knows this client's name with another key: have it replace that, if the name is this client's"
    )]
    KeyChanged,
    /// A code that this version does not know.
    #[error("unknown error")]
    Unknown,
}

impl ErrorCode {
    /// Whether the same request would be answered in the same way again, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            // Who was superseded would push the other one out.
            Self::None
            | Self::Protocol
            | Self::Refused
            | Self::Superseded
            | Self::Binding
            | Self::TooLarge
            | Self::NoDirectPath
            | Self::Credential
            | Self::CredentialMissing
            | Self::CredentialExpired
            | Self::KeyChanged => true,
            // The name may be held by the Client's own former self.
            Self::NameInUse
            | Self::HelloTimeout
            | Self::Shutdown
            | Self::NotFound
            | Self::PeerGone
            | Self::NoAnswer
            | Self::Limit
            | Self::RateLimited
            | Self::Dropped
            | Self::NotResumed
            | Self::Moved
            | Self::Unknown => false,
        }
    }

    /// The value on the wire.
    pub(crate) fn to_wire(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Protocol => 1,
            Self::HelloTimeout => 2,
            Self::NameInUse => 3,
            Self::Refused => 4,
            Self::Superseded => 5,
            Self::Shutdown => 6,
            Self::NotFound => 7,
            Self::PeerGone => 8,
            Self::NoAnswer => 9,
            Self::Limit => 10,
            Self::RateLimited => 11,
            Self::Binding => 12,
            Self::Dropped => 13,
            Self::TooLarge => 14,
            Self::Unknown => 15,
            Self::NoDirectPath => 16,
            Self::NotResumed => 17,
            Self::Moved => 18,
            Self::Credential => 19,
            Self::CredentialMissing => 20,
            Self::CredentialExpired => 21,
            Self::KeyChanged => 22,
        }
    }

    /// The code that `value` stands for.
    pub(crate) fn from_wire(value: u64) -> Self {
        match value {
            0 => Self::None,
            1 => Self::Protocol,
            2 => Self::HelloTimeout,
            3 => Self::NameInUse,
            4 => Self::Refused,
            5 => Self::Superseded,
            6 => Self::Shutdown,
            7 => Self::NotFound,
            8 => Self::PeerGone,
            9 => Self::NoAnswer,
            10 => Self::Limit,
            11 => Self::RateLimited,
            12 => Self::Binding,
            13 => Self::Dropped,
            14 => Self::TooLarge,
            16 => Self::NoDirectPath,
            17 => Self::NotResumed,
            18 => Self::Moved,
            19 => Self::Credential,
            20 => Self::CredentialMissing,
            21 => Self::CredentialExpired,
            22 => Self::KeyChanged,
            _ => Self::Unknown,
        }
    }
}

/// A code as it travels: the application's own or the protocol's. Both share QUIC's application error code space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireCode {
    Application(Code),
    Protocol(ErrorCode),
}

impl WireCode {
    /// Application codes start here, above all of the protocol's.
    const APPLICATION_BASE: u64 = 1 << 32;

    pub(crate) fn to_wire(self) -> u64 {
        match self {
            Self::Application(code) => Self::APPLICATION_BASE + u64::from(code.0),
            Self::Protocol(code) => code.to_wire(),
        }
    }

    pub(crate) fn from_wire(value: u64) -> Self {
        match value.checked_sub(Self::APPLICATION_BASE) {
            Some(code) => u32::try_from(code).map_or(Self::Protocol(ErrorCode::Unknown), |code| {
                Self::Application(Code(code))
            }),
            None => Self::Protocol(ErrorCode::from_wire(value)),
        }
    }
}

impl From<Code> for WireCode {
    fn from(code: Code) -> Self {
        Self::Application(code)
    }
}

impl From<ErrorCode> for WireCode {
    fn from(code: ErrorCode) -> Self {
        Self::Protocol(code)
    }
}

impl From<WireCode> for CloseReason {
    fn from(code: WireCode) -> Self {
        match code {
            WireCode::Application(code) => Self::Application(code),
            WireCode::Protocol(code) => Self::Remote(code),
        }
    }
}

/// How a peer broke the protocol. Ends its channel, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A control message could not be decoded.
    #[error("malformed control message")]
    Malformed,
    /// A control message came at the wrong time, or about something that does not exist.
    #[error("unexpected control message")]
    Unexpected,
    /// The control stream was ended or reset.
    #[error("control stream ended")]
    ControlStream,
    /// The binding message disagrees with what the Coordinator said.
    #[error("the channel is not the one that the coordinator announced")]
    Binding,
    /// Control messages came too fast.
    #[error("too many control messages")]
    Flood,
}

impl Violation {
    /// What the offender is told.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Malformed | Self::Unexpected | Self::ControlStream => ErrorCode::Protocol,
            Self::Binding => ErrorCode::Binding,
            Self::Flood => ErrorCode::RateLimited,
        }
    }
}

/// How the sending half of a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendEnd {
    /// The other side's transport has everything that was sent, and knows that there is no more.
    #[error("finished")]
    Finished,
    /// The other side wants no more messages, and said so with this code.
    #[error("stopped by the other side with {0}")]
    Stopped(Code),
    /// The other side, or its protocol machine, wants no more messages.
    #[error("stopped by the other side: {0}")]
    Refused(ErrorCode),
    /// This side reset it.
    #[error("reset by this side")]
    Reset,
    /// The channel ended first. What had been sent may or may not have arrived.
    #[error("the channel ended: {0}")]
    Closed(CloseReason),
}

/// How the receiving half of a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecvEnd {
    /// Every message was received.
    #[error("finished")]
    Finished,
    /// The other side reset it with this code. Messages not yet received are gone.
    #[error("reset by the other side with {0}")]
    Reset(Code),
    /// The other side, or its protocol machine, gave the stream up. Messages not yet received are gone.
    #[error("reset by the other side: {0}")]
    Refused(ErrorCode),
    /// This side stopped it.
    #[error("stopped by this side")]
    Stopped,
    /// The stream ended within a message.
    #[error("the stream ended within a message")]
    Truncated,
    /// A message exceeds this side's limit.
    #[error("a message exceeds this side's maximum message size")]
    TooLarge,
    /// The channel ended first.
    #[error("the channel ended: {0}")]
    Closed(CloseReason),
}

/// A configuration that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value lies outside its range.
    #[error("{0} is out of range: it must be {1}")]
    OutOfRange(&'static str, &'static str),
    /// The TLS library does not take the key, the certificate or the roots.
    #[error("TLS does not accept the configuration: {0}")]
    Tls(String),
    /// The credential is not for the Client's own identity.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// Why [`Client::connect`](crate::Client::connect) did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A Client connects once; make another for another connection.
    #[error("this client was already connected: make a new one")]
    AlreadyUsed,
    /// No usable address was given.
    #[error(
        "no usable address: give at least one with a port and an IP address that are not 0, and a scope if it is an IPv6 \
         link-local one"
    )]
    NoAddress,
    /// The host name is neither a DNS name nor an IP address.
    #[error("the host name is neither a DNS name nor an IP address")]
    InvalidHostName,
}

/// Why a channel could not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenChannelError {
    /// The Client is not connected to its Coordinator.
    #[error("not connected to the coordinator")]
    NotConnected,
    /// The Client has as many channels as its limits allow.
    #[error("too many channels: close some, or raise channels_per_client in the limits")]
    TooMany,
    /// Channels were asked for faster than the protocol allows, and as many requests as may wait for their turn do. Those that
    /// wait are sent at 50 a second.
    #[error(
        "too many requests for channels wait for their turn: wait until some have been answered"
    )]
    TooFast,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
}

impl OpenChannelError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::NotConnected | Self::LabelTooLong => true,
            Self::TooMany | Self::TooFast => false,
        }
    }
}

/// Why an introduction could not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IntroduceError {
    /// The Client is not connected to its Coordinator, or just not now.
    #[error("not connected to the coordinator")]
    NotConnected,
    /// As many introductions are under way, or over without that the application has heard of it, as there may be channels.
    #[error(
        "too many introductions: wait until some are over, or raise channels_per_client in the limits"
    )]
    TooMany,
    /// Requests were made faster than the protocol allows, and as many as may wait for their turn do.
    #[error("too many requests wait for their turn: wait until some have been answered")]
    TooFast,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
}

impl IntroduceError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::LabelTooLong => true,
            // It may connect again.
            Self::NotConnected | Self::TooMany | Self::TooFast => false,
        }
    }
}

/// Why a Coordinator could not connect two Clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PairError {
    /// No such Client is connected, or the Coordinator is closing.
    #[error("no such client is connected")]
    NotFound,
    /// One of the Clients has as many channels as the limits allow, or so many events wait for the application that nothing
    /// more may begin.
    #[error(
        "too many channels, or too many events that were not taken: close channels, take events, or raise \
         channels_per_client or events in the limits"
    )]
    TooMany,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
}

impl PairError {
    /// Whether to ask again would end in the same way, as [`CloseReason::is_permanent`] has it.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        match self {
            Self::LabelTooLong => true,
            Self::NotFound | Self::TooMany => false,
        }
    }
}

/// The thing named is not waiting for an answer: it is unknown, was answered already, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("nothing waits for this answer: it was given already, or the request is gone")]
pub struct AnswerError;

/// Why a stream could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OpenStreamError {
    /// The other side allows no more streams for now;
    /// [`StreamsAvailable`](crate::ChannelEvent::StreamsAvailable) follows once more than an eighth of those that it
    /// allows have ended.
    #[error("the other side allows no more streams for now")]
    Blocked,
    /// A label is at most 255 bytes.
    #[error("a label is at most 255 bytes")]
    LabelTooLong,
    /// The channel is not open yet, is being closed, or has ended.
    #[error("the channel is not open")]
    Closed,
}

/// A message that exceeds the maximum, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the message exceeds the maximum of {max} bytes")]
pub struct MessageTooLarge {
    /// The maximum.
    pub max: usize,
}

/// The half of a stream that was to be used was finished or has ended, as an event told, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this half of the stream was finished or has ended")]
pub struct StreamEnded;

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stream has as much waiting as it may; [`Writable`](crate::ChannelEvent::Writable) follows.
    #[error("the stream is full for now")]
    Blocked,
    /// The message exceeds the maximum, in bytes.
    #[error("the message exceeds the maximum of {max} bytes")]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The stream was finished or has ended, as the event [`SendEnded`](crate::ChannelEvent::SendEnded) told.
    #[error("the stream was finished or has ended")]
    Ended,
}

impl From<StreamEnded> for SendError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

/// Why a batch of messages was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendBatchError {
    /// The batch was made for a channel that takes larger messages; this one has a maximum, in bytes.
    #[error(
        "the batch may hold messages that exceed the maximum of {max} bytes: have this channel make it"
    )]
    TooLarge {
        /// The maximum.
        max: usize,
    },
    /// The stream was finished or has ended, as the event [`SendEnded`](crate::ChannelEvent::SendEnded) told.
    #[error("the stream was finished or has ended")]
    Ended,
}

impl From<MessageTooLarge> for SendBatchError {
    fn from(MessageTooLarge { max }: MessageTooLarge) -> Self {
        Self::TooLarge { max }
    }
}

impl From<StreamEnded> for SendBatchError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

impl From<SendBatchError> for SendError {
    fn from(error: SendBatchError) -> Self {
        match error {
            SendBatchError::TooLarge { max } => Self::TooLarge { max },
            SendBatchError::Ended => Self::Ended,
        }
    }
}

/// Why there is no message: it may still come, or will never come. There is no third case, so all are to be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecvError {
    /// No whole message has arrived yet; [`Readable`](crate::ChannelEvent::Readable) follows.
    #[error("no whole message has arrived yet")]
    Blocked,
    /// The stream has ended, as the event [`RecvEnded`](crate::ChannelEvent::RecvEnded) told, or never was.
    #[error("the stream has ended")]
    Ended,
}

impl From<StreamEnded> for RecvError {
    fn from(StreamEnded: StreamEnded) -> Self {
        Self::Ended
    }
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendDatagramError {
    /// The datagrams waiting fill their buffer;
    /// [`DatagramsWritable`](crate::ChannelEvent::DatagramsWritable) follows.
    #[error("too many datagrams are waiting to be sent")]
    Blocked,
    /// The datagram does not fit in a packet of the channel's path.
    #[error("the datagram exceeds the current maximum of {max} bytes")]
    TooLarge {
        /// What fits now. Grows when the path is found to take larger packets.
        max: usize,
    },
    /// The channel is not open, or the other side takes no datagrams.
    #[error("the channel is not open, or the other side takes no datagrams")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_another_attempt_says_so() {
        for code in (0..=22).map(ErrorCode::from_wire) {
            assert_eq!(
                CloseReason::Remote(code).is_permanent(),
                code.is_permanent()
            );
        }
        assert!(ErrorCode::Refused.is_permanent() && !ErrorCode::NameInUse.is_permanent());
        assert!(CloseReason::Identity.is_permanent() && !CloseReason::TimedOut.is_permanent());
        assert!(!OpenChannelError::TooFast.is_permanent());
        assert!(OpenChannelError::LabelTooLong.is_permanent());
        assert!(IntroduceError::LabelTooLong.is_permanent());
        assert!(!IntroduceError::NotConnected.is_permanent());
        assert!(PairError::LabelTooLong.is_permanent() && !PairError::NotFound.is_permanent());
    }

    #[test]
    fn each_code_is_read_as_it_was_written() {
        for value in 0..=22 {
            let code = ErrorCode::from_wire(value);
            assert_eq!(code.to_wire(), value, "{code:?}");
        }
        assert_eq!(ErrorCode::from_wire(23), ErrorCode::Unknown);
    }
}
