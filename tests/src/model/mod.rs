//! A reference model of what users can observe, and random operations against it and a world at once.
//!
//! The model knows who is there, what was sent on each stream, who ended what, and so what may be received and which ends
//! may be reported. [`Run::apply`] does one operation; [`Run::finish`] ends all faults, sees that everything pending
//! completes, closes everything, and sees that nothing is left.

mod channels;
mod check;
pub(crate) mod datagrams;
pub(crate) mod flow;
pub(crate) mod op;
mod parties;
mod streams;

use std::{collections::BTreeMap, time::Duration};

use conec_core::{Code, PairId};

pub use self::op::Op;
use self::{
    channels::{ChannelModel, Pair},
    parties::Life,
    streams::StreamModel,
};
use crate::sim::{NodeId, World};

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
    /// The world.
    pub world: World,
    /// Where the parties are: the Coordinator, then the Clients.
    nodes: [NodeId; PARTIES],
    /// The life of each that goes on, or was the last.
    current: [usize; PARTIES],
    lives: Vec<Life>,
    channels: Vec<ChannelModel>,
    /// The pairs of peer channels, as the Coordinator's application knows them. By its life, since it counts anew in each.
    pairs: BTreeMap<(usize, PairId), Pair>,
    streams: Vec<StreamModel>,
    /// Whether the network neither loses nor delays anything.
    sound: bool,
    /// Whose network is down.
    cut: [bool; PARTIES],
    /// Whether the Coordinator denies the next channel.
    denying: bool,
}

impl Run {
    /// A Coordinator with three connected Clients.
    pub fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let nodes = parties::settle_down(&mut world);
        let mut run = Self {
            world,
            nodes,
            current: [0; PARTIES],
            lives: Vec::new(),
            channels: Vec::new(),
            pairs: BTreeMap::new(),
            streams: Vec::new(),
            sound: true,
            cut: [false; PARTIES],
            denying: false,
        };
        for party in 0..PARTIES {
            run.begin(party);
        }
        for _ in 0..2 {
            // Until all have asked, and until all are told.
            run.world.run_for(Duration::from_millis(100));
            run.take_events();
        }
        run.check_online();
        run
    }

    /// Does one operation, and checks what has come of it and of those before.
    pub fn apply(&mut self, op: Op) {
        self.world.remark(format_args!("{op:?}"));
        match op {
            Op::OpenChannel(from, to) => self.open_channel(client(from), client(to)),
            Op::Connect(from, to) => self.connect(client(from), client(to)),
            Op::Deny => self.denying = true,
            Op::Answer(party, code) => {
                let code = code.map(|code| Code(code.into()));
                self.answer_next(client(party), code);
            }
            Op::OpenStream(channel, side, direction) => {
                self.open_stream(channel.into(), side, direction);
            }
            Op::Send(stream, side, size) => self.send(stream.into(), side, size),
            Op::Recv(stream, side, count) => {
                if let Some((stream, side)) = self.pick(stream.into(), side) {
                    self.recv(stream, side, 1 + usize::from(count % 8));
                }
            }
            Op::SetLossy(stream, side, kind) => self.on_flow(stream, side, true, |stream, flow| {
                let lossy = op::lossy(kind);
                if stream.set_lossy(lossy).is_ok() {
                    flow.set_lossy(lossy.is_some());
                }
            }),
            Op::Finish(stream, side) => self.on_flow(stream, side, false, |stream, flow| {
                if stream.finish().is_ok() {
                    flow.finished = true;
                }
            }),
            Op::Reset(stream, side, code) => self.on_flow(stream, side, false, |stream, flow| {
                if stream.reset(Code(code.into())).is_ok() {
                    flow.reset = Some(Code(code.into()));
                }
            }),
            Op::Stop(stream, side, code) => self.on_flow(stream, side, true, |stream, flow| {
                if stream.stop(Code(code.into())).is_ok() {
                    flow.stopped = Some(Code(code.into()));
                }
            }),
            Op::Datagram(channel, side, size) => self.send_datagram(channel.into(), side, size),
            Op::Close(channel, side, patience) => {
                let patience = Duration::from_secs(u64::from(patience % 20));
                self.on_channel(channel, side, None, |channel, now| {
                    channel.close(now, patience);
                });
            }
            Op::Abort(channel, side, code) => {
                let code = Code(code.into());
                self.on_channel(channel, side, Some(code), |channel, now| {
                    channel.abort(now, code);
                });
            }
            Op::Leave(party, patience) => {
                let patience = Duration::from_secs(u64::from(patience % 20));
                self.leave(party.into(), patience);
            }
            Op::Crash(party) => self.crash(party.into()),
            Op::Restart(party) => self.restart(party.into()),
            Op::Rebind(party) => self.rebind(client(party)),
            Op::Lag(party, lagging) => self.lag(party.into(), lagging),
            Op::Cut(party, cut) => self.cut(party.into(), cut),
            Op::Faults(kind) => self.set_network(&op::faults(kind)),
            Op::Wait(time) => self
                .world
                .run_for(Duration::from_millis(10 * u64::from(time))),
            Op::Settle => self.settle(),
        }
        self.take_events();
    }

    /// Ends all faults, completes everything, closes everything, and checks that nothing is left.
    pub fn finish(mut self) {
        self.settle();
        self.take_leave();
        self.check_nothing_left();
    }

    fn fail(&self, why: &str) -> ! {
        self.world.fail(why)
    }
}

/// The party that a number names where only a Client will do.
fn client(number: u8) -> usize {
    1 + usize::from(number) % (PARTIES - 1)
}

/// The Coordinator's number among the parties.
const COORDINATOR: usize = 0;
/// It and three Clients.
const PARTIES: usize = 4;
