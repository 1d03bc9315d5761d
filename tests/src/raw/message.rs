//! Control messages byte by byte, as `PROTOCOL.md` has them: a second implementation, so that nothing of the core's
//! own is used to judge it.

use std::net::SocketAddr;

use conec_core::ClientId;

/// Six bytes that name one end of a peer channel.
pub type Route = [u8; 6];

/// What a Client is told of a channel that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The request that it answers.
    pub request: Option<u64>,
    /// 0 for the initiator, 1 for the acceptor.
    pub role: u8,
    /// The route of the end that is told.
    pub own_route: Route,
    /// The route of the other end.
    pub peer_route: Route,
    /// The channel's number.
    pub channel: u64,
    /// Who is at the other end.
    pub peer: ClientId,
    /// What it is called; empty for nothing.
    pub peer_name: Vec<u8>,
    /// What the channel is for.
    pub label: Vec<u8>,
}

impl Offer {
    /// The other end of the same channel, where this end is the Client's.
    pub fn mirrored(&self, client: ClientId) -> Self {
        Self {
            role: 1 - self.role,
            own_route: self.peer_route,
            peer_route: self.own_route,
            peer: client,
            ..self.clone()
        }
    }
}

/// A QUIC variable-length integer in as few bytes as possible.
pub fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        0x40..0x4000 => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..0x4000_0000 => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

/// The integer at the front, and how many bytes it takes, if it is all there.
pub fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = 1 << (bytes.first()? >> 6);
    let value = bytes
        .get(..len)?
        .iter()
        .fold(0, |value, &byte| value << 8 | u64::from(byte));
    Some((value & (u64::MAX >> 2 >> (64 - 8 * len)), len))
}

/// A length and as many bytes.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = varint(payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

/// Fields one after the other.
fn message(kind: u64, fields: &[&[u8]]) -> Vec<u8> {
    let mut out = varint(kind);
    fields.iter().for_each(|field| out.extend_from_slice(field));
    out
}

/// Client: the first message.
pub fn hello(name: &[u8], token: &[u8]) -> Vec<u8> {
    hello_as(name, token, 0)
}

/// Client: introduces itself as one that keeps its channels when it loses its home channel.
pub fn hello_as(name: &[u8], token: &[u8], instance: u64) -> Vec<u8> {
    let instance = instance.to_be_bytes();
    message(0, &[&varint(1), &frame(name), &frame(token), &instance])
}

/// Client: shows what an authority says of it, to the Coordinator.
pub fn credential(chain: &[u8]) -> Vec<u8> {
    message(0x0d, &[&frame(chain)])
}

/// Client: shows it to another Client.
pub fn peer_credential(chain: &[u8]) -> Vec<u8> {
    message(0x05, &[&frame(chain)])
}

/// Client: asks for a channel by name.
pub fn open_by_name(request: u64, name: &[u8], label: &[u8]) -> Vec<u8> {
    message(2, &[&varint(request), &[0], &frame(name), &frame(label)])
}

/// Client: asks for a channel by id.
pub fn open_by_id(request: u64, id: ClientId, label: &[u8]) -> Vec<u8> {
    message(2, &[&varint(request), &[1], id.as_bytes(), &frame(label)])
}

/// Client: asks for a channel between two others, of whom one is said by id and one by name.
pub fn introduce(request: u64, from: ClientId, to: &[u8], label: &[u8]) -> Vec<u8> {
    message(
        15,
        &[
            &varint(request),
            &[1],
            from.as_bytes(),
            &[0],
            &frame(to),
            &frame(label),
        ],
    )
}

/// Client: takes an offer, ready for direct paths.
pub fn accept(route: Route) -> Vec<u8> {
    message(4, &[&route, &[1]])
}

/// Client: is done with a channel.
pub fn close_channel(route: Route, code: u64) -> Vec<u8> {
    message(6, &[&route, &varint(code)])
}

