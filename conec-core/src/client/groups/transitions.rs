//! Joining, what groups say, leaving. All transitions of [`Stage`] are here.

use std::task::Poll;

use bytes::Bytes;

use super::{Membership, Place, Stage};
use crate::{
    ChannelId, Client, ClientId, ErrorCode, GroupEnd, GroupId, GroupItem, GroupKey, GroupMember,
    GroupMessage, JoinConfig, JoinError, Joined, KeyMatch, KeyNotUsed, Name, PublishError, RecvEnd,
    RecvError, SendEnd, SlowMember, StreamId, UnsealError,
    channel::StreamNotice,
    group::MAX_GROUP_MESSAGE,
    sealing,
    wire::{self, Arrived, From, Join, Part, RoleMessage, Sequence, ToGroup, ToMember},
};

/// Where something that is published goes.
pub(super) struct Sending {
    stream: StreamId,
    /// The largest message, and what sealing adds.
    max: usize,
}

// What the application wants.
impl Client {
    pub(in crate::client) fn begin_membership(
        &mut self,
        name: Name,
        config: JoinConfig,
    ) -> Result<GroupId, JoinError> {
        if self.home.has_ended() || self.is_closing() {
            return Err(JoinError::NotConnected);
        }
        if !config.publish && !config.hear {
            return Err(JoinError::NoPart);
        }
        if self.groups.names.contains_key(&name) {
            return Err(JoinError::AlreadyMember);
        }
        let membership = Membership::new(name, config);
        let limits = &self.config.limits;
        let reserved = self.groups.reserved.saturating_add(membership.reserve);
        if self.groups.names.len() >= limits.groups || reserved > limits.group_memory {
            return Err(JoinError::TooMany);
        }
        let id = self.groups.insert(membership);
        self.join_waiting();
        Ok(id)
    }

    pub(super) fn may_publish(&mut self, id: GroupId) -> Result<Sending, PublishError> {
        let group = self.groups.get_mut(id).ok_or(PublishError::Ended)?;
        if !group.part.publishes {
            return Err(PublishError::NotPublisher);
        }
        let sending = match (group.stage, group.place) {
            (Stage::Ended(_), _) => return Err(PublishError::Ended),
            (Stage::Member(stream), Some(place)) => Some((stream, place.max_size)),
            (Stage::Member(_) | Stage::Waiting(_) | Stage::Asking(_), _) => None,
        };
        if let Some((stream, max)) = sending
            && let Some((entry, link)) = self.host.linked(stream.channel())
        {
            if entry.core.waiting(link, stream) < QUEUE {
                return Ok(Sending { stream, max });
            }
            entry.core.tell_below(link, stream, QUEUE / 2);
        }
        group.news.blocked = true;
        Err(PublishError::Blocked)
    }

    pub(super) fn publish(&mut self, id: GroupId, message: &[u8]) -> Result<(), PublishError> {
        let Sending { stream, max } = self.may_publish(id)?;
        let Some(group) = self.groups.get_mut(id) else {
            return Err(PublishError::Ended);
        };
        let overhead = group.sealer.as_ref().map_or(0, |it| it.overhead());
        let max = max.saturating_sub(overhead);
        if message.len() > max {
            return Err(PublishError::TooLarge { max });
        }
        let next = group.place.map_or(0, |it| it.next);
        let sealed = match &mut group.sealer {
            None => Bytes::copy_from_slice(message),
            // The position of the last one that was heard.
            Some(sealer) => sealer.seal(next, message).map_err(PublishError::Sealing)?,
        };
        group.unconfirmed += 1;
        if let Some((entry, link)) = self.host.linked(stream.channel()) {
            entry.core.publish(link, stream, sealed);
        }
        Ok(())
    }

