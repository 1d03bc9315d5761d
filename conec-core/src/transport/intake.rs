//! What the engine holds of the other side's data, counted as packets bring it.
//!
//! The engine keeps what comes ahead of its turn, or of its reader, in the packets that it came in. How much memory that
//! is, it does not tell, and flow control does not bound it: a packet can be full of frames with a byte each. So it is
//! counted here, by packets.

use smallvec::SmallVec;

use super::announced::Contents;
use crate::memory::WASTE;

/// What a connection's engine may hold.
#[derive(Debug, Default)]
pub(super) struct Intake {
    latest: Part,
    /// What came before, in parts of about [`PART`], as long as the engine may hold something of them. Boxed: it seldom does.
    older: Option<Box<Older>>,
}

#[derive(Debug, Default)]
struct Older {
    parts: Vec<Part>,
    /// There are new ones since this was last looked at.
    fresh: bool,
}

/// Packets that came one after the other.
#[derive(Debug, Default)]
struct Part {
    memory: u64,
    ends: Ends,
}

/// Streams that something came of, and up to where. In order.
type Ends = SmallVec<[(u64, u64); 1]>;

impl Intake {
    /// Whether a packet is taken, of this size and with this in it, where the engine may hold so much.
    #[inline]
    pub(super) fn takes(&mut self, len: usize, contents: &Contents<'_>, most: u64) -> bool {
        if contents.kept == 0 {
            return true;
        }
        let memory = self.latest.memory + len as u64 + contents.kept * FRAME;
        if memory > most {
            return false;
        }
        self.latest.memory = memory;
        for (stream, end) in contents.stream_ends() {
            note(&mut self.latest.ends, stream, end);
        }
        if memory > PART && most == u64::MAX {
            let older = self.older.get_or_insert_default();
            older.parts.push(std::mem::take(&mut self.latest));
            older.fresh = true;
        }
        true
    }

    /// Whether the engine may take more than twice as much memory as what it holds, and [`WASTE`]. Streams were read up to where
    /// `reached` tells; of those that are over, nothing is held.
    #[inline]
    pub(super) fn wastes(&mut self, reached: impl Fn(u64) -> Option<u64>) -> bool {
        let Some(older) = self.older.as_mut().filter(|it| it.fresh) else {
            return false;
        };
        older.fresh = false;
        let held =
            |&(stream, end): &(u64, u64)| reached(stream).map_or(0, |at| end.saturating_sub(at));
        let parts = &mut older.parts;
        parts.retain(|part| part.ends.iter().any(|end| held(end) > 0));
        let mut ends = Ends::new();
        for &(stream, end) in parts.iter().flat_map(|part| &part.ends) {
            note(&mut ends, stream, end);
        }
        let memory: u64 = parts.iter().map(|part| part.memory).sum();
        if parts.is_empty() {
            self.older = None;
        }
        memory > 2 * ends.iter().map(held).sum::<u64>() + WASTE
    }

    /// Everything was taken out.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Takes note that a stream has come up to there.
fn note(ends: &mut Ends, stream: u64, end: u64) {
    if let Some((last, known)) = ends.last_mut()
        && *last == stream
    {
        *known = end.max(*known);
        return;
    }
    match ends.binary_search_by_key(&stream, |&(stream, _)| stream) {
        Ok(at) => ends[at].1 = end.max(ends[at].1),
        Err(at) => ends.insert(at, (stream, end)),
    }
}

/// How much memory is looked at together: a reader is seldom further behind.
const PART: u64 = WASTE / 2;
/// What the engine takes for a frame beside its packet, in a list that may be half empty.
const FRAME: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    /// A STREAM frame with an offset and a length.
    fn frame(stream: u8, offset: u16, len: u8) -> Vec<u8> {
        let [high, low] = (0x4000 | offset).to_be_bytes();
        let header = [0x0e, stream, high, low, len];
        [&header[..], &vec![1; len.into()]].concat()
    }

    fn takes(intake: &mut Intake, packet: &[u8], most: u64) -> bool {
        intake.takes(packet.len(), &Contents::of(packet), most)
    }

    /// Packets with a few bytes of one stream, as many as are looked at together.
    fn fill(intake: &mut Intake, packet: &[u8]) {
        let parts = |it: &Intake| it.older.as_ref().map_or(0, |it| it.parts.len());
        let before = parts(intake);
        while parts(intake) == before {
            assert!(takes(intake, packet, u64::MAX));
        }
    }

    #[test]
    fn packets_with_hardly_anything_are_a_waste() {
        let mut intake = Intake::default();
        fill(&mut intake, &frame(8, 5, 10));
        // There is a gap in front.
        assert!(!intake.wastes(|_| Some(0)), "no more than may be");
        fill(&mut intake, &frame(8, 5, 10));
        assert!(intake.wastes(|_| Some(0)));
        assert!(!intake.wastes(|_| Some(0)), "nothing has come since");
        // As much has come now as that is worth.
        fill(&mut intake, &frame(8, 16_000, 60));
        assert!(!intake.wastes(|_| Some(0)));
        intake.clear();
        assert!(intake.older.is_none());
    }

    #[test]
    fn what_was_read_is_held_no_more() {
        let mut intake = Intake::default();
        let mut at = 0;
        for _ in 0..100 {
            // Many packets come together, and the reader is always a little behind.
            for _ in 0..10 {
                fill(&mut intake, &frame(4, at, 10));
                at += 10;
            }
            assert!(!intake.wastes(|_| Some(u64::from(at) - 5)));
        }
        assert_eq!(intake.older.as_ref().map(|it| it.parts.len()), Some(1));
        // Nothing is held of what is over.
        fill(&mut intake, &frame(4, at, 10));
        assert!(!intake.wastes(|_| None));
        assert!(intake.older.is_none());
    }

    #[test]
    fn what_is_too_much_is_not_taken() {
        let mut intake = Intake::default();
        let (data, ping) = (frame(4, 1, 60), vec![1; 60]);
        for number in 0..10 {
            assert_eq!(takes(&mut intake, &data, 1000), number < 5);
            assert!(takes(&mut intake, &ping, 1000), "nothing is kept of it");
        }
        intake.clear();
        assert!(takes(&mut intake, &data, 1000));
    }
}
