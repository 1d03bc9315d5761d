//! A reference model of what users can observe, and random operations against it and a world at once.
//!
//! The model knows what was sent on each stream, who ended what, and so what may be received and which ends may be
//! reported. [`Run::apply`] does one operation; [`Run::finish`] ends all faults, sees that everything pending completes,
//! closes everything, and sees that nothing is left.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ChannelId, ClientEvent, CloseReason, Code, Direction, Endpoint, ErrorCode,
    RecvEnd, SendEnd, SendError, StreamId,
};

use crate::sim::{At, Burst, Event, Half, LinkConfig, NodeId, World};

/// What can be done. Numbers name things modulo how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// One Client opens a channel to another, or to itself.
    OpenChannel(u8, u8),
    /// A stream is opened at one end of a channel.
    OpenStream(u8, u8, Direction),
    /// A message of a size that the number stands for is sent on a stream, one way or the other.
    Send(u8, u8, u8),
    /// Messages are received on a stream.
    Recv(u8, u8, u8),
    /// A direction of a stream is finished.
    Finish(u8, u8),
    /// A direction of a stream is reset.
    Reset(u8, u8, u8),
    /// A direction of a stream is stopped by its reader.
    Stop(u8, u8, u8),
    /// A channel is closed gracefully from one end, with so many seconds of patience.
    Close(u8, u8, u8),
    /// A channel is aborted from one end.
    Abort(u8, u8, u8),
    /// A Client leaves gracefully.
    Leave(u8),
    /// A Client crashes.
    Crash(u8),
    /// A Client's address changes.
    Rebind(u8, u8),
    /// The network becomes like this.
    Faults(u8),
    /// Time passes: so many hundredths of a second.
    Wait(u8),
}

impl Op {
    /// The operation that four bytes stand for. All of them stand for one.
    pub fn from_bytes([kind, a, b, c]: [u8; 4]) -> Self {
        match kind % 64 {
            0..4 => Self::OpenChannel(a, b),
            4..12 => Self::OpenStream(
                a,
                b,
                if c % 2 == 0 {
                    Direction::Bi
                } else {
                    Direction::Uni
                },
            ),
            12..30 => Self::Send(a, b, c),
            30..44 => Self::Recv(a, b, c),
            44..48 => Self::Finish(a, b),
            48..50 => Self::Reset(a, b, c),
            50..52 => Self::Stop(a, b, c),
            52 => Self::Close(a, b, c),
            53 => Self::Abort(a, b, c),
            54 if c < 32 => Self::Leave(a),
            55 if c < 32 => Self::Crash(a),
            54..57 => Self::Rebind(a, b),
            57..59 => Self::Faults(a),
            _ => Self::Wait(a),
        }
    }
}

/// A world and its model.
pub struct Run {
    /// The world.
    pub world: World,
    coordinator: NodeId,
    clients: Vec<ClientModel>,
    channels: Vec<ChannelModel>,
    streams: Vec<StreamModel>,
}

struct ClientModel {
    node: NodeId,
    /// It has left or crashed.
    gone: bool,
    crashed: bool,
}

struct ChannelModel {
    ends: [Option<At>; 2],
    clients: [usize; 2],
    opened: [bool; 2],
    closed: [Option<CloseReason>; 2],
    /// Somebody did something that may end it.
    disturbed: bool,
}

struct StreamModel {
    channel: usize,
    /// At the opener, and at the other end.
    halves: [Option<Half>; 2],
    /// From the opener to the other end, and back.
    flows: [Option<Flow>; 2],
}

#[derive(Default)]
struct Flow {
    sent: Vec<Bytes>,
    received: usize,
    finished: bool,
    reset: Option<Code>,
    stopped: Option<Code>,
    send_end: Option<SendEnd>,
    recv_end: Option<RecvEnd>,
}

