//! What is measured, and how it compares.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    cases::Case,
    control::Control,
    lab::Side,
    link::Rate,
    process::Process,
    result::Result,
    role::Role,
    router::{Counts, Router},
    settings::Settings,
    table::{Table, figure, median, ratio},
    tcp,
};

/// Who sends bulk from the near side to the far one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// Linux TCP with this congestion control.
    Tcp(&'static str),
    /// A Client of conec, to the Coordinator.
    ToCoordinator(Control),
    /// A Client of conec, to another one beside the Coordinator.
    BetweenClients(Control),
}

impl Sender {
    /// Those that can be had here.
    fn all() -> Vec<Self> {
        let tcp = [CUBIC, BBR].into_iter().filter(|name| tcp::is_there(name));
        let conec = Control::ALL
            .into_iter()
            .flat_map(|control| [Self::ToCoordinator(control), Self::BetweenClients(control)]);
        tcp.map(Self::Tcp).chain(conec).collect()
    }

    fn name(self) -> String {
        let (name, control) = match self {
            Self::Tcp(control) => return format!("TCP {control}"),
            Self::ToCoordinator(control) => ("to the Coordinator", control),
            Self::BetweenClients(control) => ("between Clients", control),
        };
        if control == Control::Default {
            name.to_owned()
        } else {
            format!("{name}, {control}")
        }
    }

    fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Begins to send, to this port. The first of these processes receives.
    fn start(self, port: u16) -> Result<Vec<Process>> {
        let address = SocketAddr::from((Side::Far.address(), port));
        let (home, control) = match self {
            Self::Tcp(control) => {
                let receiver = Process::start(Side::Far, &Role::TcpReceiver(address))?;
                let sender = Role::TcpSender {
                    to: receiver.ready.clone(),
                    control: control.to_owned(),
                };
                let sender = Process::start(Side::Near, &sender)?;
                return Ok(vec![receiver, sender]);
            }
            Self::ToCoordinator(control) => (true, control),
            Self::BetweenClients(control) => (false, control),
        };
        let coordinator = Process::start(Side::Far, &Role::Coordinator(address))?;
        let ready = coordinator.ready.clone();
        let mut processes = vec![coordinator];
        if !home {
            let receiver = Process::start(Side::Far, &Role::ConecReceiver(ready.clone()))?;
            processes.insert(0, receiver);
        }
        let sender = Role::ConecSender {
            coordinator: ready,
            home,
            control: control.to_string(),
        };
        processes.push(Process::start(Side::Near, &sender)?);
        Ok(processes)
    }
}

/// The medians of several rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Record {
    case: &'static str,
    sender: String,
    /// Megabits per second that arrived.
    rate: f64,
    /// Which part of the packets was dropped by the router.
    dropped: f64,
    /// In milliseconds: by how much a packet left the router too late, on average and at most.
    late: f64,
    latest: f64,
    /// How a round ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    death: Option<String>,
}

/// Measures one after the other, and prints a table.
pub(crate) fn alone(settings: &Settings, router: &Router) -> Result<Vec<Record>> {
    let senders = Sender::all();
    let mut records = Vec::new();
    for case in &settings.cases {
        let mut rounds = vec![Vec::new(); senders.len()];
        for round in 1..=settings.rounds {
            for (sender, rounds) in senders.iter().zip(&mut rounds) {
                rounds.extend(measure(&[*sender], case, settings, router, round)?);
            }
        }
        for (sender, rounds) in senders.iter().zip(rounds) {
            records.push(Record::new(case.name, sender.name(), &rounds));
        }
    }
    print(&settings.cases, &senders, &records);
    Ok(records)
}

/// Measures each kind of channel together with TCP Cubic, and prints a table.
pub(crate) fn beside(settings: &Settings, router: &Router) -> Result<Vec<Record>> {
    let mut table = Table::new([
        "two on one link, Mbit/s",
        "conec",
        "conec's",
        "TCP Cubic's",
        "Jain's index, mean",
    ]);
    let mut records = Vec::new();
    for case in &settings.cases {
        for control in Control::ALL {
            let senders = [Sender::ToCoordinator(control), Sender::Tcp(CUBIC)];
            let mut rounds = [Vec::new(), Vec::new()];
            for round in 1..=settings.rounds {
                let both = measure(&senders, case, settings, router, round)?;
                for (rounds, round) in rounds.iter_mut().zip(both) {
                    rounds.push(round);
                }
            }
            let jain = rounds[0]
                .iter()
                .zip(&rounds[1])
                .map(|(one, other)| jain(one.rate, other.rate));
            let fairness = jain.sum::<f64>() / rounds[0].len() as f64;
            let both = [0, 1].map(|index| {
                let name = format!("beside each other: {}", senders[index].name());
                Record::new(case.name, name, &rounds[index])
            });
            table.row([
                case.name.to_owned(),
                senders[0].name(),
                both[0].cell(),
                both[1].cell(),
                ratio(fairness, None),
            ]);
            records.extend(both);
        }
    }
    table.print();
    Ok(records)
}

