//! Questions and answers: a stream for each question.
//!
//! Who asks [calls](Channel::call), with a label that says what is asked for, and gets one answer. Any number of calls are under way at once, each
//! on a bidirectional stream of its own: a slow one holds up no other. Who answers takes [`Calls`] off a channel, no more at once than it
//! wants to.
//!
//! ```no_run
//! # async fn run(channel: conec_driver::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use conec_driver::calls::{Call, CallError, Calls};
//! use conec_core::Code;
//!
//! // One side ...
//! match channel.call("square", "12".into()).await {
//!     Ok(answer) => println!("{answer:?}"),
//!     Err(CallError::Refused(code)) => println!("not answered: {code}"),
//!     Err(error) => println!("{error}"),
//! }
//!
//! // ... and the other: at most 16 at once, each in a task of its own.
//! async fn square(mut call: Call) -> Result<(), Box<dyn std::error::Error>> {
//!     if &call.label()[..] != b"square" {
//!         call.refuse(Code(404));
//!         return Ok(());
//!     }
//!     let number: u32 = std::str::from_utf8(&call.question().await?)?.parse()?;
//!     call.answer(number.pow(2).to_string().into()).await?;
//!     Ok(())
//! }
//! let mut calls = Calls::new(channel, 16);
//! while let Some(call) = calls.next().await {
//!     // With tokio: tokio::spawn(square(call))
//!     let _ = square(call).await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Giving up
//!
//! A call that is dropped before its answer is there, by a time limit of the caller's for instance, resets its stream: the other side's
//! [`Call::abandoned`] is done, and what it answers goes nowhere. Whether it had done what was asked is not known, nor is it where the channel
//! ends meanwhile: [`CallError::is_unsent`] tells when it has certainly not.
//!
//! # On the wire
//!
//! Nothing but a bidirectional stream: its label, one message and the end one way, one message and the end the other way, or a reset with
//! a code. So either side may do without this module.

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use conec_core::{Code, ErrorCode, RecvEnd, SendEnd};
use thiserror::Error;

use crate::{Channel, IncomingStream, OpenStreamError, Receiver, RecvError, SendError, Sender};

/// Why a call was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// There was no stream to ask on.
    #[error(transparent)]
    Open(#[from] OpenStreamError),
    /// The question is larger than a message may be.
    #[error("the question exceeds the maximum of {max} bytes")]
    TooLarge {
        /// The maximum, in bytes.
        max: usize,
    },
    /// The other side has refused to answer, with this code.
    #[error("the other side has refused to answer, with {0}")]
    Refused(Code),
    /// The other side has dropped the question without an answer.
    #[error("the other side has dropped the question")]
    Dropped,
    /// The other side has not answered by exactly one message, so that it does not answer calls at all.
    #[error("the other side has not answered by one message: it may take no calls")]
    Malformed,
    /// The stream has ended, mostly since its channel has.
    #[error("no answer: {0}")]
    Ended(RecvEnd),
}

impl CallError {
    /// Whether nothing of the question was sent, so that it can be asked again without harm.
    #[must_use]
    pub fn is_unsent(self) -> bool {
        match self {
            Self::Open(_) | Self::TooLarge { .. } => true,
            Self::Refused(_) | Self::Dropped | Self::Malformed | Self::Ended(_) => false,
        }
    }
}

impl Channel {
    /// Asks the other side something, and waits for the answer. The label says what is asked for, in at most 255 bytes.
    ///
    /// Waits for its turn where so many streams are open that the other side allows no more. There is no time limit but yours: dropped before
    /// it is done, the question is [taken back](crate::calls#giving-up) as far as that can be.
    pub async fn call(&self, label: impl AsRef<[u8]>, question: Bytes) -> Result<Bytes, CallError> {
        let (sender, receiver) = self.open_bi(label).await?;
        let mut asked = Asked {
            sender,
            receiver,
            is_over: false,
        };
        let answer = asked.answer(question).await;
        asked.is_over = answer.is_ok();
        answer
    }
}

