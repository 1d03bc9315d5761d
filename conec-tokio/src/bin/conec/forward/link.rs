//! A channel of a forward, at either end.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::{BufMut, BytesMut};
use conec_tokio::{
    Channel, CloseReason, IncomingStream, OpenStreamError, Receiver, SendDatagramError, Sender,
};
use futures_util::FutureExt;

use super::protocol::Ask;
use crate::{failure::Failure, json};

/// A channel of a forward, and the flows of packets in it.
pub(super) struct Link {
    channel: Channel,
    takers: Mutex<HashMap<u32, Taker>>,
    next_flow: AtomicU32,
}

/// Takes the packets of a flow. It does not wait: what cannot be delivered is lost, as packets are.
pub(super) type Taker = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It has asked for the channel.
    Asker,
    /// It was asked.
    Asked,
}

impl Link {
    pub(super) fn new(channel: Channel, side: Side) -> Arc<Self> {
        let first = match side {
            Side::Asker => 0,
            Side::Asked => 1,
        };
        Arc::new(Self {
            channel,
            takers: Mutex::default(),
            next_flow: AtomicU32::new(first),
        })
    }

    /// Opens a stream for this. Where there are too many, it waits for others to end.
    pub(super) async fn open(&self, ask: &Ask) -> Result<(Sender, Receiver), OpenStreamError> {
        self.channel.open_bi(ask.label()).await
    }

    /// Whether nothing can be done in it any more.
    pub(super) fn is_over(&self) -> bool {
        self.closed().now_or_never().is_some()
    }

    /// Waits for its end.
    pub(super) async fn closed(&self) -> CloseReason {
        self.channel.closed().await
    }

    /// Gives what the other end asks for to `answer`, each in a task of its own, and packets to the flows, until the channel is over.
    pub(super) async fn serve<W>(
        self: Arc<Self>,
        answer: impl Fn(Arc<Self>, Ask, (Sender, Receiver)) -> W + Clone + Send + Sync + 'static,
    ) where
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let asked = async {
            while let Some(stream) = self.channel.accept().await {
                tokio::spawn(take(Arc::clone(&self), stream, answer.clone()));
            }
        };
        let packets = async {
            while let Some(mut packet) = self.channel.recv_datagram().await {
                if let Some((flow, _)) = packet.split_first_chunk() {
                    let flow = u32::from_be_bytes(*flow);
                    self.deliver(flow, &packet.split_off(size_of::<u32>()));
                }
            }
        };
        tokio::join!(asked, packets);
    }

    /// A number for a flow that begins here.
    pub(super) fn next_flow(&self) -> u32 {
        self.next_flow.fetch_add(2, Ordering::Relaxed)
    }

    /// Gives packets of this flow to the taker from now on. Where there is one already, it is the other end that is wrong.
    pub(super) fn begin_flow(&self, flow: u32, taker: Taker) -> bool {
        let mut takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !takers.contains_key(&flow);
        if is_new {
            takers.insert(flow, taker);
        }
        is_new
    }

    pub(super) fn end_flow(&self, flow: u32) {
        let mut takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        takers.remove(&flow);
    }

    /// Gives a packet to its flow, if that is there.
    pub(super) fn deliver(&self, flow: u32, packet: &[u8]) {
        let takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        let taker = takers.get(&flow).cloned();
        drop(takers);
        if let Some(taker) = taker {
            taker(packet);
        }
    }

    /// Sends a packet as a datagram of the channel.
    pub(super) async fn send_packet(
        &self,
        flow: u32,
        packet: &[u8],
    ) -> Result<(), SendDatagramError> {
        let mut datagram = BytesMut::with_capacity(size_of::<u32>() + packet.len());
        datagram.put_u32(flow);
        datagram.put_slice(packet);
        self.channel.send_datagram(datagram.freeze()).await
    }
}

async fn take<W: Future<Output = Result<(), Failure>>>(
    link: Arc<Link>,
    stream: IncomingStream,
    answer: impl Fn(Arc<Link>, Ask, (Sender, Receiver)) -> W,
) {
    let served = async {
        let mut receiver = stream.receiver;
        let ask: Ask = json::receive(&mut receiver).await?;
        // Nothing can be asked for where nothing can be answered.
        match stream.sender {
            Some(sender) => answer(link, ask, (sender, receiver)).await,
            None => Ok(()),
        }
    };
    if let Err(failure) = served.await {
        tracing::debug!(%failure, "not served");
    }
}
