//! One direction of a stream: what was sent, and which ends may be told of it.

use bytes::Bytes;
use conec_core::{Code, ErrorCode, RecvEnd, SendEnd};

#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) sent: Vec<Bytes>,
    /// How many were received, or reported as dropped.
    pub(crate) received: usize,
    /// Whether its reader is lossy, and whether it was at any time since it was told last of messages that are missing.
    lossy: bool,
    was_lossy: bool,
    pub(crate) finished: bool,
    pub(crate) reset: Option<Code>,
    pub(crate) stopped: Option<Code>,
    pub(crate) send_end: Option<SendEnd>,
    pub(crate) recv_end: Option<RecvEnd>,
}

impl Flow {
    /// Whether its sender has ended it, or was told that it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.finished || self.reset.is_some() || self.send_end.is_some()
    }

    /// The next message has arrived. Whether it is the next that was sent.
    pub(crate) fn receive(&mut self, message: &Bytes) -> bool {
        self.received += 1;
        self.sent.get(self.received - 1) == Some(message)
    }

    /// The reader prefers loss to back-pressure from now on, or not any more.
    pub(crate) fn set_lossy(&mut self, lossy: bool) {
        self.lossy = lossy;
        self.was_lossy |= lossy;
    }

    /// Its reader is told that so many messages were dropped. Whether that may be.
    pub(crate) fn lag(&mut self, lagged: u64) -> bool {
        self.received += usize::try_from(lagged).unwrap_or(usize::MAX);
        let may_be = lagged > 0 && self.was_lossy;
        // Those that have arrived since it is not lossy any more are all kept.
        self.was_lossy = self.lossy;
        // The newest is never dropped.
        may_be && self.received < self.sent.len()
    }

    /// Its sender is told how it ended. Whether that may be, and for the first time.
    pub(crate) fn send_ended(&mut self, end: SendEnd) -> bool {
        let may_be = match end {
            SendEnd::Finished => self.finished && self.reset.is_none(),
            SendEnd::Stopped(code) => self.stopped == Some(code),
            SendEnd::Reset => self.reset.is_some(),
            SendEnd::Closed(_) => true,
            SendEnd::Refused(_) | _ => false,
        };
        may_be && self.send_end.replace(end).is_none()
    }

    /// Its reader is told how it ended. Whether that may be, and for the first time. A stream that is reset before its label has
    /// arrived is given up by the other side `unseen`.
    pub(crate) fn recv_ended(&mut self, end: RecvEnd, unseen: bool) -> bool {
        let may_be = match end {
            RecvEnd::Finished => self.finished && self.received == self.sent.len(),
            RecvEnd::Reset(code) => self.reset == Some(code) || self.stopped == Some(code),
            RecvEnd::Stopped => self.stopped.is_some(),
            RecvEnd::Closed(_) => true,
            RecvEnd::Refused(ErrorCode::Dropped) => unseen,
            RecvEnd::Refused(_) | RecvEnd::Truncated | RecvEnd::TooLarge | _ => false,
        };
        may_be && self.recv_end.replace(end).is_none()
    }

    /// Whether everything that was sent has arrived, and every end with it. One that was cut off `unseen`, before its label has
    /// arrived, is never heard of.
    pub(crate) fn is_complete(&self, unseen: bool) -> bool {
        if self.reset.is_some() || self.stopped.is_some() {
            return unseen || self.send_end.is_some() && self.recv_end.is_some();
        }
        let ended =
            self.send_end == Some(SendEnd::Finished) && self.recv_end == Some(RecvEnd::Finished);
        self.received == self.sent.len() && (ended || !self.finished)
    }
}
