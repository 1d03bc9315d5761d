//! A peer with valid TLS and a free hand: as Client of a Coordinator and peer of a Client, and as Coordinator of a Client
//! and its peer at once.
//!
//! It can do what the protocol wants next, and anything else at any time. Whatever it does, bystanders keep talking, and
//! once it is gone nothing of it is left.

mod behave;
mod forge;
mod honest;
pub mod participant;

use std::{collections::VecDeque, time::Duration};

use conec_core::{ChannelEvent, ChannelId, CoordinatorConfig};

use self::forge::Known;
use super::{Input, leave};
use crate::{
    bystanders::Bystanders,
    keys,
    raw::{
        CONTROL, Dial, End, Key, Raw, RawConn,
        message::{self, Offer},
    },
    sim::{At, Event, Half, NodeId, World},
};

/// Input: which of the two, then what happens, step by step.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut scene = match input.byte() % 2 {
        0 => Scene::as_client(),
        _ => Scene::as_coordinator(),
    };
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        scene.step(&mut input);
    }
    scene.finish();
}

struct Scene {
    world: World,
    raw: Raw,
    mallory: NodeId,
    /// A Client with or of Mallory.
    victim: NodeId,
    /// An honest Coordinator, and two Clients who have nothing to do with Mallory.
    others: Option<(NodeId, Bystanders)>,
    conns: Vec<Conn>,
    known: Known,
    /// Offers that Mallory got or made, as its own end sees them.
    offers: Vec<Offer>,
    /// Channels and streams that the honest ones have.
    channels: Vec<At>,
    streams: Vec<Half>,
}

/// One of Mallory's connections.
struct Conn {
    raw: RawConn,
    speaks: Speaks,
    /// Control messages not yet dealt with.
    heard: VecDeque<Vec<u8>>,
    streams: Vec<u64>,
}

/// As what Mallory speaks on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Client,
    Coordinator,
    Peer,
}

impl Scene {
    fn as_client() -> Self {
        let mut world = World::new(1);
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.channels_per_client = MAX_CHANNELS;
        let coordinator = world.add_coordinator_with(config);
        let bystanders = Bystanders::meet(&mut world, coordinator);
        // What they have is none of Mallory's, or the honest ones', business.
        while world.next_event(coordinator).is_some() {}
        let mut scene = Self::new(world, Some((coordinator, bystanders)));
        scene.join_coordinator(coordinator);
        scene
    }

    /// The victim and Mallory connect.
    fn join_coordinator(&mut self, coordinator: NodeId) {
        self.world.connect(self.victim, coordinator);
        let (now, address) = (self.world.now(), self.world.address(coordinator));
        let conn = self.raw.connect(now, address, &Dial::home(MALLORY));
        self.add_conn(conn, Speaks::Client);
    }

    fn as_coordinator() -> Self {
        let mut scene = Self::new(World::new(1), None);
        scene.raw.listen(&Dial::home(Key::Certificate(1)));
        let (victim, mallory) = (scene.victim, scene.mallory);
        scene.world.start_connecting(victim, mallory);
        scene
    }

    fn new(mut world: World, others: Option<(NodeId, Bystanders)>) -> Self {
        let raw = Raw::new(1);
        let mallory = world.add_stranger(raw.clone());
        let mut config = world.client_config("victim");
        config.limits.channels_per_client = MAX_CHANNELS;
        let victim = world.add_client_with(config);
        let known = Known {
            ids: vec![mallory_id(), world.client(victim).id()],
            ..Known::default()
        };
        let channel = ChannelId::HOME;
        let channels = vec![At {
            node: victim,
            channel,
        }];
        let mut scene = Self {
            world,
            raw,
            mallory,
            victim,
            others,
            conns: Vec::new(),
            known,
            offers: Vec::new(),
            channels,
            streams: Vec::new(),
        };
        scene.world.run_for(Duration::from_millis(100));
        scene
    }

