//! Questions and answers for threads: a stream for each question. What that means is told at [`conec_driver::calls`].
//!
//! Who asks [calls](super::Channel::call); who answers takes [`Calls`] off a channel.
//!
//! ```no_run
//! # fn run(channel: conec_mio::blocking::Channel) -> Result<(), Box<dyn std::error::Error>> {
//! use std::{thread, time::Duration};
//! use conec_mio::blocking::calls::Calls;
//!
//! // One side ...
//! let answer = channel.call_timeout("upper case", "hello".into(), Duration::from_secs(1))??;
//! assert_eq!(answer, "HELLO");
//!
//! // ... and the other: at most 16 at once.
//! for mut call in Calls::new(channel, 16) {
//!     thread::spawn(move || {
//!         if let Ok(question) = call.question() {
//!             // The caller may have given up.
//!             let _ = call.answer(question.to_ascii_uppercase().into());
//!         }
//!     });
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use bytes::Bytes;
use conec_core::Code;
use conec_driver::SendError;

use super::{
    Channel, IncomingStream, Receiver, TimedOut,
    wait::{wait, wait_timeout, waiting},
};

pub use conec_driver::calls::{ABANDONED, CallError, QuestionError, TOO_LARGE};

impl Channel {
    waiting! { "Channel":
        call, call_timeout [&self,] (label: impl AsRef<[u8]>, question: Bytes)
            -> Result<Bytes, CallError> {
            self.0.call(label, question)
        }
    }
}

/// The calls on a channel, for who answers them: [`conec_driver::calls::Calls`], whose waiting calls block.
///
/// As an iterator it ends with the channel.
#[derive(Debug)]
pub struct Calls(conec_driver::calls::Calls);

impl Calls {
    /// Takes calls off a channel, at most so many at once, and at least one.
    #[must_use]
    pub fn new(channel: Channel, at_once: usize) -> Self {
        Self(conec_driver::calls::Calls::new(channel.0, at_once))
    }

    /// [`conec_driver::calls::Calls::next`], waited for no longer than the limit.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Call>, TimedOut> {
        wait_timeout(limit, async { self.0.next().await.map(Call) })
    }
}

impl Iterator for Calls {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        wait(self.0.next()).map(Call)
    }
}

/// A question, for who answers it: [`conec_driver::calls::Call`], whose waiting calls block.
#[derive(Debug)]
#[must_use = "dropped, the question is not answered"]
pub struct Call(conec_driver::calls::Call);

impl Call {
    /// Takes a stream for a call. One that is unidirectional is none, and its receiver is given back.
    pub fn new(stream: IncomingStream) -> Result<Self, Receiver> {
        let call = conec_driver::calls::Call::new(stream.into());
        call.map(Self).map_err(Receiver)
    }

    waiting! { "calls::Call":
        question, question_timeout [&mut self,] () -> Result<Bytes, QuestionError> {
            self.0.question()
        }

        abandoned, abandoned_timeout [&mut self,] () -> () { self.0.abandoned() }

        answer, answer_timeout [self,] (answer: Bytes) -> Result<(), SendError> {
            self.0.answer(answer)
        }
    }

    /// Refuses to answer: the caller learns the code.
    pub fn refuse(self, code: Code) {
        self.0.refuse(code);
    }
}

impl Deref for Call {
    type Target = conec_driver::calls::Call;

    fn deref(&self) -> &conec_driver::calls::Call {
        &self.0
    }
}

impl DerefMut for Call {
    fn deref_mut(&mut self) -> &mut conec_driver::calls::Call {
        &mut self.0
    }
}
