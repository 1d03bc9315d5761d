//! Arranging channels between Clients.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Coordinator, CoordinatorEvent,
    pairs::{Asker, End, Presence, Seat, Side, patience},
};
use crate::{
    AnswerError, ChannelId, ClientId, Code, ErrorCode, PairError, PairId, Policy, Target,
    Violation,
    channel::ChannelCore,
    error::WireCode,
    util::{are_neighbours, may_take},
    wire::{CoordinatorMessage, MAX_LABEL, RequestId, Route},
};

impl Coordinator {
    /// A Client asks for a channel.
    pub(super) fn channel_requested(
        &mut self,
        now: Instant,
        id: ClientId,
        request: RequestId,
        target: &Target,
        label: Bytes,
    ) {
        let ends = self.registry.find(target).map(|to| [id, to]);
        let asker = Asker::Initiator(request);
        self.pair_requested(now, (id, request), asker, ends, target, label);
    }

    /// A Client asks for a channel between two others, on this home channel.
    pub(super) fn introduction_requested(
        &mut self,
        now: Instant,
        (id, session): (ClientId, ChannelId),
        request: RequestId,
        [from, to]: [&Target; 2],
        label: Bytes,
    ) {
        let ends = self.registry.find(from).zip(self.registry.find(to));
        let asker = Asker::Introducer {
            id,
            session,
            request,
        };
        let ends = ends.map(|(from, to)| [from, to]);
        self.pair_requested(now, (id, request), asker, ends, to, label);
    }

    /// A Client asks for a channel between these two, if both are there, of whom the second was asked for as `target`.
    fn pair_requested(
        &mut self,
        now: Instant,
        (id, request): (ClientId, RequestId),
        asker: Asker,
        ends: Option<[ClientId; 2]>,
        target: &Target,
        label: Bytes,
    ) {
        // What concerns the one that asks comes first: it tells nothing of the others.
        if self.is_stopping() {
            return self.open_failed(id, request, ErrorCode::Shutdown.into());
        }
        if !self.may_ask(id) {
            return self.open_failed(id, request, ErrorCode::Limit.into());
        }
        // Those that may not have it look like some that are not there.
        let policy = ends.map_or(Policy::Deny, |ends| self.policy_for(asker, ends, &label));
        let pair = ends
            .filter(|_| policy != Policy::Deny)
            .and_then(|ends| self.add_pair(now, ends, target, label, asker));
        match (pair, policy) {
            (Some(pair), Policy::Ask) => self.ask_for_pair(pair),
            (Some(pair), Policy::Allow | Policy::Deny) => self.offer_or_close_pair(now, pair),
            (None, _) => self.refuse_request(now, now, id, request, ErrorCode::NotFound.into()),
        }
    }

    /// Whether rules let somebody who is there introduce others to each other.
    fn may_introduce(&self, id: ClientId) -> Policy {
        let member = self.registry.get(id);
        member.map_or(Policy::Deny, |it| self.rules.introduction(&it.standing(id)))
    }

    /// Whether rules let one have a channel to the other, both of whom are there.
    fn may_reach(&self, from: ClientId, to: ClientId, label: &[u8]) -> Policy {
        let [from, to] = [from, to].map(|id| Some(self.registry.get(id)?.standing(id)));
        from.zip(to).map_or(Policy::Deny, |(from, to)| {
            self.rules.reach(&from, &to, label)
        })
    }

    /// A request that was made at `asked` cannot be met, for what the target is or for what was decided.
    fn refuse_request(
        &mut self,
        now: Instant,
        asked: Instant,
        id: ClientId,
        request: RequestId,
        code: WireCode,
    ) {
        if !self.rules.may_ask_about_channels() {
            return self.open_failed(id, request, code);
        }
        // Neither the answer nor when it comes may tell whether somebody is there.
        let told = if code == ErrorCode::Limit.into() {
            ErrorCode::Limit
        } else {
            ErrorCode::NotFound
        };
        self.pairs.refuse(now, asked, id, request, told.into());
    }

    pub(super) fn open_failed(&mut self, id: ClientId, request: RequestId, code: WireCode) {
        self.host.stats.channels_refused += 1;
        self.tell(id, &CoordinatorMessage::OpenFailed { request, code });
    }

    /// Whether a Client may ask for another channel.
    pub(super) fn may_ask(&self, id: ClientId) -> bool {
        self.may_have(id, self.pairs.len())
    }

