//! The two halves of a data stream.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Lossy, incoming::Arrival, memory::MessageMemory};
use crate::{
    RecvEnd, RecvError, SendEnd,
    wire::{FrameDecoder, FrameTooLarge, MAX_RUN, PreambleDecoder},
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
    /// How few of them are kept, if the reader prefers loss to back-pressure.
    lossy: Option<Lossy>,
    /// How many were dropped since the reader was told last. They are missing in front of those that are there: as the newest
    /// is never dropped, some are.
    lagged: u64,
    /// For a lossy reader, the memory of what was read since [`begin_reading`](Self::begin_reading), kept or not.
    read: usize,
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
            lossy: None,
            lagged: 0,
            read: 0,
            end: None,
            readable_queued: false,
            memory: MessageMemory::default(),
        }
    }

    /// Takes the stream's next bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), FrameTooLarge> {
        while let Some(message) = self.decoder.next(&mut bytes)? {
            let memory = memory_of(&message);
            self.ready_memory += memory;
            self.ready.push_back(message);
            if let Some(lossy) = self.lossy {
                self.read += memory;
                self.drop_oldest(lossy);
            }
        }
        Ok(())
    }

    /// Keeps no more than this from now on, whatever the reader does, or all again.
    pub(super) fn set_lossy(&mut self, lossy: Option<Lossy>) {
        let before = self.lagged;
        self.lossy = lossy;
        if let Some(lossy) = lossy {
            self.drop_oldest(lossy);
        }
        if self.lagged > before {
            self.ready.shrink_to_fit();
        }
    }

    /// Puts messages back that were received last.
    pub(super) fn put_back(&mut self, messages: &mut VecDeque<Bytes>) {
        // What is missing after them is told of in front of what is there: they are missing, too.
        if self.lagged > 0 {
            self.lagged += messages.len() as u64;
            messages.clear();
        }
        self.ready_memory += messages.iter().map(memory_of).sum::<usize>();
        messages.append(&mut self.ready);
        std::mem::swap(&mut self.ready, messages);
        if let Some(lossy) = self.lossy {
            self.drop_oldest(lossy);
        }
    }

    /// Drops what is not kept.
    fn drop_oldest(&mut self, lossy: Lossy) {
        while !lossy.keeps(self.ready.len(), self.ready_bytes())
            && let Some(oldest) = self.ready.pop_front()
        {
            self.ready_memory -= memory_of(&oldest);
            self.lagged += 1;
        }
    }

    /// The bytes of all messages that are there.
    fn ready_bytes(&self) -> usize {
        self.ready_memory - self.ready.len() * size_of::<Bytes>()
    }

    /// More of the stream is about to be read.
    pub(super) fn begin_reading(&mut self) {
        self.read = 0;
    }

    /// Whether a message is wanted, now that there may be some: a lossy reader's are read on whatever it does.
    pub(super) fn wants_message(&self) -> bool {
        self.end.is_none() && (self.ready.is_empty() || self.lossy.is_some())
    }

    /// Whether messages are to be read ahead of the application: there is more work in asking for one than in reading it. Those
    /// of a lossy reader are read on as well, but others have their turn, and memory is looked at, after so much.
    pub(super) fn wants_more(&self) -> bool {
        let read = match self.lossy {
            Some(_) => self.read,
            None => self.ready_memory,
        };
        self.end.is_none() && read < READ_AHEAD
    }

    /// How many messages were dropped since the reader was told last.
    pub(super) fn lagged(&self) -> u64 {
        self.lagged
    }

    /// Tells once, before the next message, of those that are missing before it.
    pub(super) fn tell_lagged(&mut self) -> Result<(), RecvError> {
        match std::mem::take(&mut self.lagged) {
            0 => Ok(()),
            lagged => Err(RecvError::Lagged(lagged)),
        }
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
        // The oldest that is left may keep the run in memory that it came in.
        let run = match self.lossy {
            Some(_) if !self.ready.is_empty() => MAX_RUN,
            Some(_) | None => 0,
        };
        let now = MessageMemory {
            ready: self.ready_memory + places * size_of::<Bytes>() + run,
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
    use crate::wire::frame_header;

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
    fn what_a_lossy_reader_drops_takes_no_memory() {
        let mut recv = RecvHalf::new(None, 10_000);
        recv.set_lossy(Some(Lossy::new(10, 5000)));
        let mut bytes = frame_header(1000).to_vec();
        bytes.extend([7; 1000]);
        for number in 1..=20 {
            assert_eq!(recv.feed(&bytes), Ok(()));
            assert_eq!(recv.ready.len(), number.min(5));
        }
        // A run that the oldest may keep, and places that are free.
        let memory = 5 * (1000 + size_of::<Bytes>());
        assert!(
            (memory..=memory + MAX_RUN + 11 * size_of::<Bytes>()).contains(&recv.weigh().1.ready)
        );
        assert_eq!(recv.tell_lagged(), Err(RecvError::Lagged(15)));
        assert_eq!(recv.tell_lagged(), Ok(()));
        recv.set_lossy(Some(Lossy::latest()));
        let one = MAX_RUN + 1000 + size_of::<Bytes>();
        assert_eq!(recv.weigh().1.ready, one);
        assert_eq!(recv.tell_lagged(), Err(RecvError::Lagged(4)));
        assert!(recv.pop().is_some());
        assert_eq!(recv.weigh().1, MessageMemory::default());
    }

    #[test]
    fn a_lossy_reader_is_read_on_but_not_without_end() {
        let mut recv = RecvHalf::new(None, 100);
        recv.set_lossy(Some(Lossy::latest()));
        let mut pieces = 0;
        while recv.wants_more() && pieces < 1000 {
            assert_eq!(recv.feed(&[0; 100]), Ok(()));
            pieces += 1;
        }
        assert_eq!(pieces, READ_AHEAD.div_ceil(100 * size_of::<Bytes>()));
        assert!(recv.wants_message());
        recv.begin_reading();
        assert!(recv.wants_more());
        recv.set_lossy(None);
        assert!(!recv.wants_message());
    }

    #[test]
    fn what_is_put_back_comes_first_unless_what_follows_it_is_missing() {
        let mut recv = RecvHalf::new(None, 100);
        assert_eq!(recv.feed(&[1, 1, 1, 2, 1, 3]), Ok(()));
        let mut batch = recv.pop_all().unwrap_or_default();
        batch.pop_front();
        assert_eq!(recv.feed(&[1, 4]), Ok(()));
        recv.put_back(&mut batch);
        assert!(batch.is_empty());
        assert_eq!(
            recv.weigh().1.ready,
            recv.ready.capacity() * size_of::<Bytes>() + 3
        );
        let mut batch = recv.pop_all().unwrap_or_default();
        assert_eq!(batch, ["\x02", "\x03", "\x04"]);
        recv.set_lossy(Some(Lossy::latest()));
        assert_eq!(recv.feed(&[1, 5, 1, 6]), Ok(()));
        recv.put_back(&mut batch);
        assert_eq!(recv.tell_lagged(), Err(RecvError::Lagged(4)));
        assert_eq!(recv.pop(), Some(Bytes::from_static(&[6])));
        assert_eq!(recv.pop(), None);
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
