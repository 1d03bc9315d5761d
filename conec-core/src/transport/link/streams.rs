//! A link's streams.

use bytes::Bytes;
use quinn_proto::{ReadError, StreamEvent};

use super::{
    CONTROL, Link,
    convert::{dir, direction, id, index, varint},
};
use crate::{
    Direction,
    error::WireCode,
    transport::{
        event::{LinkEvent, Read},
        outgoing::{Gathered, engine_priority},
    },
};

impl Link {
    /// Opens a stream, if the other side allows another.
    pub(crate) fn open(&mut self, direction: Direction) -> Option<u64> {
        let Some(stream) = self.conn.streams().open(dir(direction)) else {
            self.short_of_streams.get_or_insert_default();
            self.hasten_streams();
            return None;
        };
        self.opened[direction as usize] = stream.index() + 1;
        let stream = index(stream);
        if direction == Direction::Bi {
            self.incoming.begin(stream);
        }
        Some(stream)
    }

    /// How many more streams the other side lets this one open now.
    pub(crate) fn available(&self, direction: Direction) -> u64 {
        let allowed = self.observer.streams(direction);
        allowed.saturating_sub(self.opened[direction as usize])
    }

    /// The next stream that the other side has opened.
    pub(crate) fn accept(&mut self, direction: Direction) -> Option<u64> {
        self.next_incoming(dir(direction))
    }

    /// Adds bytes, with others in front, to what waits to be sent on a stream.
    pub(crate) fn write(&mut self, stream: u64, front: &[u8], bytes: Bytes) {
        if !self.closed {
            self.outgoing(stream).bytes.push(front, &bytes);
            self.line_up(stream);
        }
    }

    /// Adds bytes that were gathered before to what waits to be sent on a stream.
    pub(crate) fn write_gathered(&mut self, stream: u64, bytes: &mut Gathered) {
        if !self.closed {
            self.outgoing(stream).bytes.append(bytes);
            self.line_up(stream);
        }
    }

    /// How many bytes wait to be sent on a stream.
    pub(crate) fn backlog(&self, stream: u64) -> usize {
        self.outgoing
            .get(&stream)
            .map_or(0, |outgoing| outgoing.bytes.len())
    }

    /// The end of what waits to be sent on a stream: nobody else has a part of this memory once it is acknowledged, with all before it, or
    /// the stream is over.
    pub(crate) fn mark(&mut self, stream: u64) -> Option<Bytes> {
        self.outgoing.get_mut(&stream)?.bytes.mark()
    }

    /// Asks for [`LinkEvent::Flushed`] once less than `mark` bytes wait on a stream where more do now.
    pub(crate) fn notify_below(&mut self, stream: u64, mark: usize) {
        if let Some(outgoing) = self.outgoing.get_mut(&stream) {
            outgoing.mark = Some(mark);
        }
    }

    /// Ends a stream after what waits. [`LinkEvent::Finished`] follows.
    pub(crate) fn finish(&mut self, stream: u64) {
        if !self.closed {
            self.outgoing(stream).finished = true;
            self.line_up(stream);
        }
    }

    /// Sets the priority of what is sent on a stream, 0 at first. What the engine has got already keeps its place.
    pub(crate) fn set_priority(&mut self, stream: u64, priority: i8) {
        let priority = engine_priority(priority, false);
        // Fails when the stream has ended already.
        let _ = self.conn.send_stream(id(stream)).set_priority(priority);
        if let Some(outgoing) = self.outgoing.get_mut(&stream) {
            outgoing.engine_priority = priority;
        }
    }

    /// Ends a stream at once; what waits is dropped.
    pub(crate) fn reset(&mut self, stream: u64, code: WireCode) {
        self.outgoing.remove(&stream);
        self.end_message(stream);
        // Fails when the stream has ended already, which is as good.
        let _ = self.conn.send_stream(id(stream)).reset(varint(code));
    }

    /// Tells the other side to send no more on a stream.
    pub(crate) fn stop(&mut self, stream: u64, code: WireCode) {
        self.end_incoming(stream);
        let _ = self.conn.recv_stream(id(stream)).stop(varint(code));
    }

    /// With what the other side has told this one to send no more on a stream that this side can send on, if it has.
    pub(crate) fn stop_code(&mut self, stream: u64) -> Option<WireCode> {
        let stopped = self.conn.send_stream(id(stream)).stopped().ok().flatten();
        stopped.map(|code| WireCode::from_wire(code.into_inner()))
    }

    /// Reads a stream, piece by piece, as long as `take` wants more.
    pub(crate) fn read(&mut self, stream: u64, mut take: impl FnMut(&[u8]) -> bool) -> Read {
        let mut taken = 0;
        let read = match self.read_aside(stream, &mut taken, &mut take) {
            Some(read) => read,
            None => self.read_in_order(stream, &mut taken, take),
        };
        if matches!(read, Read::Finished | Read::Reset(_)) {
            self.end_incoming(stream);
        }
        if stream != CONTROL {
            self.activity += taken;
        }
        read
    }

    fn read_in_order(
        &mut self,
        stream: u64,
        taken: &mut u64,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Read {
        let mut incoming = self.conn.recv_stream(id(stream));
        let Ok(mut chunks) = incoming.read(true) else {
            return Read::Finished;
        };
        let mut position = None;
        let read = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    *taken += 1;
                    position = Some(chunk.offset + chunk.bytes.len() as u64);
                    if !take(&chunk.bytes) {
                        break Read::Enough;
                    }
                }
                Ok(None) => break Read::Finished,
                Err(ReadError::Blocked) => break Read::Blocked,
                Err(ReadError::Reset(code)) => {
                    break Read::Reset(WireCode::from_wire(code.into_inner()));
                }
            }
        };
        // The link is looked after anyway, since it was borrowed.
        let _ = chunks.finalize();
        if let Some(position) = position {
            let bytes = self.incoming.read_up_to(stream, position);
            self.give_back(stream, bytes);
        }
        read
    }

    pub(super) fn collect_stream_event(&mut self, event: StreamEvent) {
        let event = match event {
            StreamEvent::Opened { dir } => LinkEvent::Opened(direction(dir)),
            StreamEvent::Available { dir } => {
                self.short_of_streams = None;
                LinkEvent::Available(direction(dir))
            }
            StreamEvent::Readable { id } => {
                self.relieve(index(id));
                LinkEvent::Readable(index(id))
            }
            StreamEvent::Finished { id } => LinkEvent::Finished(index(id)),
            StreamEvent::Stopped { id, error_code } => {
                LinkEvent::Stopped(index(id), WireCode::from_wire(error_code.into_inner()))
            }
            StreamEvent::Writable { id } => {
                self.begun.unblock(index(id));
                return self.line_up(index(id));
            }
        };
        // Every packet of a batch makes the same news.
        if self.events.back() != Some(&event) {
            self.events.push_back(event);
        }
    }
}
