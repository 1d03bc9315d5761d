//! What other sides send on a link's streams, where much of it is lost.
//!
//! The engine puts streams in order, but it ends the connection when one of them has more than 1024 gaps. On a long fat path
//! as many come about within one round trip. As new bytes are sent in their order, and lost ones again beginning with the
//! lowest, no stream has more gaps than there are between the packets that have come; so those are counted. Before they are
//! too many, everything that the engine keeps is *set aside*: read out of order, and put in order here. From then on the
//! stream is only read so, as the engine knows no way back.
//!
//! The engine takes what is set aside for read, and would let the other side send as much again. So the connection's receive
//! window is smaller by what is set aside.

use std::collections::{BTreeMap, VecDeque};

use quinn_proto::{Connection, Dir, ReadError, VarInt};

use super::{
    Link,
    reassembly::Reassembly,
    streams::{Read, id, index},
};
use crate::error::WireCode;

/// The streams of a link that are received.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    streams: BTreeMap<u64, Receiving>,
    /// Accepted from the engine, but not by the channel.
    early: [VecDeque<u64>; 2],
    /// How many of the streams are set aside, and how many of these have gaps.
    aside: usize,
    with_gaps: usize,
    /// How many bytes are set aside, in how many pieces.
    held: usize,
    pieces: usize,
    /// How many gaps there had been between packets when everything was set aside last.
    gaps: u64,
}

#[derive(Debug, Default)]
struct Receiving {
    /// How many bytes were read.
    position: u64,
    aside: Option<Box<Aside>>,
}

/// A stream that is set aside.
#[derive(Debug)]
struct Aside {
    bytes: Reassembly,
    /// How it ends, once that is known.
    end: Option<Read>,
    /// As what it is counted among all.
    weight: Weight,
}

#[derive(Debug, Default, Clone, Copy)]
struct Weight {
    held: usize,
    pieces: usize,
    has_gaps: bool,
}

/// Takes bytes, and tells whether it wants more.
type Reader<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// Why no more was taken from the engine.
enum Taken {
    /// It may have more.
    Some,
    All,
    /// The reader has enough.
    Enough,
}

impl Incoming {
    /// A stream is received from now on.
    pub(super) fn begin(&mut self, stream: u64) {
        self.streams.insert(stream, Receiving::default());
    }

    /// So many bytes of a stream were read.
    pub(super) fn read_up_to(&mut self, stream: u64, position: u64) {
        if let Some(receiving) = self.streams.get_mut(&stream) {
            receiving.position = position;
        }
    }

    /// Whether a packet may have brought bytes that must not stay in the engine.
    pub(super) fn is_pressing(&self) -> bool {
        self.with_gaps > 0
    }

    /// What is set aside costs so much memory, beside the bytes themselves.
    pub(super) fn overhead(&self) -> usize {
        self.aside * ASIDE + self.pieces * PIECE
    }

    /// A stream that is set aside, until it is [put back](Link::put_back).
    fn take(&mut self, stream: u64) -> Option<Box<Aside>> {
        if self.aside == 0 {
            return None;
        }
        self.streams.get_mut(&stream)?.aside.take()
    }

    fn weigh(&mut self, aside: &mut Aside) {
        let before = aside.weight;
        let now = Weight {
            held: aside.bytes.len(),
            pieces: aside.bytes.pieces(),
            has_gaps: aside.bytes.has_gaps(),
        };
        self.held = self.held - before.held + now.held;
        self.pieces = self.pieces - before.pieces + now.pieces;
        self.with_gaps = self.with_gaps - usize::from(before.has_gaps) + usize::from(now.has_gaps);
        aside.weight = now;
    }
}

impl Link {
    /// The next stream that the other side has opened.
    pub(super) fn next_incoming(&mut self, dir: Dir) -> Option<u64> {
        let early = self.incoming.early[dir as usize].pop_front();
        early.or_else(|| self.accept_from_engine(dir))
    }

    /// A stream is not received any more.
    pub(super) fn end_incoming(&mut self, stream: u64) {
        if let Some(mut aside) = self.incoming.take(stream) {
            aside.bytes.clear();
            self.weigh(&mut aside);
            self.incoming.aside -= 1;
        }
        self.incoming.streams.remove(&stream);
    }

    /// How much memory the other side makes this one take by sending with gaps, beside the bytes that came.
    pub(crate) fn gap_memory(&self) -> usize {
        self.incoming.overhead()
    }

    /// Sets everything aside when gaps are about to become too many: there are so many between packets.
    pub(super) fn note_gaps(&mut self, gaps: u64) {
        if gaps - self.incoming.gaps < MAX_GAPS || self.closed {
            return;
        }
        self.incoming.gaps = gaps;
        for dir in [Dir::Bi, Dir::Uni] {
            while let Some(stream) = self.accept_from_engine(dir) {
                self.incoming.early[dir as usize].push_back(stream);
            }
        }
        let streams = self.incoming.streams.keys().copied().collect::<Vec<_>>();
        for stream in streams {
            self.set_aside(stream);
        }
        let (held, streams) = (self.incoming.held, self.incoming.aside);
        tracing::debug!(held, streams, "streams are set aside");
    }

