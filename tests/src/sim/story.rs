//! Steps that many stories have in common. Each waits, in virtual time, until it is done.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ChannelId, ClientEvent, CloseReason, Direction, Endpoint, RecvEnd, RecvError,
    SendEnd, SendError, StreamId, Target,
    testing::{client_entries, coordinator_entries},
};

use super::{
    node::{Event, NodeId},
    world::World,
};
use crate::keys;

/// A channel at one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// The node.
    pub node: NodeId,
    /// The channel there.
    pub channel: ChannelId,
}

/// A stream at one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Half {
    /// The node.
    pub node: NodeId,
    /// The stream there.
    pub stream: StreamId,
}

impl World {
    /// Connects a Client to its Coordinator.
    pub fn connect(&mut self, client: NodeId, coordinator: NodeId) {
        self.start_connecting(client, coordinator);
        self.wait_for("connected", PATIENCE, |world| {
            world.take_event(client, |event| {
                matches!(event, Event::Client(ClientEvent::Connected { .. })).then_some(())
            })
        });
    }

    /// The same, with a Coordinator that is reached at another address than its own.
    pub fn connect_at(&mut self, client: NodeId, address: SocketAddr) {
        self.dial(client, &[address]);
        self.wait_for("connected", PATIENCE, |world| {
            world.client(client).is_connected().then_some(())
        });
    }

    /// Begins to connect a Client to its Coordinator.
    pub fn start_connecting(&mut self, client: NodeId, coordinator: NodeId) {
        let mut addresses = self.host_addresses(coordinator).to_vec();
        addresses.retain(|&address| self.topology.source(client, address).is_some());
        self.dial(client, &addresses);
    }

    fn dial(&mut self, client: NodeId, addresses: &[SocketAddr]) {
        let now = self.clock(client);
        self.client(client)
            .connect(now, keys::HOST, addresses)
            .expect("connects once, with an address of the same family");
    }

    /// Opens a channel from one Client to another, by id, and waits for it at both.
    pub fn open_channel(&mut self, from: NodeId, to: NodeId) -> (At, At) {
        let target = Target::Id(self.client(to).id());
        let at_from = self.request_channel(from, target);
        if from == to {
            let ends = [self.opened(from), self.opened(from)];
            let at_to = ends.into_iter().find(|&end| end != at_from);
            return (at_from, at_to.expect("two ends"));
        }
        assert_eq!(self.opened(from), at_from);
        (at_from, self.opened(to))
    }

    /// Waits for a channel that has opened.
    pub fn opened(&mut self, node: NodeId) -> At {
        self.wait_for("channel opened", PATIENCE, |world| {
            world.take_event(node, |event| match event.channel() {
                Some((channel, ChannelEvent::Opened)) if channel != ChannelId::HOME => {
                    Some(At { node, channel })
                }
                Some(_) | None => None,
            })
        })
    }

    /// Asks for a channel.
    pub fn request_channel(&mut self, node: NodeId, target: Target) -> At {
        let now = self.clock(node);
        let channel = self
            .client(node)
            .open_channel(now, target, b"test")
            .expect("the client is connected");
        At { node, channel }
    }

    /// Waits for the end of a channel.
    pub fn closed(&mut self, at: At) -> CloseReason {
        self.wait_for("channel closed", PATIENCE, |world| {
            world.take_event(at.node, |event| match event.channel() {
                Some((channel, ChannelEvent::Closed { reason })) if channel == at.channel => {
                    Some(*reason)
                }
                Some(_) | None => None,
            })
        })
    }

    /// Opens a bidirectional stream.
    pub fn open_stream(&mut self, at: At, label: &[u8]) -> Half {
        self.open(at, Direction::Bi, label)
    }

    /// Opens a stream.
    pub fn open(&mut self, at: At, direction: Direction, label: &[u8]) -> Half {
        let stream = self
            .channel(at.node, at.channel)
            .expect("the channel is there")
            .open(direction, label)
            .expect("the channel is open");
        Half {
            node: at.node,
            stream,
        }
    }

    /// Waits for a stream that the other side has opened.
    pub fn accept_stream(&mut self, at: At) -> Half {
        self.accept_labelled(at).0
    }

    /// Waits for a stream that the other side has opened, and its label.
    pub fn accept_labelled(&mut self, at: At) -> (Half, Bytes) {
        self.wait_for("stream opened", PATIENCE, |world| {
            world.take_event(at.node, |event| match event.channel() {
                Some((channel, ChannelEvent::StreamOpened { stream, label }))
                    if channel == at.channel =>
                {
                    let half = Half {
                        node: at.node,
                        stream: *stream,
                    };
                    Some((half, label.clone()))
                }
                Some(_) | None => None,
            })
        })
    }

