//! The messages of control streams, one enum for each direction.
//!
//! A frame's payload is a type and the fields of that type. A type that is not known is skipped if it is odd, and a
//! violation if it is even: so later versions can add both what may be ignored and what must not.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    codec::{
        Malformed, Reader, split_type, write_address, write_block, write_optional_name,
        write_target, write_varint,
    },
    preamble::MAX_LABEL,
    route::Route,
};
use crate::{ClientId, Name, Secret, Target, config::MAX_TOKEN, error::WireCode};

/// The largest control message, in bytes.
pub(crate) const MAX_CONTROL: usize = 8 << 10;

/// A Client's number for a channel that it asks for, for itself or for others.
pub(crate) type RequestId = u64;
/// Tells a Client that was started anew from one that has lost its home channel.
pub(crate) type Instance = u64;
/// Of a Client that keeps nothing when it has lost its home channel.
pub(crate) const NO_INSTANCE: Instance = 0;
/// What the Coordinator sends to an address to see whether the Client hears it there.
pub(crate) type AddressNonce = u64;
/// Counts the occasions on which an end of a peer channel asks the other to look for a direct path.
pub(crate) type Generation = u64;

/// How many addresses an end of a peer channel can name.
pub(crate) const MAX_CANDIDATES: usize = 12;

/// How many bytes a ticket may have. Other Coordinators may make others than this one.
const MAX_TICKET: usize = 64;
/// How many addresses a Coordinator that stops can name, and how long a host name can be.
pub(crate) const MAX_ALTERNATIVES: usize = 8;
pub(crate) const MAX_HOST: usize = 255;

/// Which end of a peer channel a Client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The QUIC client.
    Initiator,
    /// The QUIC server.
    Acceptor,
}

/// Messages that all channels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelMessage {
    /// The sender opens no more streams. So many it has opened, of each kind.
    Closing { bi: u64, uni: u64 },
    /// Everything is received and read, and nothing is left to send.
    Drained,
    /// The sender has more to send on streams than the receiver's credit lets it, but for what it keeps free.
    HeldUp,
}

/// From a Client to the Coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientMessage {
    /// The first message, and only the first.
    Hello {
        version: u64,
        name: Option<Name>,
        token: Secret<Bytes>,
        /// Stays the same as long as the Client keeps its peer channels; 0 if it keeps none without a home channel.
        instance: Instance,
    },
    /// Asks for a channel.
    OpenChannel {
        request: RequestId,
        target: Target,
        label: Bytes,
    },
    /// Asks for a channel between two others.
    Introduce {
        request: RequestId,
        from: Target,
        to: Target,
        label: Bytes,
    },
    /// Takes the offer of the channel end with this route.
    Accept {
        route: Route,
        /// Whether this end is ready for direct paths.
        direct: bool,
    },
    /// This channel end is rejected or has ended.
    CloseChannel { route: Route, code: WireCode },
    /// The nonce of an `ObservedAddress`.
    AddressEcho { nonce: AddressNonce },
    /// Claims an end of a channel that was there before this home channel.
    Resume(Claim),
    /// What an authority says of the Client. Before `Hello`.
    Credential { chain: Bytes },
    /// Whether what is sent from the channel end with this route travels directly.
    PathReport { route: Route, direct: bool },
}

/// An end of a peer channel, as its Client knows it, and the proof that it is the Client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) role: Role,
    pub(crate) own_route: Route,
    pub(crate) peer_route: Route,
    pub(crate) channel: u64,
    pub(crate) peer: ClientId,
    pub(crate) label: Bytes,
    /// Whether this end is ready for direct paths.
    pub(crate) direct: bool,
    pub(crate) ticket: Bytes,
}