    fn finish(mut self) {
        self.look_around();
        for conn in &self.conns {
            // Whatever is said on streams, nobody finds fault with QUIC.
            if let Some(end) = conn.raw.end().filter(|&end| is_fault(end)) {
                self.world.fail(&format!("a connection ended so: {end:?}"));
            }
        }
        self.world.crash(self.mallory);
        let mut clients = vec![self.victim];
        let coordinator = self.others.map(|(coordinator, mut bystanders)| {
            bystanders.exchange(&mut self.world);
            clients.extend(bystanders.ends.map(|at| at.node));
            coordinator
        });
        leave(&mut self.world, coordinator, &clients);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        self.look_around();
        let chosen = usize::from(input.byte()) % self.conns.len().max(1);
        let step = input.byte() % 32;
        match step {
            0..3 => return self.wait(Duration::from_millis(input.byte().into())),
            3 => return self.wait(Duration::from_secs(u64::from(input.byte()) % 40)),
            4..10 => return self.act(input),
            _ => {}
        }
        if step == 17 {
            return self.join(input);
        }
        let usable = |conn: &&mut Conn| conn.raw.is_connected() && conn.raw.end().is_none();
        let Some(conn) = self.conns.get_mut(chosen).filter(usable) else {
            return self.wait(Duration::from_millis(20));
        };
        match step {
            10..=16 => self.behave(chosen),
            18..22 => {
                let message = self.known.message(input, &conn.speaks);
                let times = match input.byte() {
                    255 => 600,
                    _ => 1,
                };
                for _ in 0..times {
                    conn.raw.control(&message);
                }
            }
            22 => {
                let mut message = self.known.message(input, &conn.speaks);
                let at = usize::from(input.byte()) % message.len();
                match input.byte() % 4 {
                    0 => message.truncate(at),
                    1 => message.push(input.byte()),
                    _ => message[at] ^= input.byte(),
                }
                conn.raw.control(&message);
            }
            23 => conn.raw.control(input.block()),
            24 => conn.raw.control_bytes(input.block().to_vec()),
            25 => {
                let opened = match input.byte() % 2 {
                    0 => conn.raw.open_bi(),
                    _ => conn.raw.open_uni(),
                };
                if let Some(stream) = opened.filter(|&stream| stream != CONTROL) {
                    conn.streams.push(stream);
                    conn.raw.write(stream, message::preamble(input.block()));
                }
            }
            26 | 27 => {
                let bytes = match input.byte() % 2 {
                    0 => message::frame(input.block()),
                    _ => input.block().to_vec(),
                };
                if let Some(&stream) = conn.streams.last() {
                    conn.raw.write(stream, bytes);
                }
            }
            28 => {
                let index = usize::from(input.byte());
                let stream = match conn.streams.len() {
                    0 => CONTROL,
                    len => conn.streams[index % len],
                };
                end_stream(&conn.raw, stream, input);
            }
            29 => drop(conn.raw.send_datagram(input.block().to_vec())),
            30 => conn.raw.set_reading(input.byte() % 2 == 1),
            _ => match input.byte() % 4 {
                0 => end_stream(&conn.raw, CONTROL, input),
                1 => conn
                    .raw
                    .close(self.world.now(), u64::from(input.byte()) % 20),
                2 => conn.raw.vanish(),
                _ => {
                    let address = self.world.address(self.mallory).ip();
                    let port = 5000 + u16::from(input.byte());
                    self.world.rebind(self.mallory, (address, port).into());
                    conn.raw.ping();
                }
            },
        }
    }

    fn wait(&mut self, time: Duration) {
        self.world.run_for(time);
    }

    /// Notes what has happened.
    fn look_around(&mut self) {
        // What was done takes effect, and what is under way arrives soon.
        self.wait(Duration::from_millis(1));
        while let Some(conn) = self.raw.accept() {
            let speaks = match self.others.is_none() && self.conns.is_empty() {
                true => Speaks::Coordinator,
                false => Speaks::Peer,
            };
            self.add_conn(conn, speaks);
        }
        for conn in &mut self.conns {
            while let Some(message) = conn.raw.next_control() {
                if conn.heard.len() < MAX_HEARD {
                    conn.heard.push_back(message);
                }
            }
            while let Some(stream) = conn.raw.accept() {
                conn.streams.push(stream);
            }
        }
        let honest = [Some(self.victim), self.coordinator()];
        for node in honest.into_iter().flatten() {
            while let Some(event) = self.world.next_event(node) {
                self.note(node, &event);
            }
        }
    }

    fn note(&mut self, node: NodeId, event: &Event) {
        match (event, event.channel()) {
            (_, Some((channel, ChannelEvent::Opened))) => self.channels.push(At { node, channel }),
            (_, Some((_, &ChannelEvent::StreamOpened { stream, .. }))) => {
                self.streams.push(Half { node, stream });
            }
            _ => {}
        }
    }

    fn coordinator(&self) -> Option<NodeId> {
        self.others.as_ref().map(|&(coordinator, _)| coordinator)
    }

    fn add_conn(&mut self, raw: RawConn, speaks: Speaks) {
        self.conns.push(Conn {
            raw,
            speaks,
            heard: VecDeque::new(),
            streams: Vec::new(),
        });
    }
}

/// Whether a connection ended because its QUIC was not as it must be.
fn is_fault(end: End) -> bool {
    match end {
        // A refusal, an end during the handshake, an alert of TLS.
        End::Found(code) | End::Transport(code) => !matches!(code, 0x02 | 0x0c | 0x100..),
        End::Version => true,
        End::Application(_) | End::TimedOut | End::Reset | End::Local => false,
    }
}

fn end_stream(conn: &RawConn, stream: u64, input: &mut Input<'_>) {
    let code = match input.byte() {
        code @ 0..128 => code.into(),
        code => (1 << 32) + u64::from(code),
    };
    match input.byte() % 3 {
        0 => conn.finish(stream),
        1 => conn.reset(stream, code),
        _ => conn.stop(stream, code),
    }
}

fn mallory_id() -> conec_core::ClientId {
    keys::identity(666).id()
}

const MALLORY: Key = Key::Identity(666);
const MAX_STEPS: usize = 80;
const MAX_CONNS: usize = 6;
const MAX_HEARD: usize = 64;
/// Within reach of a few messages.
const MAX_CHANNELS: usize = 4;
