//! The orders of groups, as the Coordinator's application hears them.

use std::time::Duration;

use bytes::Bytes;
use conec_core::{ClientId, GroupConfig, GroupError, GroupItem, Lossy};

use super::{Run, members::payload};

/// What was published in a group, from its first message on.
pub(super) struct Order {
    pub(super) group: usize,
    pub(super) incarnation: u64,
    pub(super) messages: Vec<(Option<ClientId>, Bytes)>,
}

impl Order {
    pub(super) fn len(&self) -> u64 {
        self.messages.len() as u64
    }

    /// How many of these messages somebody has published.
    pub(super) fn own(&self, from: u64, to: u64, who: ClientId) -> u64 {
        let messages = self.messages.get(from as usize..to as usize);
        let messages = messages.unwrap_or_default().iter();
        messages.filter(|it| it.0 == Some(who)).count() as u64
    }
}

/// A group, and what the application knows of it.
pub(super) struct Group {
    pub(super) name: conec_core::Name,
    pub(super) config: GroupConfig,
    /// The application makes it, and it stays. Otherwise its members do.
    pub(super) lasts: bool,
    /// The order that there is now, and the former ones.
    pub(super) order: Option<usize>,
    /// The application was told that there is something.
    pub(super) is_readable: bool,
    /// How many messages the application has published.
    announced: usize,
}

impl Group {
    pub(super) fn new(name: &str, config: GroupConfig, lasts: bool) -> Self {
        Self {
            name: name.parse().expect("a name"),
            config,
            lasts,
            order: None,
            is_readable: false,
            announced: 0,
        }
    }

    pub(super) fn pushes_back(&self) -> bool {
        self.config.push_back.is_some()
    }
}

impl Run {
    /// Makes the groups that stay, in a Coordinator that was just started.
    pub(super) fn make_groups(&mut self) {
        for group in 0..self.groups.len() {
            self.make_group(group);
        }
    }

    pub(super) fn make_group(&mut self, group: usize) {
        let it = &self.groups[group];
        if it.lasts {
            let (name, config) = (it.name.clone(), it.config);
            let coordinator = self.world.coordinator(self.coordinator.node);
            let made = coordinator.make_lasting_group(name, config);
            made.expect("it is a new one");
        }
        self.follow(group);
    }

    /// Listens to a group from its beginning, if it is there and was not.
    pub(super) fn follow(&mut self, group: usize) {
        let name = self.groups[group].name.clone();
        let coordinator = self.world.coordinator(self.coordinator.node);
        let Some(state) = coordinator.group_state(&name) else {
            return;
        };
        if self.groups[group].order.is_some() {
            return;
        }
        let all = Lossy::new(usize::MAX, usize::MAX);
        coordinator.subscribe(&name, all).expect("it is there");
        if state.next > 0 {
            self.fail("something was published before anybody was a member");
        }
        self.groups[group].order = Some(self.orders.len());
        self.groups[group].is_readable = false;
        self.orders.push(Order {
            group,
            incarnation: state.incarnation,
            messages: Vec::new(),
        });
    }

    /// Hears all that was published.
    pub(super) fn listen(&mut self) {
        if !self.coordinator.is_up {
            return;
        }
        for group in 0..self.groups.len() {
            let name = self.groups[group].name.clone();
            let node = self.coordinator.node;
            let Some(order) = self.groups[group].order else {
                continue;
            };
            while let Some(item) = self.world.coordinator(node).group_recv(&name) {
                if !std::mem::replace(&mut self.groups[group].is_readable, true) {
                    self.fail("the application was not told that something was published");
                }
                self.heard(order, &item);
            }
            self.groups[group].is_readable = false;
            let state = self.world.coordinator(node).group_state(&name);
            let Some(state) = state else {
                self.fail("a group is gone to which the application listens");
            };
            let expected = &self.orders[order];
            if (state.next, state.incarnation) != (expected.len(), expected.incarnation) {
                self.fail(&format!("{state:?} after {} messages", expected.len()));
            }
            if state.members == 0 && !self.groups[group].lasts {
                let coordinator = self.world.coordinator(node);
                coordinator.unsubscribe(&name);
                let is_left = coordinator.group_state(&name).is_some();
                self.groups[group].order = None;
                if is_left {
                    self.fail("a group stays for nobody");
                }
            }
        }
    }

