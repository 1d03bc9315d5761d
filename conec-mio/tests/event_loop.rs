//! Drivers in an event loop: what the core cannot be asked about, because it has no sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use conec_driver::Tap;
use conec_mio::{Driver, Socket, blocking, conec_core::*};
use mio::{Events, Poll, Token, event::Event};

/// Between keep-alives a Client that has nothing to do does nothing: no call of the socket, and no wake-up.
#[test]
fn an_idle_client_costs_nothing() {
    const KEEP_ALIVE: Duration = Duration::from_millis(250);
    const TIMES: usize = 4;
    let coordinator = coordinator();
    let tap = Arc::new(Calls::default());
    let mut config = config(&coordinator);
    config.home.keep_alive = Some(KEEP_ALIVE);
    let mut scene = Scene::new();
    let mut client = scene.client(config, &coordinator, &tap);
    // The handshake, and the search for the largest packets.
    scene.run(&mut client, Duration::from_millis(800), |_| false);
    tap.take();
    assert!(tap.looks.load(Relaxed) > 0, "looks at the interfaces first");

    // On a busy machine answers are late, packets are sent twice, and who comes to late turns must have slept: it is looked
    // at until it was quiet for once.
    let usual = TIMES - 1..=TIMES + 1;
    let mut seen = Vec::new();
    let quiet = (0..10).any(|_| {
        let looks = tap.looks.load(Relaxed);
        let waits = scene.run(&mut client, KEEP_ALIVE * TIMES as u32, |_| false);
        let (sends, recvs) = tap.take();
        seen.push((waits, sends, recvs));
        // For each: a deadline, one packet, one answer, and the look whether that was all. The first answer may be to
        // what was sent before. To look at the interfaces takes system calls, too.
        usual.contains(&sends)
            && waits.max(recvs) <= 2 * (sends + 1)
            && tap.looks.load(Relaxed) == looks
    });
    assert!(quiet, "waits, sends and receives: {seen:?}");
    // However often it is asked.
    for _ in 0..100 {
        let now = Instant::now();
        if client.deadline().is_some_and(|at| at <= now) {
            break;
        }
        client.turn(now);
    }
    assert_eq!(tap.take(), (0, 0));
}

/// A driver stays awake where answers come fast, until one does not, and only if it may.
#[test]
fn quick_answers_are_waited_for_awake() {
    const LIMIT: Duration = Duration::from_millis(10);
    for (may, exchanges) in [(LIMIT, 10_000), (Duration::ZERO, 50)] {
        let coordinator = coordinator();
        let config = config(&coordinator);
        let mut scene = Scene::new();
        scene.busy_poll = Some(may);
        let mut client = scene.client(config, &coordinator, &Arc::default());
        thread::spawn(move || echo(&coordinator));
        while !client.endpoint().is_connected() {
            scene.run(&mut client, Duration::from_millis(5), |_| false);
        }
        let is_awake = |client: &conec_mio::Client| {
            let deadline = client.deadline();
            deadline.is_some_and(|at| at <= Instant::now())
        };
        let wakeful = (0..exchanges).any(|_| {
            say_something(&mut client);
            client.turn(Instant::now());
            scene.run(&mut client, Duration::from_secs(5), Event::is_readable);
            is_awake(&client)
        });
        assert_eq!(wakeful, !may.is_zero());
        // Nothing comes any more.
        scene.run(&mut client, 3 * LIMIT, |_| false);
        assert!(!is_awake(&client));
    }
}

