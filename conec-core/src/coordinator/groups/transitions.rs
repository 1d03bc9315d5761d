//! Joining, publishing, leaving. All transitions of [`Seat`] are here.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Applicant, Due, Group, Number, Seat, Sequence, outlet::Outlet};
use crate::{
    AnswerError, ClientId, ErrorCode, GroupConfig, MembershipId, Name, Policy, RecvEnd, RecvError,
    SendEnd, StreamId,
    access::GroupAct,
    channel::StreamNotice,
    coordinator::{Coordinator, CoordinatorEvent},
    wire::{Author, Join, RoleMessage, ToGroup},
};

// What Clients do.
impl Coordinator {
    pub(in crate::coordinator) fn group_notice(
        &mut self,
        now: Instant,
        stream: StreamId,
        told: StreamNotice,
    ) {
        if let StreamNotice::SendEnded(_) = told {
            self.groups.under_way.ended(stream);
        }
        match told {
            StreamNotice::Begun(label) => self.membership_begun(stream, &label),
            StreamNotice::Readable => match self.groups.seats.get(&stream) {
                Some(Seat::Begun(_)) => self.read_join(now, stream),
                Some(Seat::Member(..)) => self.groups.line_up(stream),
                Some(Seat::Waiting(..) | Seat::Asking(..)) | None => {}
            },
            StreamNotice::Writable => {
                if let Some((number, id, group)) = self.groups.member(stream)
                    && let Some(member) = group.members.get_mut(&id)
                {
                    member.blocked = false;
                    self.deliver(now, number, Some(id));
                }
            }
            StreamNotice::RecvEnded(RecvEnd::Finished) => self.membership_left(now, stream),
            // What it has published on its way out counts still.
            StreamNotice::SendEnded(SendEnd::Refused(ErrorCode::Dropped)) => {
                if let Some((number, id, group)) = self.groups.member(stream) {
                    group.deafen(id);
                    self.go_on_publishing(number);
                }
            }
            StreamNotice::RecvEnded(RecvEnd::TooLarge) => {
                self.end_membership(now, stream, ErrorCode::TooLarge);
            }
            StreamNotice::RecvEnded(RecvEnd::Truncated) => {
                self.end_membership(now, stream, ErrorCode::Protocol);
            }
            StreamNotice::RecvEnded(
                RecvEnd::Stopped | RecvEnd::Reset(_) | RecvEnd::Refused(_) | RecvEnd::Closed(_),
            )
            | StreamNotice::SendEnded(_) => {
                self.end_membership(now, stream, ErrorCode::Dropped);
            }
        }
    }

    fn membership_begun(&mut self, stream: StreamId, label: &[u8]) {
        let client = stream.channel();
        let name = std::str::from_utf8(label).ok();
        let (Some(id), Some(group)) = (
            self.host.get(client).and_then(|it| it.role.admitted()),
            name.and_then(|name| name.parse().ok()),
        ) else {
            return self.end_stream(stream, ErrorCode::Protocol);
        };
        let applicant = Applicant { client, id, group };
        self.groups.seats.insert(stream, Seat::Begun(applicant));
    }

    fn read_join(&mut self, now: Instant, stream: StreamId) {
        loop {
            let frame = match self.next_frame(stream) {
                Ok(frame) => frame,
                Err(RecvError::Blocked | RecvError::Lagged(_) | RecvError::Ended) => return,
            };
            return match ToGroup::decode(frame) {
                Ok(Some(ToGroup::Join(join))) => self.asked_to_join(now, stream, join),
                // What is not known may be skipped at any time.
                Ok(None) => continue,
                Ok(Some(ToGroup::Publish(_) | ToGroup::Proof(_))) | Err(_) => {
                    self.end_membership(now, stream, ErrorCode::Protocol);
                }
            };
        }
    }

