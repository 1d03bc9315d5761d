//! Messages that are handed to a stream all at once.

use bytes::Bytes;

use crate::{MessageTooLarge, transport::Gathered, wire::frame_header};

/// Messages that are handed to a stream all at once.
///
/// For many small messages that costs less than handing over each. Made by [`Stream::batch`](crate::Stream::batch) for
/// streams of that channel, filled without access to the endpoint, and sent by
/// [`Stream::send_batch`](crate::Stream::send_batch), as often as one likes. Dropped before, its messages are not sent.
#[derive(Debug)]
pub struct Batch {
    pub(super) messages: Gathered,
    max: usize,
}

impl Batch {
    pub(super) fn new(max: usize) -> Self {
        Self {
            messages: Gathered::default(),
            max,
        }
    }

    /// Adds a message, unless it is larger than the channel takes.
    #[inline]
    pub fn push(&mut self, message: &Bytes) -> Result<(), MessageTooLarge> {
        if message.len() > self.max {
            return Err(MessageTooLarge { max: self.max });
        }
        self.messages.push(&frame_header(message.len()), message);
        Ok(())
    }

    /// Whether a channel takes it whose messages may have so many bytes: one of another channel may hold larger ones.
    pub(super) fn check(&self, max: usize) -> Result<(), MessageTooLarge> {
        if self.max > max {
            return Err(MessageTooLarge { max });
        }
        Ok(())
    }

    /// How many bytes its messages take, together with what tells them apart.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.messages.len()
    }

    /// Whether it holds no message.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.messages.len() == 0
    }

    /// Forgets its messages.
    pub fn clear(&mut self) {
        self.messages = Gathered::default();
    }
}
