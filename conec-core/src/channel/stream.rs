//! The two halves of a data stream.

use bytes::Bytes;

use crate::{
    SendEnd,
    wire::{FrameDecoder, PreambleDecoder},
};

/// What a channel knows of a data stream. A half that has ended is gone.
#[derive(Debug)]
pub(super) struct DataStream {
    pub(super) send: Option<SendHalf>,
    pub(super) recv: Option<RecvHalf>,
    /// How the sending half ended before the application knew of the stream.
    pub(super) early_end: Option<SendEnd>,
}

impl DataStream {
    pub(super) fn new(send: Option<SendHalf>, recv: Option<RecvHalf>) -> Self {
        Self {
            send,
            recv,
            early_end: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.send.is_none() && self.recv.is_none()
    }

    /// Whether the application knows of it: not before the label has come.
    pub(super) fn is_announced(&self) -> bool {
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
    pub(super) decoder: FrameDecoder,
    /// The next message, whole.
    pub(super) ready: Option<Bytes>,
    /// News of a message is queued.
    pub(super) readable_queued: bool,
    /// The memory that this half was last seen to take.
    pub(super) memory: usize,
}

impl RecvHalf {
    pub(super) fn new(preamble: Option<PreambleDecoder>, max_message_size: usize) -> Self {
        Self {
            preamble,
            decoder: FrameDecoder::new(max_message_size),
            ready: None,
            readable_queued: false,
            memory: 0,
        }
    }

    /// By how much the memory taken by messages has changed since this was last asked.
    pub(super) fn memory_change(&mut self) -> isize {
        let memory = self.decoder.memory() + self.ready.as_ref().map_or(0, Bytes::len);
        let before = std::mem::replace(&mut self.memory, memory);
        memory as isize - before as isize
    }
}