    fn asked_to_join(&mut self, now: Instant, stream: StreamId, join: Join) {
        let Some(Seat::Begun(applicant)) = self.groups.seats.get(&stream) else {
            return;
        };
        let applicant = applicant.clone();
        if self.is_stopping() {
            return self.end_membership(now, stream, ErrorCode::Shutdown);
        }
        let Applicant {
            client,
            id,
            ref group,
        } = applicant;
        let Some(member) = self.registry.get(id).filter(|it| it.session == client) else {
            return self.end_membership(now, stream, ErrorCode::Refused);
        };
        let standing = member.standing(id);
        // Who leaves and joins again is heard of in any order: what it has published in between comes first.
        let former = self.groups.named(group);
        let former = former.and_then(|it| it.members.get(&id));
        if former.is_some_and(|it| it.stream.channel() == client) {
            let seat = Seat::Waiting(applicant, Box::new(join));
            self.groups.seats.insert(stream, seat);
            return;
        }
        let create = !self.groups.names.contains_key(group);
        let asked = [
            (true, GroupAct::Join, ErrorCode::NotFound),
            (create, GroupAct::Create, ErrorCode::NotFound),
            (join.part.publishes, GroupAct::Publish, ErrorCode::Refused),
        ];
        let mut ask = false;
        for (_, act, code) in asked.into_iter().filter(|it| it.0) {
            match self.rules.in_group(&standing, act, group) {
                Policy::Allow => {}
                Policy::Ask => ask = true,
                Policy::Deny => return self.end_membership(now, stream, code),
            }
        }
        if !ask {
            return self.let_member_in(now, stream, applicant, join);
        }
        if self.is_lagging() {
            return self.end_membership(now, stream, ErrorCode::Limit);
        }
        self.groups.requests += 1;
        let request = MembershipId(self.groups.requests);
        self.events.push(CoordinatorEvent::MemberAsks {
            request,
            client,
            id,
            group: group.clone(),
            publish: join.part.publishes,
            create,
        });
        let deadline = now + self.config.limits.answer_timeout;
        self.groups.due.set(Due::Answer(request), Some(deadline));
        self.groups.asks.insert(request, stream);
        let seat = Seat::Asking(applicant, Box::new(join), request);
        self.groups.seats.insert(stream, seat);
    }

    pub(super) fn answer_member(
        &mut self,
        now: Instant,
        request: MembershipId,
        allowed: bool,
    ) -> Result<(), AnswerError> {
        let stream = self.groups.asks.remove(&request).ok_or(AnswerError)?;
        self.groups.due.set(Due::Answer(request), None);
        match self.groups.seats.remove(&stream) {
            Some(Seat::Asking(applicant, join, _)) if allowed => {
                self.let_member_in(now, stream, applicant, *join);
            }
            Some(Seat::Asking(applicant, ..)) => {
                self.end_stream(stream, ErrorCode::NotFound);
                self.succeed(now, stream, &applicant.group);
            }
            Some(Seat::Begun(_) | Seat::Waiting(..) | Seat::Member(..)) | None => {
                self.end_stream(stream, ErrorCode::NotFound);
            }
        }
        Ok(())
    }

    fn let_member_in(&mut self, now: Instant, stream: StreamId, applicant: Applicant, join: Join) {
        let Applicant { client, id, group } = applicant;
        let name = self.registry.get(id).and_then(|it| it.name.clone());
        // The same Client by a former home channel makes place.
        let before = self.groups.named(&group);
        if let Some(before) = before
            .and_then(|it| it.members.get(&id))
            .map(|it| it.stream)
        {
            if before.channel() > client {
                return self.end_membership(now, stream, ErrorCode::Superseded);
            }
            // It was let in while the application was asked about both.
            if before.channel() == client {
                let applicant = Applicant { client, id, group };
                let seat = Seat::Waiting(applicant, Box::new(join));
                self.groups.seats.insert(stream, seat);
                return;
            }
            self.end_membership(now, before, ErrorCode::Superseded);
        }
        let limits = &self.config.limits;
        let held = self.groups.clients.get(&id).map_or(0, |it| it.memberships);
        if held >= limits.groups_per_client {
            return self.end_membership(now, stream, ErrorCode::Limit);
        }
        let number = match self.groups.names.get(&group) {
            Some(&number) => number,
            None if self.groups.has_room(Some(id), limits) => {
                self.make_group(group, self.config.group, Some(id))
            }
            None => return self.end_membership(now, stream, ErrorCode::Limit),
        };
        let Some(group) = self.groups.all.get_mut(&number) else {
            return;
        };
        let joined = group.enter(id, name, stream, join);
        tracing::debug!(group = %group.name, ?id, "a member joins");
        self.groups.clients.entry(id).or_default().memberships += 1;
        self.groups.seats.insert(stream, Seat::Member(number, id));
        self.groups.fresh.insert(number);
        self.groups.changed(now, number);
        self.groups.line_up(stream);
        if let Some((entry, link)) = self.host.linked(client) {
            entry.core.send_frame(link, stream, joined);
        }
    }