    /// Whether a Client may have another channel among so many others.
    pub(super) fn may_have(&self, id: ClientId, others: usize) -> bool {
        let (own, limits) = (self.pairs.asked(id), &self.config.limits);
        let is_place = may_take(own, others, limits.pairs);
        is_place && own < limits.channels_per_client && !self.is_lagging()
    }

    pub(super) fn connect_pair(
        &mut self,
        now: Instant,
        from: &Target,
        to: &Target,
        label: &[u8],
    ) -> Result<PairId, PairError> {
        if label.len() > MAX_LABEL {
            return Err(PairError::LabelTooLong);
        }
        let (Some(from), Some(id)) = (self.registry.find(from), self.registry.find(to)) else {
            return Err(PairError::NotFound);
        };
        if !self.may_ask(from) {
            return Err(PairError::TooMany);
        }
        let label = Bytes::copy_from_slice(label);
        let pair = self.add_pair(now, [from, id], to, label, Asker::Application);
        let pair = pair.ok_or(PairError::NotFound)?;
        if !self.offer_pair(now, pair) {
            self.pairs.remove(pair);
            return Err(PairError::TooMany);
        }
        Ok(pair)
    }

    pub(super) fn grant_pair(&mut self, now: Instant, id: PairId) -> Result<(), AnswerError> {
        match self.pairs.get(id) {
            Some(pair) if !pair.is_offered() => self.offer_or_close_pair(now, id),
            Some(pair) if pair.is_asked_about() => self.resume_pair(now, id),
            Some(_) | None => return Err(AnswerError),
        }
        Ok(())
    }

    pub(super) fn deny_pair(&mut self, now: Instant, id: PairId) -> Result<(), AnswerError> {
        match self.pairs.get(id) {
            Some(pair) if !pair.is_offered() || pair.is_asked_about() => {
                self.close_pair(now, id, None, ErrorCode::NotFound.into());
                Ok(())
            }
            Some(_) | None => Err(AnswerError),
        }
    }

    pub(super) fn disconnect_pair(
        &mut self,
        now: Instant,
        id: PairId,
        code: Code,
    ) -> Result<(), AnswerError> {
        self.pairs.get(id).ok_or(AnswerError)?;
        self.revoke_pair(now, id, WireCode::Application(code));
        Ok(())
    }

    /// Ends a pair, which nobody can claim any more.
    pub(super) fn revoke_pair(&mut self, now: Instant, id: PairId, code: WireCode) {
        if let Some(pair) = self.pairs.get(id) {
            self.tickets.revoke(self.host.unix_time(now), pair.number());
            self.close_pair(now, id, None, code);
        }
    }

    /// What rules say of a pair whose ends are there.
    pub(super) fn policy_of(&self, id: PairId) -> Policy {
        self.pairs.get(id).map_or(Policy::Deny, |pair| {
            let ends = pair.ends.each_ref().map(|end| end.id);
            self.policy_for(pair.asker(), ends, &pair.label)
        })
    }

    /// What rules say of a pair that somebody has asked for, and whose ends are there.
    fn policy_for(&self, asker: Asker, [from, to]: [ClientId; 2], label: &[u8]) -> Policy {
        let reach = self.may_reach(from, to, label);
        match asker {
            Asker::Application => Policy::Allow,
            // Of who is gone nothing is known, and what it has begun goes on.
            Asker::Introducer { id, .. } if self.registry.get(id).is_some() => {
                stricter(self.may_introduce(id), reach)
            }
            Asker::Introducer { .. } | Asker::Initiator(_) | Asker::Nobody => reach,
        }
    }

    /// One end accepts what it was offered.
    pub(super) fn end_accepted(&mut self, now: Instant, id: ClientId, route: Route, direct: bool) {
        // The channel may be over already, which the Client does not know yet.
        let Some((pair, side)) = self.end_of(id, route) else {
            return;
        };
        let accepted = self.pairs.accept(pair, side, direct);
        match (accepted, self.registry.get(id)) {
            (Ok(true), _) => self.start_pair(now, pair),
            (Ok(false), _) | (Err(()), None) => {}
            (Err(()), Some(member)) => {
                self.host
                    .violate(now, member.session, Violation::Unexpected);
            }
        }
    }

    /// One end rejects what it was offered, or says that it is over.
    pub(super) fn end_closed(&mut self, now: Instant, id: ClientId, route: Route, code: WireCode) {
        if let Some((pair, side)) = self.end_of(id, route) {
            self.close_pair_but(now, pair, |it, _| it == side, code);
        }
    }

