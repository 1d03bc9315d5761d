//! Streams: what was sent on them, and how they end.

use bytes::Bytes;
use conec_core::{
    Direction, OpenStreamError, RecvEnd, RecvError, SendEnd, SendError, Stream, StreamId,
};

use super::{Run, channels::End, flow::Flow, op::message};
use crate::sim::Half;

pub(super) struct StreamModel {
    pub(super) channel: usize,
    /// At the opener, and at the other end.
    pub(super) halves: [Option<Known>; 2],
    /// From the opener to the other end, and back.
    pub(super) flows: [Option<Flow>; 2],
}

/// A stream at one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    life: usize,
    stream: StreamId,
}

impl Run {
    pub(super) fn open_stream(&mut self, channel: usize, side: u8, direction: Direction) {
        if self.streams.len() >= MAX_STREAMS {
            return;
        }
        self.take_events();
        let (index, side) = (channel % self.channels.len(), usize::from(side % 2));
        let model = &self.channels[index];
        let (open, Some(end)) = (model.is_open() && !model.disturbed, model.ends[side]) else {
            return;
        };
        let Some(node) = self.living(end.life) else {
            return;
        };
        let label = (self.streams.len() as u32).to_be_bytes();
        let channel = self.world.channel(node, end.id);
        match channel.map(|mut channel| channel.open(direction, &label)) {
            Some(Ok(stream)) => {
                let back = match direction {
                    Direction::Bi => Some(Flow::default()),
                    Direction::Uni => None,
                };
                let life = end.life;
                self.streams.push(StreamModel {
                    channel: index,
                    halves: [Some(Known { life, stream }), None],
                    flows: [Some(Flow::default()), back],
                });
            }
            Some(Err(OpenStreamError::Blocked)) => {}
            Some(Err(error)) if open => self.fail(&format!("cannot open a stream: {error}")),
            Some(Err(_)) | None => {}
        }
    }

    pub(super) fn send(&mut self, stream: usize, side: u8, size: u8) {
        let Some((index, side)) = self.pick(stream, side) else {
            return;
        };
        let (Some(half), Some(flow)) = (self.half(index, side), &self.streams[index].flows[side])
        else {
            return;
        };
        let message = message(index, side, flow.sent.len(), size);
        let ended = flow.is_over();
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
                let lagging = self.streams[index].halves[side]
                    .is_some_and(|known| self.lives[known.life].lagging);
                let flow = &self.streams[index].flows[side];
                let over = flow.as_ref().is_some_and(Flow::is_over);
                if !over && !lagging {
                    self.fail("a stream says that it has ended, but no event did");
                }
            }
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Receives up to `count` messages at the far end of a flow.
    pub(super) fn recv(&mut self, index: usize, side: usize, count: usize) -> bool {
        let mut any = false;
        for _ in 0..count {
            let (Some(half), Some(flow)) = (
                self.half(index, 1 - side),
                &mut self.streams[index].flows[side],
            ) else {
                break;
            };
            let mut received = self.world.try_recv(half);
            if let Err(RecvError::Lagged(lagged)) = received {
                if !flow.lag(lagged) {
                    self.fail(&format!(
                        "stream {index}, side {side}: {lagged} messages are said to be dropped"
                    ));
                }
                received = self.world.try_recv(half);
                if received.is_err() {
                    self.fail(&format!(
                        "stream {index}, side {side}: no message follows those that were dropped"
                    ));
                }
            }
            let Ok(received) = received else {
                break;
            };
            any = true;
            let number = flow.received;
            if !flow.receive(&received) {
                self.fail(&format!(
                    "stream {index}, side {side}: message {number} is wrong"
                ));
            }
        }
        any
    }

