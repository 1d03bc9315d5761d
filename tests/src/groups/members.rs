//! Memberships: what their applications publish and hear.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use conec_core::{
    ClientId, ErrorCode, GroupEnd, GroupEvent, GroupId, GroupItem, GroupMessage, GroupStart,
    JoinConfig, JoinError, Joined, Name, PublishError, SlowMember,
};

use super::{Run, op};

/// A membership.
pub(super) struct Seat {
    pub(super) client: usize,
    /// In which life of the Client.
    life: usize,
    pub(super) group: usize,
    id: GroupId,
    publishes: bool,
    pub(super) hears: bool,
    hears_own: bool,
    pub(super) watches: bool,
    slow: SlowMember,
    start: GroupStart,
    /// Something has befallen somebody since it was asked for.
    pub(super) shaken: bool,
    /// Which order the group had when it was asked for, and how long that was; where there was none, the next that begins.
    begun_at: (usize, u64),
    pub(super) place: Option<Place>,
    /// The application does not receive.
    pub(super) deaf: bool,
    is_readable: bool,
    pub(super) is_blocked: bool,
    /// The application waits to hear that all that it has published has its number.
    pub(super) awaits_numbers: bool,
    /// The application has left.
    pub(super) left: bool,
    /// The Coordinator's application may have ended it.
    pub(super) removed: bool,
    pub(super) end: Option<GroupEnd>,
    /// The sizes of what was published.
    pub(super) published: Vec<usize>,
    /// How many of these are in an order, and what is the next that may be.
    pub(super) ordered: usize,
    pub(super) ordered_to: usize,
    /// How many of them it was told that they may not be.
    pub(super) unsure: u64,
    /// Who is there, as it was told.
    pub(super) present: BTreeMap<ClientId, (Option<Name>, bool, bool)>,
}

/// How far a member has heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) order: usize,
    /// What comes after what was accounted for.
    pub(super) next: u64,
    /// How many it was told that are missing after that.
    pub(super) skipped: u64,
}

impl Seat {
    pub(super) fn life(&self) -> usize {
        self.life
    }
}

impl Run {
    /// A membership that goes on.
    pub(super) fn goes_on(&self, seat: usize) -> bool {
        let it = &self.seats[seat];
        let client = &self.clients[it.client];
        client.is_up && client.life == it.life && it.end.is_none() && !it.left
    }

    pub(super) fn join(&mut self, client: usize, how: u8, part: u8, group: usize) {
        if !self.clients[client].is_up {
            return;
        }
        self.take_events();
        let order = self.groups[group].order.map(|it| (it, &self.orders[it]));
        let known = order.map(|(_, it)| GroupStart::At {
            incarnation: it.incarnation,
            sequence: it.len() / 2,
        });
        let begun_at = order.map_or((self.orders.len(), 0), |(at, it)| (at, it.len()));
        let config = op::join_config(how, part, known);
        let life = self.clients[client].life;
        let (publishes, hears, hears_own) = (config.publish, config.hear, config.hear_own);
        let (watches, slow, start) = (config.watch, config.slow, config.start);
        let same = |it: &Seat| (it.client, it.life, it.group) == (client, life, group);
        let is_member = (0..self.seats.len()).any(|it| same(&self.seats[it]) && self.goes_on(it));
        let id = match self.begin_joining(client, group, config) {
            Ok(id) if !is_member => id,
            Err(JoinError::AlreadyMember) if is_member => return,
            other => self.fail(&format!("joining: {other:?}, a member before: {is_member}")),
        };
        self.seats.push(Seat {
            client,
            life,
            group,
            id,
            publishes,
            hears,
            hears_own,
            watches,
            slow,
            start,
            shaken: self.trouble || !self.coordinator.is_up,
            begun_at,
            place: None,
            deaf: false,
            is_readable: false,
            is_blocked: false,
            awaits_numbers: false,
            left: false,
            removed: false,
            end: None,
            published: Vec::new(),
            ordered: 0,
            ordered_to: 0,
            unsure: 0,
            present: BTreeMap::new(),
        });
    }

    fn begin_joining(
        &mut self,
        client: usize,
        group: usize,
        config: JoinConfig,
    ) -> Result<GroupId, JoinError> {
        let (now, name) = (self.world.now(), self.groups[group].name.clone());
        let client = self.world.client(self.clients[client].node);
        client.join(now, name, config)
    }

