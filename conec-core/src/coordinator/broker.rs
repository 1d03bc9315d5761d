//! Arranging channels between Clients.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Coordinator, CoordinatorEvent,
    pairs::{End, Side, patience},
};
use crate::{
    AnswerError, ChannelId, Code, ErrorCode, OpenChannelError, PairId, Policy, Target, Violation,
    error::WireCode,
    wire::{CoordinatorMessage, MAX_LABEL, RequestId, Route},
};

impl Coordinator {
    /// A Client asks for a channel.
    pub(super) fn channel_requested(
        &mut self,
        now: Instant,
        client: ChannelId,
        request: RequestId,
        target: &Target,
        label: Bytes,
    ) {
        let arranged = match (self.config.channels, self.registry.find(target)) {
            _ if self.closing => Err(ErrorCode::Shutdown),
            // A Client that may not be reached looks like one that is not there.
            (Policy::Deny, _) | (_, None) => Err(ErrorCode::NotFound),
            (Policy::Allow | Policy::Ask, Some(to)) => {
                self.add_pair(now, client, to, label, Some(request))
            }
        };
        match arranged {
            Ok(pair) if self.config.channels == Policy::Ask => self.ask_for_pair(pair),
            Ok(pair) => self.offer_pair(now, pair),
            Err(code) => {
                let code = code.into();
                self.host.stats.channels_refused += 1;
                self.tell(client, &CoordinatorMessage::OpenFailed { request, code });
            }
        }
    }

    pub(super) fn connect_pair(
        &mut self,
        now: Instant,
        from: &Target,
        to: &Target,
        label: &[u8],
    ) -> Result<PairId, OpenChannelError> {
        if label.len() > MAX_LABEL {
            return Err(OpenChannelError::LabelTooLong);
        }
        let (Some(from), Some(to)) = (self.registry.find(from), self.registry.find(to)) else {
            return Err(OpenChannelError::NotFound);
        };
        let label = Bytes::copy_from_slice(label);
        let pair = self.add_pair(now, from, to, label, None).map_err(|code| {
            if code == ErrorCode::Limit {
                OpenChannelError::TooMany
            } else {
                OpenChannelError::NotFound
            }
        })?;
        self.offer_pair(now, pair);
        Ok(pair)
    }

    pub(super) fn grant_pair(&mut self, now: Instant, id: PairId) -> Result<(), AnswerError> {
        match self.pairs.get(id) {
            Some(pair) if !pair.is_offered() => {
                self.offer_pair(now, id);
                Ok(())
            }
            Some(_) | None => Err(AnswerError),
        }
    }

    pub(super) fn deny_pair(&mut self, id: PairId) -> Result<(), AnswerError> {
        match self.pairs.get(id) {
            Some(pair) if !pair.is_offered() => {
                self.close_pair(id, None, ErrorCode::NotFound.into());
                Ok(())
            }
            Some(_) | None => Err(AnswerError),
        }
    }

    pub(super) fn disconnect_pair(&mut self, id: PairId, code: Code) -> Result<(), AnswerError> {
        self.pairs.get(id).ok_or(AnswerError)?;
        self.close_pair(id, None, WireCode::Application(code));
        Ok(())
    }

    /// One end accepts what it was offered.
    pub(super) fn end_accepted(&mut self, now: Instant, client: ChannelId, route: Route) {
        // The channel may be over already, which the Client does not know yet.
        let Some((id, side)) = self.end_of(client, route) else {
            return;
        };
        match self.pairs.accept(id, side) {
            Ok(true) => self.start_pair(id),
            Ok(false) => {}
            Err(()) => self.violate_session(now, client, Violation::Unexpected),
        }
    }

    /// One end rejects what it was offered, or says that it is over.
    pub(super) fn end_closed(&mut self, client: ChannelId, route: Route, code: WireCode) {
        if let Some((id, side)) = self.end_of(client, route) {
            self.close_pair_but(id, Some(side), code);
        }
    }

    pub(super) fn pair_deadline_passed(&mut self, id: PairId) {
        let code = match self.pairs.get(id) {
            Some(pair) if pair.is_offered() => ErrorCode::NoAnswer,
            Some(_) => ErrorCode::NotFound,
            None => return,
        };
        self.close_pair(id, None, code.into());
    }

    /// Ends a pair. Its ends are told, except for those that `client` is, which is gone.
    pub(super) fn close_pair(&mut self, id: PairId, client: Option<ChannelId>, code: WireCode) {
        let Some(pair) = self.pairs.get(id) else {
            return;
        };
        let gone = Side::BOTH
            .into_iter()
            .find(|&side| Some(pair.end(side).client) == client);
        self.close_pair_but(id, gone, code);
    }

