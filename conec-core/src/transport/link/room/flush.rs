//! From the queues in front of the engine into the engine: which bytes, how many, and when.
//!
//! Streams with so little waiting that they [pass by](crate::transport::link::line) the others come first, after the control
//! stream. Something is kept free for both of what they need to get through the engine:
//!
//! - *its send window*, which is all that may be unacknowledged. Streams with much waiting use no more of it than keeps
//!   the path full.
//! - *the other side's credit*, which is all that it lets this one send. Streams that nobody reads there can use it up.
//!   When only what is kept free is left, the other side is told, since it may let more come.
//!
//! Streams that pass by also come first in the engine's own queue, among those of the same priority.

use std::{collections::BTreeMap, time::Instant};

use quinn_proto::WriteError;

use super::{Kind, spare};
use crate::transport::{
    event::LinkEvent,
    link::{CONTROL, Link, convert::id},
    outgoing::{Outgoing, engine_priority},
};

/// What came of offering a stream's bytes to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    /// It has all of them.
    All,
    /// There are more.
    Some,
    /// It takes none now, and says when.
    Blocked,
    /// The stream is over.
    Over,
}

impl Link {
    /// Lets the engine tell of streams that it takes more of.
    pub(in crate::transport::link) fn follow_path(&mut self) {
        // The window counts as endless then.
        if !self.control.is_urgent() && !self.closed {
            self.room.follow(self.conn.congestion_state().window());
            self.conn.set_send_window(self.room.low_mark());
        }
    }

    /// Passes on what the engine takes; whether it took anything. Without `all`, only what comes before the rest.
    pub(in crate::transport::link) fn flush(&mut self, now: Instant, all: bool) -> bool {
        self.room.due_at = None;
        if !self.connected || self.closed {
            return false;
        }
        let before = self.room.handed_over;
        self.room.spare(self.observer.credit());
        self.conn.set_send_window(self.room.window);
        let mut ended = self.flush_control();
        self.conn
            .set_send_window(self.room.window - spare(self.room.window));
        ended |= self.flush_passing();
        self.conn.set_send_window(self.room.low_mark());
        if all {
            ended |= self.flush_waiting(now);
            self.conn.set_send_window(self.room.low_mark());
        }
        ended || self.room.handed_over > before
    }

    fn flush_control(&mut self) -> bool {
        let mut ended = false;
        while self.outgoing.contains_key(&CONTROL) {
            match self.offer(CONTROL, Kind::Control) {
                Offered::Some => {}
                Offered::All => ended = true,
                Offered::Blocked | Offered::Over => break,
            }
        }
        ended
    }

    fn flush_passing(&mut self) -> bool {
        let mut ended = false;
        while let Some(stream) = self.line.pop_passing() {
            let Some(outgoing) = self.outgoing.get_mut(&stream) else {
                continue;
            };
            let waiting = outgoing.bytes.len() as u64;
            let credit = self.room.credit(Kind::Passing, self.observer.credit());
            if waiting > self.line.may_pass(stream).min(credit) {
                outgoing
                    .turn
                    .get_or_insert_with(|| self.line.next_turn(None));
                self.line.add(outgoing.priority(), stream, outgoing.turn);
                continue;
            }
            outgoing.turn = None;
            outgoing.in_line = false;
            match self.offer(stream, Kind::Passing) {
                Offered::All => ended = true,
                Offered::Some => self.line_up(stream),
                Offered::Blocked | Offered::Over => {}
            }
        }
        ended
    }

    fn flush_waiting(&mut self, now: Instant) -> bool {
        let mut ended = false;
        let mut short = false;
        while let Some(stream) = self.line.pop_other() {
            let Some(outgoing) = self.outgoing.get_mut(&stream) else {
                continue;
            };
            if outgoing.bytes.len() > 0
                && self.room.credit(Kind::Waiting, self.observer.credit()) == 0
            {
                self.line.add(outgoing.priority(), stream, outgoing.turn);
                short = true;
                self.tell_held_up(now);
                ended |= self.pass_again(now);
                break;
            }
            outgoing.in_line = false;
            match self.offer(stream, Kind::Waiting) {
                Offered::All => ended = true,
                Offered::Some => self.line_up(stream),
                // Keeps its turn.
                Offered::Blocked | Offered::Over => continue,
            }
            // There was room enough to begin with.
            self.conn.set_send_window(self.room.path);
        }
        self.room.short = short;
        ended
    }

    /// Lets streams with little to send pass by those that are held up. Not all the time: when credit comes, those that are held
    /// up must get some of it.
    fn pass_again(&mut self, now: Instant) -> bool {
        if !self.line.is_used() || !self.room.may(now) {
            return false;
        }
        self.line.begin_round();
        self.conn
            .set_send_window(self.room.window - spare(self.room.window));
        self.flush_passing()
    }

