//! Claims to ends of channels, with any fields and any tickets. None is granted but to who has the end, with a ticket for just
//! that and of the right time, or while the channel stands.

use std::time::Duration;

use conec_core::{ClientId, Code, CoordinatorConfig, CoordinatorEvent, PairId};

use super::Input;
use crate::{
    keys,
    raw::{
        Dial, End, Key, Raw, RawConn,
        message::{self, Offer, Route},
        ticket,
    },
    sim::{Event, NodeId, World},
};

/// Input: what happens, step by step.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut scene = Scene::new();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        scene.step(&mut input);
    }
    scene.leave();
}

struct Scene {
    world: World,
    coordinator: NodeId,
    raw: Raw,
    clients: NodeId,
    homes: [RawConn; CLIENTS],
    /// When the Coordinator began to count hours.
    began: Duration,
    pairs: [Pair; 3],
}

/// A channel, and what the Coordinator should think of it.
struct Pair {
    ends: [Owned; 2],
    /// Which ends have been claimed, since it was over or not yet known.
    claimed: [bool; 2],
    /// Under which number the Coordinator's application has it while it stands.
    stands: Option<PairId>,
    /// Whether the application has taken it away.
    revoked: bool,
}

/// An end, and which of the Clients has it.
#[derive(Clone)]
struct Owned {
    client: usize,
    end: Offer,
}

/// What a Client is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Resumed(usize, Route),
    NotResumed(usize, Route),
}

impl Scene {
    fn new() -> Self {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.ticket_key = Some(KEY.into());
        config.unix_time = BEGIN;
        let mut world = World::new(1);
        let coordinator = world.add_coordinator_with(config);
        let raw = Raw::new(1);
        let clients = world.add_stranger(raw.clone());
        let homes = std::array::from_fn(|client| log_in(&mut world, &raw, coordinator, client));
        let former = |number: u8, clients: [usize; 2]| {
            let route = |end| [0x80, 0, 0, 0, number, end];
            Pair::between(clients, (route(1), route(2)), number.into())
        };
        let began = world.elapsed();
        let stands = Self::arrange(&mut world, coordinator, &homes);
        Self {
            world,
            coordinator,
            raw,
            clients,
            homes,
            began,
            // Two that another Coordinator with the same key has arranged, and one that stands.
            pairs: [former(1, [0, 1]), former(2, [1, 2]), stands],
        }
    }

