//! Datagrams of any bytes, and real ones damaged, repeated, redirected and put together in batches, at any time, into an
//! endpoint with live channels. They change nothing.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::BytesMut;
use conec_core::{CoordinatorConfig, Datagram, Ecn, Endpoint};

use super::{Input, leave};
use crate::{
    bystanders::Bystanders,
    keys,
    raw::{Dial, Key, Raw, destination},
    sim::{NodeId, Tap, World},
};

/// Into a Coordinator. Input: what happens, step by step.
pub fn coordinator(data: &[u8]) {
    Scene::new(|scene| scene.coordinator).run(data);
}

/// Into a Client with a peer channel. Input: what happens, step by step.
pub fn client(data: &[u8]) {
    Scene::new(|scene| scene.bystanders.ends[0].node).run(data);
}

struct Scene {
    world: World,
    coordinator: NodeId,
    bystanders: Bystanders,
    /// Whom the datagrams are for.
    victim: NodeId,
    /// Everything that was ever sent.
    tap: Tap,
    /// What the victim had from addresses where nobody is.
    strangers: BTreeMap<SocketAddr, Given>,
    /// Somebody else's first packet.
    initial: Vec<u8>,
}

#[derive(Debug, Default)]
struct Given {
    bytes: usize,
    packets: usize,
}

impl Scene {
    fn new(victim: impl Fn(&Self) -> NodeId) -> Self {
        let mut world = World::new(1);
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        let mut config = CoordinatorConfig::new(keys::certificate());
        // Within reach of a few packets.
        config.limits.handshakes_before_retry = 2;
        config.limits.handshakes = 4;
        let coordinator = world.add_coordinator_with(config);
        let bystanders = Bystanders::meet(&mut world, coordinator);
        let address = world.address(coordinator);
        let dial = Dial::home(Key::Identity(666));
        let initial = Raw::new(1).initial(world.now(), address, &dial);
        let mut scene = Self {
            world,
            coordinator,
            bystanders,
            victim: coordinator,
            tap,
            strangers: STRANGERS
                .map(|port| (stranger(port), Given::default()))
                .into(),
            initial,
        };
        scene.victim = victim(&scene);
        scene
    }

