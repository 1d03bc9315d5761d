use std::{collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;
use conec_core::{
    Code, RecvEnd, StreamId,
    hub::{Attempt, Hub, SendError, TryRecvError},
};

use super::{Outbox, Shared, Wake};

/// The sending half of a stream.
///
/// Messages that follow one that the driver has not come for yet are added to that, without the lock that everybody
/// shares.
///
/// # Dropping
///
/// Where it was not finished, the stream is given up.
pub struct SendHalf<W: Wake> {
    shared: Arc<Shared<W>>,
    id: StreamId,
    outbox: Arc<Outbox>,
}

impl<W: Wake> SendHalf<W> {
    /// A handle that the hub has counted.
    pub fn counted(shared: Arc<Shared<W>>, id: StreamId) -> Self {
        let outbox = Outbox::new(id);
        Self { shared, id, outbox }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Sends a message together with others that wait for the driver, if there are any and it fits. `None` if not: then
    /// the hub has to be [asked](Self::send).
    pub fn add(&self, message: &Bytes) -> Option<Result<(), SendError>> {
        self.outbox.add(message)
    }

    /// Whether [`add`](Self::add) would.
    pub fn is_open(&self) -> bool {
        self.outbox.is_open()
    }

    /// Sends a message, once the stream has room. Fails for reasons other than [`Blocked`](SendError::Blocked) only.
    pub fn send(&self, hub: &mut Hub<W>, message: &Bytes) -> Attempt<Result<(), SendError>> {
        self.shared.send(hub, &self.outbox, message)
    }

    /// Waits until the stream has room. Fails for reasons other than [`Blocked`](SendError::Blocked) only.
    pub fn ready(&self, hub: &mut Hub<W>) -> Attempt<Result<(), SendError>> {
        self.outbox.ready(hub)
    }

    /// Sends a message whether the stream has room or not: after it was [ready](Self::ready).
    pub fn start_send(&self, message: &Bytes) -> Result<(), SendError> {
        let send = |hub: &mut Hub<W>| self.shared.send_unasked(hub, &self.outbox, message);
        // Spelled out: what is passed on as a whole has to be waited for, where nearly always it is this.
        match self.add(message) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error),
            None => self.shared.with(send),
        }
    }

    /// Sends a message if the stream has room now.
    pub fn try_send(&self, message: &Bytes) -> Result<(), SendError> {
        let send = |hub: &mut Hub<W>| self.send(hub, message).done();
        let sent = self.add(message).or_else(|| self.shared.with(send));
        sent.unwrap_or(Err(SendError::Blocked))
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    pub fn finish(&self) -> Result<(), SendError> {
        self.shared.with(|hub| {
            // If it has ended, that is told next.
            let _ = self.outbox.hand_over(hub);
            hub.finish(self.id)
        })
    }

    /// Sets the priority of what is sent on the stream.
    pub fn set_priority(&self, priority: i8) {
        self.shared.with(|hub| hub.set_priority(self.id, priority));
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&self, code: Code) {
        self.outbox.clear();
        self.shared.with(|hub| hub.reset(self.id, code));
    }
}

impl<W: Wake> Drop for SendHalf<W> {
    fn drop(&mut self) {
        self.shared
            .with(|hub| hub.release_sender(W::now(), self.id));
    }
}

impl<W: Wake> fmt::Debug for SendHalf<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

/// The receiving half of a stream.
///
/// Messages that are there together are received together, so that not each of them takes the lock that everybody shares.
///
/// # Dropping
///
/// Before the stream's end, the sender is told to stop.
pub struct RecvHalf<W: Wake> {
    shared: Arc<Shared<W>>,
    id: StreamId,
    /// What was received and not given out.
    batch: VecDeque<Bytes>,
}

impl<W: Wake> RecvHalf<W> {
    /// A handle that the hub has counted.
    pub fn counted(shared: Arc<Shared<W>>, id: StreamId) -> Self {
        let batch = VecDeque::new();
        Self { shared, id, batch }
    }

    /// The stream's id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The next of those messages that were received together. `None` if there are no more: then the hub has to be
    /// [asked](Self::recv).
    pub fn take(&mut self) -> Option<Bytes> {
        self.batch.pop_front()
    }

    /// The next message. `Ok(None)` is a clean end: that was all.
    pub fn recv(&mut self, hub: &mut Hub<W>) -> Attempt<Result<Option<Bytes>, RecvEnd>> {
        if let Some(message) = self.take() {
            return Attempt::Done(Ok(Some(message)));
        }
        hub.recv_batch(self.id).map(|received| {
            self.batch = received?.unwrap_or_default();
            Ok(self.take())
        })
    }

    /// The messages one after the other, and then the error if there is one, and then `None`.
    pub fn recv_next(&mut self, hub: &mut Hub<W>) -> Attempt<Option<Result<Bytes, RecvEnd>>> {
        if let Some(message) = self.take() {
            return Attempt::Done(Some(Ok(message)));
        }
        hub.recv_next_batch(self.id)
            .map(|received| match received? {
                Ok(batch) => {
                    self.batch = batch;
                    self.take().map(Ok)
                }
                Err(end) => Some(Err(end)),
            })
    }

    /// The next message if it is there.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        match self.take() {
            Some(message) => Ok(Some(message)),
            None => self.shared.with(|hub| hub.try_recv(self.id)),
        }
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.batch.clear();
        self.shared.with(|hub| hub.stop(self.id, code));
    }
}

impl<W: Wake> Drop for RecvHalf<W> {
    fn drop(&mut self) {
        self.shared
            .with(|hub| hub.release_receiver(W::now(), self.id));
    }
}

impl<W: Wake> fmt::Debug for RecvHalf<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
