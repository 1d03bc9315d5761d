//! How one round is measured.

use std::{thread, time::Duration};

use crate::{
    attackers::Traffic,
    bystanders::Mode,
    meter::Sample,
    process::Process,
    result::Result,
    role::Role,
    settings::{Scenario, Settings},
};

/// What one round has shown.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) quiet: Figures,
    pub(crate) attacked: Figures,
    pub(crate) control: Figures,
    /// Processors that the Coordinator uses under the attack alone.
    pub(crate) for_attackers: f64,
    /// The most memory that the Coordinator took, in bytes.
    pub(crate) peak_memory: u64,
}

/// What the bystanders have got, and what was sent by others in the meantime.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Of round trips.
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
    /// Datagrams a second that others sent meanwhile.
    pub(crate) beside_round_trips: f64,
    /// Bytes a second that arrived.
    pub(crate) bulk: f64,
    pub(crate) beside_bulk: f64,
}

struct Scene {
    coordinator: Process,
    receiver: Process,
    sender: Process,
    time: Duration,
}

/// What was seen in a while.
struct Seen {
    round_trip: Option<(Duration, Duration)>,
    received: f64,
    beside: f64,
}

pub(crate) fn measure(scenario: &Scenario, settings: &Settings) -> Result<Round> {
    let mut scene = Scene::new(settings.time)?;
    let share = thread::available_parallelism()?.get() as f64 * settings.share;
    let quiet = scene.measure(None)?;

    // All kinds have as much of the processors as one alone.
    let warm_up = match scenario.attacks.len() {
        1 => settings.warm_up,
        _ => settings.warm_up * 4,
    };
    let attackers = Role::Attackers {
        coordinator: scene.coordinator.ready.address,
        attacks: scenario.attacks.clone(),
        warm_up,
        share,
    };
    let mut attackers = Process::start("attackers", &attackers)?;
    thread::sleep(warm_up + SETTLE);
    let (before, began) = (sample(&mut attackers)?, sample(&mut scene.coordinator)?);
    thread::sleep(settings.time);
    let (after, ended) = (sample(&mut attackers)?, sample(&mut scene.coordinator)?);
    let traffic = Traffic {
        datagrams: per_second(&before, &after, |it| it.messages) as u64,
        bytes: per_second(&before, &after, |it| it.bytes) as u64,
    };
    let for_attackers = (ended.cpu - began.cpu).as_secs_f64() / settings.time.as_secs_f64();
    let attacked = scene.measure(Some(&mut attackers))?;
    let peak_memory = sample(&mut scene.coordinator)?.peak_memory;
    drop(attackers);
    thread::sleep(SETTLE);

    let control = Role::Control {
        traffic,
        for_each: Duration::from_secs_f64(for_attackers / traffic.datagrams.max(1) as f64),
        share,
    };
    let mut control = Process::start("control", &control)?;
    let control = scene.measure(Some(&mut control))?;
    Ok(Round {
        quiet,
        attacked,
        control,
        for_attackers,
        peak_memory,
    })
}

impl Scene {
    fn new(time: Duration) -> Result<Self> {
        let coordinator = Process::start("Coordinator", &Role::Coordinator)?;
        let ready = &coordinator.ready;
        let receiver = Process::start("receiver", &Role::Receiver(ready.clone()))?;
        let sender = Process::start("sender", &Role::Sender(ready.clone()))?;
        Ok(Self {
            coordinator,
            receiver,
            sender,
            time,
        })
    }

    /// Round trips, and then bulk.
    fn measure(&mut self, mut others: Option<&mut Process>) -> Result<Figures> {
        let round_trips = self.during(Mode::RoundTrips, others.as_deref_mut())?;
        let bulk = self.during(Mode::Bulk, others)?;
        let (median, p99) = round_trips.round_trip.ok_or("no answers")?;
        if bulk.received == 0.0 {
            return Err("no bulk".into());
        }
        Ok(Figures {
            median,
            p99,
            beside_round_trips: round_trips.beside,
            bulk: bulk.received,
            beside_bulk: bulk.beside,
        })
    }

    fn during(&mut self, mode: Mode, mut others: Option<&mut Process>) -> Result<Seen> {
        self.tell(mode)?;
        thread::sleep(SETTLE);
        let mut others = || others.as_deref_mut().map(sample).transpose();
        // Forgets the round trips until now.
        self.tell(mode)?;
        let before = (sample(&mut self.receiver)?, others()?);
        thread::sleep(self.time);
        let after = (sample(&mut self.receiver)?, others()?);
        let beside = before.1.zip(after.1);
        Ok(Seen {
            round_trip: self.tell(Mode::Idle)?.round_trip,
            received: per_second(&before.0, &after.0, |it| it.bytes),
            beside: beside.map_or(0.0, |(a, b)| per_second(&a, &b, |it| it.messages)),
        })
    }

    /// Lets the sender do something else. Gives what it has seen until then.
    fn tell(&mut self, mode: Mode) -> Result<Sample> {
        self.sender.order(&serde_json::to_string(&mode)?)?;
        self.sender.sample()
    }
}

fn sample(process: &mut Process) -> Result<Sample> {
    process.order(&serde_json::to_string(&Mode::Idle)?)?;
    process.sample()
}

fn per_second(before: &Sample, after: &Sample, count: impl Fn(&Sample) -> u64) -> f64 {
    (count(after) - count(before)) as f64 / (after.time - before.time).as_secs_f64()
}

/// For how long something goes on before it is measured.
const SETTLE: Duration = Duration::from_millis(500);