    /// A message has got its number: it is what its sender has published, after what that has published before.
    fn heard(&mut self, order: usize, item: &GroupItem) {
        let GroupItem::Message(message) = item else {
            self.fail(&format!("{item:?} in a queue without end"));
        };
        if message.sequence != self.orders[order].len() {
            self.fail(&format!("number {} is wrong", message.sequence));
        }
        if let Some(sender) = message.sender {
            let mark = message.payload.first_chunk::<8>();
            let mark = mark.map_or(u64::MAX, |it| u64::from_be_bytes(*it));
            let (seat, number) = ((mark >> 32) as usize, (mark & 0xffff_ffff) as usize);
            let Some(seat) = self.seats.get_mut(seat) else {
                self.fail("a message that nobody has published");
            };
            let is_next = number >= seat.ordered_to;
            seat.ordered_to = number + 1;
            seat.ordered += 1;
            let is_same = seat.published.get(number) == Some(&message.payload.len())
                && message.payload == payload(mark, message.payload.len());
            let (client, of) = (seat.client, seat.group);
            if !is_next || !is_same || self.groups[of].order != Some(order) {
                self.fail(&format!(
                    "message {number} is not what comes next of its sender"
                ));
            }
            let name = message.name.as_ref().map(conec_core::Name::as_str);
            if sender != self.id_of(client) || name != Some(self.clients[client].name) {
                self.fail("a message is said to be somebody else's");
            }
        }
        let (sender, payload) = (message.sender, message.payload.clone());
        self.orders[order].messages.push((sender, payload));
    }

    /// The Coordinator's application publishes something, unless it has to wait.
    pub(super) fn announce(&mut self, group: usize, size: usize) {
        self.listen();
        let (name, max) = {
            let it = &self.groups[group];
            (it.name.clone(), it.config.max_message_size)
        };
        let Some(order) = self.groups[group].order.filter(|_| self.coordinator.is_up) else {
            return;
        };
        let number = self.groups[group].announced as u64;
        let message = payload(number, size);
        let (now, node) = (self.world.now(), self.coordinator.node);
        let published = self.world.coordinator(node).publish(now, &name, message);
        let expected = self.orders[order].len();
        match published {
            Ok(number) if number == expected && size <= max => self.groups[group].announced += 1,
            Err(GroupError::TooLarge { max: said }) if said == max && size > max => {}
            Err(GroupError::Blocked) if self.groups[group].pushes_back() => {}
            other => self.fail(&format!("published as {other:?} instead of {expected}")),
        }
        // What a member hears, the application has heard.
        self.take_coordinator_events();
    }

    /// The Coordinator's application ends a group. One that is to stay is made anew.
    pub(super) fn end_group(&mut self, group: usize) {
        self.end_for_good(group);
        if self.coordinator.is_up && self.groups[group].order.is_none() {
            self.make_group(group);
        }
    }

    pub(super) fn end_for_good(&mut self, group: usize) {
        self.listen();
        if self.groups[group].order.is_none() || !self.coordinator.is_up {
            return;
        }
        let name = self.groups[group].name.clone();
        let (now, node) = (self.world.now(), self.coordinator.node);
        let ended = self.world.coordinator(node).end_group(now, &name);
        ended.expect("it is there");
        self.groups[group].order = None;
        for seat in self.seats.iter_mut().filter(|it| it.group == group) {
            seat.removed = true;
        }
    }

    /// The Coordinator's application sends a Client out of a group.
    pub(super) fn remove_member(&mut self, group: usize, client: usize) {
        self.listen();
        if !self.coordinator.is_up {
            return;
        }
        let (name, id) = (self.groups[group].name.clone(), self.id_of(client));
        let (now, node) = (self.world.now(), self.coordinator.node);
        self.world.coordinator(node).remove_member(now, &name, id);
        let seats = self.seats.iter_mut();
        for seat in seats.filter(|it| (it.group, it.client) == (group, client)) {
            seat.removed = true;
        }
    }
}

/// How long a group that pushes back waits for its slowest member.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