/// From the Coordinator to a Client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CoordinatorMessage {
    /// The Client is admitted, under this name.
    Welcome {
        name: Option<Name>,
        observed: SocketAddr,
    },
    /// A channel, for the Client to accept or to reject.
    Offer(Offer),
    /// Both ends have accepted: the initiator may start.
    Start { route: Route },
    /// Whether the Client at the other end of this channel is in the same network, as far as the Coordinator can see.
    Neighbour { route: Route, neighbour: bool },
    /// What the channel end with this route can be claimed with.
    Ticket { route: Route, ticket: Bytes },
    /// The Coordinator is about to stop: within so many milliseconds, the Client should go over to another one.
    Draining {
        spread: u64,
        alternatives: Vec<(Box<str>, SocketAddr)>,
    },
    /// Packets are forwarded again for the channel end with this route.
    Resumed { route: Route },
    /// The channel end with this route is over.
    ChannelClosed { route: Route, code: WireCode },
    /// The channel asked for by this request will not come.
    OpenFailed { request: RequestId, code: WireCode },
    /// The two others that this request was about have accepted.
    Introduced { request: RequestId },
    /// Who has asked for the channel that is offered next, for the end with this route, and is not the other end.
    Introducer { route: Route, id: ClientId },
    /// So many of the Client's packets were not forwarded, as they exceeded its rate.
    Throttled { packets: u64 },
    /// The Coordinator has a second port, at which probes with this route are the Client's.
    SecondPort { route: Route, port: u16 },
    /// The Client's probe with this number came to the second port from this address.
    SeenAt { echo: u64, address: SocketAddr },
    /// Where the Client's packets come from, and a nonce to be echoed.
    ObservedAddress {
        nonce: AddressNonce,
        address: SocketAddr,
    },
}

/// What a Client is told of a channel that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The request that it answers, if this Client made one.
    pub(crate) request: Option<RequestId>,
    pub(crate) role: Role,
    pub(crate) own_route: Route,
    pub(crate) peer_route: Route,
    /// The channel's number, the same at both ends.
    pub(crate) channel: u64,
    pub(crate) peer: ClientId,
    pub(crate) peer_name: Option<Name>,
    pub(crate) label: Bytes,
}

/// Between the two ends of a peer channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PeerMessage {
    /// From the initiator, before anything else: which channel this is.
    Bind {
        channel: u64,
        initiator: ClientId,
        acceptor: ClientId,
        label: Bytes,
    },
    /// The acceptor agrees.
    Bound,
    /// What an authority says of the sender. Before `Bind` or `Bound`.
    Credential { chain: Bytes },
    /// The sender is ready for direct paths.
    Direct {
        /// Whether it wants nothing of the application's to travel on another.
        required: bool,
    },
    /// Where the sender may be reached.
    Candidates {
        generation: Generation,
        addresses: Vec<SocketAddr>,
    },
}

impl ChannelMessage {
    /// The message, if it is one that all channels have.
    pub(crate) fn decode(payload: &Bytes) -> Result<Option<Self>, Malformed> {
        let (kind, mut fields) = split_type(payload.clone())?;
        let message = match kind {
            CLOSING => Self::Closing {
                bi: fields.varint()?,
                uni: fields.varint()?,
            },
            DRAINED => Self::Drained,
            HELD_UP => Self::HeldUp,
            _ => return Ok(None),
        };
        fields.finish()?;
        Ok(Some(message))
    }

    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(17);
        match self {
            Self::Closing { bi, uni } => {
                write_varint(CLOSING, &mut out);
                write_varint(bi, &mut out);
                write_varint(uni, &mut out);
            }
            Self::Drained => write_varint(DRAINED, &mut out),
            Self::HeldUp => write_varint(HELD_UP, &mut out),
        }
        out.freeze()
    }
}

/// The messages of one direction of one kind of channel.
pub(crate) trait RoleMessage: Sized {
    /// The message; `None` for one that this version does not know and may ignore.
    fn decode(payload: Bytes) -> Result<Option<Self>, Malformed> {
        let (kind, mut fields) = split_type(payload)?;
        match Self::decode_fields(kind, &mut fields)? {
            Some(message) => fields.finish().map(|()| Some(message)),
            None if kind % 2 == 1 => Ok(None),
            None => Err(Malformed),
        }
    }