/// A member whose events its own loop takes, and one in a thread.
#[test]
fn a_loop_takes_part_in_a_group() {
    // No more than is kept for a member that does not receive, 256 KiB.
    const MESSAGES: usize = 120;
    let coordinator = coordinator();
    let room: Name = "room".parse().unwrap();
    let (member, in_room) = (config(&coordinator), room.clone());
    let address = coordinator.local_addr().to_string();
    let thread = thread::spawn(move || {
        let client = blocking::Client::connect(&address, member).unwrap();
        let mut join = JoinConfig::default();
        join.hear_own = false;
        let group = client.join(in_room, join).unwrap();
        group.publish("welcome").unwrap();
        let items = group.clone().map(Result::unwrap);
        let heard = items.filter(|it| matches!(it, GroupItem::Message(_)));
        let heard = heard.take(MESSAGES).count();
        group.publish("enough").unwrap();
        // Until the other has heard it.
        while group.info().members > 1 {
            thread::sleep(Duration::from_millis(5));
        }
        heard
    });
    let mut scene = Scene::new();
    let mut client = scene.client(config(&coordinator), &coordinator, &Arc::default());
    let mut join = JoinConfig::default();
    join.start = GroupStart::Oldest;
    join.hear_own = false;
    let joined = client.endpoint_mut().join(Instant::now(), room, join);
    let group = joined.unwrap();
    let mut events = Events::with_capacity(16);
    let (mut left_to_say, mut heard, mut end) = (MESSAGES, Vec::new(), None);
    let due = Instant::now() + Duration::from_secs(20);
    while end.is_none() {
        assert!(Instant::now() < due, "waits in vain: {heard:?}");
        client.turn(Instant::now());
        while let Some(event) = client.poll_event() {
            let ClientEvent::Group { event, .. } = event else {
                continue;
            };
            let mut group = client.endpoint_mut().group(group);
            match event {
                GroupEvent::Readable => heard.extend(std::iter::from_fn(|| group.recv())),
                GroupEvent::Ended(how) => end = Some(how),
                // There is room again, which is asked for below.
                GroupEvent::Writable | _ => {}
            }
        }
        let mut group = client.endpoint_mut().group(group);
        let texts: Vec<_> = heard.iter().filter_map(text).collect();
        if texts == ["welcome", "enough"] {
            group.leave();
        } else if texts == ["welcome"] {
            while left_to_say > 0 && group.publish(&[7; 2000]).is_ok() {
                left_to_say -= 1;
            }
        }
        let deadline = client.deadline().map_or(due, |at| at.min(due));
        let wait = deadline.saturating_duration_since(Instant::now());
        scene.poll.poll(&mut events, Some(wait)).unwrap();
        for event in &events {
            client.ready(event);
        }
    }
    assert_eq!(end, Some(GroupEnd::Left));
    assert!(matches!(heard[0], GroupItem::Joined(_)), "{heard:?}");
    // That it has left is still to be said.
    while !thread.is_finished() {
        scene.run(&mut client, Duration::from_millis(5), |_| false);
    }
    assert_eq!(thread.join().unwrap(), MESSAGES);
}

fn text(item: &GroupItem) -> Option<&str> {
    let GroupItem::Message(message) = item else {
        return None;
    };
    std::str::from_utf8(&message.payload).ok()
}

/// Gives back what Clients say.
fn echo(coordinator: &blocking::Coordinator) {
    for event in coordinator.events() {
        if let CoordinatorEvent::ClientConnected { client, .. } = event
            && let Some(home) = coordinator.channel(client)
        {
            while let Some(said) = home.recv_datagram() {
                home.send_datagram(said).unwrap();
            }
        }
    }
}

/// When the network seems to be another one, the machine's addresses are looked up at once; and not all the time.
#[test]
fn a_socket_that_fails_has_the_addresses_looked_up() {
    let coordinator = coordinator();
    let tap = Arc::new(Calls::default());
    let mut scene = Scene::new();
    *tap.hosts.lock().unwrap() = Some(vec![([192, 0, 2, 1], 7000).into()]);
    let mut client = scene.client(config(&coordinator), &coordinator, &tap);
    scene.run(&mut client, Duration::from_millis(1050), |_| false);
    assert_eq!(tap.looks.load(Relaxed), 1);
    assert_eq!(client.endpoint().nat(), Nat::Unclassified);
    *tap.hosts.lock().unwrap() = None;
    tap.unreachable.store(true, Relaxed);
    for _ in 0..3 {
        say_something(&mut client);
        client.turn(Instant::now());
        assert_eq!(tap.looks.load(Relaxed), 2);
    }
    assert!(client.stats().socket_errors >= 3);
    // The machine's real addresses are known now, and the one among them at which the Coordinator sees it.
    assert_eq!(client.endpoint().nat(), Nat::Absent);
}