    /// One end says whether what it sends travels directly.
    pub(super) fn path_reported(&mut self, id: ClientId, route: Route, direct: bool) {
        if let Some((pair, side)) = self.end_of(id, route) {
            self.pairs.path_reported(pair, side, direct);
        }
    }

    pub(super) fn pair_deadline_passed(&mut self, now: Instant, id: PairId) {
        let code = match self.pairs.get(id) {
            Some(pair) if pair.is_incomplete() => ErrorCode::PeerGone,
            Some(pair) if pair.is_started() => return self.tell_neighbours(now, id),
            Some(pair) if pair.is_asked_about() => ErrorCode::NotFound,
            Some(pair) if pair.is_offered() => ErrorCode::NoAnswer,
            Some(_) => ErrorCode::NotFound,
            None => return,
        };
        self.close_pair(now, id, None, code.into());
    }

    /// Ends a pair. Its ends are told, except for those that `gone` is.
    pub(super) fn close_pair(
        &mut self,
        now: Instant,
        id: PairId,
        gone: Option<ClientId>,
        code: WireCode,
    ) {
        self.close_pair_but(now, id, |_, end| Some(end.id) == gone, code);
    }

    /// Ends a pair. Its ends are told, except for those that know.
    fn close_pair_but(
        &mut self,
        now: Instant,
        id: PairId,
        knows: impl Fn(Side, &End) -> bool,
        code: WireCode,
    ) {
        let Some(pair) = self.pairs.remove(id) else {
            return;
        };
        tracing::debug!(?id, ?code, "channel over");
        for side in Side::BOTH {
            let end = pair.end(side);
            self.forwarder.remove(end.route);
            if end.presence == Presence::Moved && self.pairs.pairs_of(end.id).is_empty() {
                self.forwarder.forget(end.id);
            }
            if knows(side, end) || end.presence == Presence::Gone {
                continue;
            }
            if pair.is_offered() {
                let route = end.route;
                self.tell(end.id, &CoordinatorMessage::ChannelClosed { route, code });
            }
        }
        let told = match pair.asker() {
            // The offer was its answer.
            Asker::Initiator(request) => {
                let end = pair.end(Side::Initiator);
                let waits = !pair.is_offered() && !knows(Side::Initiator, end);
                waits.then_some((end.id, request))
            }
            Asker::Introducer {
                id,
                session,
                request,
            } => self.is_on(id, session).then_some((id, request)),
            Asker::Nobody | Asker::Application => None,
        };
        match told {
            Some((id, request)) if pair.is_offered() => self.open_failed(id, request, code),
            Some((id, request)) => self.refuse_request(now, pair.since(), id, request, code),
            None => {}
        }
        self.events.push(CoordinatorEvent::PairClosed {
            pair: id,
            reason: code.into(),
        });
    }

    /// Enters a pair which the first [may ask](Self::may_ask) for, if both are there.
    fn add_pair(
        &mut self,
        now: Instant,
        [from, to]: [ClientId; 2],
        target: &Target,
        label: Bytes,
        asker: Asker,
    ) -> Option<PairId> {
        let initiator = self.new_end(from, None)?;
        let mut acceptor = self.new_end(to, Some(initiator.route))?;
        // It may have others, and is told to who asks by the one that was asked for.
        if let Target::Name(name) = target {
            acceptor.name = Some(name.clone());
        }
        let id = PairId(self.host.fresh_id().0);
        let number = self.host.random();
        let times = (now, self.config.limits.answer_timeout);
        self.pairs
            .add(id, [initiator, acceptor], label, number, asker, times);
        Some(id)
    }

    fn new_end(&mut self, id: ClientId, avoid: Option<Route>) -> Option<End> {
        let member = self.registry.get(id)?;
        // One that is being closed is as good as gone.
        let session = self.host.get(member.session)?;
        let name = session.core.is_open().then(|| member.name.clone())?;
        let instance = member.instance;
        let route = loop {
            let route = Route::from_bits(self.host.random());
            if self.pairs.find(route).is_none() && Some(route) != avoid {
                break route;
            }
        };
        Some(End {
            id,
            name,
            route,
            instance,
            presence: Presence::There,
            direct: None,
            seat: Seat::None,
        })
    }

    pub(super) fn ask_for_pair(&mut self, id: PairId) {
        if let Some(it) = self.pairs.get(id) {
            let [from, to] = it.ends.each_ref().map(|end| end.id);
            let (pair, label) = (id, it.label.clone());
            self.events.push(match it.asker() {
                Asker::Introducer { id: by, .. } => CoordinatorEvent::IntroductionAsks {
                    pair,
                    by,
                    from,
                    to,
                    label,
                },
                Asker::Initiator(_) | Asker::Application | Asker::Nobody => {
                    CoordinatorEvent::PairAsks {
                        pair,
                        from,
                        to,
                        label,
                    }
                }
            });
        }
    }

