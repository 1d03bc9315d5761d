//! A reference model of what outlives Coordinators and networks, and random blows against it and a world at once.
//!
//! Three Clients that reconnect, and two places for a Coordinator, with one key and the Clients knowing both. Blows fall while
//! channels are opened, used and closed, and while earlier blows last. What must be so:
//!
//! - A channel *stands* once it is open at both ends and either nothing has befallen anybody since it was asked for, or everything
//!   has recovered since. What stands ends by its users alone, or with the life of one of its Clients; unless things are not
//!   well again for [`KEPT`](channels::KEPT), after which nobody waits for who does not come.
//! - A channel that was shaken while it was being set up may stand or end, the same at both ends.
//! - On a channel that does not end, every message arrives once, whole and in order, and every finished stream ends with all
//!   of its messages. So too on one that is closed with enough patience.
//! - Where one end has ended, the other ends as well, and tells the truth about it. Only where the word of it may have been
//!   lost in an outage may it say that the other one is gone.
//! - When no blow lasts any more, all that stands goes on and all Clients are connected within [`RECOVERY`](check::RECOVERY).
//! - At last, nothing is left of anything.

mod blows;
mod channels;
mod check;
mod op;
mod parties;
mod streams;

use std::time::{Duration, Instant};

use conec_core::Code;

pub use self::op::Op;
use self::{
    blows::Plan,
    channels::ChannelModel,
    op::{blow, pause},
    parties::{Client, Coordinators},
    streams::StreamModel,
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
    coordinators: Coordinators,
    clients: [Client; CLIENTS],
    channels: Vec<ChannelModel>,
    streams: Vec<StreamModel>,
    /// What is to happen later, as a blow goes.
    plans: Vec<(Instant, Plan)>,
    /// Since when things are not well.
    trouble: Option<Instant>,
}

impl Run {
    /// A Coordinator, three connected Clients, and channels from one to the next.
    pub fn new(seed: u64) -> Self {
        let mut run = Self::settle_down(seed);
        run.pass(Duration::from_millis(200));
        for client in 1..CLIENTS {
            run.open_channel(client - 1, client);
        }
        run.settle();
        run
    }

    /// Does one operation, and checks what has come of it and of those before.
    pub fn apply(&mut self, op: Op) {
        self.world.remark(format_args!("{op:?}"));
        self.take_events();
        match op {
            Op::OpenChannel(from, to) => self.open_channel(client(from), client(to)),
            Op::OpenStream(channel, side, direction) => {
                if let Some(end) = self.pick_end(channel, side) {
                    self.open_stream(end, direction);
                }
            }
            Op::Send(stream, side, size) => self.send(stream, side, size),
            Op::Finish(stream, side) => self.finish_stream(stream, side),
            Op::Reset(stream, side, code) => self.reset_stream(stream, side, Code(code.into())),
            Op::Datagram(channel, side, size) => {
                if let Some(end) = self.pick_end(channel, side) {
                    self.send_datagram(end, size);
                }
            }
            Op::Close(channel, side, patience) => {
                if let Some(end) = self.pick_end(channel, side) {
                    self.close_channel(end, op::patience(patience));
                }
            }
            Op::Abort(channel, side, code) => {
                if let Some(end) = self.pick_end(channel, side) {
                    self.abort_channel(end, Code(code.into()));
                }
            }
            Op::Restart(away) => self.restart(blow(away)),
            Op::TakeOver => self.take_over(),
            Op::Drain(spread, lasts) => self.drain(blow(spread), op::lasting(lasts)),
            Op::Stop(time) => self.stop(blow(time)),
            Op::Cut(party, time) => self.cut(party.into(), blow(time)),
            Op::Move(party) => self.move_away(client(party)),
            Op::Rebirth(party, away) => self.rebirth(client(party), blow(away)),
            Op::Wait(time) => self.pass(pause(time)),
            Op::Settle => self.settle(),
        }
        self.take_events();
    }

    /// Lets all blows end and all recover, closes everything, and checks that nothing is left.
    pub fn finish(mut self) {
        self.settle();
        // Whatever still waits for something that has happened gives up by then.
        self.pass(LONGEST_WAIT);
        self.settle();
        self.take_leave();
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

    fn pass_until(&mut self, end: Instant) {
        let now = self.world.now();
        self.world.run_for(end.saturating_duration_since(now));
        self.take_events();
    }

    fn fail(&self, why: &str) -> ! {
        self.world.fail(why)
    }
}

/// The Client that a number names.
fn client(number: u8) -> usize {
    usize::from(number) % CLIENTS
}

const CLIENTS: usize = 3;
/// The idle timeout of a channel, and more than anybody waits for a claim.
const LONGEST_WAIT: Duration = Duration::from_secs(65);
