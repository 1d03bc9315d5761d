//! Clients in threads and in event loops that outlive their Coordinator: a process of its own, which is killed.

#![cfg(feature = "self-signed")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use conec_mio::{
    Driver,
    blocking::{Client, *},
    conec_core::{self, ClientEvent, Endpoint},
};
use mio::{Events, Poll, Token};

/// Longer than anything takes that happens at all.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn threads_go_on_when_their_coordinator_was_killed_and_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Process::start(folder.path(), 0);
    let address = coordinator.address;
    let client = || {
        let mut config = coordinator.client_config();
        config.paths.policy = PathPolicy::ProxiedOnly;
        Client::connect(&address.to_string(), config).unwrap()
    };
    let (alice, bob) = (client(), client());
    assert_eq!(alice.state(), ClientState::Connected);
    let bobs_id = bob.id();
    let accepting = thread::spawn(move || {
        let channel = bob.accept().unwrap().accept().unwrap();
        (channel, bob)
    });
    let channel = alice.open(bobs_id, "").unwrap();
    let (accepted, _bob) = accepting.join().unwrap();
    let mut sender = channel.open_uni("").unwrap();
    sender.send("before".into()).unwrap();
    let mut receiver = accepted.accept().unwrap().receiver;
    assert_eq!(receiver.recv(), Ok(Some("before".into())));
    let home = alice.home();
    let mut on_home = home.open_uni("").unwrap();

    coordinator.kill();
    sender.send("meanwhile".into()).unwrap();
    let state = alice.state_other_than_timeout(ClientState::Connected, LONG);
    assert!(
        matches!(state, Ok(ClientState::Reconnecting { .. })),
        "{state:?}"
    );
    let folder = folder.path();
    let coordinator = Process::start(folder, address.port());
    assert!(alice.connected_timeout(LONG).unwrap().is_ok());
    let received = receiver.recv_timeout(LONG);
    assert_eq!(received, Ok(Ok(Some("meanwhile".into()))));
    // The streams of a home channel end with it, and say so.
    home.closed_timeout(LONG).unwrap();
    let sent = on_home.send("late".into());
    assert!(
        matches!(sent, Err(SendError::Ended(SendEnd::Closed(_)))),
        "{sent:?}"
    );
    assert_eq!(home.open_uni("").err(), Some(OpenStreamError::Closed));
    assert_ne!(alice.home().id(), home.id());
    alice.home().open_uni("").unwrap();
    coordinator.kill();
}

#[test]
fn an_event_loop_hears_that_its_coordinator_was_lost_and_found() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Process::start(folder.path(), 0);
    let address = coordinator.address;
    let mut poll = Poll::new().unwrap();
    let config = coordinator.client_config();
    let seed = Identity::generate_seed().unwrap();
    let mut client = conec_core::Client::new(config, seed).unwrap();
    let now = Instant::now();
    client.connect(now, "localhost", &[address]).unwrap();
    let socket = Socket::any().unwrap();
    let mut client = Driver::new(client, socket, poll.registry(), Token(0)).unwrap();
    let is_connected = |event: &_| matches!(event, ClientEvent::Connected { .. });
    let is_reconnecting = |event: &_| matches!(event, ClientEvent::Reconnecting { .. });

    run_until(&mut poll, &mut client, is_connected);
    let home = client.endpoint().home();
    coordinator.kill();
    let mut channel = client.endpoint_mut().channel(home).unwrap();
    channel.send_datagram("anybody?".into()).unwrap();
    run_until(&mut poll, &mut client, is_reconnecting);
    let coordinator = Process::start(folder.path(), address.port());
    run_until(&mut poll, &mut client, is_connected);
    assert_ne!(client.endpoint().home(), home);
    assert_eq!(client.endpoint().state(), ClientState::Connected);
    coordinator.kill();
}

#[test]
fn a_member_joins_again_when_its_coordinator_was_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    let coordinator = Process::start(folder.path(), 0);
    let address = coordinator.address;
    let client = Client::connect(&address.to_string(), coordinator.client_config()).unwrap();
    let group = client.join("room".parse().unwrap(), JoinConfig::default());
    let group = group.unwrap();
    let joined = || match group.recv_timeout(LONG) {
        Ok(Ok(GroupItem::Joined(joined))) => joined,
        other => panic!("{other:?}"),
    };
    let first = joined();
    coordinator.kill();
    let coordinator = Process::start(folder.path(), address.port());
    let again = joined();
    assert!(again.is_new_order && !first.is_new_order);
    assert_ne!(again.incarnation, first.incarnation);
    group.publish_timeout("here again", LONG).unwrap().unwrap();
    let Ok(Ok(GroupItem::Message(heard))) = group.recv_timeout(LONG) else {
        panic!("hears itself");
    };
    assert_eq!(
        (heard.sequence, &heard.payload[..]),
        (0, &b"here again"[..])
    );
    coordinator.kill();
}

/// Runs a loop until there is such an event.
fn run_until(poll: &mut Poll, client: &mut conec_mio::Client, such: impl Fn(&ClientEvent) -> bool) {
    let end = Instant::now() + LONG;
    let mut events = Events::with_capacity(16);
    loop {
        client.turn(Instant::now());
        while let Some(event) = client.poll_event() {
            if such(&event) {
                return;
            }
        }
        let now = Instant::now();
        assert!(now < end, "waits in vain");
        let due = client.deadline().map_or(end, |at| at.min(end));
        poll.poll(&mut events, Some(due.saturating_duration_since(now)))
            .unwrap();
        for event in &events {
            client.ready(event);
        }
    }
}

/// A Coordinator in a process of its own: this program, which is asked for nothing but [`coordinator`].
struct Process {
    child: Child,
    address: SocketAddr,
    pin: KeyPin,
}

impl Process {
    /// The same one again, as long as it is given the same folder.
    fn start(folder: &Path, port: u16) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "coordinator", "--nocapture"])
            .env(FOLDER, folder)
            .env(PORT, port.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = said.filter_map(|line| {
            let line = line.unwrap();
            line.strip_prefix(LISTENS)?.parse().ok()
        });
        let address = addresses.next().unwrap();
        Self {
            child,
            address,
            pin: certificate(folder).pin(),
        }
    }

    fn client_config(&self) -> ClientConfig {
        ClientConfig::new(Identity::generate().unwrap(), Trust::Pin(self.pin))
    }

    /// Without a word (SIGKILL).
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The process of a Coordinator, where this program is asked to be one.
#[test]
fn coordinator() {
    let (Ok(folder), Ok(port)) = (env::var(FOLDER), env::var(PORT)) else {
        return;
    };
    let config = CoordinatorConfig::new(certificate(Path::new(&folder)));
    let coordinator = Coordinator::bind(format!("127.0.0.1:{port}"), config).unwrap();
    // The line may have been begun by who runs the tests.
    println!("\n{LISTENS}{}", coordinator.local_addr());
    for _ in coordinator.events() {}
}

fn certificate(folder: &Path) -> Certificate {
    load_or_create_certificate(folder.join("coordinator.pem"), ["localhost"]).unwrap()
}

const FOLDER: &str = "CONEC_COORDINATOR_FOLDER";
const PORT: &str = "CONEC_COORDINATOR_PORT";
const LISTENS: &str = "listens at ";