    fn offer_or_close_pair(&mut self, now: Instant, id: PairId) {
        if !self.offer_pair(now, id) {
            self.close_pair(now, id, None, ErrorCode::Limit.into());
        }
    }

    /// Asks both ends of a pair whether they want it, if each has room for the question, and for the pair where it is not its own.
    fn offer_pair(&mut self, now: Instant, id: PairId) -> bool {
        let Some(pair) = self.pairs.get(id) else {
            return false;
        };
        let behind = |end: &End| {
            let member = self.registry.get(end.id);
            let link = member.and_then(|it| self.host.peek(it.session));
            link.is_none_or(ChannelCore::is_behind)
        };
        if pair.ends.iter().any(behind) {
            return false;
        }
        let limit = self.config.limits.channels_per_client;
        let has_none = |&side: &Side| self.pairs.room_for(id, side, limit).is_err();
        // Nothing gives way at one end in vain.
        if Side::BOTH.iter().any(has_none) {
            return false;
        }
        for side in Side::BOTH {
            match self.pairs.room_for(id, side, limit) {
                Ok(None) => {}
                Ok(Some(other)) => self.close_pair(now, other, None, ErrorCode::Limit.into()),
                Err(()) => return false,
            }
            self.pairs.seat(id, side);
        }
        let deadline = now + patience(self.config.limits.answer_timeout);
        self.pairs.grant(id, deadline);
        for side in Side::BOTH {
            if let Some(pair) = self.pairs.get(id) {
                let (id, offer) = (pair.end(side).id, pair.offer(side));
                if let Asker::Introducer { id: by, .. } = pair.asker() {
                    let route = offer.own_route;
                    self.tell(id, &CoordinatorMessage::Introducer { route, id: by });
                }
                self.tell(id, &CoordinatorMessage::Offer(offer));
            }
        }
        true
    }

    /// Tells the ends of a pair whether they are neighbours, if they are to know and that is news.
    pub(super) fn tell_neighbours(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.pairs.get(id) else {
            return;
        };
        let ends = pair.ends.each_ref().map(|end| (end.id, end.route));
        let members = ends.map(|(id, _)| self.registry.get(id));
        let [Some(one), Some(other)] = members.map(|it| Some(it?.place.address().ip())) else {
            return;
        };
        let neighbour = are_neighbours(one, other);
        if self.pairs.are_neighbours(now, id, neighbour) {
            tracing::debug!(?id, neighbour, "telling both ends");
            for (id, route) in ends {
                self.tell(id, &CoordinatorMessage::Neighbour { route, neighbour });
            }
        }
    }

    /// Both ends have accepted.
    fn start_pair(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.pairs.get(id) else {
            return;
        };
        let [from, to] = pair.ends.clone();
        self.forward_for(id);
        self.tell_neighbours(now, id);
        let start = CoordinatorMessage::Start { route: from.route };
        self.tell(from.id, &start);
        if let Asker::Introducer {
            id: by,
            session,
            request,
        } = self.pairs.take_asker(id)
            && self.is_on(by, session)
        {
            self.tell(by, &CoordinatorMessage::Introduced { request });
        }
        self.give_tickets(now, id);
        self.events.push(CoordinatorEvent::PairStarted {
            pair: id,
            from: from.id,
            to: to.id,
        });
    }

    /// Whether a Client is there, and on this home channel.
    fn is_on(&self, id: ClientId, session: ChannelId) -> bool {
        let member = self.registry.get(id);
        member.is_some_and(|member| member.session == session)
    }

    /// The end with this route, if it is the Client's.
    fn end_of(&self, id: ClientId, route: Route) -> Option<(PairId, Side)> {
        let (pair, side) = self.pairs.find(route)?;
        let end = self.pairs.get(pair)?.end(side);
        (end.id == id).then_some((pair, side))
    }
}

/// What is decided where two rules are to let something happen.
fn stricter(one: Policy, other: Policy) -> Policy {
    match (one, other) {
        (Policy::Deny, _) | (_, Policy::Deny) => Policy::Deny,
        (Policy::Ask, _) | (_, Policy::Ask) => Policy::Ask,
        (Policy::Allow, Policy::Allow) => Policy::Allow,
    }
}
