//! When a link sets streams aside, and how it reads those.

use std::iter;

use quinn_proto::{Dir, VarInt};

use super::{Aside, Receiving, Taken};
use crate::transport::{
    event::Read,
    handshakes::NEWCOMER,
    link::{
        Link,
        convert::{CONTROL, id, index},
    },
};

impl Link {
    /// The next stream that the other side has opened.
    pub(in crate::transport::link) fn next_incoming(&mut self, dir: Dir) -> Option<u64> {
        if let Some(early) = &mut self.incoming.early {
            let first = early.iter().position(|&it| id(it).dir() == dir);
            if let Some(stream) = first.and_then(|first| early.remove(first)) {
                return Some(stream);
            }
        }
        self.accept_from_engine(dir)
    }

    /// A stream is not received any more.
    pub(in crate::transport::link) fn end_incoming(&mut self, stream: u64) {
        if let Some(mut aside) = self.incoming.take(stream) {
            aside.bytes.clear();
            self.weigh(&mut aside);
            self.incoming.aside -= 1;
        }
        self.incoming.streams.remove(&stream);
    }

    /// How much memory the other side makes this one take by sending with gaps, beside the bytes that came, and by not reading
    /// what it is told.
    pub(crate) fn memory(&self) -> usize {
        self.incoming.overhead() + self.backlog(CONTROL)
    }

    /// The engine keeps what it has of streams in the packets that brought it. Where that takes much more memory than the bytes,
    /// sets everything aside.
    pub(crate) fn use_memory_well(&mut self) {
        if self.closed {
            return;
        }
        let side = self.conn.side();
        let wastes = self.observer.intake().wastes(|stream| {
            let is_ours = id(stream).initiator() == side;
            self.incoming.reached(stream, is_ours)
        });
        if wastes {
            self.set_all_aside();
        }
    }

    /// Sets everything aside when gaps are about to become too many: there are so many between packets.
    pub(in crate::transport::link) fn note_gaps(&mut self, gaps: u64) {
        if gaps - self.incoming.gaps < MAX_GAPS || self.closed {
            return;
        }
        self.incoming.gaps = gaps;
        self.set_all_aside();
    }

    fn set_all_aside(&mut self) {
        for dir in [Dir::Bi, Dir::Uni] {
            while let Some(stream) = self.accept_from_engine(dir) {
                let early = self.incoming.early.get_or_insert_default();
                early.push_back(stream);
            }
        }
        let streams = self.incoming.streams.keys().copied();
        for stream in iter::once(CONTROL).chain(streams).collect::<Vec<_>>() {
            self.set_aside(stream);
        }
        let (held, streams) = (self.incoming.held, self.incoming.aside);
        tracing::debug!(held, streams, "streams are set aside");
        self.observer.intake().clear();
    }

    /// Sets aside what has come on a stream with gaps.
    pub(in crate::transport::link) fn relieve(&mut self, stream: u64) {
        let has_gaps = |it: &mut Receiving| it.aside.as_ref().is_some_and(|it| it.weight.has_gaps);
        if self.incoming.is_pressing() && self.incoming.get_mut(stream).is_some_and(has_gaps) {
            self.set_aside(stream);
        }
    }

    /// Reads a stream that is set aside, if this one is. How often `take` was given something is added to `taken`.
    pub(in crate::transport::link) fn read_aside(
        &mut self,
        stream: u64,
        taken: &mut u64,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Option<Read> {
        let mut aside = self.incoming.take(stream)?;
        let mut read_now = 0;
        let mut take = |bytes: &[u8]| {
            *taken += 1;
            read_now += bytes.len() as u64;
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
        self.give_back(stream, read_now);
        Some(read)
    }

    /// The receive window of which the engine knows: what is set aside is a part of the whole.
    pub(in crate::transport::link) fn set_receive_window(&mut self) {
        let held = self.incoming.held as u64;
        let most = self.newcomer.as_ref().map_or(u64::MAX, |_| NEWCOMER.into());
        let size = self.window.size().min(most).saturating_sub(held);
        if self.window.tell(size) {
            let size = VarInt::from_u64(size).unwrap_or(VarInt::MAX);
            self.conn.set_receive_window(size);
        }
    }

    /// So many bytes of a stream were read. Has the engine tell the other side what room there is, if that is due.
    pub(in crate::transport::link) fn give_back(&mut self, stream: u64, bytes: u64) {
        if !self.window.give_back(bytes, stream == CONTROL) {
            return;
        }
        // It tells of every growth, and makes up for getting smaller by what is read next.
        let told = self.window.told();
        for size in [told + 1, told] {
            let size = VarInt::from_u64(size).unwrap_or(VarInt::MAX);
            self.conn.set_receive_window(size);
        }
    }

    fn set_aside(&mut self, stream: u64) {
        let Some(receiving) = self.incoming.get_mut(stream) else {
            return;
        };
        let position = receiving.position;
        let mut aside = receiving.aside.take().unwrap_or_else(|| {
            self.incoming.aside += 1;
            Box::new(Aside::new(position))
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
        if let Some(receiving) = self.incoming.get_mut(stream) {
            receiving.aside = Some(aside);
        }
    }

    fn weigh(&mut self, aside: &mut Aside) {
        self.incoming.weigh(aside);
        self.set_receive_window();
    }

    fn accept_from_engine(&mut self, dir: Dir) -> Option<u64> {
        let stream = index(self.conn.streams().accept(dir)?);
        self.incoming.accepted[dir as usize] += 1;
        self.incoming.begin(stream);
        Some(stream)
    }
}

/// How many gaps between packets there may be before streams are set aside. The engine may have twice as many pieces of a
/// stream, as it does not join large ones, and as many more gaps as fit into the packets that are waited for.
const MAX_GAPS: u64 = 384;
