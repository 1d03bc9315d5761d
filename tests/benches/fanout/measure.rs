//! How servers are measured, and what sealing costs.

use std::{fs, thread, time::Duration};

use crate::{
    conec,
    load::Load,
    meter::Sample,
    nats,
    process::Process,
    report::{Record, median},
    result::Result,
    role::{Role, To},
    settings::Settings,
};

/// What serves the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    PushBack,
    Conec,
    Bare,
    Nats,
}

impl System {
    fn name(self) -> &'static str {
        match self {
            Self::PushBack => "conec, push back",
            Self::Conec => "conec",
            Self::Bare => "bare quinn-proto",
            Self::Nats => "nats-server (TCP, plaintext)",
        }
    }
}

/// A server's process.
enum Server {
    Ours(Process),
    Nats(nats::Server),
}

impl Server {
    fn start(system: System, load: &Load, settings: &Settings) -> Result<(Self, To)> {
        let mtu = settings.mtu;
        Ok(match system {
            System::PushBack | System::Conec => {
                let coordinator = coordinator(system == System::PushBack, mtu)?;
                let ready = coordinator.ready.clone();
                (
                    Self::Ours(coordinator),
                    To::Conec {
                        ready,
                        mtu,
                        sealed: false,
                    },
                )
            }
            System::Bare => {
                let size = load.size;
                let server = Process::start("server", &Role::BareServer { size, mtu })?;
                let ready = server.ready.clone();
                (Self::Ours(server), To::Bare { ready, mtu })
            }
            System::Nats => {
                let server = nats::Server::start()?;
                let address = server.address;
                (Self::Nats(server), To::Nats(address))
            }
        })
    }

    fn id(&self) -> u32 {
        match self {
            Self::Ours(process) => process.id(),
            Self::Nats(server) => server.id(),
        }
    }
}

pub(crate) fn coordinator(pushes_back: bool, mtu: u16) -> Result<Process> {
    let settings = conec::Settings {
        pushes_back,
        history: None,
        clients: 1024,
        mtu,
    };
    Process::start("coordinator", &Role::Coordinator(settings))
}

/// What one round has shown of a system.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// In a second.
    deliveries: f64,
    /// For each second of the server's processor time.
    per_cpu: f64,
}

/// How many messages the servers deliver for each second of their processor time.
pub(crate) fn servers(
    name: &str,
    publishers: usize,
    subscribers: usize,
    settings: &Settings,
) -> Result<Record> {
    let mut load = Load::new(publishers, subscribers);
    load.window = Some(settings.window);
    load.rate = settings.rate;
    load.receive_window = settings.receive_window;
    let mut systems = vec![System::PushBack, System::Conec, System::Bare];
    match nats::Server::is_there() {
        true => systems.push(System::Nats),
        false => eprintln!("nats-server is not there, and left out: apt-get install nats-server"),
    }
    let mut all = vec![Vec::new(); systems.len()];
    for _ in 0..settings.rounds {
        for (system, figures) in systems.iter().zip(&mut all) {
            figures.push(measure(*system, load, settings)?);
        }
    }
    let mut record = Record::new(
        format!("{name}, UDP payloads of at most {} bytes", settings.mtu),
        &[
            "deliveries/s",
            "per CPU second of the server",
            "lowest",
            "highest",
            "of bare quinn-proto",
            "of nats-server",
        ],
    );
    let of = |figures: &[Figures], other: System| {
        let Some(other) = systems.iter().position(|it| *it == other) else {
            return f64::NAN;
        };
        let pairs = figures.iter().zip(&all[other]);
        median(
            pairs
                .map(|(it, other)| it.per_cpu / other.per_cpu)
                .collect(),
        )
    };
    for (system, figures) in systems.iter().zip(&all) {
        let per_cpu = || figures.iter().map(|it| it.per_cpu);
        record.add(
            system.name(),
            [
                median(figures.iter().map(|it| it.deliveries).collect()),
                median(per_cpu().collect()),
                per_cpu().fold(f64::INFINITY, f64::min),
                per_cpu().fold(0.0, f64::max),
                of(figures, System::Bare),
                of(figures, System::Nats),
            ],
        );
    }
    record.print();
    Ok(record)
}

