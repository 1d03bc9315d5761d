//! A stream of numbered messages that never rests, and when they arrive.

use std::time::Duration;

use conec_core::Direction;
use conec_tests::sim::{At, Half, World};

pub(crate) struct Flow {
    from: Half,
    to: Half,
    size: usize,
    /// The pause between messages; none for as fast as they are taken.
    pause: Option<Duration>,
    next_send: Duration,
    sent: u32,
    /// When each message arrived.
    pub(crate) arrivals: Vec<Duration>,
}

impl Flow {
    /// As much as the channel takes, in messages of this size.
    pub(crate) fn new(world: &mut World, from: At, to: At, size: usize) -> Self {
        let ours = world.open(from, Direction::Uni, b"flow");
        let theirs = world.accept_stream(to);
        Self {
            from: ours,
            to: theirs,
            size: size.max(4),
            pause: None,
            next_send: world.elapsed(),
            sent: 0,
            arrivals: Vec::new(),
        }
    }

    /// A message every so often.
    pub(crate) fn paced(world: &mut World, from: At, to: At, size: usize, pause: Duration) -> Self {
        Self {
            pause: Some(pause),
            ..Self::new(world, from, to, size)
        }
    }

    /// Goes on with another pause between messages.
    pub(crate) fn set_pace(&mut self, world: &World, pause: Duration) {
        self.pause = Some(pause);
        self.resume(world);
    }

    /// Goes on after a break.
    pub(crate) fn resume(&mut self, world: &World) {
        self.next_send = world.elapsed();
    }

    /// Sends what can be sent now, and receives what has arrived, which must be what is next.
    pub(crate) fn turn(&mut self, world: &mut World) {
        while self.pause.is_none() || world.elapsed() >= self.next_send {
            let mut message = self.sent.to_be_bytes().to_vec();
            message.resize(self.size, 7);
            if world.try_send(self.from, message.into()).is_err() {
                break;
            }
            self.sent += 1;
            if let Some(pause) = self.pause {
                self.next_send += pause;
            }
        }
        while let Ok(message) = world.try_recv(self.to) {
            let expected = self.arrivals.len() as u32;
            assert_eq!(message[..4], expected.to_be_bytes(), "out of order");
            assert_eq!(message.len(), self.size);
            self.arrivals.push(world.elapsed());
        }
    }

    /// Sends no more, and waits until everything has arrived.
    pub(crate) fn drain(&mut self, world: &mut World) {
        world.wait_for("what is under way", Duration::from_secs(120), |world| {
            while let Ok(message) = world.try_recv(self.to) {
                let expected = self.arrivals.len() as u32;
                assert_eq!(message[..4], expected.to_be_bytes(), "out of order");
                self.arrivals.push(world.elapsed());
            }
            (self.arrivals.len() as u32 == self.sent).then_some(())
        });
    }

    /// How many bytes have arrived in this time.
    pub(crate) fn bytes(&self, from: Duration, to: Duration) -> usize {
        let arrived = self.arrivals.iter();
        arrived.filter(|&&at| from <= at && at < to).count() * self.size
    }

    /// The longest time without an arrival from then on.
    pub(crate) fn longest_pause(&self, since: Duration) -> Duration {
        let (before, after) = self.longest_pauses(since, Duration::MAX);
        before.max(after)
    }

    /// The longest times without an arrival that begin since then and before a second time, and after that.
    pub(crate) fn longest_pauses(&self, since: Duration, until: Duration) -> (Duration, Duration) {
        let mut last = since;
        let (mut before, mut after) = (Duration::ZERO, Duration::ZERO);
        for &at in self.arrivals.iter().filter(|&&at| at >= since) {
            let longest = if last < until {
                &mut before
            } else {
                &mut after
            };
            *longest = (at - last).max(*longest);
            last = at;
        }
        (before, after)
    }
}

/// Lets flows go on for a while.
pub(crate) fn run(world: &mut World, flows: &mut [Flow], time: Duration) {
    let end = world.now() + time;
    while world.now() < end {
        for flow in &mut *flows {
            flow.turn(world);
        }
        // Paced flows have to be looked at though nothing happens, but for those that wait for room.
        let paced = flows.iter().filter(|flow| flow.pause.is_some());
        let elapsed = world.elapsed();
        let next = paced.map(|flow| flow.next_send).filter(|&at| at > elapsed);
        let wait = next.min().map_or(time, |at| at - elapsed);
        world.step_by(end.min(world.now() + wait));
    }
}
