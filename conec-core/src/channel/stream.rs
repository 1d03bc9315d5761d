//! The two halves of a data stream.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{incoming::Arrival, memory::MessageMemory};
use crate::{
    RecvEnd, SendEnd,
    wire::{FrameDecoder, FrameTooLarge, PreambleDecoder},
};

/// What a channel knows of a data stream. A half that has ended is gone.
#[derive(Debug)]
pub(super) struct DataStream {
    pub(super) send: Option<SendHalf>,
    pub(super) recv: Option<RecvHalf>,
    /// How the sending half ended before the label had come.
    pub(super) early_end: Option<SendEnd>,
    /// Where it waits for the application to take it, if it does.
    pub(super) arrival: Option<Arrival>,
    /// Who hears what happens on it.
    pub(super) user: User,
}

/// Who uses a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    Application,
    /// The owner of the channel, for a membership of a group.
    Owner,
}

impl DataStream {
    pub(super) fn new(user: User, send: Option<SendHalf>, recv: Option<RecvHalf>) -> Self {
        Self {
            send,
            recv,
            early_end: None,
            arrival: None,
            user,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.send.is_none() && self.recv.is_none()
    }

    /// Whether its label has come. Before that, the application cannot know of it.
    pub(super) fn is_labelled(&self) -> bool {
        self.recv
            .as_ref()
            .is_none_or(|recv| recv.preamble.is_none())
    }
}

#[derive(Debug, Default)]
pub(super) struct SendHalf {
    /// No more messages are taken.
    pub(super) finished: bool,
    /// The application was told that the stream is full, and waits to hear that it is not.
    pub(super) blocked: bool,
    /// That news is queued.
    pub(super) writable_queued: bool,
}

#[derive(Debug)]
pub(super) struct RecvHalf {
    /// Collects the preamble of a stream that the other side opened.
    pub(super) preamble: Option<PreambleDecoder>,
    decoder: FrameDecoder,
    /// Whole messages.
    ready: VecDeque<Bytes>,
    /// The memory that they take.
    ready_memory: usize,
    /// How the stream ends after them, once that is known.
    pub(super) end: Option<RecvEnd>,
    /// News of a message is queued.
    pub(super) readable_queued: bool,
    /// The memory that this half was last seen to take.
    pub(super) memory: MessageMemory,
}

impl RecvHalf {
    pub(super) fn new(preamble: Option<PreambleDecoder>, max_message_size: usize) -> Self {
        Self {
            preamble,
            decoder: FrameDecoder::new(max_message_size),
            ready: VecDeque::new(),
            ready_memory: 0,
            end: None,
            readable_queued: false,
            memory: MessageMemory::default(),
        }
    }

    /// Takes the stream's next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), FrameTooLarge> {
        while let Some(message) = self.decoder.next(&mut bytes)? {
            self.ready_memory += memory_of(&message);
            self.ready.push_back(message);
        }
        Ok(())
    }

    /// Whether messages are to be read ahead of the application: there is more work in asking for one than in reading it.
    pub(super) fn wants_more(&self) -> bool {
        self.end.is_none() && self.ready_memory < READ_AHEAD
    }

    /// Whether its end is next.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() && self.ready.is_empty()
    }

    pub(super) fn has_message(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let message = self.ready.pop_front()?;
        self.ready_memory -= memory_of(&message);
        if self.ready.is_empty() && self.ready.capacity() > KEPT {
            self.ready = VecDeque::new();
        }
        Some(message)
    }

    /// All messages that are there, if there are any.
    pub(super) fn pop_all(&mut self) -> Option<VecDeque<Bytes>> {
        self.ready_memory = 0;
        let messages = std::mem::take(&mut self.ready);
        (!messages.is_empty()).then_some(messages)
    }

    /// Whether the bytes so far end where a message ends.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.decoder.is_at_boundary()
    }

    /// Whether memory is kept for messages to come.
    pub(super) fn keeps_buffers(&self) -> bool {
        self.decoder.keeps_buffers()
    }

    /// Keeps no memory for messages to come.
    pub(super) fn rest(&mut self) {
        self.decoder.rest();
    }

    /// Nothing more comes, and the stream ends so after what is there.
    pub(super) fn leave(&mut self, end: RecvEnd) {
        self.end.get_or_insert(end);
        self.ready.shrink_to_fit();
        // A part of a message is none.
        self.decoder = FrameDecoder::new(0);
    }

    /// The size of the message that has arrived in part, if one has.
    pub(super) fn expects(&self) -> usize {
        self.decoder.expects()
    }

    /// How much of it is missing.
    pub(super) fn lacks(&self) -> usize {
        self.decoder.lacks()
    }

    /// The memory taken by messages when this was last asked, and now.
    pub(super) fn weigh(&mut self) -> (MessageMemory, MessageMemory) {
        let places = match self.ready.len() {
            0 => 0,
            taken => self.ready.capacity() - taken,
        };
        let now = MessageMemory {
            ready: self.ready_memory + places * size_of::<Bytes>(),
            partial: self.decoder.memory(),
        };
        (std::mem::replace(&mut self.memory, now), now)
    }
}

fn memory_of(message: &Bytes) -> usize {
    message.len() + size_of::<Bytes>()
}

/// Bytes of messages that are read before the application asks for them.
const READ_AHEAD: usize = 64 << 10;
/// How many places for messages are kept by a stream of which none is there.
const KEPT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_messages_are_not_read_ahead_without_end() {
        let mut recv = RecvHalf::new(None, 100);
        let mut pieces = 0;
        while recv.wants_more() {
            assert_eq!(recv.feed(&[0; 100]), Ok(()));
            pieces += 1;
        }
        assert_eq!(pieces, READ_AHEAD.div_ceil(100 * size_of::<Bytes>()));
        let (before, full) = recv.weigh();
        assert_eq!(before, MessageMemory::default());
        assert!(full.ready >= READ_AHEAD);
        while let Some(message) = recv.pop() {
            assert!(message.is_empty());
        }
        assert_eq!(recv.weigh(), (full, MessageMemory::default()));
    }

    #[test]
    fn places_for_messages_count_as_long_as_they_are_kept() {
        let mut recv = RecvHalf::new(None, 100);
        for _ in 0..1000 {
            assert_eq!(recv.feed(&[1, 7]), Ok(()));
        }
        for _ in 1..1000 {
            assert!(recv.pop().is_some());
        }
        let (_, one) = recv.weigh();
        assert!(one.ready >= 1000 * size_of::<Bytes>());
        assert!(recv.pop().is_some());
        assert_eq!(recv.weigh(), (one, MessageMemory::default()));
        assert!(recv.ready.capacity() <= KEPT);
    }

    #[test]
    fn places_count_beside_the_messages_that_are_left() {
        let mut recv = RecvHalf::new(None, 100);
        for _ in 0..1000 {
            assert_eq!(recv.feed(&[1, 7]), Ok(()));
        }
        for _ in 10..1000 {
            assert!(recv.pop().is_some());
        }
        let (_, ten) = recv.weigh();
        assert!(ten.ready >= 1000 * size_of::<Bytes>());
    }
}
