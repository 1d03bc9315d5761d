//! What conec's own tests and fuzz targets look at inside. No promise is made of anything here.

use std::sync::Arc;

use bytes::Bytes;
use rustls::{client::danger::ServerCertVerifier, server::danger::ClientCertVerifier};

/// Lets a test have an endpoint of its own, to be driven like any other.
pub use crate::endpoint::sealed::Sealed;
use crate::{
    Client, Coordinator, KeyPin, coordinator,
    identity::KeyVerifier,
    transport,
    wire::{
        self, ChannelMessage, ClientMessage, CoordinatorMessage, PacketKind, PeerMessage,
        RoleMessage, Route, ToGroup, ToMember,
    },
};

/// How a Coordinator checks the keys of Clients, for a comparison with bare engines that check the same.
pub fn client_verifier() -> Arc<dyn ClientCertVerifier> {
    KeyVerifier::any_identity()
}

/// How a Client checks the key of a Coordinator that it knows by a pin, for the same.
pub fn server_verifier(pin: KeyPin) -> Arc<dyn ServerCertVerifier> {
    KeyVerifier::pinned(pin)
}

/// How many things a Client keeps in tables and queues: none when it has ended.
pub fn client_entries(client: &Client) -> usize {
    client.entries()
}

/// How many things a Coordinator keeps in tables and queues: none when nobody is there.
pub fn coordinator_entries(coordinator: &Coordinator) -> usize {
    coordinator.entries()
}

/// Who sends a control message, or a message of a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A Client, to its Coordinator.
    Client,
    /// A Coordinator, to a Client.
    Coordinator,
    /// One end of a peer channel, to the other.
    Peer,
    /// A member, to its group.
    Member,
    /// A group, to a member.
    Group,
}

/// What the payload of a control frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A message, encoded anew.
    Message(Bytes),
    /// Nothing that this version knows, and nothing that it has to.
    Skipped,
    /// A violation.
    Malformed,
}

/// Decodes the payload of a control frame, or of a membership's.
pub fn decode_control(sender: Sender, payload: Bytes) -> Control {
    fn of_role<M: RoleMessage>(payload: Bytes) -> Control {
        match M::decode(payload) {
            Ok(Some(message)) => Control::Message(message.encode()),
            Ok(None) => Control::Skipped,
            Err(_) => Control::Malformed,
        }
    }
    let of_role = match sender {
        Sender::Client => of_role::<ClientMessage>,
        Sender::Coordinator => of_role::<CoordinatorMessage>,
        Sender::Peer => of_role::<PeerMessage>,
        Sender::Member => return of_role::<ToGroup>(payload),
        Sender::Group => return of_role::<ToMember>(payload),
    };
    match ChannelMessage::decode(&payload) {
        Ok(Some(message)) => Control::Message(message.encode()),
        Ok(None) => of_role(payload),
        Err(_) => Control::Malformed,
    }
}

/// Bytes that no stream of ours may begin or go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Takes a stream's bytes and gives its messages.
#[derive(Debug)]
pub struct FrameDecoder(wire::FrameDecoder);

impl FrameDecoder {
    /// For messages of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self(wire::FrameDecoder::new(max))
    }

    /// The next whole message of the stream that goes on with these bytes.
    pub fn next_message(&mut self, bytes: &mut &[u8]) -> Result<Option<Bytes>, Refused> {
        self.0.next(bytes).map_err(|_| Refused)
    }

    /// Whether the bytes so far end where a message ends.
    pub fn is_at_boundary(&self) -> bool {
        self.0.is_at_boundary()
    }

    /// Memory taken by what was fed and not given out.
    pub fn memory(&self) -> usize {
        self.0.memory()
    }
}

/// Puts a stream's bytes in order.
#[derive(Debug)]
pub struct Reassembly(transport::Reassembly);

impl Reassembly {
    /// For a stream of which so many bytes have been given out.
    pub fn new(next: u64) -> Self {
        Self(transport::Reassembly::new(next))
    }

    /// Keeps what is new of these bytes.
    pub fn insert(&mut self, at: u64, bytes: &[u8]) {
        self.0.insert(at, bytes);
    }

    /// Lets these bytes pass, if they are what is to be given out next and is not kept.
    pub fn pass(&mut self, at: u64, bytes: &[u8]) -> bool {
        let is_next = self.0.is_next(at);
        if is_next {
            self.0.pass(bytes.len());
        }
        is_next
    }

    /// The next bytes, if they are there.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.0.pop()
    }

    /// How many bytes are kept, in how many pieces, and whether others are missing in front of some.
    pub fn state(&self) -> (usize, usize, bool) {
        (self.0.len(), self.0.pieces(), self.0.has_gaps())
    }
}

/// What goes in front of a message of `len` bytes.
pub fn frame_header(len: usize) -> Vec<u8> {
    wire::frame_header(len).to_vec()
}

/// Takes the first bytes of a data stream and gives its kind and its label.
#[derive(Debug, Default)]
pub struct PreambleDecoder(wire::PreambleDecoder);

impl PreambleDecoder {
    /// Takes what it needs from the front of `input`; gives both once they are whole.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<(u8, Bytes)>, Refused> {
        let read = self.0.feed(input).map_err(|_| Refused)?;
        Ok(read.map(|(kind, label)| (kind.to_wire(), label)))
    }
}

/// The first bytes of a data stream of the application's with this label.
pub fn encode_preamble(label: &[u8]) -> Bytes {
    wire::encode_preamble(wire::StreamKind::Data, label)
}

/// What a datagram is, by its first bytes; with the route that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// With a long header.
    Long(Option<[u8; 6]>),
    /// With a short header.
    Short(Option<[u8; 6]>),
    /// A probe.
    Probe([u8; 6]),
    /// None of these.
    Other,
}

/// Classifies a datagram.
pub fn classify(packet: &[u8]) -> Packet {
    match wire::classify(packet) {
        PacketKind::Long(route) => Packet::Long(route.map(Route::to_bytes)),
        PacketKind::Short(route) => Packet::Short(route.map(Route::to_bytes)),
        PacketKind::Probe(route) => Packet::Probe(route.to_bytes()),
        PacketKind::Other => Packet::Other,
    }
}

/// How many bytes at the front of a batch go the way of this route, if it is one.
pub fn run_length(batch: &[u8], segment_size: usize, route: [u8; 6]) -> Option<usize> {
    let route = Route::from_bytes(route)?;
    Some(coordinator::run_length(batch, segment_size, route))
}
