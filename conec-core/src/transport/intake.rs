//! What the engine holds of the other side's data, counted as packets bring it.
//!
//! The engine keeps what comes ahead of its turn, or of its reader, in the packets that it came in. How much memory that
//! is, it does not tell, and flow control does not bound it: a packet can be full of frames with a byte each. So it is
//! counted here, by packets.

use smallvec::SmallVec;

use super::announced::Contents;
use crate::memory::WASTE;

/// What a connection's engine may hold.
#[derive(Debug)]
pub(super) struct Intake {
    /// The memory of the packets that came since the engine was last known to hold nothing.
    memory: u64,
    /// The streams that it may hold something of, and up to where they have come. In order.
    ends: SmallVec<[(u64, u64); 1]>,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self {
            memory: 0,
            ends: SmallVec::new(),
        }
    }

    /// Whether a packet is taken, of this size and with this in it, where the engine may hold so much.
    #[inline]
    pub(super) fn takes(&mut self, len: usize, contents: &Contents<'_>, most: u64) -> bool {
        if contents.kept == 0 {
            return true;
        }
        let memory = self.memory + len as u64 + contents.kept * FRAME;
        if memory > most {
            return false;
        }
        self.memory = memory;
        for (stream, end) in contents.stream_ends() {
            self.note(stream, end);
        }
        true
    }

    /// Whether the engine may take more than twice as much memory as what it holds, and [`WASTE`]. Streams were read up to where
    /// `reached` tells; of those that are over, nothing is held.
    #[inline]
    pub(super) fn wastes(&mut self, reached: impl Fn(u64) -> Option<u64>) -> bool {
        if self.memory <= WASTE {
            return false;
        }
        let mut bytes = 0;
        self.ends.retain(|(stream, end)| {
            let held = reached(*stream).map_or(0, |at| end.saturating_sub(at));
            bytes += held;
            held > 0
        });
        if self.ends.is_empty() {
            self.memory = 0;
        }
        self.memory > 2 * bytes + WASTE
    }

    /// Everything was taken out.
    pub(super) fn clear(&mut self) {
        self.ends.clear();
        self.memory = 0;
    }

    fn note(&mut self, stream: u64, end: u64) {
        if let Some((last, known)) = self.ends.last_mut()
            && *last == stream
        {
            *known = end.max(*known);
            return;
        }
        match self
            .ends
            .binary_search_by_key(&stream, |&(stream, _)| stream)
        {
            Ok(at) => self.ends[at].1 = end.max(self.ends[at].1),
            Err(at) => self.ends.insert(at, (stream, end)),
        }
    }
}

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

    #[test]
    fn what_was_read_is_held_no_more() {
        let mut intake = Intake::new();
        let packet = [frame(4, 0, 10), frame(8, 5, 10)].concat();
        let fill = |intake: &mut Intake| {
            while intake.memory <= WASTE {
                assert!(takes(intake, &packet, u64::MAX));
            }
        };
        fill(&mut intake);
        // Stream 8 has a gap in front, and much has come of it in few packets.
        assert!(takes(&mut intake, &frame(8, 1000, 60), u64::MAX));
        let gap = |stream| Some(if stream == 4 { 10 } else { 0 });
        assert!(!intake.wastes(gap), "1060 bytes");
        while intake.memory <= WASTE + 2 * 1060 {
            assert!(!intake.wastes(gap));
            assert!(takes(&mut intake, &packet, u64::MAX));
        }
        assert!(intake.wastes(gap));
        assert!(!intake.wastes(|stream| Some(if stream == 4 { 10 } else { 1060 })));
        assert_eq!((intake.memory, intake.ends.len()), (0, 0));
        // Copies of what was read are not held, nor is what is over.
        fill(&mut intake);
        assert!(!intake.wastes(|_| None));
        assert_eq!(intake.memory, 0);
    }

    #[test]
    fn what_is_too_much_is_not_taken() {
        let mut intake = Intake::new();
        let (data, ping) = (frame(4, 1, 60), vec![1; 60]);
        for number in 0..10 {
            assert_eq!(takes(&mut intake, &data, 1000), number < 5);
            assert!(takes(&mut intake, &ping, 1000), "nothing is kept of it");
        }
        intake.clear();
        assert!(takes(&mut intake, &data, 1000));
    }
}
