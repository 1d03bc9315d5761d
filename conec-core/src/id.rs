//! The names of things: who (`ClientId`, [`Name`]) and which (`ChannelId`, [`StreamId`]).

use std::{fmt, str::FromStr};

use thiserror::Error;
use tracing::Span;

use crate::text::{TextError, decode, encode};

/// Who a Client is: the SHA-256 hash of its public key's SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
///
/// Two parties that use the same `ClientId` hold the same private key. Printed and parsed as 56 letters and digits, the last of
/// which are a checksum.
///
/// ```
/// use conec_core::{ClientId, Identity};
///
/// let id = Identity::from_seed([7; 32]).id();
/// assert_eq!(id.to_string().parse::<ClientId>(), Ok(id));
/// assert!(id.to_string().starts_with(&id.short()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) [u8; 32]);

impl ClientId {
    /// The hash's bytes, for storing.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// An id as stored earlier with [`as_bytes`](Self::as_bytes).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// How it begins, for people and logs: enough to tell those apart who are there. Who wants to be taken for somebody else can make
    /// a key whose id begins in the same way.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT);
        text
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode::<3>(PURPOSE, &self.0))
    }
}

/// As [`short`](Self::short) has it.
impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for ClientId {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let bytes = decode::<3>(PURPOSE, text)?;
        let found = text.len();
        let bytes = bytes.try_into().map_err(|_| TextError::Length { found })?;
        Ok(Self(bytes))
    }
}

/// What the checksum of an id is for.
const PURPOSE: &str = "conec id";
/// 40 bits.
const SHORT: usize = 8;

/// A short label that the Coordinator grants to an identity: 1 to 64 bytes of `[a-z0-9._-]`.
///
/// ```
/// use conec_core::Name;
///
/// assert!("sensor-17.roof".parse::<Name>().is_ok());
/// assert!("Sensor 17".parse::<Name>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name must be 1 to 64 bytes of `[a-z0-9._-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name is 1 to 64 bytes of lower-case letters, digits, '.', '_' and '-'")]
pub struct InvalidName;

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let valid = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.as_bytes().iter().all(valid) {
            return Err(InvalidName);
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<&str> for Name {
    type Error = InvalidName;

    fn try_from(text: &str) -> Result<Self, InvalidName> {
        text.parse()
    }
}

/// Whom a Client wants a channel to.
///
/// By id is safe even against the Coordinator: only the holder of that key can be at the other end. By name trusts the
/// Coordinator to know who bears the name, unless that is [known](crate::ClientConfig::known) already.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The Client that bears this name.
    Name(Name),
    /// The Client with this key.
    Id(ClientId),
}

impl From<Name> for Target {
    fn from(name: Name) -> Self {
        Self::Name(name)
    }
}

impl From<ClientId> for Target {
    fn from(id: ClientId) -> Self {
        Self::Id(id)
    }
}

/// One channel of an endpoint. Never used again for another channel of the same endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(crate) u64);

impl ChannelId {
    /// A Client's channel with its Coordinator.
    pub const HOME: Self = Self(0);
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ch{}", self.0)
    }
}

/// One channel between two Clients, as the Coordinator sees it. Never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairId(pub(crate) u64);

impl fmt::Debug for PairId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pair{}", self.0)
    }
}

/// What a Client has asked for between [two others](crate::Client::introduce). Never used again for another introduction of the same Client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntroductionId(pub(crate) u64);

impl fmt::Debug for IntroductionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "introduction{}", self.0)
    }
}

/// A Client's membership of a [group](crate::Client::join), or a [subscription](crate::Coordinator::subscribe) of the Coordinator's
/// application. Never used again for another of the same endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub(crate) u64);

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group{}", self.0)
    }
}

/// What a Client has asked a Coordinator for: to be a member of a group. Never used again for another request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MembershipId(pub(crate) u64);

impl fmt::Debug for MembershipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "membership{}", self.0)
    }
}

/// One data stream of an endpoint. Never used again for another stream of the same endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub(crate) channel: ChannelId,
    /// The QUIC stream ID (RFC 9000, 2.1).
    pub(crate) index: u64,
}

impl StreamId {
    /// The channel that the stream belongs to.
    pub fn channel(self) -> ChannelId {
        self.channel
    }

    /// Names the stream in what is logged inside.
    pub(crate) fn span(self) -> Span {
        tracing::debug_span!("stream", id = ?self)
    }

    /// Whether messages travel both ways or only from the opener to the other side.
    pub fn direction(self) -> Direction {
        if self.index & 2 == 0 {
            Direction::Bi
        } else {
            Direction::Uni
        }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.channel, self.index)
    }
}

/// Which ways the messages of a stream travel. QUIC has no third kind of streams, so both are to be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Both ways.
    Bi,
    /// From the side that opened the stream to the other.
    Uni,
}

/// A code of the application's own, carried to the other side when a stream or channel is ended with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Code(pub u32);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let id = ClientId(std::array::from_fn(|at| 255 - at as u8));
        let written = id.to_string();
        assert_eq!(written.len(), 56);
        assert_eq!(written.parse(), Ok(id));
        assert_eq!(written.to_uppercase().parse(), Ok(id));
        assert_eq!(format!("{id:?}"), written[..8]);
        let stream = StreamId {
            channel: ChannelId(3),
            index: 4,
        };
        assert_eq!(format!("{stream:?}"), "ch3/4");
        let parse = |text: &str| text.parse::<ClientId>().unwrap_err();
        assert_eq!(parse(&written[..48]), TextError::Checksum);
        assert_eq!(parse(&written[..49]), TextError::Length { found: 49 });
        let wrong = TextError::Character {
            position: 3,
            found: '0',
        };
        assert_eq!(parse("ab0"), wrong);
        // A checksum that is right, of something that is no id.
        let other = encode::<3>(PURPOSE, &[7; 27]);
        assert_eq!(parse(&other), TextError::Length { found: 48 });
    }

    /// As logs show it.
    #[test]
    fn a_name_is_shown_as_it_is() {
        let name: Name = "printer-7.office".parse().expect("a name");
        assert_eq!(name.as_str(), "printer-7.office");
        assert_eq!(
            format!("{name} {name:?}"),
            "printer-7.office printer-7.office"
        );
        assert_eq!(
            format!("{:?} {:?}", GroupId(4), MembershipId(5)),
            "group4 membership5"
        );
    }
}
