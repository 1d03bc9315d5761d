//! Streams: what was sent on them, and how they end.

use bytes::Bytes;
use conec_core::{Code, Direction, OpenStreamError, RecvEnd, SendEnd, SendError, StreamId};

use super::{Run, channels::End};
use crate::model::{flow::Flow, op::message};

pub(super) struct StreamModel {
    pub(super) channel: usize,
    /// At which end it was opened.
    opener: usize,
    /// At the opener, and at the other end.
    halves: [Option<StreamId>; 2],
    /// From the opener to the other end, and back.
    flows: [Option<Flow>; 2],
}

impl StreamModel {
    /// The end at which a half is, or the half that is at an end.
    fn other_way(&self, number: usize) -> usize {
        self.opener ^ number
    }

    /// What is not complete.
    pub(super) fn missing(&self) -> Option<String> {
        let unseen = self.halves[1].is_none();
        let flows = self.flows.iter().flatten();
        let missing = flows.filter(|flow| !flow.is_complete(unseen));
        missing.map(describe).next()
    }
}

fn describe(flow: &Flow) -> String {
    let (received, sent) = (flow.received, flow.sent.len());
    let (here, there) = (flow.send_end, flow.recv_end);
    format!("{received} of {sent} received, ends {here:?} and {there:?}")
}

impl Run {
    pub(super) fn open_stream(&mut self, end: End, direction: Direction) -> Option<usize> {
        let (index, side) = end;
        let channel = &self.channels[index];
        let is_open = channel.opened[side] && channel.is_left(side) && !channel.closing[side];
        if !is_open {
            return None;
        }
        let number = self.streams.len();
        let label = (number as u32).to_be_bytes();
        match self.channel_at(end)?.open(direction, &label) {
            Ok(stream) => {
                let back = match direction {
                    Direction::Bi => Some(Flow::default()),
                    Direction::Uni => None,
                };
                self.streams.push(StreamModel {
                    channel: index,
                    opener: side,
                    halves: [Some(stream), None],
                    flows: [Some(Flow::default()), back],
                });
                Some(number)
            }
            Err(OpenStreamError::Blocked) => None,
            Err(error) => self.fail(&format!("cannot open a stream: {error}")),
        }
    }

    /// Sends a message on a stream of its own.
    pub(super) fn send_alone(&mut self, end: End) {
        if let Some(stream) = self.open_stream(end, Direction::Uni) {
            self.send_on(stream, 0, 50);
            self.finish_flow(stream, 0);
        }
    }

    pub(super) fn send(&mut self, stream: u8, half: u8, size: u8) {
        if let Some((stream, half)) = self.pick(stream, half) {
            self.send_on(stream, half, size.min(LARGEST));
        }
    }

    fn send_on(&mut self, stream: usize, half: usize, size: u8) {
        let Some(flow) = &self.streams[stream].flows[half] else {
            return;
        };
        let is_over = flow.is_over();
        let message = message(stream, half, flow.sent.len(), size);
        match self.on_half(stream, half, |it| it.send(message.clone())) {
            Some(Ok(())) if is_over => self.fail("a message was taken after the end"),
            Some(Ok(())) => {
                if let Some(flow) = &mut self.streams[stream].flows[half] {
                    flow.sent.push(message);
                }
            }
            Some(Err(SendError::Ended)) if !is_over => {
                self.fail("a stream says that it has ended, but no event did");
            }
            Some(Err(SendError::Ended | SendError::Blocked)) | None => {}
            Some(Err(error)) => self.fail(&error.to_string()),
        }
    }

    pub(super) fn finish_stream(&mut self, stream: u8, half: u8) {
        if let Some((stream, half)) = self.pick(stream, half) {
            self.finish_flow(stream, half);
        }
    }

    pub(super) fn reset_stream(&mut self, stream: u8, half: u8, code: Code) {
        if let Some((stream, half)) = self.pick(stream, half)
            && let Some(Ok(())) = self.on_half(stream, half, |it| it.reset(code))
            && let Some(flow) = &mut self.streams[stream].flows[half]
        {
            flow.reset = Some(code);
        }
    }

    fn finish_flow(&mut self, stream: usize, half: usize) {
        if let Some(Ok(())) = self.on_half(stream, half, |it| it.finish())
            && let Some(flow) = &mut self.streams[stream].flows[half]
        {
            flow.finished = true;
        }
    }

    /// Finishes all that is sent at an end.
    pub(super) fn finish_all(&mut self, (index, side): End) {
        for stream in 0..self.streams.len() {
            if self.streams[stream].channel == index {
                let half = self.streams[stream].other_way(side);
                self.finish_flow(stream, half);
            }
        }
    }