impl Run {
    /// Three connected Clients.
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let (coordinator, nodes) = world.with_clients(["a", "b", "c"]);
        let clients = nodes
            .into_iter()
            .map(|node| ClientModel {
                node,
                gone: false,
                crashed: false,
            })
            .collect();
        Self {
            world,
            coordinator,
            clients,
            channels: Vec::new(),
            streams: Vec::new(),
        }
    }

    /// Does one operation, and checks what has come of it and of those before.
    pub fn apply(&mut self, op: Op) {
        match op {
            Op::OpenChannel(from, to) => self.open_channel(from.into(), to.into()),
            Op::OpenStream(channel, side, direction) => {
                self.open_stream(channel.into(), side, direction);
            }
            Op::Send(stream, side, size) => self.send(stream.into(), side, size),
            Op::Recv(stream, side, count) => {
                if let Some((stream, side)) = self.pick(stream.into(), side) {
                    self.recv(stream, side, 1 + usize::from(count % 8));
                }
            }
            Op::Finish(stream, side) => self.on_flow(stream, side, false, |stream, flow| {
                if stream.finish().is_ok() {
                    flow.finished = true;
                }
            }),
            Op::Reset(stream, side, code) => self.on_flow(stream, side, false, |stream, flow| {
                if stream.reset(Code(code.into())).is_ok() {
                    flow.reset = Some(Code(code.into()));
                }
            }),
            Op::Stop(stream, side, code) => self.on_flow(stream, side, true, |stream, flow| {
                if stream.stop(Code(code.into())).is_ok() {
                    flow.stopped = Some(Code(code.into()));
                }
            }),
            Op::Close(channel, side, patience) => {
                let patience = Duration::from_secs(u64::from(patience % 20));
                self.on_channel(channel, side, |channel, now| channel.close(now, patience));
            }
            Op::Abort(channel, side, code) => {
                self.on_channel(channel, side, |channel, now| {
                    channel.abort(now, Code(code.into()));
                });
            }
            Op::Leave(client) => self.leave(client.into(), Duration::from_secs(10)),
            Op::Crash(client) => self.crash(client.into()),
            Op::Rebind(client, port) => {
                let client = usize::from(client) % self.clients.len();
                // While a channel is being set up nothing is sent for long, so a move can outlast the patience for it.
                self.take_events();
                for channel in &mut self.channels {
                    channel.disturbed |=
                        channel.clients.contains(&client) && channel.opened != [true; 2];
                }
                let node = self.clients[client].node;
                let address = (self.world.address(node).ip(), 6000 + u16::from(port)).into();
                self.world.rebind(node, address);
            }
            Op::Faults(kind) => self.world.network.set_all(&faults(kind)),
            Op::Wait(time) => self
                .world
                .run_for(Duration::from_millis(10 * u64::from(time))),
        }
        self.take_events();
    }

    /// Ends all faults, completes everything, closes everything, and checks that nothing is left.
    pub fn finish(mut self) {
        self.world.network.set_all(&LinkConfig::default());
        self.settle();
        self.check_completed();
        for client in 0..self.clients.len() {
            self.leave(client, Duration::from_secs(5));
        }
        self.world.run_for(Duration::from_secs(100));
        self.take_events();
        self.check_nothing_left();
    }

    fn open_channel(&mut self, from: usize, to: usize) {
        let (from, to) = (from % self.clients.len(), to % self.clients.len());
        if self.clients[from].gone || self.channels.len() >= MAX_CHANNELS {
            return;
        }
        let label = (self.channels.len() as u32).to_be_bytes();
        let id = self.world.client(self.clients[to].node).id();
        let now = self.world.now();
        let node = self.clients[from].node;
        match self.world.client(node).open_channel(now, id, &label) {
            Ok(channel) => self.channels.push(ChannelModel {
                ends: [Some(At { node, channel }), None],
                clients: [from, to],
                opened: [false; 2],
                closed: [None; 2],
                disturbed: self.clients[to].gone,
            }),
            Err(error) => self.fail(&format!("cannot ask for a channel: {error}")),
        }
    }

    fn open_stream(&mut self, channel: usize, side: u8, direction: Direction) {
        if self.channels.is_empty() || self.streams.len() >= MAX_STREAMS {
            return;
        }
        let channel = channel % self.channels.len();
        let side = usize::from(side % 2);
        let model = &self.channels[channel];
        let Some(at) = model.ends[side].filter(|_| !self.crashed(channel, side)) else {
            return;
        };
        let label = (self.streams.len() as u32).to_be_bytes();
        let opened = self
            .world
            .channel(at.node, at.channel)
            .and_then(|mut channel| channel.open(direction, &label).ok());
        if let Some(stream) = opened {
            let node = at.node;
            let back = match direction {
                Direction::Bi => Some(Flow::default()),
                Direction::Uni => None,
            };
            // The opener is remembered by where the first half is.
            self.streams.push(StreamModel {
                channel,
                halves: [Some(Half { node, stream }), None],
                flows: [Some(Flow::default()), back],
            });
        }
    }

    fn send(&mut self, stream: usize, side: u8, size: u8) {
        let Some((index, side)) = self.pick(stream, side) else {
            return;
        };
        let stream = &self.streams[index];
        let (Some(half), Some(flow)) = (stream.halves[side], &stream.flows[side]) else {
            return;
        };
        let number = flow.sent.len();
        let message = message(index, side, number, size);
        let ended = flow.finished || flow.reset.is_some() || flow.send_end.is_some();
        match self.world.try_send(half, message.clone()) {
            Ok(()) if ended => self.fail("a message was taken after the end"),
            Ok(()) => {
                if let Some(flow) = &mut self.streams[index].flows[side] {
                    flow.sent.push(message);
                }
            }
            Err(SendError::Blocked) => {}
            Err(SendError::Ended) => {
                self.take_events();
                let flow = &self.streams[index].flows[side];
                let over = flow.as_ref().is_some_and(|flow| {
                    flow.finished || flow.reset.is_some() || flow.send_end.is_some()
                });
                if !over {
                    self.fail("a stream says that it has ended, but no event did");
                }
            }
            Err(error @ SendError::TooLarge { .. }) => self.fail(&error.to_string()),
        }
    }

    /// Receives up to `count` messages at the far end of a flow.
    fn recv(&mut self, index: usize, side: usize, count: usize) -> bool {
        let mut any = false;
        for _ in 0..count {
            let stream = &mut self.streams[index];
            let (Some(half), Some(flow)) = (stream.halves[1 - side], &mut stream.flows[side])
            else {
                break;
            };
            let Ok(received) = self.world.try_recv(half) else {
                break;
            };
            any = true;
            if flow.sent.get(flow.received) != Some(&received) {
                let number = flow.received;
                self.fail(&format!(
                    "stream {index}, side {side}: message {number} is wrong"
                ));
            }
            flow.received += 1;
        }
        any
    }

    fn on_flow(
        &mut self,
        stream: u8,
        side: u8,
        at_reader: bool,
        act: impl FnOnce(&mut conec_core::Stream<'_>, &mut Flow),
    ) {
        let Some((index, side)) = self.pick(stream.into(), side) else {
            return;
        };
        let stream = &mut self.streams[index];
        let near = if at_reader { 1 - side } else { side };
        if let (Some(half), Some(flow)) = (stream.halves[near], &mut stream.flows[side])
            && let Some(mut channel) = self.world.channel(half.node, half.stream.channel())
        {
            act(&mut channel.stream(half.stream), flow);
        }
    }

    fn on_channel(
        &mut self,
        channel: u8,
        side: u8,
        act: impl FnOnce(&mut conec_core::Channel<'_>, std::time::Instant),
    ) {
        if self.channels.is_empty() {
            return;
        }
        let index = usize::from(channel) % self.channels.len();
        let side = usize::from(side % 2);
        let now = self.world.now();
        if let Some(at) = self.channels[index].ends[side]
            && let Some(mut channel) = self.world.channel(at.node, at.channel)
        {
            act(&mut channel, now);
            self.channels[index].disturbed = true;
        }
    }

    fn leave(&mut self, client: usize, patience: Duration) {
        let client = client % self.clients.len();
        let model = &mut self.clients[client];
        if !model.crashed {
            model.gone = true;
            let (now, node) = (self.world.now(), model.node);
            self.world.client(node).close(now, patience);
            self.disturb(client);
        }
    }

    fn crash(&mut self, client: usize) {
        let client = client % self.clients.len();
        self.take_events();
        let model = &mut self.clients[client];
        model.gone = true;
        if !std::mem::replace(&mut model.crashed, true) {
            let node = model.node;
            self.world.crash(node);
            self.disturb(client);
        }
    }

    fn disturb(&mut self, client: usize) {
        for channel in &mut self.channels {
            channel.disturbed |= channel.clients.contains(&client);
        }
    }

    /// A flow that exists: which stream, and on which side its sender is.
    fn pick(&self, stream: usize, side: u8) -> Option<(usize, usize)> {
        if self.streams.is_empty() {
            return None;
        }
        let stream = stream % self.streams.len();
        Some((stream, usize::from(side % 2)))
    }

    fn crashed(&self, channel: usize, side: usize) -> bool {
        self.clients[self.channels[channel].clients[side]].crashed
    }

    /// Compares what the endpoints tell with what the model allows.
    fn take_events(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].crashed {
                continue;
            }
            let node = self.clients[client].node;
            while let Some(event) = self.world.next_event(node) {
                match &event {
                    Event::Client(ClientEvent::Channel { channel, event }) => {
                        self.channel_event(client, *channel, event);
                    }
                    Event::Client(_) | Event::Coordinator(_) => {}
                }
            }
        }
        while self.world.next_event(self.coordinator).is_some() {}
    }

    fn channel_event(&mut self, client: usize, id: ChannelId, event: &ChannelEvent) {
        if id == ChannelId::HOME {
            if let ChannelEvent::Closed { reason } = event
                && !self.clients[client].gone
            {
                self.fail(&format!("a home channel closed by itself: {reason}"));
            }
            return;
        }
        let node = self.clients[client].node;
        let at = At { node, channel: id };
        if matches!(event, ChannelEvent::Opened) {
            return self.opened(at);
        }
        let known = self
            .channels
            .iter()
            .enumerate()
            .find_map(|(index, channel)| {
                let side = channel.ends.iter().position(|&end| end == Some(at))?;
                Some((index, side))
            });
        let Some((index, side)) = known else {
            // An accepted channel that never opened: its end is all that is told of it.
            if !matches!(event, ChannelEvent::Closed { .. }) {
                self.fail(&format!("an event of an unknown channel: {event:?}"));
            }
            return;
        };
        match event {
            ChannelEvent::StreamOpened { stream, label } => {
                let number = label[..].try_into().map(u32::from_be_bytes);
                let number = number.map_or(usize::MAX, |number| number as usize);
                let Some(model) = self.streams.get_mut(number) else {
                    self.fail("a stream of an unknown label");
                };
                let half = Half {
                    node,
                    stream: *stream,
                };
                if model.channel != index || model.halves[1].replace(half).is_some() {
                    self.fail("a stream opened twice, or on another channel");
                }
            }
            ChannelEvent::SendEnded { stream, end } => self.send_ended(node, *stream, *end),
            ChannelEvent::RecvEnded { stream, end } => self.recv_ended(node, *stream, *end),
            ChannelEvent::Closed { reason } => {
                let channel = &mut self.channels[index];
                let twice = channel.closed[side].replace(*reason).is_some();
                if twice || !channel.disturbed {
                    self.fail(&format!(
                        "channel {index} closed by itself, or twice: {reason}"
                    ));
                }
                self.check_halves_ended(index, node);
            }
            ChannelEvent::Opened
            | ChannelEvent::Readable { .. }
            | ChannelEvent::Writable { .. }
            | ChannelEvent::StreamsAvailable { .. }
            | ChannelEvent::DatagramsReadable
            | ChannelEvent::DatagramsWritable
            | ChannelEvent::PathChanged { .. }
            | ChannelEvent::Closing => {}
            _ => self.fail(&format!("an event that the model does not know: {event:?}")),
        }
    }

    fn opened(&mut self, at: At) {
        let label = self
            .world
            .opened_with(at.node, at.channel)
            .map(|peer| peer.label.clone());
        let number = label.and_then(|label| label[..].try_into().ok().map(u32::from_be_bytes));
        let Some(channel) = number.and_then(|number| self.channels.get_mut(number as usize)) else {
            self.fail("an unknown channel opened");
        };
        let side = usize::from(channel.ends[0] != Some(at));
        let as_expected = channel.ends[side].is_none_or(|end| end == at);
        channel.ends[side] = Some(at);
        if std::mem::replace(&mut channel.opened[side], true) || !as_expected {
            self.fail("a channel opened twice");
        }
    }

    fn send_ended(&mut self, node: NodeId, stream: StreamId, end: SendEnd) {
        let (index, side) = self.find_half(node, stream);
        let Some(flow) = &mut self.streams[index].flows[side] else {
            self.fail("the end of a half that never was");
        };
        let allowed = match end {
            SendEnd::Finished => flow.finished && flow.reset.is_none(),
            SendEnd::Stopped(code) => flow.stopped == Some(code),
            SendEnd::Reset => flow.reset.is_some(),
            SendEnd::Closed(_) => true,
            SendEnd::Refused(_) => false,
        };
        if !allowed || flow.send_end.replace(end).is_some() {
            self.fail(&format!(
                "stream {index}, side {side}: sending ended so: {end:?}"
            ));
        }
    }

    fn recv_ended(&mut self, node: NodeId, stream: StreamId, end: RecvEnd) {
        let (index, side) = self.find_half(node, stream);
        // A stream that is reset before its label has arrived is given up by the other side unseen.
        let unseen = self.streams[index].halves[1].is_none();
        let Some(flow) = &mut self.streams[index].flows[1 - side] else {
            self.fail("the end of a half that never was");
        };
        let allowed = match end {
            RecvEnd::Finished => flow.finished && flow.received == flow.sent.len(),
            RecvEnd::Reset(code) => flow.reset == Some(code) || flow.stopped == Some(code),
            RecvEnd::Stopped => flow.stopped.is_some(),
            RecvEnd::Closed(_) => true,
            RecvEnd::Refused(ErrorCode::Dropped) => unseen,
            RecvEnd::Refused(_) | RecvEnd::Truncated | RecvEnd::TooLarge => false,
        };
        if !allowed || flow.recv_end.replace(end).is_some() {
            self.fail(&format!(
                "stream {index}, side {side}: receiving ended so: {end:?}"
            ));
        }
    }

    fn find_half(&self, node: NodeId, stream: StreamId) -> (usize, usize) {
        let half = Half { node, stream };
        let found = self.streams.iter().enumerate().find_map(|(index, model)| {
            let side = model.halves.iter().position(|&it| it == Some(half))?;
            Some((index, side))
        });
        found.unwrap_or_else(|| self.fail("an event of an unknown stream"))
    }

    /// At the end of a channel, all its halves at this node have ended.
    fn check_halves_ended(&self, channel: usize, node: NodeId) {
        let streams = self.streams.iter().enumerate();
        for (index, stream) in streams.filter(|(_, stream)| stream.channel == channel) {
            for side in 0..2 {
                let Some(half) = stream.halves[side] else {
                    continue;
                };
                // In a channel with itself a client has both ends, which end one after the other.
                let ended_channel = self.channels[channel]
                    .ends
                    .iter()
                    .zip(self.channels[channel].closed)
                    .any(|(end, closed)| {
                        closed.is_some()
                            && end.is_some_and(|end| {
                                end.node == node && end.channel == half.stream.channel()
                            })
                    });
                if half.node != node || !ended_channel {
                    continue;
                }
                let sends = stream.flows[side].as_ref();
                let receives = stream.flows[1 - side].as_ref();
                if sends.is_some_and(|flow| flow.send_end.is_none())
                    || receives.is_some_and(|flow| flow.recv_end.is_none())
                {
                    self.fail(&format!("stream {index} outlives its channel"));
                }
            }
        }
    }

    /// Reads everything until nothing moves any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 120 {
            quiet += 1;
            self.take_events();
            for stream in 0..self.streams.len() {
                for side in 0..2 {
                    if self.recv(stream, side, usize::MAX) {
                        quiet = 0;
                    }
                }
            }
            self.world.run_for(Duration::from_millis(500));
        }
        self.take_events();
    }

    /// On channels that nobody disturbed, everything that was sent has arrived, and every end with it.
    fn check_completed(&self) {
        for (index, channel) in self.channels.iter().enumerate() {
            let open = channel.opened == [true; 2] && channel.closed == [None; 2];
            if !channel.disturbed && !open {
                self.fail(&format!("channel {index} did not open"));
            }
            // A crashed opener tells nothing.
            let opener_crashed = self.clients[channel.clients[0]].crashed;
            if !opener_crashed && channel.closed[0].is_none() && !channel.opened[0] {
                self.fail(&format!("channel {index} neither opened nor closed"));
            }
        }
        for (index, stream) in self.streams.iter().enumerate() {
            if self.channels[stream.channel].disturbed {
                continue;
            }
            for flow in stream.flows.iter().flatten() {
                let cut = flow.reset.is_some() || flow.stopped.is_some();
                let complete = flow.received == flow.sent.len()
                    && (!flow.finished
                        || flow.send_end == Some(SendEnd::Finished)
                            && flow.recv_end == Some(RecvEnd::Finished));
                let both_know = flow.send_end.is_some() && flow.recv_end.is_some();
                let unannounced = stream.halves[1].is_none();
                if !(if cut {
                    both_know || unannounced
                } else {
                    complete
                }) {
                    self.fail(&format!(
                        "stream {index} is not complete: {} of {} received, ends {:?} and {:?}",
                        flow.received,
                        flow.sent.len(),
                        flow.send_end,
                        flow.recv_end
                    ));
                }
            }
        }
    }

    fn check_nothing_left(&mut self) {
        for client in 0..self.clients.len() {
            if self.clients[client].crashed {
                continue;
            }
            let node = self.clients[client].node;
            self.world.check_client_ended(node);
        }
        self.world.check_coordinator_deserted(self.coordinator);
    }

    fn fail(&self, why: &str) -> ! {
        self.world.fail(why)
    }
}

