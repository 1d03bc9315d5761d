//! The reasons for which things end.

use thiserror::Error;

use super::{CredentialError, ErrorCode, WireCode};
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
    /// Every message was received, or reported as [dropped](crate::RecvError::Lagged) for a lossy reader.
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
