//! The chat of `conec-tokio/examples/chat.rs` in an event loop, without async and without threads. Both kinds of Client
//! can talk to each other, through either kind of Coordinator.
//!
//! ```text
//! cargo run --release -p conec-mio --example mio_chat -- coordinator
//! cargo run --release -p conec-mio --example mio_chat -- client alice
//! cargo run --release -p conec-mio --example mio_chat -- client bob
//! ```
//!
//! The Coordinator leaves its pin in a file for Clients on the same machine. Elsewhere, give address and pin:
//! `client carol example.org:4433 PIN`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an application cares for some events only"
)]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{self, BufRead},
    net::ToSocketAddrs,
    path::PathBuf,
    time::{Duration, Instant},
};

use conec_mio::{Client, Coordinator, Driver, conec_core::*};
use mio::{Events, Interest, Poll, Registry, Token};

const SOCKET: Token = Token(0);
const STDIN: Token = Token(1);

fn main() -> Result<(), Box<dyn Error>> {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["coordinator"] => coordinate("[::]:4433"),
        ["coordinator", address] => coordinate(address),
        ["client", name] => chat(name, "localhost:4433", saved_pin()?),
        ["client", name, address] => chat(name, address, saved_pin()?),
        ["client", name, address, pin] => chat(name, address, pin.parse()?),
        _ => Err("say: coordinator [ADDRESS] | client NAME [ADDRESS [PIN]]".into()),
    }
}

/// Connects everyone with everyone.
fn coordinate(address: &str) -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    let mut driver = Coordinator::bind(address.parse()?, config, poll.registry(), SOCKET)?;
    let (address, pin) = (driver.local_addr()?, driver.endpoint().pin());
    fs::write(pin_file(), pin.to_string())?;
    println!("at {address}, pin {pin}");
    let mut present = Vec::new();
    loop {
        wait(&mut poll, &mut driver)?;
        while let Some(event) = driver.poll_event() {
            if let CoordinatorEvent::ClientConnected { id, name, .. } = event {
                println!("{} has come ({id})", called(name));
                let coordinator = driver.endpoint_mut();
                present.retain(|&other| other != id && coordinator.find(other).is_some());
                for &other in &present {
                    coordinator.connect(Instant::now(), id, other, b"chat")?;
                }
                present.push(id);
            }
        }
    }
}

/// Sends every line typed to all others, and prints theirs.
fn chat(name: &str, address: &str, pin: KeyPin) -> Result<(), Box<dyn Error>> {
    let mut poll = Poll::new()?;
    let mut stdin = Lines::watch(poll.registry())?;
    let mut config = ClientConfig::new(Identity::generate()?, Trust::Pin(pin));
    config.name = Some(name.parse()?);
    let addresses = address.to_socket_addrs()?.collect::<Vec<_>>();
    let mut driver = Client::connect("localhost", &addresses, config, poll.registry(), SOCKET)?;
    // The others by their channels: their names, and the streams to them.
    let mut others = BTreeMap::new();
    while !driver.is_finished() {
        let typed = wait(&mut poll, &mut driver)?;
        while let Some(event) = driver.poll_event() {
            match event {
                ClientEvent::Connected { .. } => {
                    println!(
                        "connected as {name} ({}); type away",
                        driver.endpoint().id()
                    );
                }
                ClientEvent::Offered { channel, .. } => {
                    driver.endpoint_mut().accept(Instant::now(), channel)?;
                }
                ClientEvent::Channel { channel, event } => {
                    if let ChannelEvent::Closed { reason } = event {
                        match others.remove(&channel) {
                            Some((name, _)) => println!("* {name} has gone"),
                            None if channel == ChannelId::HOME && reason != CloseReason::Local => {
                                println!("the coordinator is gone: {reason}");
                            }
                            None => {}
                        }
                    } else if channel != ChannelId::HOME {
                        meet(driver.endpoint_mut(), channel, event, &mut others)?;
                    }
                }
                _ => {}
            }
        }
        if typed {
            let Some(lines) = stdin.read()? else {
                driver
                    .endpoint_mut()
                    .close(Instant::now(), Duration::from_secs(2));
                continue;
            };
            for line in lines {
                // Who is about to go, or does not keep up, takes no more.
                others.retain(|&id, (_, stream)| {
                    let channel = driver.endpoint_mut().channel(id);
                    channel.is_some_and(|mut channel| {
                        channel.stream(*stream).send(line.clone().into()).is_ok()
                    })
                });
            }
        }
    }
    Ok(())
}

