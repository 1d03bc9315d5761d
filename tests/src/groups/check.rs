//! What must be so some time after the last blow.

use std::time::Duration;

use conec_core::{ClientState, Endpoint, Target};

use super::{CLIENTS, Run};
use crate::sim::LinkConfig;

impl Run {
    /// Lets all blows end, and waits until all has recovered. Members whose applications do not receive hold up nobody meanwhile, but
    /// where the group waits for them.
    pub(super) fn settle(&mut self) {
        while let Some(at) = self.next_plan() {
            self.pass_until(at);
            self.go_on_with_plans();
        }
        for client in 0..CLIENTS {
            self.set_link(client, &LinkConfig::default());
        }
        for seat in 0..self.seats.len() {
            if self.groups[self.seats[seat].group].pushes_back() {
                self.seats[seat].deaf = false;
            }
        }
        self.recover();
        self.probe();
        self.recover();
        for seat in &mut self.seats {
            seat.deaf = false;
        }
        self.recover();
        for seat in 0..self.seats.len() {
            self.check_seat(seat);
        }
        self.trouble = false;
    }

    fn recover(&mut self) {
        let since = self.world.now();
        let mut well = 0;
        while well < 2 {
            self.pass(STEP);
            match self.trouble_left() {
                None => well += 1,
                Some(trouble) if self.world.now() - since > RECOVERY => self.fail(&trouble),
                Some(_) => well = 0,
            }
        }
    }

    /// Something is published by each who can, so that it is seen to go on.
    fn probe(&mut self) {
        for group in 0..self.groups.len() {
            self.announce(group, 20);
        }
        for seat in 0..self.seats.len() {
            self.publish(seat, 30, 1);
        }
    }

    /// What has not recovered of Clients and memberships.
    fn trouble_left(&mut self) -> Option<String> {
        for client in 0..CLIENTS {
            let node = self.clients[client].node;
            let is_up = self.clients[client].is_up;
            let id = self.id_of(client);
            let coordinator = self.world.coordinator(self.coordinator.node);
            let is_known = coordinator.find(Target::Id(id)).is_some();
            let state = self.world.client(node).state();
            if !is_up || !is_known || state != ClientState::Connected {
                return Some(format!("client {client} is not connected"));
            }
        }
        (0..self.seats.len()).find_map(|seat| {
            let why = self.goes_on(seat).then(|| self.missing(seat))??;
            Some(format!("membership {seat}: {why}"))
        })
    }

    /// What a membership that goes on has not heard of.
    fn missing(&mut self, seat: usize) -> Option<String> {
        let Some(info) = self.handle(seat).info() else {
            return Some("it is not known".into());
        };
        let it = &self.seats[seat];
        let Some(order) = self.groups[it.group].order else {
            return Some("there is no such group".into());
        };
        let (incarnation, len) = (self.orders[order].incarnation, self.orders[order].len());
        if !info.is_member || info.incarnation != Some(incarnation) {
            return Some(format!("no member: {info:?}"));
        }
        if it.is_blocked || info.unconfirmed > 0 {
            return Some(format!("not everything is published: {info:?}"));
        }
        if it.awaits_numbers {
            return Some("it was not told that everything is confirmed".into());
        }
        if it.hears && info.next != len {
            return Some(format!("{info:?} of {len}"));
        }
        let there = self.there(seat);
        if (info.members, info.publishers) != there {
            return Some(format!("{info:?} where {there:?} are there"));
        }
        let it = &self.seats[seat];
        if it.deaf {
            return None;
        }
        let Some(place) = it.place.filter(|place| place.order == order) else {
            return Some(format!("heard nothing of this order: {:?}", it.place));
        };
        let own = self.own(seat, place.next, len, order);
        if it.hears && place.next + place.skipped + own != len {
            return Some(format!("accounted for {place:?} of {len}"));
        }
        self.is_wrong_about_others(seat)
    }

    fn there(&mut self, seat: usize) -> (u64, u64) {
        let name = &self.groups[self.seats[seat].group].name;
        let coordinator = self.world.coordinator(self.coordinator.node);
        let state = coordinator.group_state(name);
        state.map_or((0, 0), |it| (it.members, it.publishers))
    }

    fn is_wrong_about_others(&mut self, seat: usize) -> Option<String> {
        let it = &self.seats[seat];
        let name = &self.groups[it.group].name;
        let coordinator = self.world.coordinator(self.coordinator.node);
        let members = coordinator.group_members(name, None, usize::MAX);
        let there = members
            .into_iter()
            .map(|it| (it.id, (it.name, it.publishes, it.hears)))
            .collect();
        let is_right = match it.watches {
            true => it.present == there,
            false => it.present.is_empty(),
        };
        (!is_right).then(|| format!("{:?} of {there:?}", it.present))
    }

    /// What a member has published is in an order, or it was told that it may not be.
    fn check_seat(&self, seat: usize) {
        let it = &self.seats[seat];
        let published = it.published.len() as u64;
        let lost = published - it.ordered as u64;
        if self.goes_on(seat) && (lost > it.unsure || it.unsure > published) {
            let unsure = it.unsure;
            self.fail(&format!(
                "membership {seat} has lost {lost} of {published}, and was told of {unsure}"
            ));
        }
        let clean = it.left && !it.shaken && !it.removed && it.end.is_some();
        if clean && lost > 0 {
            self.fail(&format!("membership {seat} has left, and lost {lost}"));
        }
    }

    /// Everybody leaves, and nothing is left.
    pub(super) fn take_leave(&mut self) {
        for seat in 0..self.seats.len() {
            if seat % 2 == 0 {
                self.leave(seat);
            }
        }
        for client in 0..CLIENTS {
            let (now, node) = (self.world.now(), self.clients[client].node);
            self.clients[client].leaves = true;
            self.world.client(node).close(now, PATIENCE);
        }
        self.pass(LONG_AFTER);
        for client in 0..CLIENTS {
            self.world.check_client_ended(self.clients[client].node);
        }
        for seat in 0..self.seats.len() {
            let it = &self.seats[seat];
            if it.end.is_none() && self.clients[it.client].life == it.life() {
                self.fail(&format!("membership {seat} has not ended"));
            }
        }
        for group in 0..self.groups.len() {
            self.end_for_good(group);
        }
        self.world.check_coordinator_deserted(self.coordinator.node);
    }
}

/// What it takes to notice, the longest pause between attempts, to connect and to join.
const RECOVERY: Duration = Duration::from_secs(40);
const STEP: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);
const LONG_AFTER: Duration = Duration::from_secs(100);