    pub(super) fn handle(&mut self, seat: usize) -> conec_core::Group<'_> {
        let it = &self.seats[seat];
        self.world.client(self.clients[it.client].node).group(it.id)
    }

    pub(super) fn leave(&mut self, seat: usize) {
        if self.goes_on(seat) {
            self.handle(seat).leave();
            self.seats[seat].left = true;
        }
    }

    pub(super) fn publish(&mut self, seat: usize, size: usize, count: usize) {
        if !self.goes_on(seat) {
            return;
        }
        for _ in 0..count {
            let it = &self.seats[seat];
            let (publishes, blocked) = (it.publishes, it.is_blocked);
            let mark = (seat as u64) << 32 | it.published.len() as u64;
            let message = payload(mark, size.max(8));
            if blocked {
                return;
            }
            let published = self.handle(seat).publish(&message);
            let max = self.groups[self.seats[seat].group].config.max_message_size;
            match published {
                Ok(()) if publishes && message.len() <= max => {
                    self.seats[seat].published.push(message.len());
                }
                Err(PublishError::Blocked) if publishes => self.seats[seat].is_blocked = true,
                Err(PublishError::NotPublisher) if !publishes => return,
                Err(PublishError::TooLarge { max: said }) if said == max && message.len() > max => {
                    return;
                }
                other => self.fail(&format!("publishing {} bytes: {other:?}", message.len())),
            }
        }
    }

    pub(super) fn confirm(&mut self, seat: usize) {
        let it = &self.seats[seat];
        if self.clients[it.client].life != it.life {
            // In another life, its id is that of another membership.
            return;
        }
        let is_confirmed = self.handle(seat).poll_confirmed().is_ready();
        self.seats[seat].awaits_numbers = !is_confirmed;
        let info = self.handle(seat).info();
        let unconfirmed = info.as_ref().map_or(0, |info| info.unconfirmed);
        if self.goes_on(seat) && is_confirmed != (unconfirmed == 0) {
            self.fail(&format!("confirmed: {is_confirmed}, of {info:?}"));
        }
    }

    pub(super) fn group_event(&mut self, client: usize, id: GroupId, event: GroupEvent) {
        let life = self.clients[client].life;
        let found = self
            .seats
            .iter()
            .position(|it| (it.client, it.life, it.id) == (client, life, id));
        let Some(seat) = found else {
            self.fail("an event of an unknown membership");
        };
        if self.seats[seat].end.is_some() {
            self.fail("an event after the end");
        }
        match event {
            GroupEvent::Readable => self.seats[seat].is_readable = true,
            GroupEvent::Writable => {
                if !std::mem::take(&mut self.seats[seat].is_blocked) {
                    self.fail("what was not blocked is writable");
                }
            }
            GroupEvent::Ended(end) => {
                self.seats[seat].end = Some(end);
                if !self.may_end(seat, end) {
                    self.fail(&format!("membership {seat} ends: {end:?}"));
                }
            }
            GroupEvent::Confirmed => {
                if !std::mem::take(&mut self.seats[seat].awaits_numbers) {
                    self.fail("nobody has asked whether everything is confirmed");
                }
            }
            _ => self.fail(&format!("{event:?}")),
        }
    }

    /// Whether a membership may end so.
    fn may_end(&self, seat: usize, end: GroupEnd) -> bool {
        let it = &self.seats[seat];
        let strict = self.groups[it.group].pushes_back() && it.slow == SlowMember::DropOldest;
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "every other end is somebody's fault, and nobody is at fault here"
        )]
        match end {
            GroupEnd::Left => it.left || self.clients[it.client].leaves,
            GroupEnd::TooSlow => it.slow == SlowMember::Leave,
            GroupEnd::Refused(ErrorCode::TooSlow) => it.slow == SlowMember::Leave || strict,
            GroupEnd::Refused(ErrorCode::NotFound) => it.removed,
            // Who has never been connected does not look for its Coordinator again.
            GroupEnd::Closed(_) => {
                let client = &self.clients[it.client];
                client.leaves || !client.has_connected
            }
            _ => false,
        }
    }

    /// A member's application receives, if it has heard that there is something.
    pub(super) fn receive(&mut self, seat: usize, most: usize) {
        let is_here = {
            let it = &self.seats[seat];
            let client = &self.clients[it.client];
            client.is_up && client.life == it.life && it.end.is_none()
        };
        for _ in 0..most {
            if !is_here || !self.seats[seat].is_readable {
                return;
            }
            match self.handle(seat).recv() {
                Some(item) => self.hear(seat, item),
                None => self.seats[seat].is_readable = false,
            }
        }
    }

    fn hear(&mut self, seat: usize, item: GroupItem) {
        let it = &mut self.seats[seat];
        match item {
            GroupItem::Joined(joined) => self.joined(seat, joined),
            GroupItem::Message(message) => self.message(seat, &message),
            GroupItem::Lagged(count) => {
                let hears = it.hears && count > 0;
                match &mut it.place {
                    Some(place) if hears => place.skipped += count,
                    _ => self.fail(&format!("membership {seat} has missed {count}")),
                }
            }
            GroupItem::Arrived(member) => {
                // Who has left and come back unheard is told of again.
                let known = (member.name, member.publishes, member.hears);
                it.present.insert(member.id, known);
                if !it.watches {
                    self.fail(&format!("membership {seat} has not asked who is there"));
                }
            }
            GroupItem::Left(id) => {
                if it.present.remove(&id).is_none() {
                    self.fail(&format!("membership {seat} is told that nobody has left"));
                }
            }
            item @ (GroupItem::Unopened { .. } | GroupItem::Withheld { .. } | _) => {
                self.fail(&format!("membership {seat} is told {item:?}"));
            }
        }
    }

    fn joined(&mut self, seat: usize, joined: Joined) {
        let it = &self.seats[seat];
        let mut orders = self.orders.iter();
        let order =
            orders.position(|of| (of.group, of.incarnation) == (it.group, joined.incarnation));
        let Some(order) = order else {
            self.fail(&format!("membership {seat} is in an order that is none"));
        };
        let len = self.orders[order].len();
        let mut fits = joined.next <= len;
        // It may be a later one: the group can end, and be made anew, before somebody is let in.
        fits &= order >= it.begun_at.0;
        match it.place {
            Some(place) if place.order == order => {
                let gap = joined.next.checked_sub(place.next).unwrap_or(u64::MAX);
                let missing = place.skipped + joined.missed;
                let own = self.own(seat, place.next, joined.next, order);
                fits &= !joined.is_new_order;
                fits &= missing <= gap && (!it.hears || missing >= gap - own);
            }
            Some(place) => fits &= joined.is_new_order && order > place.order,
            None if !it.shaken && !it.removed => {
                let next = joined.next;
                fits &= !joined.is_new_order && joined.unsure == 0;
                fits &= match it.start {
                    GroupStart::At {
                        incarnation,
                        sequence,
                    } if incarnation == joined.incarnation => next - joined.missed == sequence,
                    GroupStart::Next => joined.missed == 0 && (order, next) >= it.begun_at,
                    GroupStart::Oldest | GroupStart::At { .. } | _ => joined.missed == 0,
                };
            }
            None => {}
        }
        if !fits {
            let place = it.place;
            self.fail(&format!("membership {seat}, at {place:?}, gets {joined:?}"));
        }
        let it = &mut self.seats[seat];
        it.unsure += joined.unsure;
        it.place = Some(Place {
            order,
            next: joined.next,
            skipped: 0,
        });
    }

    fn message(&mut self, seat: usize, message: &GroupMessage) {
        let it = &self.seats[seat];
        let me = self.id_of(it.client);
        let Some(place) = it.place.filter(|_| it.hears) else {
            self.fail(&format!("membership {seat} does not hear"));
        };
        let said = (message.sender, message.payload.clone());
        let order = &self.orders[place.order];
        let number = message.sequence;
        if order.messages.get(number as usize) != Some(&said) {
            let known = order.len();
            self.fail(&format!(
                "membership {seat} hears otherwise of number {number} among {known}"
            ));
        }
        if !it.hears_own && message.sender == Some(me) {
            self.fail(&format!("membership {seat} hears what it has published"));
        }
        let own = self.own(seat, place.next, number, place.order);
        if place.next.checked_add(place.skipped + own) != Some(number) {
            self.fail(&format!("membership {seat}: {number} after {place:?}"));
        }
        self.seats[seat].place = Some(Place {
            next: number + 1,
            skipped: 0,
            ..place
        });
    }

    /// How many messages between these numbers a member does not hear because they are its own.
    pub(super) fn own(&self, seat: usize, from: u64, to: u64, order: usize) -> u64 {
        let it = &self.seats[seat];
        match it.hears_own {
            true => 0,
            false => self.orders[order].own(from, to, self.id_of(it.client)),
        }
    }
}

/// A message of this size that begins with a mark, as far as there is room.
pub(super) fn payload(mark: u64, size: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + size);
    out.put_u64(mark);
    out.resize(size.max(8), mark as u8);
    out.truncate(size);
    out.freeze()
}
