//! Flows of UDP packets in a channel.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tokio::{Lossy, Receiver, RecvError, SendDatagramError, SendError, Sender, TryError};
use tokio::{
    net::{ToSocketAddrs, UdpSocket},
    sync::mpsc,
};

use super::{link::Link, protocol};
use crate::failure::{Exit, Failure};

/// A flow, at one of its ends. Dropped, its packets are not taken any more.
pub(super) struct Flow {
    link: Arc<Link>,
    number: u32,
    active: Arc<Active>,
    idle: Duration,
}

/// Where the packets come from that a flow sends.
pub(super) enum Source {
    /// A socket that is connected to one place.
    Socket(Arc<UdpSocket>),
    /// Others that know which of those that have come are of this flow.
    Queue(mpsc::Receiver<Bytes>),
}

impl Flow {
    /// A flow whose packets are given to `deliver`, which does not wait. It ends when there were none for so long.
    pub(super) fn begin(
        link: Arc<Link>,
        number: u32,
        idle: Duration,
        deliver: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let active = Arc::new(Active::default());
        active.touch();
        let seen = Arc::clone(&active);
        let taker = move |packet: &[u8]| {
            seen.touch();
            deliver(packet);
        };
        match link.begin_flow(number, Arc::new(taker)) {
            true => Ok(Self {
                link,
                number,
                active,
                idle,
            }),
            false => Err(Failure::new(
                Exit::Other,
                "there is a flow of that number",
                "have the same version at both ends",
            )),
        }
    }

    /// Carries packets both ways, until either side has had enough, or there were none for too long. The stream is for those
    /// that are too large; and for all until its other end has answered, if it is still to.
    pub(super) async fn carry(
        self,
        (mut sender, mut receiver): (Sender, Receiver),
        source: Source,
        is_answered: bool,
    ) -> Result<(), Failure> {
        let is_answered = AtomicBool::new(is_answered);
        let ended = tokio::select! {
            ended = self.send_all(&mut sender, source, &is_answered) => ended,
            ended = self.take_all(&mut receiver, &is_answered) => ended,
            () = self.active.idle(self.idle) => Ok(()),
        };
        // It may have ended.
        let _ = sender.finish();
        ended
    }

    async fn send_all(
        &self,
        sender: &mut Sender,
        mut source: Source,
        is_answered: &AtomicBool,
    ) -> Result<(), Failure> {
        let mut room = vec![0; MAX_PACKET];
        while let Some(packet) = source.next(&mut room).await {
            self.active.touch();
            // Otherwise it could be there before the flow is.
            if is_answered.load(Ordering::Relaxed) {
                match self.link.send_packet(self.number, &packet).await {
                    Ok(()) => continue,
                    Err(SendDatagramError::Closed) => return Ok(()),
                    Err(SendDatagramError::TooLarge { .. } | _) => {}
                }
            }
            match sender.try_send(packet) {
                // Late packets are of no use: it is lost.
                Ok(()) | Err(TryError::Blocked) => {}
                Err(TryError::Failed(SendError::Ended(_))) => return Ok(()),
                Err(TryError::Failed(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn take_all(
        &self,
        receiver: &mut Receiver,
        is_answered: &AtomicBool,
    ) -> Result<(), Failure> {
        if !is_answered.load(Ordering::Relaxed) {
            protocol::granted(receiver).await?;
            is_answered.store(true, Ordering::Relaxed);
        }
        receiver.set_lossy(Some(Lossy::default()));
        loop {
            match receiver.recv().await {
                Ok(Some(packet)) => self.link.deliver(self.number, &packet),
                Err(RecvError::Lagged(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.link.end_flow(self.number);
    }
}

impl Source {
    async fn next(&mut self, room: &mut [u8]) -> Option<Bytes> {
        match self {
            Self::Queue(packets) => packets.recv().await,
            Self::Socket(socket) => loop {
                match socket.recv(room).await {
                    Ok(len) => return Some(Bytes::copy_from_slice(&room[..len])),
                    // Nobody was there for a packet, which says nothing of the next one.
                    Err(_) => tokio::time::sleep(PAUSE).await,
                }
            },
        }
    }
}

/// When there was a packet for the last time.
#[derive(Debug, Default)]
struct Active(AtomicU64);

impl Active {
    fn touch(&self) {
        let now = since_begin().as_millis();
        self.0
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Waits until there was none for so long.
    async fn idle(&self, patience: Duration) {
        loop {
            let end = Duration::from_millis(self.0.load(Ordering::Relaxed)) + patience;
            let left = end.saturating_sub(since_begin());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

fn since_begin() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// A socket that packets can be sent from at once.
pub(super) async fn bind(at: impl ToSocketAddrs) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(at).await?;
    #[cfg(unix)]
    {
        // So that packets wait rather than are lost, while this process waits for its turn. It may be less than that.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER);
    }
    // Before that is known of a new socket, it takes nothing from who does not wait.
    socket.writable().await?;
    let at = socket.local_addr()?;
    Ok((socket, at))
}

/// The address to bind to, to reach this one.
pub(super) fn any_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}

/// The largest packet of UDP.
pub(super) const MAX_PACKET: usize = 65_535;
/// After an error, so that one that lasts does not take all of a processor.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
/// What waits for this process at a socket, in bytes.
#[cfg(unix)]
const RECEIVE_BUFFER: usize = 2 << 20;