    fn run(mut self, data: &[u8]) {
        let mut input = Input(data);
        for _ in 0..MAX_STEPS {
            if input.is_empty() {
                break;
            }
            self.step(&mut input);
        }
        self.world.run_for(Duration::from_secs(1));
        self.bystanders.exchange(&mut self.world);
        for (&address, given) in &self.strangers {
            let got = |index| self.tap.get(index).filter(|got| got.destination == address);
            let got = (0..self.tap.len()).filter_map(got);
            let got: usize = got.map(|packet| packet.payload.len()).sum();
            // RFC 9000, 8: three times as much. While anything of that is left, the engine sends a full datagram (quinn
            // issue 1082): once for each handshake, and for each packet by which a Client seems to have moved.
            let allowed = 3 * given.bytes + given.packets * MAX_DATAGRAM;
            assert!(got <= allowed, "{got} bytes in answer to {given:?}");
        }
        let clients = self.bystanders.ends.map(|at| at.node);
        leave(&mut self.world, Some(self.coordinator), &clients);
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0..7 => {
                let packet = self.packet(input);
                self.give(input, packet.len(), &packet);
            }
            7..10 => {
                let mut batch = Vec::new();
                let count = 1 + input.byte() % 8;
                let first = self.packet(input);
                for _ in 0..count {
                    let packet = match input.byte() % 4 {
                        0 => self.packet(input),
                        _ => first.clone(),
                    };
                    batch.extend_from_slice(&packet);
                }
                let segment_size = match input.byte() {
                    0 => 0,
                    1 => 1,
                    2 => usize::MAX,
                    3..64 => usize::from(input.byte()),
                    64..96 => first.len() + 1,
                    96..128 => first.len().saturating_sub(1),
                    _ => first.len(),
                };
                batch.truncate(MAX_BATCH);
                self.give(input, segment_size, &batch);
            }
            10..12 => {
                let time = u64::from(input.byte());
                self.world.run_for(Duration::from_millis(time));
            }
            12 => {
                let time = Duration::from_millis(input.byte().into());
                let now = self.world.now();
                let at = now.checked_sub(time).unwrap_or(now);
                match self.victim == self.coordinator {
                    true => self.world.coordinator(self.victim).handle_timeout(at),
                    false => self.world.client(self.victim).handle_timeout(at),
                }
            }
            13 => drop(self.bystanders.exchange(&mut self.world)),
            14 => self.world.set_max_segments(1 + usize::from(input.byte())),
            _ => {
                let [ann, _] = self.bystanders.ends.map(|at| at.node);
                let address = self.world.address(ann).ip();
                let port = 5000 + u16::from(input.byte());
                self.world.rebind(ann, (address, port).into());
            }
        }
    }

    /// Hands the victim a batch that seems to come from somebody.
    fn give(&mut self, input: &mut Input<'_>, segment_size: usize, payload: &[u8]) {
        let [ann, ben] = self.bystanders.ends.map(|at| at.node);
        let source = match input.byte() % 8 {
            0 | 1 => self.world.address(ann),
            2 | 3 => self.world.address(ben),
            4 | 5 => self.world.address(self.coordinator),
            6 => stranger(STRANGERS[0]),
            _ => stranger(STRANGERS[1]),
        };
        if let Some(given) = self.strangers.get_mut(&source) {
            let packets = payload.chunks(segment_size.clamp(1, MAX_BATCH));
            given.bytes += payload.len();
            given.packets += packets.filter(|it| it.len() >= MIN_PACKET).count();
        }
        let ecn = [None, Some(Ecn::Ect0), Some(Ecn::Ect1), Some(Ecn::Ce)];
        let datagram = Datagram {
            source,
            destination_ip: None,
            second_port: false,
            ecn: ecn[usize::from(input.byte() % 4)],
            segment_size,
            payload: BytesMut::from(payload),
        };
        let now = self.world.now();
        match self.victim == self.coordinator {
            true => {
                let coordinator = self.world.coordinator(self.victim);
                coordinator.handle_datagram(now, datagram);
            }
            false => {
                let client = self.world.client(self.victim);
                client.handle_datagram(now, datagram);
            }
        }
        self.world.step();
    }

    /// A datagram of some kind.
    fn packet(&self, input: &mut Input<'_>) -> Vec<u8> {
        match input.byte() % 8 {
            0 => input.block().to_vec(),
            1 | 2 => {
                // Any first byte, and the destination of a real packet.
                let mut packet = vec![input.byte()];
                let real = self.real(input);
                let cid = destination(&real).unwrap_or_default();
                if packet[0] & 0x80 != 0 {
                    packet.extend([0, 0, 0, input.byte() % 3, cid.len() as u8]);
                }
                packet.extend_from_slice(cid);
                packet.extend_from_slice(input.block());
                if input.byte() % 2 == 1 {
                    packet.resize(1200, 0);
                }
                packet
            }
            3 => self.initial.clone(),
            _ => self.damaged(input),
        }
    }

    /// One of the datagrams that were sent, the latest ones first.
    fn real(&self, input: &mut Input<'_>) -> Vec<u8> {
        let back = usize::from(input.byte());
        let index = self.tap.len().checked_sub(1 + back).unwrap_or(back);
        let packet = self.tap.get(index % self.tap.len().max(1));
        packet.map(|packet| packet.payload).unwrap_or_default()
    }

    fn damaged(&self, input: &mut Input<'_>) -> Vec<u8> {
        let mut packet = self.real(input);
        let at = usize::from(input.byte()) * packet.len() / 256;
        match input.byte() % 8 {
            0 => packet.truncate(at),
            1 => {
                packet.extend_from_slice(input.block());
            }
            2 => packet.extend_from_slice(&self.real(input)),
            3 | 4 => {
                // The header is what can be understood without keys.
                let at = usize::from(input.byte() % 32);
                if let Some(byte) = packet.get_mut(at) {
                    *byte = input.byte();
                }
            }
            5 => {
                if let Some(byte) = packet.get_mut(at) {
                    *byte ^= 1 << (input.byte() % 8);
                }
            }
            _ => {}
        }
        packet
    }
}

fn stranger(port: u16) -> SocketAddr {
    ([198, 51, 100, 1], port).into()
}

const STRANGERS: [u16; 2] = [1, 2];
/// The smallest packet that can be taken for one of a connection (RFC 9000, 10.3).
const MIN_PACKET: usize = 21;
const MAX_DATAGRAM: usize = 1452;
const MAX_STEPS: usize = 64;
const MAX_BATCH: usize = 65_000;