    /// Makes a group, under a name that none has.
    pub(super) fn make_group(
        &mut self,
        name: Name,
        config: GroupConfig,
        maker: Option<ClientId>,
    ) -> Number {
        tracing::debug!(group = %name, ?maker, "a group is made");
        let incarnation = self.host.random();
        let config = config.fit(self.config.home.max_message_size);
        self.groups
            .insert(Group::new(name, incarnation, config, maker))
    }

    /// A member has published all that it will.
    fn membership_left(&mut self, now: Instant, stream: StreamId) {
        if let Some((entry, link)) = self.host.linked(stream.channel()) {
            entry.core.finish_membership(link, stream);
        }
        self.forget_membership(now, stream);
    }

    /// Ends a membership, or what was to be one, with this code.
    pub(super) fn end_membership(&mut self, now: Instant, stream: StreamId, code: ErrorCode) {
        self.end_stream(stream, code);
        self.forget_membership(now, stream);
    }

    fn end_stream(&mut self, stream: StreamId, code: ErrorCode) {
        self.groups.under_way.ended(stream);
        if let Some((entry, link)) = self.host.linked(stream.channel()) {
            entry.core.end_membership(link, stream, code.into());
        }
    }

    fn forget_membership(&mut self, now: Instant, stream: StreamId) {
        match self.groups.seats.remove(&stream) {
            None => {}
            Some(Seat::Begun(applicant) | Seat::Waiting(applicant, _)) => {
                self.succeed(now, stream, &applicant.group);
            }
            Some(Seat::Asking(applicant, _, request)) => {
                self.groups.asks.remove(&request);
                self.groups.due.set(Due::Answer(request), None);
                self.succeed(now, stream, &applicant.group);
            }
            Some(Seat::Member(number, id)) => {
                self.groups.due.set(Due::Pace(stream), None);
                self.groups.line.retain(|&it| it != stream);
                self.groups.release(id, |held| held.memberships -= 1);
                if let Some(group) = self.groups.all.get_mut(&number) {
                    tracing::debug!(group = %group.name, ?id, "a member leaves");
                    group.leave(id);
                    let name = group.name.clone();
                    self.groups.fresh.insert(number);
                    self.groups.changed(now, number);
                    self.go_on_publishing(number);
                    self.succeed(now, stream, &name);
                    self.groups.tidy(number);
                }
            }
        }
    }

    /// Who has waited until it was no member any more joins now.
    fn succeed(&mut self, now: Instant, former: StreamId, group: &Name) {
        if let Some(stream) = self.groups.successor(former, group)
            && let Some(Seat::Waiting(applicant, join)) = self.groups.seats.remove(&stream)
        {
            self.groups.seats.insert(stream, Seat::Begun(applicant));
            self.asked_to_join(now, stream, *join);
        }
    }

    fn next_frame(&mut self, stream: StreamId) -> Result<Bytes, RecvError> {
        let Some((entry, link)) = self.host.linked(stream.channel()) else {
            return Err(RecvError::Ended);
        };
        entry.core.next_frame(link, stream)
    }
}

// What comes of it.
impl Coordinator {
    /// Does what is due.
    pub(in crate::coordinator) fn groups_due(&mut self, now: Instant) {
        while let Some(due) = self.groups.due.pop_due(now) {
            match due {
                Due::Beat(number) => {
                    if let Some(group) = self.groups.all.get_mut(&number) {
                        group.beat = Some(now);
                        if group.tell_changes() {
                            self.groups.fresh.insert(number);
                        }
                    }
                }
                Due::Patience(number) => self.patience_over(now, number),
                Due::Pace(stream) => self.groups.line_up(stream),
                Due::Forget(id) => self.groups.forget(id),
                Due::Acknowledged => self.serve_short(now),
                Due::Answer(request) => {
                    // It has not been answered, so there is one to answer.
                    let _ = self.answer_member(now, request, false);
                }
            }
        }
    }

    /// Takes what is published, in turn, and sends it to all members. Not for longer than others can wait.
    pub(in crate::coordinator) fn serve_groups(&mut self, now: Instant) {
        self.groups_due(now);
        let mut left = BUDGET;
        while left > 0
            && let Some(stream) = self.groups.line.pop_front()
        {
            left = left.saturating_sub(self.serve_publisher(now, stream));
        }
        for number in std::mem::take(&mut self.groups.fresh) {
            self.deliver(now, number, None);
        }
    }