/// A full socket is watched until it takes more, and no longer.
#[test]
fn a_full_socket_is_waited_for() {
    let coordinator = coordinator();
    let tap = Arc::new(Calls::default());
    let mut scene = Scene::new();
    let mut client = scene.client(config(&coordinator), &coordinator, &tap);
    scene.run(&mut client, Duration::from_millis(300), |_| false);
    for _ in 0..20 {
        tap.full.store(true, Relaxed);
        say_something(&mut client);
        client.turn(Instant::now());
        assert!(!client.is_finished());
        tap.full.store(false, Relaxed);
        tap.take();
        // The loop is told at once, long before the driver would have asked again.
        let end = Instant::now() + Duration::from_secs(5);
        let waits = scene.run(&mut client, end - Instant::now(), |_| {
            tap.sends.load(Relaxed) > 0
        });
        assert_eq!(waits, 1);
        scene.run(&mut client, Duration::from_millis(2), |_| false);
    }
    // Not watched any more: what is sent wakes nobody.
    scene.run(&mut client, Duration::from_millis(200), |_| false);
    for _ in 0..20 {
        say_something(&mut client);
        scene.run(&mut client, Duration::from_millis(5), Event::is_writable);
        assert!(!scene.stopped);
    }
}

/// A flood at one endpoint does not keep others in the loop, or the loop itself, from what they have to do.
#[test]
fn an_endless_socket_leaves_others_their_turn() {
    let coordinator = coordinator();
    let (flooded, tap) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
    flooded.flood.store(true, Relaxed);
    let mut scene = Scene::new();
    let mut first = scene.client(config(&coordinator), &coordinator, &flooded);
    let mut second = scene.client(config(&coordinator), &coordinator, &tap);
    for _ in 0..10_000 {
        first.turn(Instant::now());
        while first.poll_event().is_some() {}
        assert!(first.deadline().unwrap() <= Instant::now());
        scene.run(&mut second, Duration::ZERO, |_| false);
        // On a busy machine, the other end's threads may be faster than this one.
        if second.endpoint().is_connected() && first.stats().datagrams_dropped > 100 {
            // And then it goes on.
            flooded.flood.store(false, Relaxed);
            let limit = Duration::from_secs(5);
            while !first.endpoint().is_connected() {
                scene.run(&mut first, Duration::from_millis(5), |_| false);
                assert!(scene.started.elapsed() < limit);
            }
            return;
        }
    }
    panic!("never connected");
}

#[test]
fn a_driver_is_finished_when_it_was_closed() {
    let coordinator = coordinator();
    let tap = Arc::new(Calls::default());
    let mut scene = Scene::new();
    let mut client = scene.client(config(&coordinator), &coordinator, &tap);
    while !client.endpoint().is_connected() {
        scene.run(&mut client, Duration::from_millis(5), |_| false);
    }
    assert!(!client.is_finished());
    client
        .endpoint_mut()
        .close(Instant::now(), Duration::from_secs(5));
    let end = Instant::now() + Duration::from_secs(5);
    while !client.is_finished() {
        scene.run(&mut client, Duration::from_millis(5), |_| false);
        assert!(Instant::now() < end);
    }
    assert_eq!(client.deadline(), None);
}

/// A loop.
struct Scene {
    poll: Poll,
    tokens: usize,
    busy_poll: Option<Duration>,
    started: Instant,
    stopped: bool,
}