    /// Does something at the sender of a flow, or at its reader.
    pub(super) fn on_flow(
        &mut self,
        stream: u8,
        side: u8,
        at_reader: bool,
        act: impl FnOnce(&mut Stream<'_>, &mut Flow),
    ) {
        let Some((index, side)) = self.pick(stream.into(), side) else {
            return;
        };
        let near = if at_reader { 1 - side } else { side };
        if let Some(half) = self.half(index, near)
            && let Some(flow) = &mut self.streams[index].flows[side]
            && let Some(mut channel) = self.world.channel(half.node, half.stream.channel())
        {
            act(&mut channel.stream(half.stream), flow);
        }
    }

    /// A flow that exists: which stream, and on which side its sender is.
    pub(super) fn pick(&self, stream: usize, side: u8) -> Option<(usize, usize)> {
        let stream = stream.checked_rem(self.streams.len())?;
        Some((stream, usize::from(side % 2)))
    }

    /// Where a half can be used, if it can.
    fn half(&self, index: usize, side: usize) -> Option<Half> {
        let Known { life, stream } = self.streams[index].halves[side]?;
        let node = self.living(life)?;
        Some(Half { node, stream })
    }

    pub(super) fn stream_opened(
        &mut self,
        life: usize,
        channel: usize,
        stream: StreamId,
        label: &Bytes,
    ) {
        let number = label[..].try_into().map(u32::from_be_bytes);
        let number = number.map_or(usize::MAX, |number| number as usize);
        let Some(model) = self.streams.get_mut(number) else {
            self.fail("a stream of an unknown label");
        };
        let twice = model.halves[1].replace(Known { life, stream }).is_some();
        if twice || model.channel != channel {
            self.fail("a stream opened twice, or on another channel");
        }
    }

    pub(super) fn readable(&self, life: usize, stream: StreamId) {
        let (index, side) = self.find_half(life, stream);
        let flow = self.streams[index].flows[1 - side].as_ref();
        if flow.is_none_or(|flow| flow.recv_end.is_some()) {
            self.fail("a half that has ended, or never was, can be read");
        }
    }

    pub(super) fn writable(&self, life: usize, stream: StreamId) {
        let (index, side) = self.find_half(life, stream);
        let flow = self.streams[index].flows[side].as_ref();
        if flow.is_none_or(|flow| flow.send_end.is_some()) {
            self.fail("a half that has ended, or never was, can be written");
        }
    }

    pub(super) fn send_ended(&mut self, life: usize, stream: StreamId, end: SendEnd) {
        let (index, side) = self.find_half(life, stream);
        let Some(flow) = &mut self.streams[index].flows[side] else {
            self.fail("the end of a half that never was");
        };
        if !flow.send_ended(end) {
            self.fail(&format!(
                "stream {index}, side {side}: sending ended so: {end:?}"
            ));
        }
    }

    pub(super) fn recv_ended(&mut self, life: usize, stream: StreamId, end: RecvEnd) {
        let (index, side) = self.find_half(life, stream);
        let unseen = self.streams[index].halves[1].is_none();
        let Some(flow) = &mut self.streams[index].flows[1 - side] else {
            self.fail("the end of a half that never was");
        };
        if !flow.recv_ended(end, unseen) {
            self.fail(&format!(
                "stream {index}, side {side}: receiving ended so: {end:?}"
            ));
        }
    }

    fn find_half(&self, life: usize, stream: StreamId) -> (usize, usize) {
        let half = Some(Known { life, stream });
        let streams = self.streams.iter().enumerate();
        let found = streams.rev().find_map(|(index, model)| {
            let side = model.halves.iter().position(|&it| it == half)?;
            Some((index, side))
        });
        found.unwrap_or_else(|| self.fail("an event of an unknown stream"))
    }

    /// With the end of a channel, all its halves there have ended.
    pub(super) fn check_halves_ended(&self, channel: usize, end: End) {
        let streams = self.streams.iter().enumerate();
        for (index, stream) in streams.filter(|(_, stream)| stream.channel == channel) {
            for side in 0..2 {
                let here = stream.halves[side]
                    .is_some_and(|half| half.life == end.life && half.stream.channel() == end.id);
                let sends = stream.flows[side].as_ref();
                let receives = stream.flows[1 - side].as_ref();
                if here
                    && (sends.is_some_and(|flow| flow.send_end.is_none())
                        || receives.is_some_and(|flow| flow.recv_end.is_none()))
                {
                    self.fail(&format!("stream {index} outlives its channel"));
                }
            }
        }
    }
}

const MAX_STREAMS: usize = 40;