/// Client: claims the end that it was offered, with a ticket.
pub fn resume(end: &Offer, ticket: &[u8]) -> Vec<u8> {
    message(
        11,
        &[
            &[end.role],
            &end.own_route,
            &end.peer_route,
            &end.channel.to_be_bytes(),
            end.peer.as_bytes(),
            &frame(&end.label),
            &[1],
            &frame(ticket),
        ],
    )
}

/// The ticket in what the Coordinator says.
pub fn read_ticket(message: &[u8]) -> Option<Vec<u8>> {
    // The type, the route, and a length below 64.
    (message.first() == Some(&19)).then(|| message[8..].to_vec())
}

/// Client: what this end sends travels directly, or does not.
pub fn path_report(route: [u8; 6], direct: bool) -> Vec<u8> {
    message(17, &[&route, &[direct.into()]])
}

/// Client: has heard a nonce.
pub fn address_echo(nonce: u64) -> Vec<u8> {
    message(8, &[&nonce.to_be_bytes()])
}

/// Coordinator: a Client is admitted.
pub fn welcome(name: &[u8], observed: SocketAddr) -> Vec<u8> {
    message(0, &[&frame(name), &address(observed)])
}

/// Coordinator: a channel that a Client may have.
pub fn offer(offer: &Offer) -> Vec<u8> {
    let request = match offer.request {
        Some(request) => message(1, &[&varint(request)]),
        None => vec![0],
    };
    message(
        2,
        &[
            &request,
            &[offer.role],
            &offer.own_route,
            &offer.peer_route,
            &offer.channel.to_be_bytes(),
            offer.peer.as_bytes(),
            &frame(&offer.peer_name),
            &frame(&offer.label),
        ],
    )
}

/// Coordinator: both ends have accepted.
pub fn start(route: Route) -> Vec<u8> {
    message(4, &[&route])
}

/// Coordinator: whether the other end is in the same network.
pub fn neighbour(route: Route, neighbour: bool) -> Vec<u8> {
    message(17, &[&route, &[u8::from(neighbour)]])
}

/// Coordinator: a channel is over.
pub fn channel_closed(route: Route, code: u64) -> Vec<u8> {
    message(6, &[&route, &varint(code)])
}

/// Coordinator: what an end can be claimed with.
pub fn ticket(route: Route, ticket: &[u8]) -> Vec<u8> {
    message(19, &[&route, &frame(ticket)])
}

/// Coordinator: two others have accepted.
pub fn introduced(request: u64) -> Vec<u8> {
    message(25, &[&varint(request)])
}

/// Coordinator: who has asked for the channel that is offered next.
pub fn introducer(route: Route, id: ClientId) -> Vec<u8> {
    message(27, &[&route, id.as_bytes()])
}

/// Coordinator: packets are forwarded again.
pub fn resumed(route: Route) -> Vec<u8> {
    message(21, &[&route])
}

/// Coordinator: is about to stop. Within so many milliseconds, Clients are to go over to one of these.
pub fn draining(spread: u64, alternatives: &[(&str, SocketAddr)]) -> Vec<u8> {
    let told = alternatives
        .iter()
        .map(|&(host, at)| [frame(host.as_bytes()), address(at)].concat());
    let count = alternatives.len() as u8;
    let told: Vec<_> = told.collect();
    message(23, &[&varint(spread), &[count], &told.concat()])
}

/// Coordinator: a channel does not come about.
pub fn open_failed(request: u64, code: u64) -> Vec<u8> {
    message(8, &[&varint(request), &varint(code)])
}

/// Coordinator: where a Client's packets come from.
pub fn observed_address(nonce: u64, observed: SocketAddr) -> Vec<u8> {
    message(10, &[&nonce.to_be_bytes(), &address(observed)])
}

/// Coordinator: there is a second port, and what probes to it bear.
pub fn second_port(route: Route, port: u16) -> Vec<u8> {
    message(13, &[&route, &port.to_be_bytes()])
}

