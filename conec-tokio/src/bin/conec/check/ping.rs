//! `conec ping`.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tokio::{Channel, Receiver, Sender};
use serde::Serialize;

use super::{
    echo::SERVICE,
    tally::{Summary, Times, in_ms},
    way::Way,
};
use crate::{
    failure::{Exit, Failure},
    output::{Output, say},
    serve::Services,
    session::{Connect, Session},
    stop,
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
        let work = async |session: &Session| match &self.who {
            Some(who) => self.ping(session, who).await,
            None => {
                session.tell_who();
                Services::new().serve(session).await
            }
        };
        self.connect.run(work).await
    }

    async fn ping(&self, session: &Session, who: &Peer) -> Result<ExitCode, Failure> {
        let channel = session.open(who, SERVICE).await?;
        let mut tally = Tally::default();
        // Whoever interrupts it wants to know as well.
        let ended = tokio::select! {
            biased;
            ended = self.ping_on(who, &channel, &mut tally) => ended,
            () = stop::wanted() => Err(Failure::interrupted()),
        };
        tally.tell(&channel, self.output)?;
        ended?;
        if tally.times.count() == 0 {
            return Err(Failure::new(
                Exit::Lost,
                "there was no answer",
                "the other end or the network is down, or slow: --timeout waits longer",
            ));
        }
        match self.until_direct && !Way::of(&channel).is_direct() {
            true => Err(not_direct(&channel)),
            false => Ok(ExitCode::SUCCESS),
        }
    }

    async fn ping_on(
        &self,
        who: &Peer,
        channel: &Channel,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let began = Instant::now();
        let (mut sender, mut receiver) = channel.open_bi("echo").await?;
        for number in 1_u64.. {
            tally.sent += 1;
            match self.once(&mut sender, &mut receiver, number).await? {
                Some(took) => {
                    tally.times.add(took);
                    self.show(who, number, took, Way::of(channel))?;
                }
                None => {
                    let time = humantime::format_duration(self.timeout);
                    say(format_args!("no answer to number {number} within {time}"));
                }
            }
            let is_enough = self.count.is_some_and(|count| number >= count);
            let is_found = Way::of(channel).is_direct() || began.elapsed() >= UNTIL_DIRECT;
            if is_enough || self.until_direct && is_found {
                break;
            }
            tokio::time::sleep(self.interval).await;
        }
        Ok(())
    }

    /// How long it took, if the answer came in time.
    async fn once(
        &self,
        sender: &mut Sender,
        receiver: &mut Receiver,
        number: u64,
    ) -> Result<Option<Duration>, Failure> {
        let mut message = number.to_be_bytes().to_vec();
        message.resize(self.size as usize, 0);
        let message = Bytes::from(message);
        let began = Instant::now();
        let answered = async {
            sender.send(message.clone()).await?;
            loop {
                match receiver.recv().await? {
                    Some(answer) if answer == message => return Ok(()),
                    // To an earlier one, which was given up.
                    Some(answer) if is_to_earlier(&answer, number) => {}
                    Some(_) => {
                        return Err(Failure::new(
                            Exit::Other,
                            "the answer is not what was sent",
                            "are both of the same version?",
                        ));
                    }
                    None => {
                        return Err(Failure::new(
                            Exit::Lost,
                            "the other end has stopped",
                            "check that it still runs there",
                        ));
                    }
                }
            }
        };
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(answered) => answered.map(|()| Some(began.elapsed())),
            Err(_) => Ok(None),
        }
    }

    fn show(&self, who: &Peer, number: u64, took: Duration, way: Way) -> Result<(), Failure> {
        let pong = Pong {
            number,
            milliseconds: in_ms(took),
            direct: way.is_direct(),
        };
        let bytes = self.size;
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

/// What has become of all of them.
#[derive(Default)]
struct Tally {
    sent: u64,
    times: Times,
}

/// The same, as JSON.
#[derive(Serialize)]
struct Totals {
    sent: u64,
    answered: usize,
    packets_lost: u64,
    #[serde(flatten)]
    times: Option<Summary>,
    direct: bool,
}

impl Tally {
    fn tell(&self, channel: &Channel, output: Output) -> Result<(), Failure> {
        let totals = Totals {
            sent: self.sent,
            answered: self.times.count(),
            packets_lost: channel.stats().map_or(0, |it| it.packets_lost),
            times: self.times.summary(),
            direct: Way::of(channel).is_direct(),
        };
        if output.json {
            return output.line(&Ended { totals }, "");
        }
        let Totals {
            sent,
            answered,
            packets_lost,
            times,
            ..
        } = totals;
        let way = Way::of(channel);
        say(format_args!(
            "{answered} answers to {sent}, {way}; {packets_lost} packets were lost and sent again"
        ));
        if let Some(times) = times {
            say(times);
        }
        Ok(())
    }
}

/// The last line of JSON.
#[derive(Serialize)]
struct Ended {
    totals: Totals,
}

fn is_to_earlier(answer: &[u8], number: u64) -> bool {
    let first = answer.first_chunk().copied().map(u64::from_be_bytes);
    first.is_some_and(|it| it < number)
}

fn not_direct(channel: &Channel) -> Failure {
    let looked = channel.path_stats().map_or(0, |it| it.changes);
    let what = match looked {
        0 => "no direct path was found",
        _ => "there was a direct path, but it did not last",
    };
    Failure::new(
        Exit::Other,
        what,
        "both networks may have NATs that change ports: forward a UDP port at one of them. Through the Coordinator all works the same",
    )
}

const UNTIL_DIRECT: Duration = Duration::from_secs(60);