    /// Offers the next bytes of a stream to the engine.
    fn offer(&mut self, stream: u64, kind: Kind) -> Offered {
        let Some(outgoing) = self.outgoing.get_mut(&stream) else {
            return Offered::Over;
        };
        let mut engine = self.conn.send_stream(id(stream));
        let priority = match kind {
            Kind::Control => i32::MAX,
            Kind::Passing => engine_priority(outgoing.priority(), true),
            Kind::Waiting => engine_priority(outgoing.priority(), false),
        };
        if outgoing.engine_priority != priority {
            outgoing.engine_priority = priority;
            // Fails when the stream has ended, which the engine tells by itself.
            let _ = engine.set_priority(priority);
        }
        if outgoing.bytes.len() == 0 {
            return self.settle(stream);
        }
        // The engine itself holds the control stream to the credit, and tells the other side.
        let credit = match kind {
            Kind::Control => usize::MAX,
            Kind::Passing | Kind::Waiting => {
                let credit = self.room.credit(kind, self.observer.credit());
                usize::try_from(credit).unwrap_or(usize::MAX)
            }
        };
        let large = outgoing.bytes.next_large();
        let wanted = match outgoing.turn {
            // Of messages side by side, many would have to fit into the credit before one is whole.
            Some(_) if self.room.short && large.is_some_and(|it| it.ahead == 0) => usize::MAX,
            Some(turn) => usize::try_from(turn.left).unwrap_or(0).max(1),
            None => usize::MAX,
        };
        let most = match large {
            None => usize::MAX,
            Some(large) if large.ahead > 0 => large.ahead,
            Some(large) if self.begun.begin(stream, outgoing.priority(), large.size) => large.left,
            Some(_) => return Offered::Blocked,
        };
        let large = large.filter(|it| it.ahead == 0);
        let write = |pieces: &mut [_]| engine.write_chunks(pieces).map(|done| done.bytes);
        let offered = outgoing.bytes.offer(wanted, credit.min(most), write);
        let written = match offered {
            Ok(written) => written as u64,
            Err(WriteError::Blocked) => {
                if large.is_some_and(|it| it.left == it.size) {
                    self.end_message(stream);
                } else if large.is_some() {
                    let others = self.begun.block(stream);
                    others.into_iter().for_each(|it| self.line_up(it));
                }
                return Offered::Blocked;
            }
            // The engine has told, or will.
            Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                self.outgoing.remove(&stream);
                self.end_message(stream);
                return Offered::Over;
            }
        };
        self.room.handed_over += written;
        if let Some(turn) = &mut outgoing.turn {
            turn.left -= written as i64;
            let is_done = large.is_none_or(|it| it.left as u64 == written);
            if turn.left <= 0 && (is_done || !self.room.short) {
                *turn = self.line.next_turn(Some(*turn));
            }
        }
        match kind {
            Kind::Control => {}
            Kind::Passing => self.line.has_passed(stream, written),
            Kind::Waiting => self.line.has_waited(written),
        }
        self.activity += u64::from(kind != Kind::Control);
        if large.is_some_and(|it| it.left as u64 == written) {
            self.end_message(stream);
        }
        self.settle(stream)
    }

    /// Does what is due now that less waits on a stream.
    fn settle(&mut self, stream: u64) -> Offered {
        let Some(outgoing) = self.outgoing.get_mut(&stream) else {
            return Offered::Over;
        };
        let left = outgoing.bytes.len();
        if outgoing.mark.is_some_and(|mark| left < mark) {
            outgoing.mark = None;
            self.events.push_back(LinkEvent::Flushed(stream));
        }
        if left > 0 {
            return Offered::Some;
        }
        if outgoing.finished {
            // Fails only when the other side has stopped the stream, which the engine tells by itself.
            let _ = self.conn.send_stream(id(stream)).finish();
        }
        // Idle streams, and idle links, cost nothing here.
        self.outgoing.remove(&stream);
        if self.outgoing.is_empty() {
            self.outgoing = BTreeMap::new();
        }
        Offered::All
    }

    /// Tells the other side, through the channel, that its credit is used up but for what is kept free. Once for each
    /// credit that it gives, and not too often.
    fn tell_held_up(&mut self, now: Instant) {
        let limit = self.observer.credit();
        if self.room.told == limit {
            return;
        }
        if self.room.may(now) {
            self.room.told = limit;
            self.events.push_back(LinkEvent::HeldUp);
        }
    }

    /// What waits on a stream.
    pub(in crate::transport::link) fn outgoing(&mut self, stream: u64) -> &mut Outgoing {
        let conn = &mut self.conn;
        self.outgoing.entry(stream).or_insert_with(|| {
            // A stream that has ended has none.
            let priority = conn.send_stream(id(stream)).priority().unwrap_or(0);
            Box::new(Outgoing::new(priority))
        })
    }

    /// A stream is not in the middle of a large message any more: others may begin theirs.
    pub(in crate::transport::link) fn end_message(&mut self, stream: u64) {
        for other in self.begun.end(stream) {
            self.line_up(other);
        }
    }

    pub(in crate::transport::link) fn line_up(&mut self, stream: u64) {
        if stream != CONTROL
            && let Some(outgoing) = self.outgoing.get_mut(&stream)
            && !outgoing.in_line
        {
            outgoing.in_line = true;
            self.line.add(outgoing.priority(), stream, outgoing.turn);
        }
    }
}