/// Coordinator: where a probe to the second port came from.
pub fn seen_at(echo: u64, seen: SocketAddr) -> Vec<u8> {
    message(15, &[&echo.to_be_bytes(), &address(seen)])
}

/// Peers: which channel this is.
pub fn bind(channel: u64, initiator: ClientId, acceptor: ClientId, label: &[u8]) -> Vec<u8> {
    message(
        0,
        &[
            &channel.to_be_bytes(),
            initiator.as_bytes(),
            acceptor.as_bytes(),
            &frame(label),
        ],
    )
}

/// Peers: agreed.
pub fn bound() -> Vec<u8> {
    message(2, &[])
}

/// Peers: ready for direct paths.
pub fn direct(required: bool) -> Vec<u8> {
    message(1, &[&[u8::from(required)]])
}

/// Peers: where the sender may be reached.
pub fn candidates(generation: u64, addresses: &[SocketAddr]) -> Vec<u8> {
    let told: Vec<_> = addresses.iter().map(|&it| address(it)).collect();
    let count = addresses.len() as u8;
    message(3, &[&varint(generation), &[count], &told.concat()])
}

/// All: no more streams than these will be opened.
pub fn closing(bi: u64, uni: u64) -> Vec<u8> {
    message(0x20, &[&varint(bi), &varint(uni)])
}

/// All: everything is received and read.
pub fn drained() -> Vec<u8> {
    message(0x22, &[])
}

/// The start of a data stream.
pub fn preamble(label: &[u8]) -> Vec<u8> {
    let mut out = vec![1, label.len() as u8];
    out.extend_from_slice(label);
    out
}

/// The start of a membership's stream.
pub fn membership(group: &[u8]) -> Vec<u8> {
    let mut out = vec![2, group.len() as u8];
    out.extend_from_slice(group);
    out
}

/// Member: joins, with these flags, from the next message on.
pub fn join(flags: u8) -> Vec<u8> {
    join_from(flags, 0, &[0])
}

/// Member: joins, with what happens when it is too slow, and where it begins.
pub fn join_from(flags: u8, slow: u8, start: &[u8]) -> Vec<u8> {
    message(0, &[&[flags, slow], start, &[0]])
}

/// Member: publishes.
pub fn publish(published: &[u8]) -> Vec<u8> {
    message(2, &[published])
}

/// Member: has another key.
pub fn proof(proof: &[u8]) -> Vec<u8> {
    message(5, &[&frame(proof)])
}

/// Group: lets somebody in, alone, at this place in an order that does not push back.
pub fn joined(incarnation: u64, next: u64, missed: u64, max_size: u64) -> Vec<u8> {
    let counts = [0, 1, 1];
    let numbers = [next, next, missed, max_size].map(varint).concat();
    message(0, &[&incarnation.to_be_bytes(), &numbers, &counts])
}

/// Group: a Client without a name has published something, or the Coordinator's application has.
pub fn published(sequence: u64, sender: Option<ClientId>, published: &[u8]) -> Vec<u8> {
    let sender = sender.map_or_else(|| vec![0], |id| [&[1], &id.as_bytes()[..], &[0]].concat());
    message(2, &[&varint(sequence), &sender, published])
}

/// Group: what the member has published has this number.
pub fn own(sequence: u64) -> Vec<u8> {
    message(4, &[&varint(sequence)])
}

/// Group: messages were left out.
pub fn lagged(count: u64, own: u64, next: u64) -> Vec<u8> {
    message(6, &[&[count, own, next].map(varint).concat()])
}

/// Group: so many are there.
pub fn counts(members: u64, publishers: u64) -> Vec<u8> {
    message(7, &[&varint(members), &varint(publishers)])
}

/// Group: somebody without a name is there.
pub fn arrived(id: ClientId, flags: u8) -> Vec<u8> {
    message(9, &[id.as_bytes(), &[0, flags, 0]])
}

