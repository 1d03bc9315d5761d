//! The Clients, and what they send each other.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tokio::{
    Client, ClientConfig, ClientState, Identity, KeyPin, PathPolicy, Receiver, Sender, Trust,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ring::digest::{Context, SHA256};
use tokio::task::JoinHandle;

use crate::{coordinator::Coordinators, result::Result};

/// A transfer from one Client to another, by way of a Coordinator.
pub(crate) struct Transfer {
    sending: JoinHandle<Result<Vec<u8>>>,
    receiving: JoinHandle<Result<Received>>,
    progress: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    _clients: [Client; 2],
}

struct Received {
    hash: Vec<u8>,
    messages: usize,
    bytes: usize,
    gap: Duration,
    took: Duration,
}

/// What came of it.
pub(crate) struct Report {
    received: Received,
    is_right: bool,
}

impl Transfer {
    /// Begins to send so many bytes, as fast as they are taken, or a message in so long.
    pub(crate) async fn begin(
        coordinators: &Coordinators,
        at: SocketAddr,
        bytes: usize,
        pace: Option<Duration>,
    ) -> Result<Self> {
        let alice = connect(coordinators, at).await?;
        let bob = connect(coordinators, at).await?;
        let accept =
            async { Result::<_>::Ok(bob.accept().await.ok_or("no offer")?.accept().await?) };
        let (opened, accepted) = tokio::join!(alice.open(bob.id(), "transfer"), accept);
        let (opened, accepted) = (opened?, accepted?);
        let sender = opened.open_uni("transfer").await?;
        let receiver = accepted.accept().await.ok_or("no stream")?.receiver;
        let progress = Arc::new(AtomicUsize::new(0));
        let enough = Arc::new(AtomicBool::new(false));
        Ok(Self {
            sending: tokio::spawn(send(sender, bytes, pace, Arc::clone(&enough))),
            receiving: tokio::spawn(receive(receiver, Arc::clone(&progress))),
            progress,
            enough,
            _clients: [alice, bob],
        })
    }

    /// Waits until so many bytes have arrived.
    pub(crate) async fn reach(&self, bytes: usize) {
        while self.progress.load(Relaxed) < bytes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Sends no more.
    pub(crate) fn stop(&self) {
        self.enough.store(true, Relaxed);
    }

    /// Waits until everything has arrived.
    pub(crate) async fn end(self) -> Result<Report> {
        let sent = self.sending.await??;
        let received = self.receiving.await??;
        let is_right = sent == received.hash;
        Ok(Report { received, is_right })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Received {
            messages,
            bytes,
            gap,
            took,
            ..
        } = self.received;
        let hash = if self.is_right { "right" } else { "WRONG" };
        let mib = bytes >> 20;
        write!(
            f,
            "{messages} messages, {mib} MiB in {took:.2?}, hash {hash}, longest gap {gap:.3?}"
        )
    }
}

async fn send(
    mut sender: Sender,
    bytes: usize,
    pace: Option<Duration>,
    enough: Arc<AtomicBool>,
) -> Result<Vec<u8>> {
    let mut hash = Context::new(&SHA256);
    let size = if pace.is_some() { 64 } else { 64 << 10 };
    let (mut sent, mut number) = (0, 0_u64);
    while sent < bytes && !enough.load(Relaxed) {
        let mut message = vec![number as u8; size];
        message[..8].copy_from_slice(&number.to_be_bytes());
        hash.update(&message);
        sender.send(Bytes::from(message)).await?;
        sent += size;
        number += 1;
        if let Some(pace) = pace {
            tokio::time::sleep(pace).await;
        }
    }
    sender.finish()?;
    sender.finished().await;
    Ok(hash.finish().as_ref().to_vec())
}

async fn receive(mut receiver: Receiver, progress: Arc<AtomicUsize>) -> Result<Received> {
    let mut hash = Context::new(&SHA256);
    let began = Instant::now();
    let (mut last, mut gap) = (began, Duration::ZERO);
    let (mut messages, mut bytes) = (0, 0);
    while let Some(message) = receiver.recv().await? {
        hash.update(&message);
        gap = gap.max(last.elapsed());
        last = Instant::now();
        messages += 1;
        bytes += message.len();
        progress.store(bytes, Relaxed);
    }
    Ok(Received {
        hash: hash.finish().as_ref().to_vec(),
        messages,
        bytes,
        gap,
        took: began.elapsed(),
    })
}

/// So many Clients.
pub(crate) async fn many(
    coordinators: &Coordinators,
    at: SocketAddr,
    count: usize,
) -> Result<Vec<Client>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut clients = Vec::new();
    while clients.len() < count {
        let some = (clients.len()..count).take(64);
        let some: Vec<_> = some.map(|_| connect(coordinators, at)).collect();
        for client in some {
            clients.push(client.await?);
        }
    }
    Ok(clients)
}

/// Waits until all of them miss their Coordinator.
pub(crate) async fn miss(clients: &[Client]) -> Result<()> {
    let mut asked = Vec::new();
    for client in clients {
        let mut sender = client.home().open_uni("anybody?").await?;
        sender.send(Bytes::new()).await?;
        asked.push(sender);
    }
    for client in clients {
        while client.state() == ClientState::Connected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(())
}

/// A Client with a new identity.
pub(crate) async fn connect(coordinators: &Coordinators, at: SocketAddr) -> Result<Client> {
    connect_as(Identity::generate()?, coordinators.pin(), at).await
}

pub(crate) async fn connect_as(identity: Identity, pin: KeyPin, at: SocketAddr) -> Result<Client> {
    let mut config = ClientConfig::new(identity, Trust::Pin(pin));
    // What is measured is the way through the Coordinator.
    config.paths.policy = PathPolicy::ProxiedOnly;
    Ok(Client::connect(&at.to_string(), config).await?)
}
