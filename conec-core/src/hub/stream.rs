//! What is known of streams beyond the state machine, and what their handles do.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use super::{Attempt, Hub, SendError, TryRecvError, waiters::Subject};
use crate::{Batch, CloseReason, Code, Endpoint, RecvEnd, RecvError, SendEnd, Stream, StreamId};

/// The sending half of a stream.
#[derive(Debug, Default)]
pub(super) struct Sending {
    finished: bool,
    end: Option<SendEnd>,
}

impl Sending {
    pub(super) fn end(&mut self, end: SendEnd) {
        self.end.get_or_insert(end);
    }
}

/// The receiving half of a stream.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    end: Option<RecvEnd>,
    /// That it did not end regularly was told.
    failed: bool,
}

impl Receiving {
    pub(super) fn end(&mut self, end: RecvEnd) {
        self.end.get_or_insert(end);
    }
}

impl<W, E: Endpoint + ?Sized> Hub<W, E> {
    /// Sends a message, once the stream has room. Fails for reasons other than [`Blocked`](SendError::Blocked) only.
    pub fn send(&mut self, id: StreamId, message: Bytes) -> Attempt<Result<(), SendError>> {
        self.attempt_send(id, |stream| stream.send(message))
    }

    /// Sends a message if the stream has room now.
    pub fn try_send(&mut self, id: StreamId, message: Bytes) -> Result<(), SendError> {
        self.send(id, message)
            .done()
            .unwrap_or(Err(SendError::Blocked))
    }

    /// Waits until the stream has room. Fails for reasons other than [`Blocked`](SendError::Blocked) only.
    pub fn send_ready(&mut self, id: StreamId) -> Attempt<Result<(), SendError>> {
        self.attempt_send(id, |stream| stream.poll_ready())
    }

    /// An empty batch for the stream, while its channel is there.
    pub fn batch(&mut self, id: StreamId) -> Option<Batch> {
        let mut channel = self.endpoint.channel(id.channel())?;
        Some(channel.stream(id).batch())
    }