/// Group: somebody is there no more.
pub fn left(id: ClientId) -> Vec<u8> {
    message(11, &[id.as_bytes()])
}

/// Group: who is there is told anew.
pub fn roll() -> Vec<u8> {
    message(13, &[])
}

/// Group: all were told of.
pub fn listed() -> Vec<u8> {
    message(15, &[])
}

/// What an offer says, if the message is one.
pub fn read_offer(message: &[u8]) -> Option<Offer> {
    let mut fields = Fields(message);
    if fields.varint()? != 2 {
        return None;
    }
    let request = match fields.take(1)? {
        [0] => None,
        _ => Some(fields.varint()?),
    };
    let role = fields.take(1)?[0];
    Some(Offer {
        request,
        role,
        own_route: fields.take(6)?.try_into().ok()?,
        peer_route: fields.take(6)?.try_into().ok()?,
        channel: u64::from_be_bytes(fields.take(8)?.try_into().ok()?),
        peer: ClientId::from_bytes(fields.take(32)?.try_into().ok()?),
        peer_name: fields.block()?.to_vec(),
        label: fields.block()?.to_vec(),
    })
}

/// The number of a request for a channel, if the message is one.
pub fn read_request(message: &[u8]) -> Option<u64> {
    let mut fields = Fields(message);
    if fields.varint()? != 2 {
        return None;
    }
    fields.varint()
}

/// What a Client asks for by id, if the message is that: the request's number, whom, and the label.
pub fn read_open_by_id(message: &[u8]) -> Option<(u64, ClientId, Vec<u8>)> {
    let mut fields = Fields(message);
    if fields.varint()? != 2 {
        return None;
    }
    let request = fields.varint()?;
    if fields.take(1)? != [1] {
        return None;
    }
    let id = ClientId::from_bytes(fields.take(32)?.try_into().ok()?);
    Some((request, id, fields.block()?.to_vec()))
}

/// What end a Client claims and with which ticket, if the message is that.
pub fn read_resume(message: &[u8]) -> Option<(Offer, Vec<u8>)> {
    let mut fields = Fields(message);
    if fields.varint()? != 11 {
        return None;
    }
    let role = fields.take(1)?[0];
    let [own_route, peer_route] = [fields.route()?, fields.route()?];
    let end = Offer {
        request: None,
        role,
        own_route,
        peer_route,
        channel: u64::from_be_bytes(fields.take(8)?.try_into().ok()?),
        peer: ClientId::from_bytes(fields.take(32)?.try_into().ok()?),
        peer_name: Vec::new(),
        label: fields.block()?.to_vec(),
    };
    let direct = fields.take(1)?[0];
    let ticket = fields.block()?.to_vec();
    let fits = role <= 1 && direct <= 1 && end.label.len() <= 255 && ticket.len() <= 64;
    (fits && fields.0.is_empty()).then_some((end, ticket))
}

/// The type of a message, and its route where one follows at once.
pub fn read_kind(message: &[u8]) -> Option<(u64, Option<Route>)> {
    let mut fields = Fields(message);
    let kind = fields.varint()?;
    Some((kind, fields.take(6).and_then(|route| route.try_into().ok())))
}

fn address(address: SocketAddr) -> Vec<u8> {
    let mut out = match address {
        SocketAddr::V4(address) => message(4, &[&address.ip().octets()]),
        SocketAddr::V6(address) => message(6, &[&address.ip().octets()]),
    };
    out.extend_from_slice(&address.port().to_be_bytes());
    out
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn route(&mut self) -> Option<Route> {
        let route: Route = self.take(6)?.try_into().ok()?;
        (route[0] & 0x80 != 0).then_some(route)
    }

    fn varint(&mut self) -> Option<u64> {
        let (value, len) = read_varint(self.0)?;
        self.take(len)?;
        Some(value)
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let len = self.varint()?;
        self.take(usize::try_from(len).ok()?)
    }
}