    /// Does something with a half that can send, if there is one.
    fn on_half<T>(
        &mut self,
        stream: usize,
        half: usize,
        act: impl FnOnce(&mut conec_core::Stream<'_>) -> T,
    ) -> Option<T> {
        let model = &self.streams[stream];
        let (end, id) = ((model.channel, model.other_way(half)), model.halves[half]?);
        model.flows[half].as_ref()?;
        if !self.is_left(end) {
            return None;
        }
        let mut channel = self.channel_at(end)?;
        Some(act(&mut channel.stream(id)))
    }

    /// A flow that numbers name.
    fn pick(&self, stream: u8, half: u8) -> Option<(usize, usize)> {
        let stream = usize::from(stream).checked_rem(self.streams.len())?;
        Some((stream, usize::from(half % 2)))
    }

    pub(super) fn stream_opened(&mut self, end: End, stream: StreamId, label: &Bytes) {
        let (index, side) = end;
        let number = label[..].try_into().map(u32::from_be_bytes);
        let number = number.map_or(usize::MAX, |number| number as usize);
        let Some(model) = self.streams.get_mut(number) else {
            self.fail("a stream of an unknown label");
        };
        let is_meant = (model.channel, 1 - model.opener) == end;
        if model.halves[1].replace(stream).is_some() || !is_meant {
            self.fail("a stream opened twice, or on another channel");
        }
        if self.channels[index].closing[side] {
            self.finish_flow(number, 1);
        }
    }

    /// Receives all that is there.
    pub(super) fn read(&mut self, end: End, stream: StreamId) {
        let (number, half) = self.find_half(end, stream);
        while let Some(mut channel) = self.channel_at(end)
            && let Ok(message) = channel.stream(stream).recv()
        {
            let flow = self.streams[number].flows[1 - half].as_mut();
            if !flow.is_some_and(|flow| flow.recv_end.is_none() && flow.receive(&message)) {
                self.fail(&format!("a message on stream {number} is wrong"));
            }
        }
    }

    pub(super) fn writable(&self, end: End, stream: StreamId) {
        let (number, half) = self.find_half(end, stream);
        let flow = self.streams[number].flows[half].as_ref();
        if flow.is_none_or(|flow| flow.send_end.is_some()) {
            self.fail("a half that has ended, or never was, can be written");
        }
    }

    pub(super) fn send_ended(&mut self, end: End, stream: StreamId, how: SendEnd) {
        let (number, half) = self.find_half(end, stream);
        let flow = self.streams[number].flows[half].as_mut();
        if !flow.is_some_and(|flow| flow.send_ended(how)) {
            self.fail(&format!("sending on stream {number} ended so: {how:?}"));
        }
    }

    pub(super) fn recv_ended(&mut self, end: End, stream: StreamId, how: RecvEnd) {
        let (number, half) = self.find_half(end, stream);
        let unseen = self.streams[number].halves[1].is_none();
        let flow = self.streams[number].flows[1 - half].as_mut();
        if !flow.is_some_and(|flow| flow.recv_ended(how, unseen)) {
            self.fail(&format!("receiving on stream {number} ended so: {how:?}"));
        }
    }

    fn find_half(&self, (index, side): End, stream: StreamId) -> (usize, usize) {
        let streams = self.streams.iter().enumerate();
        let found = streams
            .rev()
            .filter(|(_, model)| model.channel == index)
            .find_map(|(number, model)| {
                let half = model.other_way(side);
                (model.halves[half] == Some(stream)).then_some((number, half))
            });
        found.unwrap_or_else(|| self.fail("an event of an unknown stream"))
    }

    /// With the end of a channel, all its halves there have ended.
    pub(super) fn check_halves_ended(&self, (index, side): End) {
        let streams = self.streams.iter().enumerate();
        for (number, stream) in streams.filter(|(_, it)| it.channel == index) {
            let half = stream.other_way(side);
            let sends = stream.flows[half].as_ref();
            let receives = stream.flows[1 - half].as_ref();
            let goes_on = sends.is_some_and(|flow| flow.send_end.is_none())
                || receives.is_some_and(|flow| flow.recv_end.is_none());
            if stream.halves[half].is_some() && goes_on {
                self.fail(&format!("stream {number} outlives its channel"));
            }
        }
    }

    /// What has not arrived on a channel.
    pub(super) fn missing_on(&self, index: usize) -> Option<String> {
        let streams = self.streams.iter().enumerate();
        streams
            .filter(|(_, stream)| stream.channel == index)
            .find_map(|(number, stream)| {
                let missing = stream.missing()?;
                Some(format!("channel {index}, stream {number}: {missing}"))
            })
    }
}

/// 29,000 bytes.
const LARGEST: u8 = 229;
