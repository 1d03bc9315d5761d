//! From the request for an introduction to what becomes of it.

use std::time::Instant;

use bytes::Bytes;

use super::Introduction;
use crate::{
    CloseReason, IntroduceError, IntroductionId, Target,
    client::{Client, peer::Ask},
    wire::{ClientMessage, MAX_LABEL, RequestId},
};

impl Client {
    pub(in crate::client) fn request_introduction(
        &mut self,
        now: Instant,
        from: Target,
        to: Target,
        label: &[u8],
    ) -> Result<IntroductionId, IntroduceError> {
        if !self.is_connected() || !self.is_home_open() {
            return Err(IntroduceError::NotConnected);
        }
        if label.len() > MAX_LABEL {
            return Err(IntroduceError::LabelTooLong);
        }
        if self.introductions.len() >= self.config.limits.channels_per_client {
            return Err(IntroduceError::TooMany);
        }
        if self.asks.is_full() {
            return Err(IntroduceError::TooFast);
        }
        let id = IntroductionId(self.host.fresh_id().0);
        let introduction = Introduction {
            from,
            to,
            label: Bytes::copy_from_slice(label),
            request: None,
            ignored: false,
        };
        self.introductions.pending.insert(id, introduction);
        self.asks.add(Ask::Introduction(id));
        self.ask(now);
        Ok(id)
    }

    /// It is this one's turn.
    pub(in crate::client) fn ask_to_introduce(
        &mut self,
        now: Instant,
        id: IntroductionId,
        request: RequestId,
    ) {
        let Some(introduction) = self.introductions.pending.get_mut(&id) else {
            return;
        };
        introduction.request = Some(request);
        let message = ClientMessage::Introduce {
            request,
            from: introduction.from.clone(),
            to: introduction.to.clone(),
            label: introduction.label.clone(),
        };
        // The application is asked, and then both ends; and the Coordinator may be one that does not answer.
        let patience = self.ask_patience() + self.config.limits.answer_timeout;
        self.introductions.deadlines.set(id, Some(now + patience));
        self.send_home(&message);
    }

    /// Nobody wants to know what becomes of an introduction. If it waits for its turn, it is not asked for.
    pub(in crate::client) fn forget_introduction(&mut self, id: IntroductionId) {
        self.introductions.outcomes.remove(&id);
        if let Some(introduction) = self.introductions.pending.get_mut(&id) {
            introduction.ignored = true;
            if introduction.request.is_none() {
                self.end_introduction(id, CloseReason::Local);
            }
        }
    }

    /// Gives up those that were not answered in time, of which the Coordinator may not even have understood what they are.
    pub(in crate::client) fn end_late_introductions(&mut self, now: Instant) {
        let mut late = false;
        while let Some(id) = self.introductions.deadlines.pop_due(now) {
            late = true;
            self.end_introduction(id, CloseReason::TimedOut);
        }
        if late {
            self.ask(now);
        }
    }

    /// Gives up all, as nobody is to answer them any more.
    pub(in crate::client) fn end_introductions(&mut self, reason: CloseReason) {
        let all: Vec<_> = self.introductions.pending.keys().copied().collect();
        for id in all {
            self.end_introduction(id, reason);
        }
    }

    fn end_introduction(&mut self, id: IntroductionId, reason: CloseReason) {
        let pending = self.introductions.pending.get(&id);
        self.asks
            .forget(Ask::Introduction(id), pending.and_then(|it| it.request));
        self.introductions.end(id, Err(reason));
    }
}