    /// Reads the fields of a message of this type; `None` when the type is unknown.
    fn decode_fields(kind: u64, fields: &mut Reader) -> Result<Option<Self>, Malformed>;

    fn encode(&self) -> Bytes;
}

impl ClientMessage {
    /// Whether it is of a type that answers something that the Coordinator has said.
    pub(crate) fn is_answer(payload: &Bytes) -> bool {
        let kind = split_type(payload.clone()).map(|(kind, _)| kind);
        matches!(kind, Ok(ACCEPT | CLOSE_CHANNEL | ADDRESS_ECHO))
    }
}

impl CoordinatorMessage {
    /// How many messages of the Client's it may lead to.
    pub(crate) fn answers(&self) -> u32 {
        match self {
            // To take it, and to say that it is over.
            Self::Offer(_) => 2,
            Self::ObservedAddress { .. } => 1,
            // To say that it is over.
            Self::Resumed { .. } => 1,
            Self::Welcome { .. }
            | Self::Start { .. }
            | Self::Neighbour { .. }
            | Self::Ticket { .. }
            | Self::Draining { .. }
            | Self::ChannelClosed { .. }
            | Self::OpenFailed { .. }
            | Self::Introduced { .. }
            | Self::Introducer { .. }
            | Self::Throttled { .. }
            | Self::SecondPort { .. }
            | Self::SeenAt { .. } => 0,
        }
    }
}

impl RoleMessage for ClientMessage {
    fn decode_fields(kind: u64, fields: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            HELLO => Self::Hello {
                version: fields.varint()?,
                name: fields.optional_name()?,
                token: fields.block(MAX_TOKEN)?.into(),
                instance: fields.u64()?,
            },
            OPEN_CHANNEL => Self::OpenChannel {
                request: fields.varint()?,
                target: fields.target()?,
                label: fields.kept_block(MAX_LABEL)?,
            },
            INTRODUCE => Self::Introduce {
                request: fields.varint()?,
                from: fields.target()?,
                to: fields.target()?,
                label: fields.kept_block(MAX_LABEL)?,
            },
            ACCEPT => Self::Accept {
                route: fields.route()?,
                direct: fields.bool()?,
            },
            CLOSE_CHANNEL => Self::CloseChannel {
                route: fields.route()?,
                code: fields.code()?,
            },
            ADDRESS_ECHO => Self::AddressEcho {
                nonce: fields.u64()?,
            },
            RESUME => Self::Resume(Claim {
                role: fields.role()?,
                own_route: fields.route()?,
                peer_route: fields.route()?,
                channel: fields.u64()?,
                peer: fields.client_id()?,
                label: fields.kept_block(MAX_LABEL)?,
                direct: fields.bool()?,
                ticket: fields.block(MAX_TICKET)?,
            }),
            CREDENTIAL => Self::Credential {
                chain: fields.block(MAX_CONTROL)?,
            },
            PATH_REPORT => Self::PathReport {
                route: fields.route()?,
                direct: fields.bool()?,
            },
            _ => return Ok(None),
        }))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        match self {
            Self::Hello {
                version,
                name,
                token,
                instance,
            } => {
                write_varint(HELLO, &mut out);
                write_varint(*version, &mut out);
                write_optional_name(name.as_ref(), &mut out);
                write_block(token.as_ref(), &mut out);
                out.put_u64(*instance);
            }
            Self::OpenChannel {
                request,
                target,
                label,
            } => {
                write_varint(OPEN_CHANNEL, &mut out);
                write_varint(*request, &mut out);
                write_target(target, &mut out);
                write_block(label, &mut out);
            }
            Self::Introduce {
                request,
                from,
                to,
                label,
            } => {
                write_varint(INTRODUCE, &mut out);
                write_varint(*request, &mut out);
                write_target(from, &mut out);
                write_target(to, &mut out);
                write_block(label, &mut out);
            }
            Self::Accept { route, direct } => {
                write_varint(ACCEPT, &mut out);
                out.put_slice(&route.to_bytes());
                out.put_u8((*direct).into());
            }
            Self::PathReport { route, direct } => {
                write_varint(PATH_REPORT, &mut out);
                out.put_slice(&route.to_bytes());
                out.put_u8((*direct).into());
            }
            Self::CloseChannel { route, code } => {
                write_varint(CLOSE_CHANNEL, &mut out);
                out.put_slice(&route.to_bytes());
                write_varint(code.to_wire(), &mut out);
            }
            Self::AddressEcho { nonce } => {
                write_varint(ADDRESS_ECHO, &mut out);
                out.put_u64(*nonce);
            }
            Self::Resume(claim) => {
                write_varint(RESUME, &mut out);
                out.put_u8(claim.role.to_wire());
                out.put_slice(&claim.own_route.to_bytes());
                out.put_slice(&claim.peer_route.to_bytes());
                out.put_u64(claim.channel);
                out.put_slice(claim.peer.as_bytes());
                write_block(&claim.label, &mut out);
                out.put_u8(claim.direct.into());
                write_block(&claim.ticket, &mut out);
            }
            Self::Credential { chain } => {
                write_varint(CREDENTIAL, &mut out);
                write_block(chain, &mut out);
            }
        }
        out.freeze()
    }
}

