//! Whatever one participant does: bystanders get on as fast as ever, what is kept on its account is bounded, and nothing of
//! it is left in the end.
//!
//! It can do all that Mallory can as a Client, and as a peer of a Client's or of the bystanders'. What is added here needs no
//! place at the Coordinator, or more than one, or comes in quantities.

use std::net::{IpAddr, SocketAddr};

use conec_core::{
    Endpoint,
    testing::{client_entries, coordinator_entries},
};

use super::*;
use crate::{
    budget::{share_out, share_out_channels},
    raw::{message::Route, probe},
};

/// Input: what happens, step by step.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut participant = Participant::enter();
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        participant.step(&mut input);
        participant.check();
    }
    participant.leave();
}

struct Participant {
    scene: Scene,
    coordinator: NodeId,
    /// Its home connections that were only begun.
    begun: usize,
    /// What was kept before at the Coordinator and at the bystanders'.
    before: [usize; 3],
}

impl Participant {
    fn enter() -> Self {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.second_port = Some(SECOND_PORT);
        let limits = &mut config.limits;
        limits.clients = MAX_CLIENTS;
        limits.handshakes = 8;
        limits.handshakes_before_retry = 4;
        limits.handshakes_per_network = 6;
        limits.channels_per_client = MAX_PLACES;
        limits.events = 64;
        limits.forward_queue = FORWARD_QUEUE;
        share_out(&mut config, MESSAGE_MEMORY);
        let mut world = World::new(1);
        let coordinator = world.add_coordinator_with(config);
        let bystanders = Bystanders::meet_with(&mut world, coordinator, |config| {
            config.limits.channels_per_client = MAX_PLACES;
            share_out_channels(config, MESSAGE_MEMORY);
        });
        while world.next_event(coordinator).is_some() {}
        let ids = bystanders.ends.map(|at| world.client_id(at.node));
        let mut scene = Scene::new(world, Some((coordinator, bystanders)));
        scene.known.ids.extend(ids);
        let mut participant = Self {
            scene,
            coordinator,
            begun: 0,
            before: [0; 3],
        };
        participant.let_talk(secs(5));
        participant.before = participant.kept();
        participant.scene.join_coordinator(coordinator);
        participant
    }

    /// All timeouts pass, and everything is as if it had never been there.
    fn leave(mut self) {
        let world = &mut self.scene.world;
        world.crash(self.scene.mallory);
        let now = world.now();
        world.client(self.scene.victim).close(now, secs(5));
        for _ in 0..15 {
            self.let_talk(secs(10));
        }
        let kept = self.kept();
        if kept != self.before {
            let before = self.before;
            self.fail(&format!("{kept:?} things are kept instead of {before:?}"));
        }
        let clients = self.pair().ends.map(|at| at.node);
        let Self {
            mut scene,
            coordinator,
            ..
        } = self;
        scene.world.check_client_ended(scene.victim);
        leave(&mut scene.world, Some(coordinator), &clients);
    }

    /// After each step.
    fn check(&mut self) {
        self.let_talk(Duration::from_millis(10));
        let ends = self.pair().ends;
        let open = ends.into_iter().all(|at| {
            let channel = self.scene.world.channel(at.node, at.channel);
            channel.is_some_and(|channel| channel.is_open())
        });
        if !open {
            self.fail("the bystanders' channel is over");
        }
        let [at_coordinator, at_clients @ ..] = self.kept();
        if at_coordinator > MESSAGE_MEMORY + FORWARD_QUEUE + MAX_THINGS
            || at_clients
                .iter()
                .any(|&kept| kept > MESSAGE_MEMORY + MAX_THINGS)
        {
            self.fail(&format!("{at_coordinator} and {at_clients:?} are kept"));
        }
        let clients = self.scene.world.coordinator(self.coordinator).clients();
        if clients > MAX_CLIENTS {
            self.fail(&format!("{clients} Clients"));
        }
    }

    /// Time passes, and then the bystanders talk.
    fn let_talk(&mut self, time: Duration) {
        let Scene { world, others, .. } = &mut self.scene;
        world.run_for(time);
        if let Some((_, bystanders)) = others {
            bystanders.talk(world);
        }
    }

