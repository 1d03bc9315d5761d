//! The members of one process: who they are, and what they do all the time.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Registry, Token, event::Event};
use serde::{Deserialize, Serialize};

use crate::{meter::Meter, process::ready, result::Result};

/// What the members of a process do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// The size of a message, in bytes.
    pub(crate) size: usize,
    /// How many messages publishers may be ahead of the slowest subscriber of this process.
    pub(crate) window: Option<u64>,
    /// How many messages are published in a second. As many as are taken, if that is not said.
    pub(crate) rate: Option<u64>,
    /// After how many no more are.
    pub(crate) total: Option<u64>,
    /// Whether subscribers read what they are sent.
    pub(crate) reads: bool,
    /// How much the server may send ahead at first, if that is not as by default. conec's members only.
    pub(crate) receive_window: Option<u32>,
}

impl Load {
    pub(crate) fn new(publishers: usize, subscribers: usize) -> Self {
        Self {
            publishers,
            subscribers,
            size: 1024,
            window: None,
            rate: None,
            total: None,
            reads: true,
            receive_window: None,
        }
    }
}

/// What one end is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Publisher,
    Subscriber,
}

/// One member, with its own connection to the server.
pub(crate) trait Member: Sized {
    fn ready(&mut self, event: &Event);

    fn deadline(&mut self) -> Option<Instant>;

    /// Receives and sends what there is.
    fn turn(&mut self, now: Instant, heard: &mut Heard<'_>) -> Result<()>;

    /// Whether it takes part by now.
    fn is_there(&self) -> bool;

    /// Whether the message was taken. If not, another one may be after a turn.
    fn publish(&mut self, message: &[u8]) -> Result<bool>;
}

/// What a member has heard in a turn.
pub(crate) struct Heard<'a> {
    epoch: Instant,
    /// For which it is measured how long messages take.
    meter: Option<&'a Meter>,
    messages: u64,
    bytes: usize,
    missed: u64,
}

impl Heard<'_> {
    pub(crate) fn message(&mut self, message: &[u8]) {
        self.messages += 1;
        self.bytes += message.len();
        if let Some(meter) = self.meter
            && let Some(at) = message.first_chunk()
        {
            let sent = Duration::from_nanos(u64::from_be_bytes(*at));
            meter.round_trip(self.epoch.elapsed().saturating_sub(sent));
        }
    }

    /// The server has said that so many were left out.
    pub(crate) fn missed(&mut self, count: u64) {
        self.missed += count;
    }
}

struct Seat<M> {
    member: M,
    part: Part,
    /// How many messages it has heard, or was told that it has missed.
    seen: u64,
    /// Something is to be done for it.
    due: bool,
}

/// Runs members that `connect` makes, until the process ends.
pub(crate) fn run<M: Member>(
    load: Load,
    meter: &Arc<Meter>,
    mut connect: impl FnMut(Part, &Registry, Token) -> Result<M>,
) -> Result<()> {
    let epoch = Instant::now();
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let publishers = std::iter::repeat_n(Part::Publisher, load.publishers);
    let subscribers = std::iter::repeat_n(Part::Subscriber, load.subscribers);
    let mut coming = subscribers.chain(publishers);
    let mut seats: Vec<Seat<M>> = Vec::new();
    let mut message = vec![0x5a; load.size];
    let (mut began, mut published, mut turn) = (None::<Instant>, 0_u64, 0);
    loop {
        let mut now = Instant::now();
        let there = seats.iter().filter(|it| it.member.is_there()).count();
        // Not all at once, as that would be another benchmark.
        let mut all_here = true;
        while seats.len() < there + AT_ONCE {
            let Some(part) = coming.next() else {
                break;
            };
            let member = connect(part, poll.registry(), Token(seats.len()))?;
            seats.push(Seat {
                member,
                part,
                seen: 0,
                due: true,
            });
            all_here = false;
        }
        let mut deadline = None;
        if all_here && there == seats.len() && began.is_none() {
            ready(([127, 0, 0, 1], 1).into(), Vec::new())?;
            began = Some(now);
            deadline = began;
        }
        let due = seats.iter_mut().filter_map(|it| match it.due {
            true => Some(now),
            false => it.member.deadline(),
        });
        deadline = due.chain(deadline).min();
        if let (Some(rate), Some(began)) = (load.rate, began)
            && load.publishers > 0
            && load.total.is_none_or(|it| published < it)
        {
            let next = began + Duration::from_nanos(published * 1_000_000_000 / rate);
            deadline = Some(deadline.map_or(next, |it| it.min(next)));
        }
        let wait = deadline.map(|at| at.saturating_duration_since(now));
        match poll.poll(&mut events, wait) {
            // By the signal that lets a stopped process go on.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            waited => waited?,
        }
        for event in &events {
            let seat = &mut seats[event.token().0];
            seat.member.ready(event);
            seat.due = true;
        }
        now = Instant::now();
        let (mut bytes, mut messages) = (0, 0);
        for seat in &mut seats {
            let is_due = seat.due || seat.member.deadline().is_some_and(|at| at <= now);
            if !is_due {
                continue;
            }
            seat.due = false;
            let mut heard = Heard {
                epoch,
                meter: load.rate.is_some().then_some(&**meter),
                messages: 0,
                bytes: 0,
                missed: 0,
            };
            seat.member.turn(now, &mut heard)?;
            seat.seen += heard.messages + heard.missed;
            bytes += heard.bytes;
            messages += heard.messages;
        }
        meter.received(bytes, messages);
        let Some(began) = began.filter(|_| load.publishers > 0) else {
            continue;
        };
        let heard = seats.iter().filter(|it| it.part == Part::Subscriber);
        let slowest = heard.map(|it| it.seen).min().unwrap_or(u64::MAX);
        let may = [
            load.total.unwrap_or(u64::MAX),
            load.window
                .map_or(u64::MAX, |it| slowest.saturating_add(it)),
            load.rate.map_or(u64::MAX, |rate| {
                (now.saturating_duration_since(began).as_nanos() * u128::from(rate) / 1_000_000_000)
                    as u64
                    + 1
            }),
        ];
        let may = may.into_iter().min().unwrap_or(0);
        let mut blocked = 0;
        while published < may && blocked < load.publishers {
            // After the subscribers come the publishers, who take turns.
            let seat = &mut seats[load.subscribers + turn];
            turn = (turn + 1) % load.publishers;
            let at = epoch.elapsed().as_nanos() as u64;
            message[..8].copy_from_slice(&at.to_be_bytes());
            if seat.member.publish(&message)? {
                (published, blocked) = (published + 1, 0);
                seat.due = true;
            } else {
                blocked += 1;
            }
        }
    }
}

/// How many connect at a time.
const AT_ONCE: usize = 32;