impl RoleMessage for CoordinatorMessage {
    fn decode_fields(kind: u64, fields: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            WELCOME => Self::Welcome {
                name: fields.optional_name()?,
                observed: fields.address()?,
            },
            OFFER => Self::Offer(Offer {
                request: match fields.bool()? {
                    true => Some(fields.varint()?),
                    false => None,
                },
                role: fields.role()?,
                own_route: fields.route()?,
                peer_route: fields.route()?,
                channel: fields.u64()?,
                peer: fields.client_id()?,
                peer_name: fields.optional_name()?,
                label: fields.kept_block(MAX_LABEL)?,
            }),
            START => Self::Start {
                route: fields.route()?,
            },
            NEIGHBOUR => Self::Neighbour {
                route: fields.route()?,
                neighbour: fields.bool()?,
            },
            TICKET => Self::Ticket {
                route: fields.route()?,
                ticket: fields.kept_block(MAX_TICKET)?,
            },
            RESUMED => Self::Resumed {
                route: fields.route()?,
            },
            DRAINING => Self::Draining {
                spread: fields.varint()?,
                alternatives: {
                    let count = usize::from(fields.u8()?);
                    if count > MAX_ALTERNATIVES {
                        return Err(Malformed);
                    }
                    (0..count)
                        .map(|_| Ok((fields.host()?, fields.address()?)))
                        .collect::<Result<_, _>>()?
                },
            },
            CHANNEL_CLOSED => Self::ChannelClosed {
                route: fields.route()?,
                code: fields.code()?,
            },
            OPEN_FAILED => Self::OpenFailed {
                request: fields.varint()?,
                code: fields.code()?,
            },
            INTRODUCED => Self::Introduced {
                request: fields.varint()?,
            },
            INTRODUCER => Self::Introducer {
                route: fields.route()?,
                id: fields.client_id()?,
            },
            THROTTLED => Self::Throttled {
                packets: fields.varint()?,
            },
            SECOND_PORT => Self::SecondPort {
                route: fields.route()?,
                port: fields.u16()?,
            },
            SEEN_AT => Self::SeenAt {
                echo: fields.u64()?,
                address: fields.address()?,
            },
            OBSERVED_ADDRESS => Self::ObservedAddress {
                nonce: fields.u64()?,
                address: fields.address()?,
            },
            _ => return Ok(None),
        }))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(128);
        match self {
            Self::Welcome { name, observed } => {
                write_varint(WELCOME, &mut out);
                write_optional_name(name.as_ref(), &mut out);
                write_address(*observed, &mut out);
            }
            Self::Offer(offer) => {
                write_varint(OFFER, &mut out);
                match offer.request {
                    Some(request) => {
                        out.put_u8(1);
                        write_varint(request, &mut out);
                    }
                    None => out.put_u8(0),
                }
                out.put_u8(offer.role.to_wire());
                out.put_slice(&offer.own_route.to_bytes());
                out.put_slice(&offer.peer_route.to_bytes());
                out.put_u64(offer.channel);
                out.put_slice(offer.peer.as_bytes());
                write_optional_name(offer.peer_name.as_ref(), &mut out);
                write_block(&offer.label, &mut out);
            }
            Self::Start { route } => {
                write_varint(START, &mut out);
                out.put_slice(&route.to_bytes());
            }
            Self::Neighbour { route, neighbour } => {
                write_varint(NEIGHBOUR, &mut out);
                out.put_slice(&route.to_bytes());
                out.put_u8((*neighbour).into());
            }
            Self::Ticket { route, ticket } => {
                write_varint(TICKET, &mut out);
                out.put_slice(&route.to_bytes());
                write_block(ticket, &mut out);
            }
            Self::Resumed { route } => {
                write_varint(RESUMED, &mut out);
                out.put_slice(&route.to_bytes());
            }
            Self::Draining {
                spread,
                alternatives,
            } => {
                write_varint(DRAINING, &mut out);
                write_varint(*spread, &mut out);
                let count = alternatives.len().min(MAX_ALTERNATIVES);
                out.put_u8(count as u8);
                for (host, address) in &alternatives[..count] {
                    write_block(host.as_bytes(), &mut out);
                    write_address(*address, &mut out);
                }
            }
            Self::ChannelClosed { route, code } => {
                write_varint(CHANNEL_CLOSED, &mut out);
                out.put_slice(&route.to_bytes());
                write_varint(code.to_wire(), &mut out);
            }
            Self::OpenFailed { request, code } => {
                write_varint(OPEN_FAILED, &mut out);
                write_varint(*request, &mut out);
                write_varint(code.to_wire(), &mut out);
            }
            Self::Introduced { request } => {
                write_varint(INTRODUCED, &mut out);
                write_varint(*request, &mut out);
            }
            Self::Introducer { route, id } => {
                write_varint(INTRODUCER, &mut out);
                out.put_slice(&route.to_bytes());
                out.put_slice(id.as_bytes());
            }
            Self::Throttled { packets } => {
                write_varint(THROTTLED, &mut out);
                write_varint(*packets, &mut out);
            }
            Self::SecondPort { route, port } => {
                write_varint(SECOND_PORT, &mut out);
                out.put_slice(&route.to_bytes());
                out.put_u16(*port);
            }
            Self::SeenAt { echo, address } => {
                write_varint(SEEN_AT, &mut out);
                out.put_u64(*echo);
                write_address(*address, &mut out);
            }
            Self::ObservedAddress { nonce, address } => {
                write_varint(OBSERVED_ADDRESS, &mut out);
                out.put_u64(*nonce);
                write_address(*address, &mut out);
            }
        }
        out.freeze()
    }
}

