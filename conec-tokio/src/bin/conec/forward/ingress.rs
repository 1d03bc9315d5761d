//! Where packets enter: a UDP port, at which each sender has flows of its own.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{net::UdpSocket, sync::mpsc};

use super::{
    enter::cannot_listen,
    flow::{Flow, MAX_PACKET, PAUSE, Source, bind},
    spec::Place,
    via::{Via, Way},
};
use crate::{failure::Failure, json, output::say};

/// A UDP port, and the flows that have entered at it. They end when it is dropped.
pub(super) struct Ingress {
    socket: Arc<UdpSocket>,
    via: Via,
    idle: Duration,
    flows: HashMap<(SocketAddr, Way), mpsc::Sender<Bytes>>,
}

/// Opens a port at a place.
pub(super) async fn listen(at: &Place) -> Result<(UdpSocket, SocketAddr), Failure> {
    let bound = bind(at.to_bind()).await;
    bound.map_err(|error| cannot_listen(at, &error))
}

impl Ingress {
    pub(super) fn new(socket: UdpSocket, via: Via, idle: Duration) -> Self {
        Self {
            socket: Arc::new(socket),
            via,
            idle,
            flows: HashMap::new(),
        }
    }

    /// Leads all packets this way.
    pub(super) async fn serve(mut self, way: Way) {
        let mut room = vec![0; MAX_PACKET];
        loop {
            let (len, from) = self.next(&mut room).await;
            self.take(from, &way, &[], &room[..len]);
        }
    }

    /// The next packet, and who has sent it.
    pub(super) async fn next(&self, room: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            match self.socket.recv_from(room).await {
                Ok(came) => return came,
                // Of an earlier packet that nobody was there for.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Leads a packet this way. What comes back has `head` before it.
    pub(super) fn take(&mut self, from: SocketAddr, way: &Way, head: &[u8], packet: &[u8]) {
        let packet = Bytes::copy_from_slice(packet);
        let key = (from, way.clone());
        let packet = match self.flows.get(&key).map(|it| it.try_send(packet.clone())) {
            // Those that find no room are lost, as on any link.
            Some(Ok(()) | Err(mpsc::error::TrySendError::Full(_))) => return,
            Some(Err(mpsc::error::TrySendError::Closed(packet))) => packet,
            None => packet,
        };
        if self.flows.len() >= MAX_FLOWS {
            self.flows.retain(|_, flow| !flow.is_closed());
        }
        if self.flows.len() >= MAX_FLOWS {
            return;
        }
        let (packets, queue) = mpsc::channel(QUEUE);
        // There is room for the first one.
        let _ = packets.try_send(packet);
        self.flows.insert(key, packets);
        tokio::spawn(self.lead(from, way.clone(), head.into(), queue));
    }

    fn lead(
        &self,
        from: SocketAddr,
        way: Way,
        head: Vec<u8>,
        queue: mpsc::Receiver<Bytes>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (socket, via, idle) = (Arc::clone(&self.socket), self.via.clone(), self.idle);
        let deliver = move |packet: &[u8]| {
            // What finds no room in the socket is lost.
            let _ = match head.is_empty() {
                true => socket.try_send_to(packet, from),
                false => socket.try_send_to(&[&head, packet].concat(), from),
            };
        };
        let lead = async move {
            let (link, (mut sender, receiver)) = via.open(&way.ask(from, None)).await?;
            let number = link.next_flow();
            let flow = Flow::begin(link, number, idle, deliver)?;
            json::send(&mut sender, &way.ask(from, Some(number))).await?;
            flow.carry((sender, receiver), Source::Queue(queue), false)
                .await
        };
        async move {
            if let Err(failure) = lead.await {
                say(format_args!("{from}: {failure}"));
            }
        }
    }
}

/// Flows at one port. Further ones find no place until others have ended.
const MAX_FLOWS: usize = 4096;
/// Packets that wait to be sent, in each flow.
const QUEUE: usize = 256;
