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

mod setting_aside;

use std::collections::{BTreeMap, VecDeque};

use quinn_proto::{Connection, ReadError};

use super::{
    convert::{CONTROL, id},
    reassembly::Reassembly,
};
use crate::{error::WireCode, memory::STEP, transport::event::Read};

/// The streams of a link that are received.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// The control stream, apart from the others so that an idle link needs no table.
    control: Option<Receiving>,
    streams: BTreeMap<u64, Receiving>,
    /// How many of either kind were accepted from the engine.
    accepted: [u64; 2],
    /// Accepted from the engine, but not by the channel.
    #[expect(clippy::box_collection, reason = "on few links there are any")]
    early: Option<Box<VecDeque<u64>>>,
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
    /// Up to where bytes were taken from the engine.
    reached: u64,
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
        if stream == CONTROL {
            self.control = Some(Receiving::default());
        } else {
            self.streams.insert(stream, Receiving::default());
        }
    }

    /// So many bytes of a stream were read. Gives how many of them are new.
    pub(super) fn read_up_to(&mut self, stream: u64, position: u64) -> u64 {
        let receiving = self.get_mut(stream);
        let before = receiving.map(|it| std::mem::replace(&mut it.position, position));
        before.map_or(0, |before| position - before)
    }

    fn get_mut(&mut self, stream: u64) -> Option<&mut Receiving> {
        if stream == CONTROL {
            self.control.as_mut()
        } else {
            self.streams.get_mut(&stream)
        }
    }

    /// Up to where everything of a stream that had come was taken from the engine. `None` for a stream that is over.
    fn reached(&self, stream: u64, is_ours: bool) -> Option<u64> {
        let receiving = match stream {
            CONTROL => self.control.as_ref(),
            _ => self.streams.get(&stream),
        };
        match receiving {
            Some(Receiving { position, aside }) => {
                Some(aside.as_ref().map_or(*position, |aside| aside.reached))
            }
            // It waits to be accepted.
            None if !is_ours && id(stream).index() >= self.accepted[id(stream).dir() as usize] => {
                Some(0)
            }
            None => None,
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

    /// A stream that is set aside, until it is put back.
    fn take(&mut self, stream: u64) -> Option<Box<Aside>> {
        if self.aside == 0 {
            return None;
        }
        self.get_mut(stream)?.aside.take()
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

impl Aside {
    fn new(position: u64) -> Self {
        Self {
            bytes: Reassembly::new(position),
            reached: position,
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
        let mut room = STEP as usize;
        let taken = loop {
            match chunks.next(room) {
                Ok(Some(chunk)) => {
                    room -= chunk.bytes.len();
                    self.reached = self.reached.max(chunk.offset + chunk.bytes.len() as u64);
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

/// What is known of a stream that is set aside. The engine may have forgotten it, and have allowed another instead.
const ASIDE: usize = 2 << 10;
/// The memory that a piece takes beside its bytes, here and in the engine's list of what has come.
const PIECE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// The fourth stream of those that the other side opens in either direction. Two of one direction were accepted.
    #[test]
    fn the_engine_holds_what_has_come_of_a_stream_beyond_what_was_read() {
        let mut incoming = Incoming {
            accepted: [2, 0],
            ..Incoming::default()
        };
        for stream in [CONTROL, 4] {
            assert_eq!(incoming.reached(8, false), Some(0), "not accepted yet");
            incoming.begin(stream);
            assert_eq!(incoming.reached(stream, false), Some(0));
            assert_eq!(incoming.read_up_to(stream, 100), 100);
            assert_eq!(incoming.read_up_to(stream, 130), 30);
            assert_eq!(incoming.reached(stream, false), Some(130));
        }
        // What is set aside is held here, and not there.
        let mut aside = Box::new(Aside::new(130));
        aside.reached = 170;
        incoming.streams.insert(
            4,
            Receiving {
                position: 130,
                aside: Some(aside),
            },
        );
        assert_eq!(incoming.reached(4, false), Some(170));
        // Nothing is held of what is over, or was never to be received.
        incoming.streams.remove(&4);
        assert_eq!(incoming.reached(4, false), None);
        assert_eq!(incoming.reached(8, true), None);
        assert_eq!(incoming.read_up_to(4, 200), 0);
    }
}