impl RoleMessage for PeerMessage {
    fn decode_fields(kind: u64, fields: &mut Reader) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            BIND => Self::Bind {
                channel: fields.u64()?,
                initiator: fields.client_id()?,
                acceptor: fields.client_id()?,
                label: fields.block(MAX_LABEL)?,
            },
            BOUND => Self::Bound,
            PEER_CREDENTIAL => Self::Credential {
                chain: fields.block(MAX_CONTROL)?,
            },
            DIRECT => Self::Direct {
                required: fields.bool()?,
            },
            CANDIDATES => Self::Candidates {
                generation: fields.varint()?,
                addresses: {
                    let count = usize::from(fields.u8()?);
                    if count > MAX_CANDIDATES {
                        return Err(Malformed);
                    }
                    (0..count)
                        .map(|_| fields.address())
                        .collect::<Result<_, _>>()?
                },
            },
            _ => return Ok(None),
        }))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(80);
        match self {
            Self::Bind {
                channel,
                initiator,
                acceptor,
                label,
            } => {
                write_varint(BIND, &mut out);
                out.put_u64(*channel);
                out.put_slice(initiator.as_bytes());
                out.put_slice(acceptor.as_bytes());
                write_block(label, &mut out);
            }
            Self::Bound => write_varint(BOUND, &mut out),
            Self::Credential { chain } => {
                write_varint(PEER_CREDENTIAL, &mut out);
                write_block(chain, &mut out);
            }
            Self::Direct { required } => {
                write_varint(DIRECT, &mut out);
                out.put_u8((*required).into());
            }
            Self::Candidates {
                generation,
                addresses,
            } => {
                write_varint(CANDIDATES, &mut out);
                write_varint(*generation, &mut out);
                let count = addresses.len().min(MAX_CANDIDATES);
                out.put_u8(count as u8);
                for &address in &addresses[..count] {
                    write_address(address, &mut out);
                }
            }
        }
        out.freeze()
    }
}