fn message(stream: usize, side: usize, number: usize, size: u8) -> Bytes {
    let size = match size {
        0..16 => 0,
        16..128 => usize::from(size),
        128..224 => 40 * usize::from(size),
        224..250 => 1000 * usize::from(size - 200),
        250.. => 1_000_000,
    };
    let tag = stream * 7 + side * 3 + number * 31;
    (0..size).map(|at| (at / 100 + tag) as u8).collect()
}

fn faults(kind: u8) -> LinkConfig {
    match kind % 6 {
        0 => LinkConfig::default(),
        1 => LinkConfig::rough(),
        2 => LinkConfig {
            rate: Some(200_000),
            queue: 30_000,
            ..LinkConfig::default()
        },
        3 => LinkConfig {
            burst: Some(Burst {
                begin: 0.01,
                end: 0.3,
            }),
            ..LinkConfig::default()
        },
        4 => LinkConfig {
            jitter: Duration::from_millis(40),
            reorder: 0.1,
            duplicate: 0.1,
            ..LinkConfig::default()
        },
        _ => LinkConfig {
            delay: Duration::from_millis(150),
            corrupt: 0.02,
            ..LinkConfig::default()
        },
    }
}

const MAX_CHANNELS: usize = 12;
const MAX_STREAMS: usize = 40;