    /// The first Client has a channel with the second.
    fn arrange(world: &mut World, coordinator: NodeId, homes: &[RawConn; CLIENTS]) -> Pair {
        let [one, other, _] = homes;
        one.control(&message::open_by_id(1, id(1), LABEL));
        world.run_for(SOON);
        let ends = [one, other].map(|home| {
            let end = home.next_offer().expect("it is offered");
            home.control(&message::accept(end.own_route));
            end
        });
        world.run_for(SOON);
        let [end, _] = ends;
        let mut pair = Pair::between([0, 1], (end.own_route, end.peer_route), end.channel);
        for Owned { client, end } in &pair.ends {
            // Both readings of the specification agree.
            let given = homes[*client].next_of_kind(TICKET);
            let given = given.and_then(|given| message::read_ticket(&given));
            let own = ticket::seal(&KEY, BEGIN_HOUR, id(*client), end);
            assert_eq!(given, Some(own));
        }
        pair.stands = world.take_event(coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::PairStarted { pair, .. }) => Some(*pair),
            Event::Coordinator(_) | Event::Client(_) => None,
        });
        pair
    }

    fn step(&mut self, input: &mut Input<'_>) {
        for client in 0..CLIENTS {
            if self.homes[client].end().is_some() {
                self.homes[client] = log_in(&mut self.world, &self.raw, self.coordinator, client);
            }
        }
        match input.byte() % 16 {
            0 => self.wait(Duration::from_millis(input.byte().into())),
            1 => self.wait(Duration::from_secs(31)),
            2 => self.wait(Duration::from_secs(600)),
            3 => self.close(input),
            4 => self.take_away(input),
            _ => self.claim(input),
        }
    }

    fn wait(&mut self, time: Duration) {
        // For longer, not even what was taken away is remembered.
        if self.world.elapsed() < MAX_TIME {
            self.world.run_for(time);
        }
        let told = self.hear();
        assert_eq!(told, [], "nothing was claimed");
    }

    /// A Client is done with an end, be it its own or not.
    fn close(&mut self, input: &mut Input<'_>) {
        let Owned { client, end } = self.owned(input).clone();
        let who = who(input, client);
        self.homes[who].control(&message::close_channel(end.own_route, 0));
        if who == client {
            self.forget(|pair| pair.has(end.own_route));
        }
        self.world.run_for(SOON);
        assert_eq!(self.hear(), []);
    }

    /// The application takes a channel away.
    fn take_away(&mut self, input: &mut Input<'_>) {
        let pair = &mut self.pairs[usize::from(input.byte()) % 3];
        if let Some(number) = pair.stands {
            let now = self.world.now();
            let coordinator = self.world.coordinator(self.coordinator);
            let taken = coordinator.disconnect(now, number, Code(1));
            taken.expect("it stands");
            pair.revoked = true;
            pair.forget();
            self.world.run_for(SOON);
            assert_eq!(self.hear(), []);
        }
    }

    fn claim(&mut self, input: &mut Input<'_>) {
        let hour = self.hour();
        let own = self.owned(input).clone();
        let other = self.owned(input).clone();
        let who = who(input, own.client);
        let end = mixed(input, &own.end, &other.end);
        let ticket = some_ticket(input, hour, &own, &other);
        let payload = damaged(input, message::resume(&end, &ticket));
        self.homes[who].control(&payload);
        self.world.run_for(SOON);
        let told = self.hear();
        let Some((end, ticket)) = message::read_resume(&payload) else {
            assert_eq!(told, []);
            assert_eq!(self.homes[who].end(), Some(End::Application(PROTOCOL)));
            return self.forget(|pair| pair.ends.iter().any(|it| it.client == who));
        };
        let expected = self.answer(who, &end, is_genuine(&ticket, hour, who, &end));
        assert_eq!(told, expected, "{end:?} with {ticket:02x?}");
    }

    /// What is to be told of a claim, which counts as made.
    fn answer(&mut self, who: usize, end: &Offer, genuine: bool) -> Vec<Told> {
        let refused = vec![Told::NotResumed(who, end.own_route)];
        let is_own = |it: &Owned| it.client == who && is_same(&it.end, end);
        let found = self.pairs.iter_mut().find_map(|pair| {
            let side = pair.ends.iter().position(is_own)?;
            Some((pair, side))
        });
        let Some((pair, side)) = found else {
            return refused;
        };
        if pair.stands.is_some() {
            return vec![Told::Resumed(who, end.own_route)];
        }
        if !genuine || pair.revoked {
            return refused;
        }
        pair.claimed[side] = true;
        if pair.claimed != [true, true] {
            return Vec::new();
        }
        let resumed = |event: &Event| match event {
            Event::Coordinator(CoordinatorEvent::PairResumed { pair, .. }) => Some(*pair),
            Event::Coordinator(_) | Event::Client(_) => None,
        };
        pair.stands = self.world.take_event(self.coordinator, resumed);
        assert!(pair.stands.is_some(), "the application hears of it");
        let ends = pair.ends.iter();
        ends.map(|it| Told::Resumed(it.client, it.end.own_route))
            .collect()
    }

    /// What the Clients are told of claims. Where they hear that a channel is over, it is.
    fn hear(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for client in 0..CLIENTS {
            while let Some(payload) = self.homes[client].next_control() {
                match message::read_kind(&payload) {
                    Some((RESUMED, Some(route))) => told.push(Told::Resumed(client, route)),
                    Some((CHANNEL_CLOSED, Some(route))) if payload[7] == NOT_RESUMED => {
                        told.push(Told::NotResumed(client, route));
                    }
                    Some((CHANNEL_CLOSED, Some(route))) => self.forget(|pair| pair.has(route)),
                    Some(_) | None => {}
                }
            }
        }
        told
    }

    fn forget(&mut self, such: impl Fn(&Pair) -> bool) {
        let pairs = self.pairs.iter_mut();
        pairs.filter(|pair| such(pair)).for_each(Pair::forget);
    }

    fn owned(&self, input: &mut Input<'_>) -> &Owned {
        let number = usize::from(input.byte()) % 6;
        &self.pairs[number / 2].ends[number % 2]
    }

    /// The hour since 1970, and for a while yet.
    fn hour(&mut self) -> u32 {
        let time = |it: &Self| (BEGIN + it.world.elapsed() - it.began).as_secs();
        if time(self) % 3600 > 3595 {
            self.world.run_for(Duration::from_secs(10));
            assert_eq!(self.hear(), []);
        }
        (time(self) / 3600) as u32
    }

    /// The Clients vanish, and nothing is left of them.
    fn leave(mut self) {
        self.world.crash(self.clients);
        self.world.run_for(Duration::from_secs(100));
        self.world.check_coordinator_deserted(self.coordinator);
    }
}

impl Pair {
    fn between(clients: [usize; 2], routes: (Route, Route), channel: u64) -> Self {
        let [one, other] = clients;
        let end = Offer {
            request: None,
            role: 0,
            own_route: routes.0,
            peer_route: routes.1,
            channel,
            peer: id(other),
            peer_name: Vec::new(),
            label: LABEL.to_vec(),
        };
        let there = end.mirrored(id(one));
        Self {
            ends: [(one, end), (other, there)].map(|(client, end)| Owned { client, end }),
            claimed: [false; 2],
            stands: None,
            revoked: false,
        }
    }