    /// Sends a message, once there is room.
    pub fn send(&mut self, at: Half, message: impl Into<Bytes>) {
        let message = message.into();
        self.wait_for("room to send", PATIENCE, |world| {
            match world.try_send(at, message.clone()) {
                Ok(()) => Some(()),
                Err(SendError::Blocked) => None,
                Err(error) => world.fail(&format!("{at:?}: {error}")),
            }
        });
    }

    /// Sends a message now, or not.
    pub fn try_send(&mut self, at: Half, message: Bytes) -> Result<(), SendError> {
        match self.channel(at.node, at.stream.channel()) {
            Some(mut channel) => channel.stream(at.stream).send(message),
            None => Err(SendError::Ended),
        }
    }

    /// Waits for a message.
    pub fn recv(&mut self, at: Half) -> Bytes {
        self.wait_for("a message", PATIENCE, |world| match world.try_recv(at) {
            Ok(message) => Some(message),
            Err(RecvError::Blocked) => None,
            Err(error @ (RecvError::Ended | RecvError::Lagged(_))) => {
                world.fail(&format!("{at:?}: {error}"))
            }
        })
    }

    /// Receives a message that is there, or not.
    pub fn try_recv(&mut self, at: Half) -> Result<Bytes, RecvError> {
        match self.channel(at.node, at.stream.channel()) {
            Some(mut channel) => channel.stream(at.stream).recv(),
            None => Err(RecvError::Ended),
        }
    }

    /// Ends a stream regularly.
    pub fn finish(&mut self, at: Half) {
        self.channel(at.node, at.stream.channel())
            .expect("the channel is there")
            .stream(at.stream)
            .finish()
            .expect("not finished yet");
    }

    /// Waits for the end of the sending half of a stream.
    pub fn send_ended(&mut self, at: Half) -> SendEnd {
        self.wait_for("the end of sending", PATIENCE, |world| {
            world.take_event(at.node, |event| match event.channel() {
                Some((_, ChannelEvent::SendEnded { stream, end })) if *stream == at.stream => {
                    Some(*end)
                }
                Some(_) | None => None,
            })
        })
    }

    /// Waits for the end of the receiving half of a stream.
    pub fn recv_ended(&mut self, at: Half) -> RecvEnd {
        self.wait_for("the end of receiving", PATIENCE, |world| {
            world.take_event(at.node, |event| match event.channel() {
                Some((_, ChannelEvent::RecvEnded { stream, end })) if *stream == at.stream => {
                    Some(*end)
                }
                Some(_) | None => None,
            })
        })
    }

    /// A Coordinator, and Clients of these names connected to it.
    pub fn with_clients<const N: usize>(&mut self, names: [&str; N]) -> (NodeId, [NodeId; N]) {
        let coordinator = self.add_coordinator();
        let clients = names.map(|name| {
            let client = self.add_client(name);
            self.connect(client, coordinator);
            client
        });
        (coordinator, clients)
    }

    /// The same, with Clients whose channels go through the Coordinator alone.
    pub fn with_proxied_clients<const N: usize>(
        &mut self,
        names: [&str; N],
    ) -> (NodeId, [NodeId; N]) {
        let coordinator = self.add_coordinator();
        let clients = names.map(|name| {
            let client = self.add_proxied_client(name);
            self.connect(client, coordinator);
            client
        });
        (coordinator, clients)
    }
}

/// What is left at the end.
impl World {
    /// A Client has ended, and nothing is left in it.
    pub fn check_client_ended(&mut self, node: NodeId) {
        let client = self.client(node);
        let (entries, due) = (client_entries(client), client.poll_timeout());
        if !client.is_finished() || entries > 0 || due.is_some() {
            let client = format!("{client:?}");
            self.fail(&format!("{entries} things are left at {node:?}: {client}"));
        }
    }

    /// Nobody is at a Coordinator, and nothing is left of anybody.
    pub fn check_coordinator_deserted(&mut self, node: NodeId) {
        let coordinator = self.coordinator(node);
        let (entries, due) = (coordinator_entries(coordinator), coordinator.poll_timeout());
        if coordinator.clients() > 0 || entries > 0 || due.is_some() {
            let coordinator = format!("{coordinator:?}");
            self.fail(&format!("{entries} things are left: {coordinator}"));
        }
    }
}

/// How long a story waits, in virtual time, for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);