/// A call that waits for its answer.
struct Asked {
    sender: Sender,
    receiver: Receiver,
    is_over: bool,
}

impl Asked {
    async fn answer(&mut self, question: Bytes) -> Result<Bytes, CallError> {
        match self.sender.send(question).await {
            Ok(()) => {
                // Where that fails, the answer says why.
                let _ = self.sender.finish();
            }
            Err(SendError::TooLarge { max }) => return Err(CallError::TooLarge { max }),
            // Who does not want to know what is asked may have answered nonetheless.
            Err(SendError::Finished | SendError::Ended(_)) => {}
        }
        let answer = self.receiver.recv().await.map_err(unanswered)?;
        let answer = answer.ok_or(CallError::Malformed)?;
        match self.receiver.recv().await.map_err(unanswered)? {
            None => Ok(answer),
            Some(_) => Err(CallError::Malformed),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_over {
            // What was finished would go its way, to nobody's use.
            self.sender.reset(ABANDONED);
        }
    }
}

fn unanswered(error: RecvError) -> CallError {
    match error {
        RecvError::Ended(RecvEnd::Reset(code)) => CallError::Refused(code),
        RecvError::Ended(RecvEnd::Refused(ErrorCode::Dropped)) => CallError::Dropped,
        RecvError::Ended(end) => CallError::Ended(end),
        // Never: nobody has made the receiver lossy.
        RecvError::Lagged(_) => CallError::Malformed,
    }
}

/// The calls on a channel, for who answers them.
///
/// Takes every stream that the other side opens; where there are others than calls, take the [streams](Channel::accept) yourself, and make
/// [calls](Call::new) of those that are.
///
/// # Dropping
///
/// No further calls are taken then. Those that were go on. Dropping drops the [`Channel`] in it.
#[derive(Debug)]
pub struct Calls {
    channel: Channel,
    places: Arc<Places>,
}

impl Calls {
    /// Takes calls off a channel, at most so many at once, and at least one: who waits for a place waits at the caller's side, as with any stream
    /// that is not accepted.
    #[must_use]
    pub fn new(channel: Channel, at_once: usize) -> Self {
        let places = Arc::new(Places::new(at_once.max(1)));
        Self { channel, places }
    }

    /// The next call, once there is a place for it: each takes one until its [`Call`] is dropped or answered. `None` once the channel is over.
    /// Streams that are no calls, as they are unidirectional, are dropped. Dropped before it is done, no call is lost.
    pub async fn next(&mut self) -> Option<Call> {
        loop {
            let place = poll_fn(|cx| self.places.poll_take(cx)).await;
            let stream = self.channel.accept().await?;
            if let Ok(call) = Call::new(stream) {
                let place = Some(place);
                return Some(Call { place, ..call });
            }
        }
    }

    /// The channel.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}

/// A question, for who answers it.
///
/// # Dropping
///
/// Then the caller learns that it was [dropped](CallError::Dropped).
#[must_use = "dropped, the question is not answered"]
pub struct Call {
    label: Bytes,
    sender: Sender,
    receiver: Receiver,
    /// What was read of it.
    question: Option<Bytes>,
    place: Option<Place>,
}

impl Call {
    /// Takes a stream for a call. One that is unidirectional is none, and its receiver is given back.
    pub fn new(stream: IncomingStream) -> Result<Self, Receiver> {
        match stream.sender {
            Some(sender) => Ok(Self {
                label: stream.label,
                sender,
                receiver: stream.receiver,
                question: None,
                place: None,
            }),
            None => Err(stream.receiver),
        }
    }

    /// What is asked for.
    #[must_use]
    pub fn label(&self) -> &Bytes {
        &self.label
    }