impl Role {
    pub(crate) fn to_wire(self) -> u8 {
        match self {
            Self::Initiator => 0,
            Self::Acceptor => 1,
        }
    }
}

impl Reader {
    fn role(&mut self) -> Result<Role, Malformed> {
        match self.u8()? {
            0 => Ok(Role::Initiator),
            1 => Ok(Role::Acceptor),
            _ => Err(Malformed),
        }
    }

    fn route(&mut self) -> Result<Route, Malformed> {
        Route::from_bytes(self.array()?).ok_or(Malformed)
    }

    fn host(&mut self) -> Result<Box<str>, Malformed> {
        let host = self.block(MAX_HOST)?;
        let host = std::str::from_utf8(&host).map_err(|_| Malformed)?;
        Ok(host.into())
    }

    fn code(&mut self) -> Result<WireCode, Malformed> {
        self.varint().map(WireCode::from_wire)
    }
}

// Channel messages.
const CLOSING: u64 = 0x20;
const DRAINED: u64 = 0x22;
const HELD_UP: u64 = 0x21;
// Client to Coordinator.
const HELLO: u64 = 0x00;
const OPEN_CHANNEL: u64 = 0x02;
const ACCEPT: u64 = 0x04;
const CLOSE_CHANNEL: u64 = 0x06;
const ADDRESS_ECHO: u64 = 0x08;
const RESUME: u64 = 0x0b;
const CREDENTIAL: u64 = 0x0d;
const PATH_REPORT: u64 = 0x11;
const INTRODUCE: u64 = 0x0f;
// Coordinator to Client.
const WELCOME: u64 = 0x00;
const OFFER: u64 = 0x02;
const START: u64 = 0x04;
const CHANNEL_CLOSED: u64 = 0x06;
const OPEN_FAILED: u64 = 0x08;
const OBSERVED_ADDRESS: u64 = 0x0a;
const THROTTLED: u64 = 0x0b;
const SECOND_PORT: u64 = 0x0d;
const SEEN_AT: u64 = 0x0f;
const NEIGHBOUR: u64 = 0x11;
const TICKET: u64 = 0x13;
const RESUMED: u64 = 0x15;
const DRAINING: u64 = 0x17;
const INTRODUCED: u64 = 0x19;
const INTRODUCER: u64 = 0x1b;
// Between peers.
const BIND: u64 = 0x00;
const BOUND: u64 = 0x02;
const DIRECT: u64 = 0x01;
const CANDIDATES: u64 = 0x03;
const PEER_CREDENTIAL: u64 = 0x05;

#[cfg(test)]
mod tests;