    /// Takes what a member publishes, until its turn is over. What that costs.
    fn serve_publisher(&mut self, now: Instant, stream: StreamId) -> u64 {
        let mut spent = 0;
        while spent < TURN {
            let Some((number, id, group)) = self.groups.member(stream) else {
                return spent;
            };
            let held_up = group.is_held_up();
            let Some(member) = group.members.get_mut(&id) else {
                return spent;
            };
            member.in_line = false;
            if held_up {
                if !group.waiting.contains(&stream) {
                    group.waiting.push(stream);
                }
                self.hold_up(now, number);
                return spent;
            }
            let busy = self.groups.clients.get(&id).and_then(|it| it.busy);
            if let Some(until) = busy.filter(|&until| until > now + AHEAD) {
                self.groups.due.set(Due::Pace(stream), Some(until));
                return spent;
            }
            let frame = match self.next_frame(stream) {
                Ok(frame) => frame,
                Err(RecvError::Blocked | RecvError::Lagged(_) | RecvError::Ended) => {
                    return spent.max(1);
                }
            };
            spent += self.member_says(now, stream, frame);
        }
        self.groups.line_up(stream);
        spent
    }

    fn member_says(&mut self, now: Instant, stream: StreamId, frame: Bytes) -> u64 {
        let said = ToGroup::decode(frame);
        let Some((number, id, group)) = self.groups.member(stream) else {
            return 1;
        };
        let Some(member) = group.members.get(&id) else {
            return 1;
        };
        match said {
            Ok(Some(ToGroup::Publish(message))) if member.part.publishes => {
                if message.len() > group.config.max_message_size {
                    self.end_membership(now, stream, ErrorCode::TooLarge);
                    return LEAST;
                }
                let author = member.author(id);
                // Who is not slow is not to lose anything: what was not sent to anybody goes before it is displaced.
                if group.would_displace_unsent() {
                    self.deliver(now, number, None);
                }
                self.publish_in(number, Some(&author), &message);
                self.charge(now, number, id, message.len())
            }
            Ok(Some(ToGroup::Proof(proof))) => {
                group.proved(id, proof);
                self.groups.changed(now, number);
                self.charge(now, number, id, 0)
            }
            Ok(None) => LEAST,
            Ok(Some(ToGroup::Join(_) | ToGroup::Publish(_))) | Err(_) => {
                self.end_membership(now, stream, ErrorCode::Protocol);
                LEAST
            }
        }
    }