fn measure(system: System, load: Load, settings: &Settings) -> Result<Figures> {
    let (server, to) = Server::start(system, &load, settings)?;
    let mut members = Process::start("members", &Role::Members { to, load })?;
    thread::sleep(WARM_UP);
    let (began, cpu_before) = (sample(&mut members)?, cpu_time(server.id())?);
    thread::sleep(settings.time);
    let (ended, cpu_after) = (sample(&mut members)?, cpu_time(server.id())?);
    let deliveries = (ended.messages - began.messages) as f64;
    Ok(Figures {
        deliveries: deliveries / (ended.time - began.time).as_secs_f64(),
        per_cpu: deliveries / (cpu_after - cpu_before).as_secs_f64(),
    })
}

/// What it costs that messages are sealed.
pub(crate) fn sealed(settings: &Settings) -> Result<Record> {
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..settings.rounds {
        for (sealed, costs) in [false, true].into_iter().zip(&mut all) {
            costs.push(cost(sealed, settings)?);
        }
    }
    let mut record = Record::new(
        "sealed, 1 to 10".to_owned(),
        &[
            "deliveries/s",
            "publisher, CPU µs/message",
            "member, CPU µs/delivery",
            "all of them, CPU µs/delivery",
            "of unsealed",
        ],
    );
    let [unsealed, _] = &all;
    for (name, costs) in ["unsealed", "sealed"].into_iter().zip(&all) {
        let of = |figure: fn(&Costs) -> f64| median(costs.iter().map(figure).collect());
        let pairs = costs.iter().zip(unsealed);
        record.add(
            name,
            [
                of(|it| it.deliveries),
                of(|it| it.publisher),
                of(|it| it.member),
                of(|it| it.all),
                median(pairs.map(|(it, other)| it.all / other.all).collect()),
            ],
        );
    }
    record.print();
    Ok(record)
}

/// Microseconds of processor time.
#[derive(Debug, Clone, Copy)]
struct Costs {
    /// In a second.
    deliveries: f64,
    publisher: f64,
    member: f64,
    all: f64,
}

fn cost(sealed: bool, settings: &Settings) -> Result<Costs> {
    let mtu = settings.mtu;
    let coordinator = coordinator(true, mtu)?;
    let ready = coordinator.ready.clone();
    let to = To::Conec { ready, mtu, sealed };
    let start = |name, load| {
        Process::start(
            name,
            &Role::Members {
                to: to.clone(),
                load,
            },
        )
    };
    let subscribers = 10;
    let mut members = start("members", Load::new(0, subscribers))?;
    let mut load = Load::new(1, 0);
    load.rate = settings.rate;
    let mut publisher = start("publisher", load)?;
    thread::sleep(WARM_UP);
    let (began, before) = (sample(&mut members)?, sample(&mut publisher)?);
    thread::sleep(settings.time);
    let (ended, after) = (sample(&mut members)?, sample(&mut publisher)?);
    let deliveries = (ended.messages - began.messages) as f64;
    let micros = |from: &Sample, to: &Sample| (to.cpu - from.cpu).as_secs_f64() * 1e6;
    let (members, publisher) = (micros(&began, &ended), micros(&before, &after));
    Ok(Costs {
        deliveries: deliveries / (ended.time - began.time).as_secs_f64(),
        publisher: publisher / (deliveries / subscribers as f64),
        member: members / deliveries,
        all: (members + publisher) / deliveries,
    })
}

pub(crate) fn sample(process: &mut Process) -> Result<Sample> {
    process.ask()?;
    process.sample()
}

/// The processor time that a process has taken, its threads' and the system's for it.
fn cpu_time(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
    let ticks = |at| -> Result<u64> {
        let field = fields.split_whitespace().nth(at);
        Ok(field.ok_or("too few fields")?.parse()?)
    };
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * TICK))
}

pub(crate) const WARM_UP: Duration = Duration::from_millis(700);
/// Linux counts in hundredths of a second here.
const TICK: u64 = 10;