    /// Sends all messages of a batch, whether the stream has room or not: ask [`send_ready`](Self::send_ready) before
    /// filling one.
    pub fn send_batch(
        &mut self,
        id: StreamId,
        batch: &mut Batch,
    ) -> Attempt<Result<(), SendError>> {
        self.attempt_send(id, |stream| stream.send_batch(batch))
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    pub fn finish(&mut self, id: StreamId) -> Result<(), SendError> {
        let finished = self.attempt_send(id, |stream| stream.finish());
        // Without an answer it has ended, and how is about to be told.
        finished.done().unwrap_or(Err(SendError::Finished))?;
        if let Some(half) = self.sending.get_mut(&id) {
            half.finished = true;
        }
        Ok(())
    }

    /// Sets the priority of what is sent on a stream, as [`Stream::set_priority`] has it. One that has ended has none.
    pub fn set_priority(&mut self, id: StreamId, priority: i8) {
        if let Some(mut channel) = self.endpoint.channel(id.channel()) {
            let _ = channel.stream(id).set_priority(priority);
        }
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&mut self, id: StreamId, code: Code) {
        if let Some(mut channel) = self.command().channel(id.channel()) {
            // It may have ended already.
            let _ = channel.stream(id).reset(code);
        }
    }

    /// Waits until it is known how sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the
    /// other side's transport has everything.
    pub fn send_end(&self, id: StreamId) -> Attempt<SendEnd> {
        let Some(half) = self.sending.get(&id) else {
            return Attempt::Done(SendEnd::Closed(CloseReason::Local));
        };
        match half.end {
            Some(end) => Attempt::Done(end),
            None => Subject::Send(id).wait(),
        }
    }

    /// The sending half is dropped. Where it was not finished, the stream is given up.
    pub fn release_sender(&mut self, now: Instant, id: StreamId) {
        let half = self.sending.remove(&id);
        if half.is_some_and(|half| !half.finished && half.end.is_none())
            && let Some(mut channel) = self.command().channel(id.channel())
        {
            // It may have ended already.
            let _ = channel.stream(id).abandon_send();
        }
        self.release(now, Some(id.channel()));
    }

    /// The next message. `Ok(None)` is a clean end: that was all.
    pub fn recv(&mut self, id: StreamId) -> Attempt<Result<Option<Bytes>, RecvEnd>> {
        self.recv_by(id, |stream| stream.recv())
    }

    /// All messages that are there, at least one. `Ok(None)` is a clean end: there will be no more.
    pub fn recv_batch(
        &mut self,
        id: StreamId,
    ) -> Attempt<Result<Option<VecDeque<Bytes>>, RecvEnd>> {
        self.recv_by(id, |stream| stream.recv_batch())
    }

    fn recv_by<T>(
        &mut self,
        id: StreamId,
        f: impl FnOnce(&mut Stream<'_>) -> Result<T, RecvError>,
    ) -> Attempt<Result<Option<T>, RecvEnd>> {
        let end = match self.receiving.get(&id) {
            Some(half) => half.end,
            None => Some(RecvEnd::Closed(CloseReason::Local)),
        };
        match end {
            Some(RecvEnd::Finished) => return Attempt::Done(Ok(None)),
            Some(
                end @ (RecvEnd::Reset(_)
                | RecvEnd::Refused(_)
                | RecvEnd::Stopped
                | RecvEnd::Truncated
                | RecvEnd::TooLarge
                | RecvEnd::Closed(_)),
            ) => return Attempt::Done(Err(end)),
            None => {}
        }
        let received = match self.endpoint.channel(id.channel()) {
            Some(mut channel) => f(&mut channel.stream(id)),
            None => Err(RecvError::Ended),
        };
        match received {
            Ok(received) => {
                // There is room for more, which the other side has to know.
                self.waiters.wake_driver();
                Attempt::Done(Ok(Some(received)))
            }
            // What has ended is about to be told.
            Err(RecvError::Blocked | RecvError::Ended) => Subject::Recv(id).wait(),
        }
    }

    /// The next message if it is there.
    pub fn try_recv(&mut self, id: StreamId) -> Result<Option<Bytes>, TryRecvError> {
        match self.recv(id) {
            Attempt::Done(received) => Ok(received?),
            Attempt::Wait(_) => Err(TryRecvError::Blocked),
        }
    }

    /// The messages one after the other, and then the error if there is one, and then `None`.
    pub fn recv_next(&mut self, id: StreamId) -> Attempt<Option<Result<Bytes, RecvEnd>>> {
        let received = self.recv(id);
        self.end_once(id, received)
    }

    /// The messages as [`recv_batch`](Self::recv_batch) gives them, and then the error if there is one, and then `None`.
    pub fn recv_next_batch(
        &mut self,
        id: StreamId,
    ) -> Attempt<Option<Result<VecDeque<Bytes>, RecvEnd>>> {
        let received = self.recv_batch(id);
        self.end_once(id, received)
    }

    fn end_once<T>(
        &mut self,
        id: StreamId,
        received: Attempt<Result<Option<T>, RecvEnd>>,
    ) -> Attempt<Option<Result<T, RecvEnd>>> {
        if self.receiving.get(&id).is_none_or(|half| half.failed) {
            return Attempt::Done(None);
        }
        let received = received.map(Result::transpose);
        if let (Attempt::Done(Some(Err(_))), Some(half)) = (&received, self.receiving.get_mut(&id))
        {
            half.failed = true;
        }
        received
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, id: StreamId, code: Code) {
        if let Some(mut channel) = self.command().channel(id.channel()) {
            // It may have ended already.
            let _ = channel.stream(id).stop(code);
        }
    }

    /// The receiving half is dropped. Before its end, the sender is told to stop.
    pub fn release_receiver(&mut self, now: Instant, id: StreamId) {
        let half = self.receiving.remove(&id);
        if half.is_some_and(|half| half.end.is_none())
            && let Some(mut channel) = self.command().channel(id.channel())
        {
            // It may have ended already.
            let _ = channel.stream(id).abandon_recv();
        }
        self.release(now, Some(id.channel()));
    }

    pub(super) fn end_sending(&mut self, id: StreamId, end: SendEnd) {
        if let Some(half) = self.sending.get_mut(&id) {
            half.end(end);
        }
        self.waiters.wake(Subject::Send(id));
    }

    pub(super) fn end_receiving(&mut self, id: StreamId, end: RecvEnd) {
        if let Some(half) = self.receiving.get_mut(&id) {
            half.end(end);
        }
        self.waiters.wake(Subject::Recv(id));
    }

    fn attempt_send(
        &mut self,
        id: StreamId,
        f: impl FnOnce(&mut Stream<'_>) -> Result<(), crate::SendError>,
    ) -> Attempt<Result<(), SendError>> {
        let refused = match self.sending.get(&id) {
            None => Some(SendError::Ended(SendEnd::Closed(CloseReason::Local))),
            Some(Sending {
                finished: true,
                end: None | Some(SendEnd::Finished),
            }) => Some(SendError::Finished),
            Some(half) => half.end.map(SendError::Ended),
        };
        if let Some(error) = refused {
            return Attempt::Done(Err(error));
        }
        let done = match self.endpoint.channel(id.channel()) {
            Some(mut channel) => f(&mut channel.stream(id)),
            None => Err(crate::SendError::Ended),
        };
        match done {
            Ok(()) => {
                self.waiters.wake_driver();
                Attempt::Done(Ok(()))
            }
            Err(crate::SendError::TooLarge { max }) => {
                Attempt::Done(Err(SendError::TooLarge { max }))
            }
            // What has ended is about to be told.
            Err(crate::SendError::Blocked | crate::SendError::Ended) => Subject::Send(id).wait(),
        }
    }
}
