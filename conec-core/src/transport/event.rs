//! What a link tells its channel, in conec's words.

use std::net::{IpAddr, SocketAddr};

use quinn_proto::{ConnectionError, TransportErrorCode};

use super::tls;
use crate::{CloseReason, Direction, error::WireCode, identity::PeerIdentity};

/// Something happened on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkEvent {
    /// Something happened to the link itself, which is not only its channel's business.
    Change(LinkChange),
    /// The other side may have opened streams.
    Opened(Direction),
    /// A stream may have bytes, or its end, to read.
    Readable(u64),
    /// So much of what waited was passed on that less than the mark is left.
    Flushed(u64),
    /// The other side has everything, or has stopped the stream.
    Finished(u64),
    /// The other side wants no more.
    Stopped(u64, WireCode),
    /// More streams may be opened.
    Available(Direction),
    /// The other side lets no more come, but for what is kept free of its credit.
    HeldUp,
    /// Nothing is heard for long though something should be, or something is after that.
    Presence(bool),
    /// Datagrams can be read.
    DatagramReceived,
    /// Datagrams can be sent again.
    DatagramsWritable,
    /// The alarm went off.
    Alarm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkChange {
    /// The handshake has begun, from the other side.
    Accepted,
    /// The handshake is complete. The other side has proved this identity, if it did so by a raw key.
    Connected {
        identity: PeerIdentity,
        at: Handshaken,
    },
    /// The other side's packets now come from another address, which proves nothing.
    Moved(SocketAddr),
    /// Nothing is heard though something should be.
    Silent,
    /// After a silence, something is.
    Audible,
    /// The end. Nothing follows.
    Closed(CloseReason),
}

/// Between which addresses a handshake has gone to and fro: the other side has shown that it hears what is sent there. Links
/// alone make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handshaken {
    pub(super) remote: SocketAddr,
    pub(super) local_ip: Option<IpAddr>,
}

impl Handshaken {
    /// The other side's address.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The local address that the other side uses, where known.
    pub(crate) fn local_ip(&self) -> Option<IpAddr> {
        self.local_ip
    }
}

/// Why nothing more was read on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The reader has enough.
    Enough,
    /// Nothing more yet; [`LinkEvent::Readable`] follows.
    Blocked,
    Finished,
    Reset(WireCode),
}

pub(super) fn close_reason(error: ConnectionError) -> CloseReason {
    match error {
        ConnectionError::VersionMismatch => CloseReason::Version,
        ConnectionError::TransportError(error) if error.code == tls::not_signed() => {
            CloseReason::Signer
        }
        ConnectionError::TransportError(error) => transport_reason(error.code),
        ConnectionError::ConnectionClosed(close) => transport_reason(close.error_code),
        ConnectionError::ApplicationClosed(close) => {
            WireCode::from_wire(close.error_code.into_inner()).into()
        }
        ConnectionError::Reset => CloseReason::Reset,
        ConnectionError::TimedOut => CloseReason::TimedOut,
        ConnectionError::LocallyClosed => CloseReason::Local,
        ConnectionError::CidsExhausted => CloseReason::Transport(0),
    }
}

fn transport_reason(code: TransportErrorCode) -> CloseReason {
    let code = u64::from(code);
    // TLS alerts come as 0x100 + alert (RFC 9001, 4.8); their numbers are in RFC 8446, 6 and RFC 7301, 3.2.
    match code.checked_sub(0x100) {
        Some(70 | 120) => CloseReason::Version,
        Some(42..=46 | 48..=51 | 116) => CloseReason::Identity,
        _ if code == u64::from(TransportErrorCode::CONNECTION_REFUSED) => {
            CloseReason::Remote(crate::ErrorCode::Limit)
        }
        _ => CloseReason::Transport(code),
    }
}
