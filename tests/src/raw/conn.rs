//! What a raw endpoint keeps of a connection.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use bytes::Bytes;
use quinn_proto::{
    Connection, ConnectionError, ConnectionHandle, Dir, Event, ReadError, StreamEvent, StreamId,
    VarInt, WriteError,
};

use super::End;

pub(super) struct Conn {
    pub(super) conn: Box<Connection>,
    pub(super) engine: usize,
    pub(super) handle: ConnectionHandle,
    pub(super) via: Option<SocketAddr>,
    pub(super) connected: bool,
    pub(super) end: Option<End>,
    pub(super) gone: bool,
    pub(super) reading: bool,
    pub(super) received: BTreeMap<u64, Received>,
    pub(super) control_read: usize,
    pub(super) pending: BTreeMap<u64, Pending>,
    pub(super) stopped: BTreeMap<u64, u64>,
    pub(super) opened: VecDeque<u64>,
    pub(super) datagrams: VecDeque<Bytes>,
}

/// What came on one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// All of its bytes so far.
    pub bytes: Vec<u8>,
    /// It has ended regularly.
    pub finished: bool,
    /// It was reset with this code.
    pub reset: Option<u64>,
}

#[derive(Default)]
pub(super) struct Pending {
    pub(super) bytes: VecDeque<Bytes>,
    pub(super) finish: bool,
}

impl Conn {
    /// Whether a stream can be written here: not if it is the other side's, in one direction.
    pub(super) fn can_write(&self, stream: u64) -> bool {
        let id = stream_id(stream);
        id.dir() == Dir::Bi || id.initiator() == self.conn.side()
    }

    pub(super) fn can_read(&self, stream: u64) -> bool {
        let id = stream_id(stream);
        id.dir() == Dir::Bi || id.initiator() != self.conn.side()
    }

    pub(super) fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = true,
            Event::ConnectionLost { reason } => {
                self.end.get_or_insert_with(|| end(reason));
            }
            Event::Stream(StreamEvent::Opened { .. } | StreamEvent::Readable { .. }) => self.read(),
            Event::Stream(StreamEvent::Stopped { id, error_code }) => {
                self.stopped
                    .insert(VarInt::from(id).into_inner(), error_code.into_inner());
                self.pending.remove(&VarInt::from(id).into_inner());
            }
            Event::DatagramReceived => {
                while self.reading
                    && let Some(datagram) = self.conn.datagrams().recv()
                {
                    self.datagrams.push_back(datagram);
                }
            }
            Event::HandshakeDataReady
            | Event::DatagramsUnblocked
            | Event::Stream(
                StreamEvent::Writable { .. }
                | StreamEvent::Finished { .. }
                | StreamEvent::Available { .. },
            ) => {}
        }
    }

    pub(super) fn read(&mut self) {
        if !self.reading {
            return;
        }
        for dir in [Dir::Bi, Dir::Uni] {
            while let Some(id) = self.conn.streams().accept(dir) {
                let id = VarInt::from(id).into_inner();
                self.received.entry(id).or_default();
                self.opened.push_back(id);
            }
        }
        for (&id, received) in &mut self.received {
            if received.finished || received.reset.is_some() {
                continue;
            }
            let mut stream = self.conn.recv_stream(stream_id(id));
            let Ok(mut chunks) = stream.read(true) else {
                continue;
            };
            loop {
                match chunks.next(usize::MAX) {
                    Ok(Some(chunk)) => received.bytes.extend_from_slice(&chunk.bytes),
                    Ok(None) => {
                        received.finished = true;
                        break;
                    }
                    Err(ReadError::Reset(code)) => {
                        received.reset = Some(code.into_inner());
                        break;
                    }
                    Err(ReadError::Blocked) => break,
                }
            }
            let _ = chunks.finalize();
        }
    }

    pub(super) fn flush(&mut self) {
        if !self.connected {
            return;
        }
        let mut done = Vec::new();
        for (&id, pending) in &mut self.pending {
            let mut stream = self.conn.send_stream(stream_id(id));
            let over = loop {
                if pending.bytes.is_empty() {
                    if pending.finish {
                        let _ = stream.finish();
                    }
                    break true;
                }
                let chunks = pending.bytes.make_contiguous();
                match stream.write_chunks(chunks) {
                    Ok(_) => {
                        while pending.bytes.front().is_some_and(Bytes::is_empty) {
                            pending.bytes.pop_front();
                        }
                    }
                    Err(WriteError::Blocked) => break false,
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => break true,
                }
            };
            if over {
                done.push(id);
            }
        }
        for id in done {
            self.pending.remove(&id);
        }
    }
}

fn end(reason: ConnectionError) -> End {
    match reason {
        ConnectionError::VersionMismatch => End::Version,
        ConnectionError::TransportError(error) => End::Found(error.code.into()),
        ConnectionError::ConnectionClosed(close) => End::Transport(close.error_code.into()),
        ConnectionError::ApplicationClosed(close) => {
            End::Application(close.error_code.into_inner())
        }
        ConnectionError::Reset => End::Reset,
        ConnectionError::TimedOut => End::TimedOut,
        ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => End::Local,
    }
}

pub(super) fn stream_id(index: u64) -> StreamId {
    StreamId::from(VarInt::from_u64(index).expect("below 2^62"))
}
