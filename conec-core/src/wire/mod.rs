//! Pure bytes: how everything looks on the wire. No state, no time. `PROTOCOL.md` is its specification.

mod codec;
mod frame;
mod group;
mod message;
mod packet;
mod preamble;
mod probe;
mod route;
mod sealed;
mod ticket;

pub(crate) use codec::{Malformed, Varint, read_blocks, write_blocks};
pub(crate) use frame::{FrameDecoder, FrameTooLarge, MAX_RUN, frame_header};
pub(crate) use group::{
    Arrived, Author, Counts, From, Incarnation, Join, Joined, MESSAGE_HEAD, Part, Sequence,
    ToGroup, ToMember, publish_head, write_message,
};
pub(crate) use message::{
    AddressNonce, ChannelMessage, Claim, ClientMessage, CoordinatorMessage, Generation, Instance,
    MAX_ALTERNATIVES, MAX_CANDIDATES, MAX_CONTROL, MAX_HOST, NO_INSTANCE, Offer, PeerMessage,
    RequestId, Role, RoleMessage,
};
pub(crate) use packet::{PacketKind, classify};
pub(crate) use preamble::{MAX_LABEL, PreambleDecoder, StreamKind, encode_preamble};
pub(crate) use probe::{
    Opened, PROBE_LABEL, PROBE_LEN, PROBE_SECRET_LEN, Probe, ProbeKeys, SECOND_PORT_LABEL,
};
pub(crate) use route::{CID_LEN, Route};
pub(crate) use sealed::{KeyTag, MAX_SEALED, MembershipTag, Salt, SealedHeader};
pub(crate) use ticket::{Epoch, TicketKey};