    /// What somebody has said costs it as much as it takes to tell all members.
    fn charge(&mut self, now: Instant, number: Number, id: ClientId, len: usize) -> u64 {
        let hearers = self.groups.all.get(&number).map_or(0, |it| it.hearers());
        let cost = (len as u64).max(LEAST) * hearers.max(1);
        let rate = self.config.limits.publish_rate();
        if let Some(held) = self.groups.clients.get_mut(&id) {
            let from = held.busy.map_or(now, |busy| busy.max(now));
            let nanos = u128::from(cost) * 1_000_000_000 / u128::from(rate.max(1));
            let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).min(MOST_NANOS);
            held.busy = Some(from + Duration::from_nanos(nanos));
        }
        cost
    }

    /// Adds a message to a group's order.
    pub(super) fn publish_in(
        &mut self,
        number: Number,
        author: Option<&Author>,
        message: &Bytes,
    ) -> Sequence {
        let Some(group) = self.groups.all.get_mut(&number) else {
            return 0;
        };
        let before = group.log.memory();
        let sequence = group.publish(author, message);
        self.groups.kept = self.groups.kept + group.log.memory() - before;
        if group.subscription.is_some() {
            self.groups.tell_application(number);
        }
        self.groups.fresh.insert(number);
        while self.groups.kept > self.config.limits.group_memory {
            self.shed();
        }
        sequence
    }

    /// All groups together keep too much: the largest keeps less.
    fn shed(&mut self) {
        let groups = self.groups.all.values_mut();
        if let Some(group) = groups.max_by_key(|it| it.log.memory()) {
            let before = group.log.memory();
            group.shed();
            self.groups.kept -= before - group.log.memory();
        }
    }

    /// Sends what there is to one member of a group, or to all.
    fn deliver(&mut self, now: Instant, number: Number, to: Option<ClientId>) {
        let Some(group) = self.groups.all.get_mut(&number) else {
            return;
        };
        let (host, under_way) = (&mut self.host, &mut self.groups.under_way);
        let before = group.log.memory();
        let delivered = group.deliver(to, |stream, send| {
            if let Some((entry, link)) = host.linked(stream.channel()) {
                send(Outlet::new(now, &mut entry.core, link, stream, under_way));
            }
        });
        // What is kept is in pieces of the right size now.
        self.groups.kept = self.groups.kept + group.log.memory() - before;
        if !delivered.short.is_empty() {
            if self.groups.short.is_empty() {
                self.groups.due.set(Due::Acknowledged, Some(now + LOOK));
            }
            for stream in delivered.short {
                self.groups.short.entry(stream).or_insert(now);
            }
        }
        for stream in delivered.too_slow {
            self.end_membership(now, stream, ErrorCode::TooSlow);
        }
        if delivered.advanced {
            self.go_on_publishing(number);
        }
    }

    /// Tries again to send to those for which there was no room. If one that has acknowledged everything gets nothing for a while, somebody
    /// else has to give way.
    fn serve_short(&mut self, now: Instant) {
        self.groups.under_way.look();
        let before = std::mem::take(&mut self.groups.short);
        for &stream in before.keys() {
            if let Some((number, id, group)) = self.groups.member(stream)
                && let Some(member) = group.members.get_mut(&id)
            {
                member.blocked = false;
                self.deliver(now, number, Some(id));
            }
        }
        let mut starves = false;
        for (stream, since) in &mut self.groups.short {
            if let Some(&before) = before.get(stream)
                && self.groups.under_way.held(stream.channel()) == 0
            {
                *since = before;
                starves |= before + STARVING <= now;
            }
        }
        if starves {
            for stream in self.groups.under_way.stuck(now) {
                tracing::debug!(?stream, "a member is stuck, and others wait for memory");
                self.end_membership(now, stream, ErrorCode::TooSlow);
            }
        }
    }

    /// Members have taken something: those may go on that have waited for it.
    fn go_on_publishing(&mut self, number: Number) {
        let Some(group) = self.groups.all.get_mut(&number) else {
            return;
        };
        if group.held_up.is_none() && group.waiting.is_empty() || group.is_held_up() {
            return;
        }
        group.held_up = None;
        let waiting = std::mem::take(&mut group.waiting);
        self.groups.due.set(Due::Patience(number), None);
        for stream in waiting {
            self.groups.line_up(stream);
        }
    }

    /// Publishers of a group wait for its slowest member, for so long.
    pub(super) fn hold_up(&mut self, now: Instant, number: Number) {
        let Some(group) = self.groups.all.get_mut(&number) else {
            return;
        };
        if let Some(patience) = group.config.push_back
            && group.held_up.is_none()
        {
            group.held_up = Some((now, group.log.first()));
            self.groups
                .due
                .set(Due::Patience(number), Some(now + patience));
        }
    }

    fn patience_over(&mut self, now: Instant, number: Number) {
        let Some(group) = self.groups.all.get_mut(&number) else {
            return;
        };
        group.held_up = None;
        let late = match group.is_held_up() {
            true => group.laggards(),
            false => Vec::new(),
        };
        for stream in late {
            self.end_membership(now, stream, ErrorCode::TooSlow);
        }
        self.go_on_publishing(number);
    }

    /// Rules have changed, which counts for members as well.
    pub(in crate::coordinator) fn rule_on_members(&mut self, now: Instant) {
        let members: Vec<_> = self
            .groups
            .seats
            .iter()
            .filter_map(|(&stream, seat)| match *seat {
                Seat::Member(number, id) => Some((stream, number, id)),
                Seat::Begun(_) | Seat::Waiting(..) | Seat::Asking(..) => None,
            })
            .collect();
        for (stream, number, id) in members {
            let (Some(standing), Some(group)) = (
                self.registry.get(id).map(|it| it.standing(id)),
                self.groups.all.get(&number),
            ) else {
                continue;
            };
            let publishes = group.members.get(&id).is_some_and(|it| it.part.publishes);
            let denies = |act| self.rules.in_group(&standing, act, &group.name) == Policy::Deny;
            if denies(GroupAct::Join) {
                self.end_membership(now, stream, ErrorCode::NotFound);
            } else if publishes && denies(GroupAct::Publish) {
                self.end_membership(now, stream, ErrorCode::Refused);
            }
        }
    }
}

/// What all publishers may cost before others have their turn, and what one may.
const BUDGET: u64 = 4 << 20;
const TURN: u64 = 256 << 10;
/// What a message costs at least, for each who hears it.
const LEAST: u64 = 256;
/// For how long a publisher may be ahead of its rate.
const AHEAD: Duration = Duration::from_millis(1);
/// How long members wait for room until it is looked for.
const LOOK: Duration = Duration::from_millis(10);
/// How long they wait until others give way. In less than that, those that are well acknowledge what they have.
const STARVING: Duration = Duration::from_secs(1);
/// No message takes longer.
const MOST_NANOS: u64 = 60_000_000_000;
