//! `conec ping`.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tokio::{Channel, Path, Receiver, Sender};
use serde::Serialize;

use super::echo::SERVICE;
use crate::{
    failure::{Exit, Failure},
    output::{Output, say},
    serve::Services,
    session::{Called, Connect, Session},
    target::Peer,
};

/// See whether somebody is there, and how far away
///
/// Every command that serves something answers, such as `listen`, `receive` or `expose`; and so does `ping --answer`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec ping --answer --name office     (there)\n  conec ping office --until-direct      (here)"
)]
pub(crate) struct Args {
    /// Whom: a name, or an id as `conec id` prints it
    #[arg(required_unless_present = "answer")]
    who: Option<Peer>,
    /// Answer others, and do nothing else, until interrupted
    #[arg(long, conflicts_with_all = ["who", "count", "until_direct"])]
    answer: bool,
    #[command(flatten)]
    called: Called,
    /// How many times; without it, until interrupted
    #[arg(short = 'n', long, value_name = "NUMBER")]
    count: Option<u64>,
    /// How long to wait between two
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How many bytes to send each time
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    size: u32,
    /// How long to wait for an answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Stop as soon as packets travel directly between the two machines, and fail if they do not within 60 s or the given count
    #[arg(long)]
    until_direct: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let session = Session::connect(&self.connect, self.called.name.clone()).await?;
        let work = async |session: &Session| match &self.who {
            Some(who) => self.ping(session, who).await,
            None => {
                session.tell_who();
                Services::new().serve(session).await
            }
        };
        session.run(work).await
    }

    async fn ping(&self, session: &Session, who: &Peer) -> Result<ExitCode, Failure> {
        let began = Instant::now();
        let channel = session.open(who, SERVICE).await?;
        let (mut sender, mut receiver) = channel.open_bi("echo").await?;
        let message = Bytes::from(vec![0; self.size as usize]);
        let mut times = Vec::new();
        for number in 1_u64.. {
            let took = self.once(&mut sender, &mut receiver, &message).await?;
            times.push(took);
            let path = channel.path();
            self.show(who, number, took, path)?;
            if self.until_direct && is_direct(path) {
                break;
            }
            if self.count.is_some_and(|count| number >= count) {
                break;
            }
            if self.until_direct && began.elapsed() >= UNTIL_DIRECT {
                break;
            }
            tokio::time::sleep(self.interval).await;
        }
        summarise(&times);
        match self.until_direct && !is_direct(channel.path()) {
            true => Err(not_direct(&channel)),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    async fn once(
        &self,
        sender: &mut Sender,
        receiver: &mut Receiver,
        message: &Bytes,
    ) -> Result<Duration, Failure> {
        let sent = Instant::now();
        sender.send(message.clone()).await?;
        let answer = tokio::time::timeout(self.timeout, receiver.recv()).await;
        let answer = answer.map_err(|_| {
            let time = humantime::format_duration(self.timeout);
            Failure::new(Exit::Lost, format!("no answer within {time}"))
                .help("the other end or the network is down, or slow: --timeout waits longer")
        })?;
        match answer? {
            Some(answer) if answer == message => Ok(sent.elapsed()),
            Some(_) => Err(Failure::new(Exit::Other, "the answer is not what was sent")),
            None => Err(Failure::new(Exit::Lost, "the other end has stopped")),
        }
    }

    fn show(&self, who: &Peer, number: u64, took: Duration, path: Path) -> Result<(), Failure> {
        let pong = Pong {
            number,
            milliseconds: took.as_secs_f64() * 1000.0,
            direct: is_direct(path),
        };
        let bytes = self.size;
        let way = match pong.direct {
            true => "directly",
            false => "through the Coordinator",
        };
        let time = pong.milliseconds;
        let text = format!("{bytes} bytes from {who}: number {number}, {time:.3} ms, {way}");
        self.output.line(&pong, text)
    }
}

/// An answer, as JSON.
#[derive(Serialize)]
struct Pong {
    number: u64,
    milliseconds: f64,
    direct: bool,
}

fn is_direct(path: Path) -> bool {
    match path {
        Path::Direct(_) => true,
        Path::Proxied | _ => false,
    }
}

fn summarise(times: &[Duration]) {
    let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) else {
        return;
    };
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let mean = times.iter().sum::<Duration>() / count;
    let answers = if count == 1 { "answer" } else { "answers" };
    say(format_args!(
        "{count} {answers}: least {least:.3?}, mean {mean:.3?}, most {most:.3?}"
    ));
}

fn not_direct(channel: &Channel) -> Failure {
    let looked = channel.path_stats().map_or(0, |it| it.changes);
    let what = match looked {
        0 => "no direct path was found",
        _ => "there was a direct path, but it did not last",
    };
    Failure::new(Exit::Other, what).help(
        "both networks may have NATs that change ports: forward a UDP port at one of them. Through the Coordinator all works the same",
    )
}

const UNTIL_DIRECT: Duration = Duration::from_secs(60);
