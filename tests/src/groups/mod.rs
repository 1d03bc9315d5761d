//! A reference model of groups, and random operations against it and a world at once.
//!
//! A Coordinator with three groups, and Clients that reconnect. The Coordinator's application listens to all groups with a queue
//! without end: what it hears is the order. What must be so:
//!
//! - A member hears what the order has at that number, of whom it is, and no number twice.
//! - Each number from the one with which a member begins is heard, is its own where it does not want to hear that, or is counted as
//!   missing: there are exactly as many between two that are heard as it was told.
//! - What a member has published is in the order as often as once, after what it has published before. What is not there was lost
//!   with a home channel, and counted when it had joined again.
//! - A membership ends by whom it is up to, and says so.
//! - When no blow lasts any more, all members are there again and have heard all that they have not lost, whether others receive or
//!   not; who wants to know who is there knows it exactly. That within [`RECOVERY`](check).
//! - At last, nothing is left of anything.

mod blows;
mod check;
mod members;
mod op;
mod order;
mod parties;

use std::time::{Duration, Instant};

pub use self::op::Op;
use self::{
    blows::Plan,
    members::Seat,
    op::{blow, pause},
    order::{Group, Order},
    parties::{Client, Coordinator},
};
use crate::sim::World;

/// Does all of this in a world that follows from `seed`, and finishes.
pub fn play(seed: u64, ops: &[Op]) {
    let mut run = Run::new(seed);
    for &op in ops {
        run.apply(op);
    }
    run.finish();
}

/// A world and its model.
pub struct Run {
    world: World,
    coordinator: Coordinator,
    clients: [Client; CLIENTS],
    groups: [Group; GROUPS],
    /// All that there have been.
    orders: Vec<Order>,
    seats: Vec<Seat>,
    /// What is to happen later, as a blow goes.
    plans: Vec<(Instant, Plan)>,
    /// Something has befallen somebody, and not all has recovered.
    trouble: bool,
}

impl Run {
    /// A Coordinator, and Clients that are connected.
    pub fn new(seed: u64) -> Self {
        let mut run = Self::settle_down(seed);
        run.pass(Duration::from_millis(200));
        run
    }

    /// Does one operation, and checks what has come of it and of those before.
    pub fn apply(&mut self, op: Op) {
        self.world.remark(format_args!("{op:?}"));
        self.take_events();
        match op {
            Op::Join(who, how, part) => {
                let group = usize::from(who / 8) % GROUPS;
                self.join(client(who), how, part, group);
            }
            Op::Leave(seat) => self.with_seat(seat, Self::leave),
            Op::Publish(seat, size, count) => self.with_seat(seat, |it, seat| {
                it.publish(seat, op::size(size), op::count(count));
            }),
            Op::Confirm(seat) => self.with_seat(seat, Self::confirm),
            Op::Announce(group, size) => {
                self.announce(usize::from(group) % GROUPS, op::size(size));
            }
            Op::Deafen(seat) => self.with_seat(seat, |it, seat| {
                it.seats[seat].deaf = !it.seats[seat].deaf;
            }),
            Op::Receive(seat, most) => self.with_seat(seat, |it, seat| {
                it.receive(seat, most.into());
            }),
            Op::Link(party, how) => self.change_link(client(party), how),
            Op::Cut(party, time) => self.cut(party.into(), blow(time)),
            Op::Restart(away) => self.restart(blow(away)),
            Op::Drain(lasts) => self.drain(blow(lasts)),
            Op::Rebirth(party, away) => self.rebirth(client(party), blow(away)),
            Op::Move(party) => self.move_away(client(party)),
            Op::Remove(group, party) => {
                self.remove_member(usize::from(group) % GROUPS, client(party));
            }
            Op::End(group) => self.end_group(usize::from(group) % GROUPS),
            Op::Wait(time) => self.pass(pause(time)),
            Op::Settle => self.settle(),
        }
        self.take_events();
    }

    /// Lets all blows end and all recover, has everybody leave, and checks that nothing is left.
    pub fn finish(mut self) {
        self.settle();
        self.take_leave();
    }

    /// Does something with the membership that a number names.
    fn with_seat(&mut self, number: u8, act: impl FnOnce(&mut Self, usize)) {
        if let Some(seat) = usize::from(number).checked_rem(self.seats.len()) {
            act(self, seat);
        }
    }

    /// Lets time pass, and happen what is to happen meanwhile.
    fn pass(&mut self, time: Duration) {
        let end = self.world.now() + time;
        while let Some(at) = self.next_plan().filter(|&at| at <= end) {
            self.pass_until(at);
            self.go_on_with_plans();
        }
        self.pass_until(end);
    }

    /// Applications look after what has happened again and again.
    fn pass_until(&mut self, end: Instant) {
        loop {
            let left = end.saturating_duration_since(self.world.now());
            self.world.run_for(left.min(GLANCE));
            self.take_events();
            if left <= GLANCE {
                return;
            }
        }
    }

    fn fail(&self, why: &str) -> ! {
        self.world.fail(why)
    }
}

/// The Client that a number names.
fn client(number: u8) -> usize {
    usize::from(number) % CLIENTS
}

const CLIENTS: usize = 4;
const GROUPS: usize = 3;
/// How long applications do not look.
const GLANCE: Duration = Duration::from_millis(50);