impl Scene {
    fn new() -> Self {
        Self {
            poll: Poll::new().unwrap(),
            tokens: 0,
            busy_poll: None,
            started: Instant::now(),
            stopped: false,
        }
    }

    fn client(
        &mut self,
        config: ClientConfig,
        coordinator: &blocking::Coordinator,
        tap: &Arc<Calls>,
    ) -> conec_mio::Client {
        let mut client = Client::new(config, Identity::generate_seed().unwrap()).unwrap();
        let address = coordinator.local_addr();
        client
            .connect(Instant::now(), "localhost", &[address])
            .unwrap();
        let mut socket = Socket::any().unwrap().tapped(Arc::clone(tap));
        if let Some(limit) = self.busy_poll {
            socket.set_busy_poll(limit);
        }
        self.tokens += 1;
        let token = Token(self.tokens);
        Driver::new(client, socket, self.poll.registry(), token).unwrap()
    }

    /// Runs one driver for a time, or until an event stops it; how often the loop has waited.
    fn run(
        &mut self,
        client: &mut conec_mio::Client,
        time: Duration,
        stop: impl Fn(&Event) -> bool,
    ) -> usize {
        let end = Instant::now() + time;
        let mut events = Events::with_capacity(16);
        let mut waits = 0;
        loop {
            let due = client.deadline().map_or(end, |at| at.min(end));
            let wait = due.saturating_duration_since(Instant::now());
            self.poll.poll(&mut events, Some(wait)).unwrap();
            waits += 1;
            for event in &events {
                client.ready(event);
            }
            client.turn(Instant::now());
            while client.poll_event().is_some() {}
            self.stopped = events.iter().any(&stop);
            if self.stopped || Instant::now() >= end {
                return waits;
            }
        }
    }
}

fn say_something(client: &mut conec_mio::Client) {
    let mut home = client.endpoint_mut().channel(ChannelId::HOME).unwrap();
    home.send_datagram("hello".into()).unwrap();
}

fn coordinator() -> blocking::Coordinator {
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    blocking::Coordinator::bind("127.0.0.1:0", CoordinatorConfig::new(certificate)).unwrap()
}

fn config(coordinator: &blocking::Coordinator) -> ClientConfig {
    ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(coordinator.pin()))
}

/// Counts the calls of a socket, and interferes with them.
#[derive(Debug, Default)]
struct Calls {
    sends: AtomicUsize,
    recvs: AtomicUsize,
    looks: AtomicUsize,
    /// The machine's addresses, where they are not the real ones.
    hosts: Mutex<Option<Vec<SocketAddr>>>,
    full: AtomicBool,
    unreachable: AtomicBool,
    flood: AtomicBool,
}

impl Calls {
    fn take(&self) -> (usize, usize) {
        (self.sends.swap(0, Relaxed), self.recvs.swap(0, Relaxed))
    }
}

impl Tap for Calls {
    fn send(&self, _: &Transmit) -> Option<io::Result<()>> {
        self.sends.fetch_add(1, Relaxed);
        if self.unreachable.load(Relaxed) {
            return Some(Err(io::ErrorKind::NetworkUnreachable.into()));
        }
        let full = self.full.load(Relaxed);
        full.then(|| Err(io::ErrorKind::WouldBlock.into()))
    }

    fn recv(&self, into: &mut Vec<Datagram>) -> Option<io::Result<()>> {
        self.recvs.fetch_add(1, Relaxed);
        self.flood.load(Relaxed).then(|| {
            into.push(Datagram {
                source: ([127, 0, 0, 1], 9).into(),
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: 0,
                payload: "garbage".as_bytes().into(),
            });
            Ok(())
        })
    }

    fn host_addresses(&self) -> Option<Vec<SocketAddr>> {
        self.looks.fetch_add(1, Relaxed);
        self.hosts.lock().unwrap().clone()
    }
}