    /// The question itself. How long it takes to arrive is up to the caller: set a time limit where that matters. Dropped before it is done,
    /// nothing is lost.
    pub async fn question(&mut self) -> Result<Bytes, QuestionError> {
        while let Some(message) = self.receiver.recv().await.map_err(unasked)? {
            if self.question.replace(message).is_some() {
                return Err(QuestionError::Malformed);
            }
        }
        self.question.clone().ok_or(QuestionError::Malformed)
    }

    /// Waits until the caller has given up, or the channel is over: then nobody waits for an answer any more.
    ///
    /// To work on an answer as long as somebody waits for it only, race the two, as by `tokio::select!`.
    pub async fn abandoned(&mut self) {
        self.sender.finished().await;
    }

    /// Answers, and waits until the other side's transport has the answer. Fails where the caller has given up, or the channel is over, or
    /// the answer is larger than a message may be: then it is refused with [`TOO_LARGE`].
    ///
    /// Dropped before it is done, the answer may or may not get there.
    pub async fn answer(self, answer: Bytes) -> Result<(), SendError> {
        let Self {
            mut sender,
            receiver: _receiver,
            place: _place,
            ..
        } = self;
        let sent = sender.send(answer).await;
        if let Err(SendError::TooLarge { .. }) = sent {
            sender.reset(TOO_LARGE);
        }
        sent?;
        sender.finish()?;
        let end = sender.finished().await;
        let is_there = end == SendEnd::Finished;
        is_there.then_some(()).ok_or(SendError::Ended(end))
    }

    /// Refuses to answer: the caller learns the code.
    pub fn refuse(mut self, code: Code) {
        self.sender.reset(code);
        self.receiver.stop(code);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({:?}, {:?})", self.sender.id(), self.label)
    }
}

/// Why a call has no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The caller has given up, or the channel is over.
    #[error("the caller has given up: {0}")]
    Abandoned(RecvEnd),
    /// The other side has not asked by exactly one message.
    #[error("the other side has not asked by one message")]
    Malformed,
}

fn unasked(error: RecvError) -> QuestionError {
    match error {
        RecvError::Ended(end) => QuestionError::Abandoned(end),
        // Never: nobody has made the receiver lossy.
        RecvError::Lagged(_) => QuestionError::Malformed,
    }
}

/// The code by which a caller takes back a question: 0.
pub const ABANDONED: Code = Code(0);

/// The code by which an answer is refused that is larger than a message may be: 413.
pub const TOO_LARGE: Code = Code(413);

/// How many calls are taken at once.
#[derive(Debug)]
struct Places(Mutex<(usize, Option<Waker>)>);

impl Places {
    fn new(free: usize) -> Self {
        Self(Mutex::new((free, None)))
    }

    fn poll_take(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Place> {
        let (free, waker) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match free.checked_sub(1) {
            Some(left) => {
                *free = left;
                Poll::Ready(Place(Arc::clone(self)))
            }
            None => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// One of them. Dropped, it is free again.
#[derive(Debug)]
struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.0 += 1;
        let waker = places.1.take();
        drop(places);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        task::Wake,
    };

    use super::*;

    #[test]
    fn a_place_that_is_free_again_wakes_who_waits() {
        #[derive(Default)]
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let places = Arc::new(Places::new(2));
        let take = || match places.poll_take(&cx) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        };
        let (first, second) = (take().unwrap(), take().unwrap());
        assert!(take().is_none());
        drop(first);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let third = take().unwrap();
        // Nobody waits.
        drop((second, third));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let _both = (take().unwrap(), take().unwrap());
        assert!(take().is_none());
    }

    #[test]
    fn what_was_certainly_not_asked_can_be_asked_again() {
        assert!(CallError::Open(OpenStreamError::Closed).is_unsent());
        assert!(CallError::TooLarge { max: 1 }.is_unsent());
        assert!(!unanswered(RecvEnd::Reset(Code(1)).into()).is_unsent());
        assert_eq!(unanswered(RecvError::Lagged(1)), CallError::Malformed);
    }
}