    pub(super) fn published_confirmed(&mut self, id: GroupId) -> Poll<()> {
        let Some(group) = self.groups.get_mut(id).filter(|it| !it.stage.is_over()) else {
            return Poll::Ready(());
        };
        group.news.unconfirmed = group.unconfirmed > 0;
        match group.news.unconfirmed {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    pub(super) fn group_recv(&mut self, id: GroupId) -> Option<GroupItem> {
        let group = self.groups.get_mut(id)?;
        let item = group.pop();
        if group.paused && !group.inbox.is_full() {
            group.paused = false;
            self.read_group(id);
        }
        item
    }

    pub(super) fn set_group_key(&mut self, id: GroupId, key: GroupKey) -> Result<(), KeyNotUsed> {
        let me = self.id();
        let group = self.groups.get_mut(id).ok_or(KeyNotUsed)?;
        let sealer = group.sealer.as_mut().ok_or(KeyNotUsed)?;
        sealer.set_key(key)?;
        let proof = sealer.proof(&group.name, me);
        if let Some(stream) = group.stage.stream() {
            self.send_frame(stream, ToGroup::Proof(proof).encode());
        }
        Ok(())
    }

    pub(in crate::client) fn leave_group(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(id).filter(|it| !it.stage.is_over()) else {
            return;
        };
        if let Some(stream) = group.stage.stream()
            && let Some((entry, link)) = self.host.linked(stream.channel())
        {
            entry.core.finish_membership(link, stream);
            let dropped = ErrorCode::Dropped.into();
            entry.core.stop_membership(link, stream, dropped);
        }
        self.end_membership(id, GroupEnd::Left);
    }

    pub(super) fn forget_group(&mut self, id: GroupId) {
        self.groups.remove(id);
    }

    pub(in crate::client) fn leave_groups(&mut self) {
        for id in self.groups.ids() {
            self.leave_group(id);
        }
    }
}

// What happens.
impl Client {
    /// Looks after memberships when everything else is dealt with.
    pub(in crate::client) fn settle_groups(&mut self) {
        if self.groups.is_empty() {
            return;
        }
        if let Some(reason) = self.home.lost_for() {
            for id in self.groups.ids() {
                self.end_membership(id, GroupEnd::Closed(reason));
            }
        } else if self.is_closing() {
            // They would keep the home channel open.
            self.leave_groups();
        }
    }

    /// The Coordinator wants to close the home channel: memberships go first, and are had again on the next one.
    pub(in crate::client) fn interrupt_groups(&mut self) {
        for id in self.groups.ids() {
            let stage = self.groups.get(id).map(|it| it.stage);
            if let Some(stream) = stage.and_then(Stage::stream) {
                self.end_stream(stream, ErrorCode::Dropped);
                self.interrupted(id, Some(stream.channel()));
            }
        }
    }

    /// Joins what is not joined, as far as the Coordinator allows streams for it.
    pub(in crate::client) fn join_waiting(&mut self) {
        let (home, me) = (self.home.id, self.id());
        if !self.home.is_ready() {
            return;
        }
        for id in self.groups.ids() {
            let Some(group) = self.groups.get_mut(id) else {
                continue;
            };
            // What was had on another home channel is lost.
            if let Some(stream) = group.stage.stream()
                && stream.channel() != home
            {
                self.groups.streams.remove(&stream);
                self.interrupted(id, None);
            }
            let Some(group) = self.groups.get_mut(id) else {
                continue;
            };
            match group.stage {
                Stage::Waiting(refused) if refused != Some(home) => {}
                Stage::Waiting(_) | Stage::Asking(_) | Stage::Member(_) | Stage::Ended(_) => {
                    continue;
                }
            }
            let Some((entry, link)) = self.host.linked(home) else {
                return;
            };
            let label = group.name.as_str().as_bytes();
            let Some(stream) = entry.core.open_membership(link, label) else {
                return;
            };
            let sealer = group.sealer.as_ref();
            let join = ToGroup::Join(Join {
                part: group.part,
                slow: group.slow,
                start: group.start,
                proof: sealer.map_or_else(Bytes::new, |it| it.proof(&group.name, me)),
            });
            entry.core.send_frame(link, stream, join.encode());
            group.stage = Stage::Asking(stream);
            tracing::debug!(group = %group.name, ?stream, "joining");
            self.groups.streams.insert(stream, id);
        }
    }

    pub(in crate::client) fn group_notice(&mut self, stream: StreamId, told: StreamNotice) {
        let Some(&id) = self.groups.streams.get(&stream) else {
            return;
        };
        match told {
            StreamNotice::Begun(_) => {}
            StreamNotice::Readable => self.read_group(id),
            StreamNotice::Writable => self.group_writable(id),
            StreamNotice::SendEnded(end) => match end {
                SendEnd::Stopped(code) => self.group_over(id, stream, GroupEnd::Application(code)),
                SendEnd::Refused(code) => self.group_refused(id, stream, code),
                SendEnd::Finished | SendEnd::Reset => {
                    self.group_over(id, stream, GroupEnd::Violation);
                }
                SendEnd::Closed(_) => self.group_lost(id, stream),
            },
            StreamNotice::RecvEnded(end) => match end {
                RecvEnd::Reset(code) => self.group_over(id, stream, GroupEnd::Application(code)),
                RecvEnd::Refused(code) => self.group_refused(id, stream, code),
                RecvEnd::Finished | RecvEnd::Stopped | RecvEnd::Truncated | RecvEnd::TooLarge => {
                    self.group_over(id, stream, GroupEnd::Violation)
                }
                RecvEnd::Closed(_) => self.group_lost(id, stream),
            },
        }
    }

    fn group_refused(&mut self, id: GroupId, stream: StreamId, code: ErrorCode) {
        // There will be another Coordinator.
        if code == ErrorCode::Shutdown && self.config.reconnect {
            self.end_stream(stream, ErrorCode::Dropped);
            return self.interrupted(id, Some(stream.channel()));
        }
        self.group_over(id, stream, GroupEnd::Refused(code));
    }

    /// One direction of a membership's stream is over, and so the membership.
    fn group_over(&mut self, id: GroupId, stream: StreamId, end: GroupEnd) {
        self.end_stream(stream, ErrorCode::Dropped);
        self.end_membership(id, end);
    }

    /// The home channel of a membership is lost.
    fn group_lost(&mut self, id: GroupId, stream: StreamId) {
        self.groups.streams.remove(&stream);
        self.interrupted(id, None);
    }

    fn end_stream(&mut self, stream: StreamId, code: ErrorCode) {
        self.groups.streams.remove(&stream);
        if let Some((entry, link)) = self.host.linked(stream.channel()) {
            entry.core.end_membership(link, stream, code.into());
        }
    }

    /// A membership waits for another home channel than this one.
    fn interrupted(&mut self, id: GroupId, refused: Option<ChannelId>) {
        let Some(group) = self.groups.get_mut(id).filter(|it| !it.stage.is_over()) else {
            return;
        };
        if let Some(place) = group.place {
            group.start = From::Sequence(place.incarnation, place.next);
        }
        group.stage = Stage::Waiting(refused);
        group.paused = false;
        tracing::debug!(group = %group.name, "waiting to join again");
    }

    fn end_membership(&mut self, id: GroupId, end: GroupEnd) {
        let Some(group) = self.groups.all.get_mut(&id) else {
            return;
        };
        if group.stage.is_over() {
            return;
        }
        tracing::debug!(group = %group.name, ?end, "a member no more");
        if let Some(stream) = group.stage.stream() {
            self.groups.streams.remove(&stream);
        }
        group.stage = Stage::Ended(end);
        group.news.ended = true;
        self.groups.names.remove(&group.name);
        self.groups.news.insert(id);
    }

    fn group_writable(&mut self, id: GroupId) {
        if let Some(group) = self.groups.all.get_mut(&id)
            && std::mem::take(&mut group.news.blocked)
        {
            group.news.writable = true;
            self.groups.news.insert(id);
        }
    }

    /// Reads what a group says, until nothing is there, or the application has to take something first.
    fn read_group(&mut self, id: GroupId) {
        let had_items = self.groups.get(id).is_some_and(Membership::has_items);
        while let Some(group) = self.groups.get_mut(id)
            && let Some(stream) = group.stage.stream()
        {
            if group.pushes_back() && group.inbox.is_full() {
                group.paused = true;
                break;
            }
            let Some((entry, link)) = self.host.linked(stream.channel()) else {
                break;
            };
            let frame = match entry.core.next_frame(link, stream) {
                Ok(frame) => frame,
                Err(RecvError::Blocked | RecvError::Lagged(_) | RecvError::Ended) => break,
            };
            let heard = match ToMember::decode(frame) {
                Ok(Some(message)) => self.hear(id, stream, message),
                Ok(None) => Ok(()),
                Err(_) => Err(GroupEnd::Violation),
            };
            if let Err(end) = heard {
                let code = match end {
                    GroupEnd::Violation | GroupEnd::Sealing(_) => ErrorCode::Protocol,
                    GroupEnd::Left
                    | GroupEnd::Refused(_)
                    | GroupEnd::Application(_)
                    | GroupEnd::TooSlow
                    | GroupEnd::Closed(_) => ErrorCode::Dropped,
                };
                self.end_stream(stream, code);
                self.end_membership(id, end);
            }
        }
        let Some(group) = self.groups.all.get_mut(&id) else {
            return;
        };
        if group.has_items() && !had_items {
            group.news.readable = true;
            self.groups.news.insert(id);
        }
        if group.unconfirmed == 0 && std::mem::take(&mut group.news.unconfirmed) {
            group.news.confirmed = true;
            self.groups.news.insert(id);
        }
    }

    fn hear(&mut self, id: GroupId, stream: StreamId, message: ToMember) -> Result<(), GroupEnd> {
        let me = self.id();
        let salt = match message {
            ToMember::Joined(_) => [self.host.random(), self.host.random()],
            ToMember::Message { .. }
            | ToMember::Own { .. }
            | ToMember::Lagged { .. }
            | ToMember::Counts(_)
            | ToMember::Arrived(_)
            | ToMember::Left { .. }
            | ToMember::Roll
            | ToMember::Listed => [0; 2],
        };
        let Some(group) = self.groups.get_mut(id) else {
            return Ok(());
        };
        match (group.stage, message) {
            (Stage::Asking(_), ToMember::Joined(joined)) => {
                group.joined(me, salt, &joined)?;
                group.stage = Stage::Member(stream);
                tracing::debug!(group = %group.name, next = joined.next, "joined");
                self.group_writable(id);
                Ok(())
            }
            (
                Stage::Member(_),
                ToMember::Message {
                    sequence,
                    sender,
                    message,
                },
            ) => group.message(me, sequence, sender, message),
            (Stage::Member(_), ToMember::Own { sequence }) => {
                if group.part.hears_own {
                    return Err(GroupEnd::Violation);
                }
                group.confirmed(sequence, 1);
                group.advance(sequence, 1)
            }
            (Stage::Member(_), ToMember::Lagged { count, own, next }) => {
                group.lagged(count, own, next)
            }
            (Stage::Member(_), ToMember::Counts(counts)) => {
                group.counts = counts;
                Ok(())
            }
            (Stage::Member(_), ToMember::Arrived(arrived)) => {
                group.arrived(arrived);
                Ok(())
            }
            (Stage::Member(_), ToMember::Left { id }) => {
                group.roster.left(id);
                Ok(())
            }
            (Stage::Member(_), ToMember::Roll) => {
                group.roster.begin();
                Ok(())
            }
            (Stage::Member(_), ToMember::Listed) => {
                group.roster.complete();
                Ok(())
            }
            (Stage::Waiting(_) | Stage::Asking(_) | Stage::Member(_) | Stage::Ended(_), _) => {
                Err(GroupEnd::Violation)
            }
        }
    }

    fn send_frame(&mut self, stream: StreamId, payload: Bytes) {
        if let Some((entry, link)) = self.host.linked(stream.channel()) {
            entry.core.send_frame(link, stream, payload);
        }
    }
}

impl Membership {
    fn joined(
        &mut self,
        me: ClientId,
        salt: [u64; 2],
        joined: &wire::Joined,
    ) -> Result<(), GroupEnd> {
        let wire::Joined {
            incarnation,
            next,
            end,
            missed,
            max_size,
            pushes_back,
            counts,
        } = *joined;
        let max_size = usize::try_from(max_size).unwrap_or(usize::MAX);
        if max_size > MAX_GROUP_MESSAGE || next > end {
            return Err(GroupEnd::Violation);
        }
        let before = self.place.map(|it| it.incarnation);
        let is_new_order = before.is_some_and(|it| it != incarnation);
        // It cannot be in front of what was heard, nor pass over what it does not count. Where an application has named a number that
        // there is not yet, the next one is as good.
        if let From::Sequence(asked, sequence) = self.start
            && asked == incarnation
            && sequence.checked_add(missed) != Some(next)
            && !(before.is_none() && missed == 0 && next == end && next < sequence)
        {
            return Err(GroupEnd::Violation);
        }
        if let Some(sealer) = &mut self.sealer {
            let mut bytes = [0; 16];
            for (part, number) in bytes.chunks_exact_mut(8).zip(salt) {
                part.copy_from_slice(&number.to_be_bytes());
            }
            sealer
                .begin(sealing::Membership {
                    group: self.name.clone(),
                    incarnation,
                    me,
                    born: position(end),
                    salt: bytes,
                })
                .map_err(GroupEnd::Sealing)?;
            sealer.lagged(missed);
        }
        self.place = Some(Place {
            incarnation,
            next,
            since: end,
            max_size,
            pushes_back,
        });
        self.inbox.set_lossless(self.pushes_back());
        self.counts = counts;
        self.roster.begin();
        self.inbox.push(GroupItem::Joined(Joined {
            incarnation,
            next,
            end,
            missed,
            is_new_order,
            unsure: std::mem::take(&mut self.unconfirmed),
        }));
        Ok(())
    }

    fn message(
        &mut self,
        me: ClientId,
        sequence: u64,
        sender: Option<wire::Author>,
        message: Bytes,
    ) -> Result<(), GroupEnd> {
        let max = self.place.map_or(0, |it| it.max_size);
        if message.len() > max || !self.part.hears {
            return Err(GroupEnd::Violation);
        }
        self.advance(sequence, 1)?;
        let (sender, name) = sender.map_or((None, None), |it| (Some(it.id), it.name));
        if sender == Some(me) {
            if !self.part.hears_own {
                return Err(GroupEnd::Violation);
            }
            self.confirmed(sequence, 1);
        }
        let payload = match (&mut self.sealer, sender) {
            (None, _) => message,
            // The Coordinator's application has no key.
            (Some(_), None) => {
                let problem = UnsealError::Malformed;
                return self.unopened(sequence, sender, problem);
            }
            (Some(sealer), Some(id)) => match sealer.open(id, position(sequence), message) {
                Ok(opened) => {
                    if opened.withheld > 0 {
                        self.withheld += opened.withheld;
                        self.push(GroupItem::Withheld {
                            sender: id,
                            count: opened.withheld,
                        })?;
                    }
                    match opened.message {
                        Some(message) => message,
                        None => return Ok(()),
                    }
                }
                Err(problem) => return self.unopened(sequence, sender, problem),
            },
        };
        self.push(GroupItem::Message(GroupMessage {
            sequence,
            sender,
            name,
            payload,
        }))
    }

    fn unopened(
        &mut self,
        sequence: u64,
        sender: Option<ClientId>,
        problem: UnsealError,
    ) -> Result<(), GroupEnd> {
        self.unopened += 1;
        self.push(GroupItem::Unopened {
            sequence,
            sender,
            problem,
        })
    }

    fn lagged(&mut self, count: u64, own: u64, next: u64) -> Result<(), GroupEnd> {
        // What it has published itself is among what it hears, or beside it.
        let Part {
            hears, hears_own, ..
        } = self.part;
        let all = match hears_own {
            true => (own <= count).then_some(count),
            // Who does not hear loses nothing but numbers of its own.
            false => count.checked_add(own).filter(|_| hears || count == 0),
        };
        let all = all.ok_or(GroupEnd::Violation)?;
        let first = next.checked_sub(all).ok_or(GroupEnd::Violation)?;
        self.advance(first, all)?;
        self.confirmed(first, own);
        if let Some(sealer) = &mut self.sealer {
            sealer.lagged(count);
        }
        if count > 0 {
            self.push(GroupItem::Lagged(count))?;
        }
        Ok(())
    }

    /// So many messages of its own have their numbers, of which this is the first. Those of former memberships are not waited for.
    fn confirmed(&mut self, first: Sequence, count: u64) {
        if self.place.is_some_and(|it| first >= it.since) {
            self.unconfirmed = self.unconfirmed.saturating_sub(count);
        }
    }

    /// The order goes on with so many numbers, from this one on.
    fn advance(&mut self, first: u64, count: u64) -> Result<(), GroupEnd> {
        let Some(place) = &mut self.place else {
            return Err(GroupEnd::Violation);
        };
        // Who does not hear the others passes them over.
        let fits = match self.part.hears {
            true => first == place.next,
            false => first >= place.next,
        };
        let next = first.checked_add(count).ok_or(GroupEnd::Violation)?;
        if !fits {
            return Err(GroupEnd::Violation);
        }
        place.next = next;
        Ok(())
    }

    fn push(&mut self, item: GroupItem) -> Result<(), GroupEnd> {
        if self.slow == SlowMember::Leave && self.inbox.is_full() {
            return Err(GroupEnd::TooSlow);
        }
        self.inbox.push(item);
        Ok(())
    }

    fn arrived(&mut self, arrived: Arrived) {
        let Arrived {
            id,
            name,
            publishes,
            hears,
            proof,
        } = arrived;
        let sealer = self.sealer.as_ref();
        let key = sealer.map(|it| it.check(&self.name, id, &proof));
        let understands = matches!(key, None | Some(KeyMatch::Same | KeyMatch::Former));
        if self.watch || !understands {
            self.roster.arrived(GroupMember {
                id,
                name,
                publishes,
                hears,
                key,
            });
        } else {
            self.roster.left(id);
        }
    }
}

/// Where in the order the message of this number is, counted from 1.
fn position(sequence: Sequence) -> u64 {
    sequence.saturating_add(1)
}

/// How many bytes wait to be sent before no more is taken for publishing.
const QUEUE: usize = 256 << 10;