    fn has(&self, route: Route) -> bool {
        self.ends.iter().any(|it| it.end.own_route == route)
    }

    fn forget(&mut self) {
        self.claimed = [false; 2];
        self.stands = None;
    }
}

fn log_in(world: &mut World, raw: &Raw, coordinator: NodeId, client: usize) -> RawConn {
    let (now, address) = (world.now(), world.address(coordinator));
    let dial = Dial::home(Key::Identity(FIRST + client as u16));
    let conn = raw.connect(now, address, &dial);
    world.run_for(SOON);
    conn.control(&message::hello_as(b"", b"", 1));
    world.run_for(SOON);
    assert!(conn.next_of_kind(0).is_some(), "it is let in");
    conn
}

fn id(client: usize) -> ClientId {
    keys::identity(FIRST + client as u16).id()
}

/// This Client, mostly.
fn who(input: &mut Input<'_>, client: usize) -> usize {
    match input.byte() {
        0..192 => client,
        byte => usize::from(byte) % CLIENTS,
    }
}

/// An end some of whose fields are those of another one.
fn mixed(input: &mut Input<'_>, own: &Offer, other: &Offer) -> Offer {
    let chosen = input.byte();
    let of = |bit: u8| if chosen & 1 << bit == 0 { own } else { other };
    let label = match chosen & 1 << 7 {
        0 => &own.label,
        _ => input.block(),
    };
    Offer {
        request: None,
        role: of(0).role ^ (chosen >> 6 & 1),
        own_route: of(1).own_route,
        peer_route: of(2).peer_route,
        channel: of(3).channel,
        peer: of(4).peer,
        peer_name: Vec::new(),
        label: label.to_vec(),
    }
}

/// A genuine ticket for this end, or for the other one, or one that is not.
fn some_ticket(input: &mut Input<'_>, hour: u32, own: &Owned, other: &Owned) -> Vec<u8> {
    let seal = |key, hour, it: &Owned| ticket::seal(key, hour, id(it.client), &it.end);
    match input.byte() % 16 {
        0..8 => seal(&KEY, hour, own),
        8 | 9 => seal(&KEY, hour, other),
        10 => seal(&[6; 32], hour, own),
        11 | 12 => seal(&KEY, hour - 2 + u32::from(input.byte() % 5), own),
        13 => {
            let mut ticket = seal(&KEY, hour, own);
            let at = usize::from(input.byte()) % ticket.len();
            ticket[at] ^= input.byte();
            ticket
        }
        14 => {
            let mut ticket = seal(&KEY, hour, own);
            ticket.truncate(input.byte().into());
            ticket.extend_from_slice(input.block());
            ticket
        }
        _ => input.block().to_vec(),
    }
}

/// A claim, mostly as it is. Its type stays.
fn damaged(input: &mut Input<'_>, mut payload: Vec<u8>) -> Vec<u8> {
    let at = |input: &mut Input<'_>| 1 + usize::from(input.byte()) % (payload.len() - 1);
    match input.byte() {
        0..208 => {}
        208..224 => {
            let at = at(input);
            payload[at] ^= input.byte();
        }
        224..240 => payload.truncate(at(input)),
        240..248 => payload.extend_from_slice(input.block()),
        _ => {
            payload.truncate(1);
            payload.extend_from_slice(input.block());
        }
    }
    payload
}

fn is_same(one: &Offer, other: &Offer) -> bool {
    let plain = |it: &Offer| Offer {
        request: None,
        peer_name: Vec::new(),
        ..it.clone()
    };
    plain(one) == plain(other)
}

/// Whether the ticket is one of this Client's for just this end, and good in this hour.
fn is_genuine(ticket: &[u8], hour: u32, client: usize, end: &Offer) -> bool {
    let Some((made, _)) = ticket.split_first_chunk() else {
        return false;
    };
    let made = u32::from_be_bytes(*made);
    // In its own hour and the next one; and another Coordinator's clock may be ahead.
    (hour - 1..=hour + 1).contains(&made) && ticket == ticket::seal(&KEY, made, id(client), end)
}

const CLIENTS: usize = 3;
/// The first Client's identity.
const FIRST: u16 = 666;
const KEY: [u8; 32] = [5; 32];
const LABEL: &[u8] = b"test";
const BEGIN_HOUR: u32 = 490_000;
/// Half past.
const BEGIN: Duration = Duration::from_secs(BEGIN_HOUR as u64 * 3600 + 1800);
/// What is said has arrived, and was answered.
const SOON: Duration = Duration::from_millis(100);
const MAX_TIME: Duration = Duration::from_secs(5400);
const MAX_STEPS: usize = 64;
const CHANNEL_CLOSED: u64 = 6;
const TICKET: u64 = 19;
const RESUMED: u64 = 21;
const PROTOCOL: u64 = 1;
const NOT_RESUMED: u8 = 17;