    /// How many things, and how many bytes of messages and packets, are kept at the Coordinator and at the bystanders'.
    fn kept(&mut self) -> [usize; 3] {
        let [ann, ben] = self.pair().ends.map(|at| at.node);
        let world = &mut self.scene.world;
        [
            coordinator_entries(world.coordinator(self.coordinator)),
            client_entries(world.client(ann)),
            client_entries(world.client(ben)),
        ]
    }

    fn pair(&self) -> &Bystanders {
        let (_, bystanders) = self.scene.others.as_ref().expect("since it entered");
        bystanders
    }

    fn fail(&self, why: &str) -> ! {
        self.scene.world.fail(why)
    }
}

// What it can do.
impl Participant {
    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte() % 32;
        match kind {
            0..4 => self.come_again(input),
            4..6 => self.begin(input),
            6..8 => self.forge_handshakes(input),
            8..10 => self.send_junk(input),
            10 => self.send_small_packets(input),
            11..16 => self.on_a_connection(input, kind - 11),
            16 => self.flap(input),
            _ => self.scene.step(input),
        }
    }

    /// One more home connection, with the same key as before or another.
    fn come_again(&mut self, input: &mut Input<'_>) {
        if self.scene.conns.len() >= MAX_HOMES {
            return;
        }
        let dial = Dial::home(Key::Identity(666 + u16::from(input.byte() % 4)));
        let conn = self.dial(&dial);
        self.scene.add_conn(conn, Speaks::Client);
        self.scene.wait(Duration::from_millis(100));
    }

    /// Handshakes, after which nothing is said.
    fn begin(&mut self, input: &mut Input<'_>) {
        for _ in 0..input.byte() % 12 {
            if self.begun < MAX_BEGUN {
                self.begun += 1;
                self.dial(&Dial::home(Key::Identity(700 + self.begun as u16 % 8)));
            }
        }
    }

    /// Handshakes from where it is not, closed at once or not.
    fn forge_handshakes(&mut self, input: &mut Input<'_>) {
        let network = input.byte() % 4;
        let packets = match input.byte() % 2 {
            0 => 1,
            _ => 2,
        };
        for host in 0..input.byte() % 12 {
            let source: IpAddr = [198, 51, 100 + network, host].into();
            let world = &mut self.scene.world;
            let (now, to) = (world.now(), world.address(self.coordinator));
            let dial = Dial::home(Key::Identity(666));
            let forged = self.scene.raw.initial_and_close(now, to, &dial);
            for packet in &forged[..packets] {
                world.inject(SocketAddr::new(source, 9), to, packet);
            }
        }
    }

    /// Any bytes, or packets with routes that it knows, to anybody, from its own address or another's.
    fn send_junk(&mut self, input: &mut Input<'_>) {
        let routes = self.routes();
        let pair = self.pair().ends.map(|at| at.node);
        let world = &mut self.scene.world;
        let [ann, ben] = pair.map(|node| world.address(node));
        let mut at_coordinator = world.address(self.coordinator);
        let from = match input.byte() % 4 {
            0 => ann,
            1 => ([198, 51, 100, 7], 7).into(),
            _ => world.address(self.scene.mallory),
        };
        let to = match input.byte() % 8 {
            0 => ann,
            1 => ben,
            2 => world.address(self.scene.victim),
            3 => {
                at_coordinator.set_port(SECOND_PORT);
                at_coordinator
            }
            _ => at_coordinator,
        };
        let mut packet = vec![input.byte()];
        let which = usize::from(input.byte());
        if let Some(route) = routes.get(which % routes.len().max(1)) {
            packet.extend(route);
        }
        packet.extend(input.block());
        packet.resize(packet.len() + 5 * usize::from(input.byte()), 0);
        for _ in 0..=input.byte() {
            world.inject(from, to, &packet);
        }
    }

    /// The smallest packets there are, in turn with all routes that it knows.
    fn send_small_packets(&mut self, input: &mut Input<'_>) {
        let routes = self.routes();
        let world = &mut self.scene.world;
        let [from, to] = [self.scene.mallory, self.coordinator].map(|node| world.address(node));
        for number in 0..8 * usize::from(input.byte()) {
            let Some(route) = routes.get(number % routes.len().max(1)) else {
                return;
            };
            world.inject(from, to, &[&[0x40][..], route, &[0, 0]].concat());
        }
    }

    /// Much of one kind on one connection.
    fn on_a_connection(&mut self, input: &mut Input<'_>, kind: u8) {
        let which = usize::from(input.byte());
        let count = usize::from(input.byte());
        let len = self.scene.conns.len().max(1);
        let usable = |conn: &&mut Conn| conn.raw.is_connected() && conn.raw.end().is_none();
        let Some(conn) = self.scene.conns.get_mut(which % len).filter(usable) else {
            return;
        };
        match kind {
            // Streams that are full, with how they go on.
            0 => {
                let ending = input.byte() % 4;
                while let Some(stream) = conn.raw.open_uni().or_else(|| conn.raw.open_bi()) {
                    if stream == CONTROL {
                        continue;
                    }
                    conn.streams.push(stream);
                    conn.raw.write(stream, message::preamble(b"full"));
                    conn.raw
                        .write(stream, message::frame(&vec![1; 400 * count]));
                    match ending {
                        0 => conn.raw.finish(stream),
                        1 => conn.raw.reset(stream, 1),
                        _ => conn.raw.write(stream, vec![0x80, 1, 0, 0, 7]),
                    }
                }
            }
            // Streams that are over at once.
            1 => {
                for _ in 0..count {
                    if let Some(stream) = conn.raw.open_bi().filter(|&it| it != CONTROL) {
                        conn.raw.write(stream, message::preamble(b"over"));
                        conn.raw.finish(stream);
                        conn.raw.stop(stream, 13);
                    }
                }
            }
            2 => {
                for _ in 0..count {
                    conn.raw.send_datagram(vec![2; 4 * count]);
                }
            }
            // Requests for channels, all at once.
            3 => {
                let ids = &self.scene.known.ids;
                let wanted = ids[usize::from(input.byte()) % ids.len()];
                for number in 0..count as u64 {
                    conn.raw
                        .control(&message::open_by_id(number, wanted, &[7; 200]));
                }
            }
            // Probes to the second port.
            _ => {
                let mut heard = conn.heard.iter().rev();
                let route = heard.find_map(|heard| match message::read_kind(heard) {
                    Some((TOLD_OF_SECOND_PORT, route)) => route,
                    Some(_) | None => None,
                });
                if let (Some(route), Speaks::Client) = (route, conn.speaks) {
                    let sealer = conn.raw.sealer(probe::SECOND_PORT);
                    let address = self.scene.world.address(self.coordinator);
                    let to = SocketAddr::new(address.ip(), SECOND_PORT);
                    for counter in 0..count as u64 {
                        let probe = sealer.seal(route, 1 + counter, 0);
                        self.scene.raw.send_to(to, &probe);
                    }
                }
            }
        }
    }

    /// Changes its address again and again, which all its connections notice.
    fn flap(&mut self, input: &mut Input<'_>) {
        let own = self.scene.world.address(self.scene.mallory);
        for number in 0..input.byte() {
            let port = 6000 + u16::from(number % 2);
            let address = SocketAddr::new(own.ip(), port);
            self.scene.world.rebind(self.scene.mallory, address);
            for conn in &self.scene.conns {
                conn.raw.ping();
            }
            self.scene.wait(Duration::from_micros(250));
        }
    }

    fn dial(&self, dial: &Dial) -> RawConn {
        let world = &self.scene.world;
        let (now, to) = (world.now(), world.address(self.coordinator));
        self.scene.raw.connect(now, to, dial)
    }

    /// The latest routes that it was told.
    fn routes(&self) -> Vec<Route> {
        self.scene
            .known
            .routes
            .iter()
            .rev()
            .take(8)
            .copied()
            .collect()
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const MAX_CLIENTS: usize = 6;
const MAX_PLACES: usize = 8;
const MESSAGE_MEMORY: usize = 256 << 10;
const FORWARD_QUEUE: usize = 100_000;
/// Sessions, newcomers, channels and requests, what there is in tables for each, and a few times over.
const MAX_THINGS: usize = 2000;
const MAX_HOMES: usize = 4;
const MAX_BEGUN: usize = 60;
const SECOND_PORT: u16 = 4434;
const TOLD_OF_SECOND_PORT: u64 = 13;
