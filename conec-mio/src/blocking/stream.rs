use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use conec_core::{
    Code, RecvEnd, SendEnd, StreamId,
    hub::{SendError, TryRecvError},
};
use conec_udp::handles::{RecvHalf, SendHalf};

use super::{
    TimedOut,
    shared::{Shared, Waker, wait, wait_timeout},
};

/// The sending half of a stream.
///
/// Messages arrive whole, in order and at most once. They are on their way as soon as they are taken: there is nothing
/// to flush.
///
/// ```no_run
/// # fn run(mut sender: conec_mio::blocking::Sender) -> Result<(), conec_mio::blocking::SendError> {
/// use conec_mio::blocking::SendEnd;
///
/// sender.send("one".into())?;
/// sender.send("two".into())?;
/// sender.finish()?;
/// if sender.finished() == SendEnd::Finished {
///     println!("the other side has both");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// A `Sender` that is dropped without [`finish`](Self::finish) gives the stream up: the reader gets an error, never a
/// clean end, and messages that it has not received may be lost. After `finish` dropping does nothing: what was sent
/// arrives, as long as the endpoint lives. A `Sender` keeps its channel from being closed.
pub struct Sender {
    shared: Arc<Shared>,
    half: SendHalf<Waker>,
}

impl Sender {
    /// A handle that the hub has counted.
    pub(super) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        let half = SendHalf::counted(Arc::clone(&shared), id);
        Self { shared, half }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.half.id()
    }

    /// Sends a message, once the stream has room.
    ///
    /// Fails for reasons other than [`SendError::Blocked`] only.
    pub fn send(&mut self, message: Bytes) -> Result<(), SendError> {
        let Self { shared, half } = self;
        half.add(&message)
            .unwrap_or_else(|| wait(shared, |hub| half.send(hub, &message)))
    }

    /// Sends a message, once the stream has room.
    ///
    /// Fails with [`SendError::Blocked`] if it has none within the limit. Then the message was not sent, in no part.
    pub fn send_timeout(&mut self, message: Bytes, limit: Duration) -> Result<(), SendError> {
        let Self { shared, half } = self;
        half.add(&message).unwrap_or_else(|| {
            wait_timeout(shared, limit, |hub| half.send(hub, &message))
                .unwrap_or(Err(SendError::Blocked))
        })
    }

    /// Sends a message if the stream has room now.
    ///
    /// Fails with [`SendError::Blocked`] if not.
    pub fn try_send(&mut self, message: Bytes) -> Result<(), SendError> {
        self.half.try_send(&message)
    }

    /// Sends no more messages: the reader gets a clean end after those that were taken.
    ///
    /// Fails if the stream was finished or has ended.
    pub fn finish(&mut self) -> Result<(), SendError> {
        self.half.finish()
    }

    /// Waits until it is known how sending ended. After [`finish`](Self::finish), [`SendEnd::Finished`] says that the
    /// other side's transport has everything.
    ///
    /// Can be waited for at any time and any number of times.
    pub fn finished(&mut self) -> SendEnd {
        wait(&self.shared, |hub| hub.send_end(self.half.id()))
    }

    /// Waits as [`finished`](Self::finished) does, no longer than the limit.
    pub fn finished_timeout(&mut self, limit: Duration) -> Result<SendEnd, TimedOut> {
        wait_timeout(&self.shared, limit, |hub| hub.send_end(self.half.id()))
    }

    /// Sets the priority of what is sent on the stream; 0 at first, and less than that to give way. Of a stream that has
    /// ended it changes nothing.
    ///
    /// Streams of the same priority send in turn. Of those, one that has little to send, up to 16 KiB at once, passes by
    /// those that have more, so that a small message does not wait for large ones: it takes no priority for that. But as
    /// long as a stream of a higher priority has something to send, and is let, streams of a lower one send nothing.
    ///
    /// What was handed over to the QUIC engine before, up to a few round trips' worth, keeps its place.
    pub fn set_priority(&mut self, priority: i8) {
        self.half.set_priority(priority);
    }

    /// Gives up sending: messages that the other side has not received are dropped, and its reader learns the code.
    pub fn reset(&mut self, code: Code) {
        self.half.reset(code);
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.id())
    }
}

/// The receiving half of a stream.
///
/// As an iterator over messages it ends after a clean end, and also after it has given an error.
///
/// ```no_run
/// # fn run(mut receiver: conec_mio::blocking::Receiver) -> Result<(), conec_mio::blocking::RecvEnd> {
/// while let Some(message) = receiver.recv()? {
///     println!("{} bytes", message.len());
/// }
/// println!("that was all, for certain");
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// A `Receiver` that is dropped before the stream's end wants no more messages: the sender is told to stop. A
/// `Receiver` keeps its channel from being closed.
pub struct Receiver {
    shared: Arc<Shared>,
    half: RecvHalf<Waker>,
}

impl Receiver {
    /// A handle that the hub has counted.
    pub(super) fn counted(shared: Arc<Shared>, id: StreamId) -> Self {
        let half = RecvHalf::counted(Arc::clone(&shared), id);
        Self { shared, half }
    }

    /// The stream's id, which its other half shares.
    pub fn id(&self) -> StreamId {
        self.half.id()
    }

    /// Waits for the next message. `Ok(None)` is a clean end: that was all.
    pub fn recv(&mut self) -> Result<Option<Bytes>, RecvEnd> {
        let Self { shared, half } = self;
        match half.take() {
            Some(message) => Ok(Some(message)),
            None => wait(shared, |hub| half.recv(hub)),
        }
    }

    /// Waits for the next message as [`recv`](Self::recv) does.
    ///
    /// Fails with [`TryRecvError::Blocked`] if none comes within the limit. One that comes later goes to the next call.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Option<Bytes>, TryRecvError> {
        let Self { shared, half } = self;
        match wait_timeout(shared, limit, |hub| half.recv(hub)) {
            Ok(received) => Ok(received?),
            Err(TimedOut) => Err(TryRecvError::Blocked),
        }
    }

    /// The next message if it is there.
    ///
    /// Fails with [`TryRecvError::Blocked`] if not.
    pub fn try_recv(&mut self) -> Result<Option<Bytes>, TryRecvError> {
        self.half.try_recv()
    }

    /// Wants no more messages: the sender learns the code.
    pub fn stop(&mut self, code: Code) {
        self.half.stop(code);
    }
}

impl Iterator for Receiver {
    type Item = Result<Bytes, RecvEnd>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { shared, half } = self;
        match half.take() {
            Some(message) => Some(Ok(message)),
            None => wait(shared, |hub| half.recv_next(hub)),
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", self.id())
    }
}

/// A stream that the other side has opened.
#[derive(Debug)]
pub struct IncomingStream {
    /// What the opener says it is for.
    pub label: Bytes,
    /// The half to answer on, if the stream is bidirectional.
    pub sender: Option<Sender>,
    /// The half to receive from.
    pub receiver: Receiver,
}