    /// Sets aside what has come on a stream with gaps.
    pub(super) fn relieve(&mut self, stream: u64) {
        let has_gaps = |it: &Receiving| it.aside.as_ref().is_some_and(|it| it.weight.has_gaps);
        if self.incoming.is_pressing() && self.incoming.streams.get(&stream).is_some_and(has_gaps) {
            self.set_aside(stream);
        }
    }

    /// Reads a stream that is set aside, if this one is. How often `take` was given something is added to `taken`.
    pub(super) fn read_aside(
        &mut self,
        stream: u64,
        taken: &mut u64,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Option<Read> {
        let mut aside = self.incoming.take(stream)?;
        let mut take = |bytes: &[u8]| {
            *taken += 1;
            take(bytes)
        };
        let read = loop {
            let mut wants_more = true;
            while wants_more && let Some(piece) = aside.bytes.pop() {
                wants_more = take(&piece);
            }
            self.weigh(&mut aside);
            if !wants_more {
                break Read::Enough;
            }
            if let Some(end) = aside.end {
                break end;
            }
            let from_engine = aside.take_from(&mut self.conn, stream, Some(&mut take));
            self.weigh(&mut aside);
            match from_engine {
                Taken::Some => {}
                Taken::Enough => break Read::Enough,
                Taken::All if aside.bytes.is_ready() || aside.end.is_some() => {}
                Taken::All => break Read::Blocked,
            }
        };
        self.put_back(stream, aside);
        Some(read)
    }

    /// The receive window of which the engine knows: what is set aside is a part of the whole.
    pub(super) fn set_receive_window(&mut self) {
        let held = self.incoming.held as u64;
        let size = self.window.size().saturating_sub(held);
        if self.window.tell(size) {
            let size = VarInt::from_u64(size).unwrap_or(VarInt::MAX);
            self.conn.set_receive_window(size);
        }
    }

    fn set_aside(&mut self, stream: u64) {
        let Some(Receiving { aside, position }) = self.incoming.streams.get_mut(&stream) else {
            return;
        };
        let mut aside = aside.take().unwrap_or_else(|| {
            self.incoming.aside += 1;
            Box::new(Aside::new(*position))
        });
        while aside.end.is_none() {
            let taken = aside.take_from(&mut self.conn, stream, None);
            self.weigh(&mut aside);
            match taken {
                Taken::Some => {}
                Taken::All | Taken::Enough => break,
            }
        }
        self.put_back(stream, aside);
    }

    fn put_back(&mut self, stream: u64, aside: Box<Aside>) {
        if let Some(receiving) = self.incoming.streams.get_mut(&stream) {
            receiving.aside = Some(aside);
        }
    }

    fn weigh(&mut self, aside: &mut Aside) {
        self.incoming.weigh(aside);
        self.set_receive_window();
    }

    fn accept_from_engine(&mut self, dir: Dir) -> Option<u64> {
        let stream = index(self.conn.streams().accept(dir)?);
        self.incoming.begin(stream);
        Some(stream)
    }
}

impl Aside {
    fn new(position: u64) -> Self {
        Self {
            bytes: Reassembly::new(position),
            end: None,
            weight: Weight::default(),
        }
    }

    /// Takes some of what the engine has of the stream, and how it ends if that comes next. What is next in order is given to
    /// `reader`, if there is one, instead of being kept.
    fn take_from(
        &mut self,
        conn: &mut Connection,
        stream: u64,
        mut reader: Option<Reader<'_>>,
    ) -> Taken {
        let mut incoming = conn.recv_stream(id(stream));
        let Ok(mut chunks) = incoming.read(false) else {
            return Taken::All;
        };
        let mut room = STEP;
        let taken = loop {
            match chunks.next(room) {
                Ok(Some(chunk)) => {
                    room -= chunk.bytes.len();
                    match &mut reader {
                        Some(reader) if self.bytes.is_next(chunk.offset) => {
                            self.bytes.pass(chunk.bytes.len());
                            if !reader(&chunk.bytes) {
                                break Taken::Enough;
                            }
                        }
                        Some(_) | None => self.bytes.insert(chunk.offset, &chunk.bytes),
                    }
                    if room == 0 {
                        break Taken::Some;
                    }
                }
                Ok(None) => {
                    self.end = Some(Read::Finished);
                    break Taken::All;
                }
                Err(ReadError::Blocked) => break Taken::All,
                Err(ReadError::Reset(code)) => {
                    self.bytes.clear();
                    self.end = Some(Read::Reset(WireCode::from_wire(code.into_inner())));
                    break Taken::All;
                }
            }
        };
        // The link is looked after anyway.
        let _ = chunks.finalize();
        taken
    }
}

/// How many gaps between packets there may be before streams are set aside. The engine may have twice as many pieces of a
/// stream, as it does not join large ones, and as many more gaps as fit into the packets that are waited for.
const MAX_GAPS: u64 = 384;
/// How much is taken from the engine before the receive window is made smaller by it.
const STEP: usize = 64 << 10;
/// What is known of a stream that is set aside. The engine may have forgotten it, and have allowed another instead.
const ASIDE: usize = 2 << 10;
/// The memory that a piece takes beside its bytes, here and in the engine's list of what has come.
const PIECE: usize = 128;