    /// Ends a pair. Its ends are told, except for one that knows.
    fn close_pair_but(&mut self, id: PairId, knows: Option<Side>, code: WireCode) {
        let Some(pair) = self.pairs.remove(id) else {
            return;
        };
        tracing::debug!(?id, ?code, "channel over");
        for side in Side::BOTH {
            let end = pair.end(side);
            self.forwarding.remove(end.route);
            if knows == Some(side) {
                continue;
            }
            let route = end.route;
            let message = match (pair.is_offered(), side, pair.request()) {
                (true, _, _) => CoordinatorMessage::ChannelClosed { route, code },
                (false, Side::Initiator, Some(request)) => {
                    self.host.stats.channels_refused += 1;
                    CoordinatorMessage::OpenFailed { request, code }
                }
                (false, Side::Initiator | Side::Acceptor, _) => continue,
            };
            self.tell(end.client, &message);
        }
        self.events.push(CoordinatorEvent::PairClosed {
            pair: id,
            reason: code.into(),
        });
    }

    fn add_pair(
        &mut self,
        now: Instant,
        from: ChannelId,
        to: ChannelId,
        label: Bytes,
        request: Option<RequestId>,
    ) -> Result<PairId, ErrorCode> {
        if self.is_lagging() {
            return Err(ErrorCode::Limit);
        }
        let limit = self.config.limits.channels_per_client;
        let own_ends = if from == to { 2 } else { 1 };
        if [from, to]
            .iter()
            .any(|&client| self.pairs.count(client) + own_ends > limit)
        {
            return Err(ErrorCode::Limit);
        }
        let initiator = self.new_end(from, None).ok_or(ErrorCode::NotFound)?;
        let acceptor = self
            .new_end(to, Some(initiator.route))
            .ok_or(ErrorCode::NotFound)?;
        let id = PairId(self.host.fresh_id().0);
        let number = self.host.random();
        let deadline = now + patience(self.config.limits.answer_timeout);
        self.pairs
            .add(id, [initiator, acceptor], label, number, request, deadline);
        Ok(id)
    }

    fn new_end(&mut self, client: ChannelId, avoid: Option<Route>) -> Option<End> {
        let route = loop {
            let route = Route::from_bits(self.host.random());
            if self.pairs.find(route).is_none() && Some(route) != avoid {
                break route;
            }
        };
        let entry = self.host.get(client)?;
        // One that is being closed is as good as gone.
        if !entry.core.is_open() {
            return None;
        }
        let (id, name) = entry.role.admitted()?;
        Some(End {
            client,
            id,
            name: name.cloned(),
            route,
        })
    }

    fn ask_for_pair(&mut self, id: PairId) {
        if let Some(pair) = self.pairs.get(id) {
            self.events.push(CoordinatorEvent::PairAsks {
                pair: id,
                from: pair.end(Side::Initiator).id,
                to: pair.end(Side::Acceptor).id,
                label: pair.label.clone(),
            });
        }
    }

    fn offer_pair(&mut self, now: Instant, id: PairId) {
        let deadline = now + patience(self.config.limits.answer_timeout);
        if !self.pairs.grant(id, deadline) {
            return;
        }
        for side in Side::BOTH {
            if let Some(pair) = self.pairs.get(id) {
                let client = pair.end(side).client;
                let offer = pair.offer(side);
                self.tell(client, &CoordinatorMessage::Offer(offer));
            }
        }
    }

    /// Both ends have accepted.
    fn start_pair(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get(id) else {
            return;
        };
        let [from, to] = pair.ends.clone();
        let place = |client| self.host.get(client).map(|entry| entry.role.place());
        let (Some(from_place), Some(to_place)) = (place(from.client), place(to.client)) else {
            return;
        };
        let (from_at, to_at) = ((from.client, from_place), (to.client, to_place));
        self.forwarding.add(to.route, from_at, to_at);
        self.forwarding.add(from.route, to_at, from_at);
        self.tell(
            from.client,
            &CoordinatorMessage::Start { route: from.route },
        );
        self.events.push(CoordinatorEvent::PairStarted {
            pair: id,
            from: from.id,
            to: to.id,
        });
    }

    /// The end with this route, if it is the Client's.
    fn end_of(&self, client: ChannelId, route: Route) -> Option<(PairId, Side)> {
        let (id, side) = self.pairs.find(route)?;
        let pair = self.pairs.get(id)?;
        (pair.end(side).client == client).then_some((id, side))
    }
}
