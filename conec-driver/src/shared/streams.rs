//! What the handles of streams do.

use std::{collections::VecDeque, sync::Arc, task::Poll};

use bytes::Bytes;
use conec_core::{
    Batch, CloseReason, Endpoint, Lossy, RecvEnd, SendEnd, Stream, StreamEnded, StreamId,
};

use super::{Outbox, State, state::Sending, waiters::Subject};
use crate::{RecvError, SendError};

// The sending half.
impl<E: Endpoint + ?Sized> State<E> {
    /// Puts a message into the outbox for the driver to fetch, once there is room for it.
    pub(crate) fn send(
        &mut self,
        outbox: &Arc<Outbox>,
        message: &Bytes,
    ) -> Result<Result<(), SendError>, Subject> {
        match self.send_ready(outbox)? {
            Ok(()) => Ok(self.start_send(outbox, message)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Whether there is room for a message that the driver has to fetch.
    pub(crate) fn send_ready(&mut self, outbox: &Outbox) -> Result<Result<(), SendError>, Subject> {
        // If it has ended, that is told next.
        let _ = self.hand_over(outbox);
        self.send_by(outbox.id(), |stream| match stream.poll_ready()? {
            Poll::Ready(()) => Ok(()),
            Poll::Pending => Err(conec_core::SendError::Blocked),
        })
    }

    /// Hands all messages over to their stream. What it does not take, because it has ended, is forgotten.
    pub(super) fn hand_over(&mut self, outbox: &Outbox) -> Result<Result<(), SendError>, Subject> {
        outbox.change(|batch| {
            let Some(waiting) = batch.as_mut().filter(|batch| !batch.is_empty()) else {
                return Ok(Ok(()));
            };
            let handed = self.send_by(outbox.id(), |stream| Ok(stream.send_batch(waiting)?));
            if let Ok(Err(_)) = handed {
                *batch = None;
            }
            handed
        })
    }

    /// Puts a message into the outbox for the driver to fetch, whether there is room for it or not.
    pub(crate) fn start_send(
        &mut self,
        outbox: &Arc<Outbox>,
        message: &Bytes,
    ) -> Result<(), SendError> {
        outbox.change(|batch| {
            if batch.is_none() {
                *batch = self.batch(outbox.id());
            }
            let Some(begun) = batch else {
                return Err(SendError::Ended(SendEnd::Closed(CloseReason::Local)));
            };
            Ok(begun.push(message)?)
        })?;
        self.outboxes.push(Arc::clone(outbox));
        self.waiters.wake_driver();
        Ok(())
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    pub(crate) fn finish(&mut self, outbox: &Outbox) -> Result<(), SendError> {
        // If it has ended, that is told next.
        let _ = self.hand_over(outbox);
        let finished = self.send_by(outbox.id(), |stream| Ok(stream.finish()?));
        // Without an answer it has ended, and how is about to be told.
        finished.unwrap_or(Err(SendError::Finished))?;
        self.waiters.wake_driver();
        if let Some(half) = self.sending.get_mut(&outbox.id()) {
            half.finished = true;
        }
        Ok(())
    }

    /// How sending ended, once that is known.
    pub(crate) fn send_end(&self, id: StreamId) -> Result<SendEnd, Subject> {
        match self.sending.get(&id) {
            Some(half) => half.end.ok_or(Subject::Send(id)),
            None => Ok(SendEnd::Closed(CloseReason::Local)),
        }
    }

    /// The sending half is dropped. Where it was not finished, the stream is given up.
    pub(crate) fn release_sender(&mut self, id: StreamId) {
        let half = self.sending.remove(&id);
        if half.is_some_and(|half| !half.finished && half.end.is_none()) {
            self.command_stream(id, |stream| {
                // It may have ended already.
                let _ = stream.abandon_send();
            });
        }
    }

    /// An empty batch for the stream, while its channel is there.
    fn batch(&mut self, id: StreamId) -> Option<Batch> {
        let mut channel = self.endpoint.channel(id.channel())?;
        Some(channel.stream(id).batch())
    }

    /// Does something to a sending half that has neither been finished nor ended.
    fn send_by(
        &mut self,
        id: StreamId,
        f: impl FnOnce(&mut Stream<'_>) -> Result<(), conec_core::SendError>,
    ) -> Result<Result<(), SendError>, Subject> {
        if let Err(error) = self.check_sending(id) {
            return Ok(Err(error));
        }
        let sent = match self.endpoint.channel(id.channel()) {
            Some(mut channel) => f(&mut channel.stream(id)),
            None => Err(conec_core::SendError::Ended),
        };
        match sent {
            Ok(()) => Ok(Ok(())),
            Err(conec_core::SendError::Blocked) => Err(Subject::Send(id)),
            Err(conec_core::SendError::TooLarge { max }) => Ok(Err(SendError::TooLarge { max })),
            // How it has ended is told now, or about to be.
            Err(_) => {
                self.settle();
                self.check_sending(id)
                    .map_or_else(|error| Ok(Err(error)), |()| Err(Subject::Send(id)))
            }
        }
    }

    fn check_sending(&self, id: StreamId) -> Result<(), SendError> {
        match self.sending.get(&id) {
            None => Err(SendError::Ended(SendEnd::Closed(CloseReason::Local))),
            Some(Sending {
                finished: true,
                end: None | Some(SendEnd::Finished),
            }) => Err(SendError::Finished),
            Some(half) => half.end.map_or(Ok(()), |end| Err(SendError::Ended(end))),
        }
    }

    pub(super) fn end_sending(&mut self, id: StreamId, end: SendEnd) {
        if let Some(half) = self.sending.get_mut(&id) {
            half.end.get_or_insert(end);
        }
        self.waiters.wake(Subject::Send(id));
    }
}

// The receiving half.
impl<E: Endpoint + ?Sized> State<E> {
    /// What `f` receives. `Ok(None)` is a clean end: there will be no more.
    pub(crate) fn recv<T>(
        &mut self,
        id: StreamId,
        f: impl FnOnce(&mut Stream<'_>) -> Result<T, conec_core::RecvError>,
    ) -> Result<Result<Option<T>, RecvError>, Subject> {
        if let Some(end) = self.recv_end(id) {
            return Ok(end_of_messages(end));
        }
        let received = match self.endpoint.channel(id.channel()) {
            Some(mut channel) => f(&mut channel.stream(id)),
            None => Err(conec_core::RecvError::Ended),
        };
        match received {
            Ok(received) => {
                // There is room for more, which the other side has to know.
                self.waiters.wake_driver();
                Ok(Ok(Some(received)))
            }
            Err(conec_core::RecvError::Lagged(lagged)) => Ok(Err(RecvError::Lagged(lagged))),
            Err(conec_core::RecvError::Blocked) => Err(Subject::Recv(id)),
            // How it has ended is told now, or about to be.
            Err(conec_core::RecvError::Ended) => {
                self.settle();
                let end = self.recv_end(id).ok_or(Subject::Recv(id))?;
                Ok(end_of_messages(end))
            }
        }
    }

    /// Has the reader lose messages from now on rather than hold up the sender, or the other way round. What it has taken
    /// and not given out is put back first. Fails if the stream has ended.
    pub(crate) fn set_lossy(
        &mut self,
        id: StreamId,
        lossy: Option<Lossy>,
        taken: &mut VecDeque<Bytes>,
    ) -> Result<(), StreamEnded> {
        let mut set = Err(StreamEnded);
        self.command_stream(id, |stream| {
            set = match lossy {
                Some(_) => stream.put_back(taken),
                None => Ok(()),
            };
            set = set.and_then(|()| stream.set_lossy(lossy));
        });
        set
    }

    /// The receiving half is dropped. Before its end, the sender is told to stop.
    pub(crate) fn release_receiver(&mut self, id: StreamId) {
        let half = self.receiving.remove(&id);
        if half == Some(None) {
            self.command_stream(id, |stream| {
                // It may have ended already.
                let _ = stream.abandon_recv();
            });
        }
    }

    /// How receiving ended, if it has.
    pub(super) fn recv_end(&self, id: StreamId) -> Option<RecvEnd> {
        match self.receiving.get(&id) {
            Some(&end) => end,
            None => Some(RecvEnd::Closed(CloseReason::Local)),
        }
    }

    pub(super) fn end_receiving(&mut self, id: StreamId, end: RecvEnd) {
        if let Some(half) = self.receiving.get_mut(&id) {
            half.get_or_insert(end);
        }
        self.waiters.wake(Subject::Recv(id));
    }
}

// Both halves.
impl<E: Endpoint + ?Sized> State<E> {
    /// Does something to a stream that may need a turn of the driver, if the stream is there.
    pub(crate) fn command_stream(&mut self, id: StreamId, f: impl FnOnce(&mut Stream<'_>)) {
        self.command(|endpoint| {
            if let Some(mut channel) = endpoint.channel(id.channel()) {
                f(&mut channel.stream(id));
            }
        });
    }
}

fn end_of_messages<T>(end: RecvEnd) -> Result<Option<T>, RecvError> {
    if end == RecvEnd::Finished {
        return Ok(None);
    }
    Err(end.into())
}