#[derive(Debug, Clone)]
struct Round {
    rate: f64,
    counts: Counts,
    death: Option<String>,
}

/// What each of them gets when all send at once.
fn measure(
    senders: &[Sender],
    case: &Case,
    settings: &Settings,
    router: &Router,
    round: u64,
) -> Result<Vec<Round>> {
    let names = senders.iter().map(|sender| sender.name());
    let names = names.collect::<Vec<_>>().join(" and ");
    eprintln!("{}, round {round}: {names}", case.name);
    router.set(case.path, round);
    let mut flows = Vec::new();
    for (port, sender) in (PORT..).zip(senders) {
        flows.push((sender.start(port)?, None));
    }
    router.begin();
    let time = match case.path.rate {
        Rate::Thirds(_, _, time) => time,
        Rate::Constant(_) | Rate::Random(..) => settings.time,
    };
    let end = Instant::now() + time;
    let mut before = Vec::new();
    for (processes, _) in &mut flows {
        before.push(processes[0].sample()?);
    }
    while Instant::now() < end {
        thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        for (processes, death) in &mut flows {
            for process in processes {
                let sample = process.sample()?;
                *death = death.take().or(sample.end);
            }
        }
    }
    let mut rounds = Vec::new();
    for ((mut processes, death), before) in flows.into_iter().zip(before) {
        let after = processes[0].sample()?;
        let seconds = Duration::from_nanos(after.nanos - before.nanos).as_secs_f64();
        rounds.push(Round {
            rate: (after.bytes - before.bytes) as f64 * 8.0 / 1e6 / seconds,
            counts: router.counts(),
            death,
        });
    }
    Ok(rounds)
}

/// Jain's index of fairness: 1 where both have the same, 0.5 where one has everything.
fn jain(one: f64, other: f64) -> f64 {
    (one + other).powi(2) / (2.0 * (one.powi(2) + other.powi(2))).max(f64::MIN_POSITIVE)
}

impl Record {
    fn new(case: &'static str, sender: String, rounds: &[Round]) -> Self {
        let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            case,
            sender,
            rate: of(|round| round.rate),
            dropped: of(|round| round.counts.part_dropped()),
            late: of(|round| round.counts.late_on_average().as_secs_f64() * 1e3),
            latest: of(|round| round.counts.latest.as_secs_f64() * 1e3),
            death: rounds.iter().find_map(|round| round.death.clone()),
        }
    }

    fn cell(&self) -> String {
        let rate = figure(self.rate);
        match &self.death {
            None => rate,
            Some(reason) => format!("{rate} DEAD: {reason}"),
        }
    }
}

fn print(cases: &[Case], senders: &[Sender], records: &[Record]) {
    let mut table = Table::new([
        "bulk, Mbit/s",
        "sender",
        "arrived",
        "of TCP Cubic",
        "of TCP BBR",
        "dropped",
        "router late, ms",
    ]);
    for (case, records) in cases.iter().zip(records.chunks(senders.len())) {
        for (sender, record) in senders.iter().zip(records) {
            let of = |other: &'static str| {
                let other = senders
                    .iter()
                    .position(|&sender| sender == Sender::Tcp(other));
                match other {
                    Some(other) if !sender.is_tcp() => {
                        ratio(record.rate / records[other].rate, None)
                    }
                    Some(_) | None => String::new(),
                }
            };
            table.row([
                case.name.to_owned(),
                record.sender.clone(),
                record.cell(),
                of(CUBIC),
                of(BBR),
                format!("{:.2} %", record.dropped * 100.0),
                format!("{:.2} (at most {:.1})", record.late, record.latest),
            ]);
        }
    }
    table.print();
}

const CUBIC: &str = "cubic";
const BBR: &str = "bbr";
const PORT: u16 = 4433;
/// How often to look whether everyone is alive.
const LOOK: Duration = Duration::from_millis(250);