/// What happens on a channel with somebody else.
fn meet(
    client: &mut conec_core::Client,
    id: ChannelId,
    event: ChannelEvent,
    others: &mut BTreeMap<ChannelId, (String, StreamId)>,
) -> Result<(), Box<dyn Error>> {
    let peer = client.peer(id);
    let Some(mut channel) = client.channel(id) else {
        return Ok(());
    };
    match event {
        ChannelEvent::Opened => {
            let name = called(peer.and_then(|peer| peer.name));
            println!("* {name} is here");
            let stream = channel.open(Direction::Uni, b"lines")?;
            others.insert(id, (name, stream));
        }
        ChannelEvent::Readable { stream } => {
            let name = called(peer.and_then(|peer| peer.name));
            while let Ok(line) = channel.stream(stream).recv() {
                println!("{name}: {}", String::from_utf8_lossy(&line));
            }
        }
        ChannelEvent::PathChanged { path, .. } => {
            let name = called(peer.and_then(|peer| peer.name));
            match path {
                Path::Direct(address) => println!("* {name} is now reached directly, at {address}"),
                Path::Proxied => println!("* {name} is now reached through the coordinator"),
                _ => println!("* {name} is now reached in another way: {path:?}"),
            }
        }
        // Whoever takes no more lines is about to go.
        ChannelEvent::Closing => channel.close(Instant::now(), Duration::ZERO),
        _ => {}
    }
    Ok(())
}

/// Waits until something is to be done, and does the endpoint's part. Whether something was typed.
fn wait<E: Endpoint>(poll: &mut Poll, driver: &mut Driver<E>) -> io::Result<bool> {
    let mut events = Events::with_capacity(16);
    let deadline = driver.deadline();
    let wait = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    match poll.poll(&mut events, wait) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut typed = false;
    for event in &events {
        match event.token() {
            SOCKET => driver.ready(event),
            _ => typed = true,
        }
    }
    driver.turn(Instant::now());
    Ok(typed)
}

/// Lines of standard input, in a loop like any socket.
struct Lines {
    registry: Registry,
    /// The beginning of a line.
    begun: Vec<u8>,
}

impl Lines {
    fn watch(registry: &Registry) -> io::Result<Self> {
        let registry = registry.try_clone()?;
        watch_stdin(|stdin| registry.register(stdin, STDIN, Interest::READABLE))?;
        let begun = Vec::new();
        Ok(Self { registry, begun })
    }

    /// The lines that are whole now. `None` at the end.
    fn read(&mut self) -> io::Result<Option<Vec<String>>> {
        let mut stdin = io::stdin().lock();
        // There is something, so this does not wait; a second time it might.
        let bytes = stdin.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.begun.extend_from_slice(bytes);
        let length = bytes.len();
        stdin.consume(length);
        // Tells again if there is more.
        watch_stdin(|stdin| self.registry.reregister(stdin, STDIN, Interest::READABLE))?;
        let whole = self.begun.iter().rposition(|&byte| byte == b'\n');
        let rest = self.begun.split_off(whole.map_or(0, |at| at + 1));
        let lines = std::mem::replace(&mut self.begun, rest);
        let lines = String::from_utf8_lossy(&lines)
            .lines()
            .map(str::to_owned)
            .collect();
        Ok(Some(lines))
    }
}

#[cfg(unix)]
fn watch_stdin(
    watch: impl FnOnce(&mut mio::unix::SourceFd<'_>) -> io::Result<()>,
) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    watch(&mut mio::unix::SourceFd(&io::stdin().as_raw_fd()))
}

/// Where standard input cannot be waited for beside sockets, a thread reads it and wakes the loop by a [`mio::Waker`].
#[cfg(not(unix))]
fn watch_stdin(_: impl FnOnce(&mut mio::net::UdpSocket) -> io::Result<()>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn called(name: Option<Name>) -> String {
    name.map_or_else(|| "somebody".to_owned(), |name| name.to_string())
}

fn saved_pin() -> Result<KeyPin, Box<dyn Error>> {
    let pin = fs::read_to_string(pin_file())
        .map_err(|error| format!("no coordinator has left its pin here, so give it: {error}"))?;
    Ok(pin.parse()?)
}

fn pin_file() -> PathBuf {
    std::env::temp_dir().join("conec-chat.pin")
}
