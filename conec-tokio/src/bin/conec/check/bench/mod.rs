//! `conec bench`.

mod load;
mod protocol;
mod serve;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_tokio::{Channel, Path};
use serde::Serialize;

use self::protocol::{DOWN, ECHO, LONGEST, Order, SERVICE, Throughput, UP};
use super::{
    tally::{Summary, Times},
    way::Way,
};
use crate::{
    failure::{Exit, Failure},
    json,
    output::{Output, print, say},
    serve::Services,
    session::{Connect, Session},
    target::Peer,
};

/// Measure how fast it is between here and somebody else
///
/// First small messages go to and fro, one after the other; then as many bytes as possible go there, and then back.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec bench --serve --name office     (there)\n  conec bench office                    (here)"
)]
pub(crate) struct Args {
    /// Whom to measure with: a name, or an id as `conec id` prints it
    #[arg(required_unless_present = "serve")]
    who: Option<Peer>,
    /// Let others measure, one at a time, until interrupted
    #[arg(long, conflicts_with_all = ["who", "time", "json"])]
    serve: bool,
    /// How long each of the three parts takes, half a second of warming up aside; at most 1m
    #[arg(short, long, value_name = "TIME", default_value = "3s", value_parser = time)]
    time: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| match &self.who {
            Some(who) => self.measure(session, who).await,
            None => {
                session.tell_who();
                let services = Services::new().with(SERVICE, serve::service());
                services.serve(session).await
            }
        };
        self.connect.run(work).await
    }

    async fn measure(&self, session: &Session, who: &Peer) -> Result<ExitCode, Failure> {
        let channel = session.open(who, SERVICE).await?;
        // A direct path is found soon, or not at all.
        let _ = tokio::time::timeout(SETTLE, channel.path_other_than(Path::Proxied)).await;
        say(format_args!(
            "measuring {} for {}",
            Way::of(&channel),
            humantime::format_duration((load::WARM_UP + self.time) * 3)
        ));
        let times = round_trips(&channel, self.time).await?;
        let there = there(&channel, self.time).await?;
        let back = back(&channel, self.time).await?;
        let result = Measured::of(&channel, &times, there, back);
        self.show(&result)?;
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, measured: &Measured) -> Result<(), Failure> {
        if self.output.json {
            return self.output.line(measured, "");
        }
        let Measured {
            way,
            round_trips,
            times,
            there_mb_per_s,
            back_mb_per_s,
            mtu,
            packets_lost,
        } = measured;
        print(format_args!("path         {way}, packets of {mtu} bytes"))?;
        match times {
            Some(times) => print(format_args!("round trips  {round_trips}: {times}"))?,
            None => print("round trips  none came back in time")?,
        }
        print(format_args!("there        {there_mb_per_s:.1} MB/s"))?;
        print(format_args!("back         {back_mb_per_s:.1} MB/s"))?;
        print(format_args!(
            "lost         {packets_lost} packets of this end"
        ))
    }
}

async fn round_trips(channel: &Channel, time: Duration) -> Result<Times, Failure> {
    let (mut sender, mut receiver) = channel.open_bi(ECHO).await?;
    let message = Bytes::from_static(&[0x5a; PING]);
    let mut times = Times::default();
    let began = Instant::now();
    while began.elapsed() < load::WARM_UP + time {
        let sent = Instant::now();
        sender.send(message.clone()).await?;
        if receiver.recv().await?.is_none() {
            return Err(Failure::new(
                Exit::Lost,
                "the other end has stopped",
                "check that it still runs there",
            ));
        }
        if sent - began >= load::WARM_UP {
            times.add(sent.elapsed());
        }
    }
    sender.finish()?;
    Ok(times)
}

async fn there(channel: &Channel, time: Duration) -> Result<Throughput, Failure> {
    let (mut sender, mut receiver) = channel.open_bi(UP).await?;
    load::send(&mut sender, time).await?;
    json::receive(&mut receiver).await
}

async fn back(channel: &Channel, time: Duration) -> Result<Throughput, Failure> {
    let (mut sender, mut receiver) = channel.open_bi(DOWN).await?;
    json::send(&mut sender, &Order::new(time)).await?;
    sender.finish()?;
    load::count(&mut receiver).await
}

/// What was measured.
#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    way: Way,
    round_trips: usize,
    #[serde(flatten)]
    times: Option<Summary>,
    there_mb_per_s: f64,
    back_mb_per_s: f64,
    mtu: u16,
    packets_lost: u64,
}

impl Measured {
    fn of(channel: &Channel, times: &Times, there: Throughput, back: Throughput) -> Self {
        let stats = channel.stats();
        Self {
            way: Way::of(channel),
            round_trips: times.count(),
            times: times.summary(),
            there_mb_per_s: there.megabytes_per_second(),
            back_mb_per_s: back.megabytes_per_second(),
            mtu: stats.map_or(0, |it| it.mtu),
            packets_lost: stats.map_or(0, |it| it.packets_lost),
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match (Duration::from_millis(100)..=LONGEST).contains(&time) {
        true => Ok(time),
        false => Err("at least 100ms, and at most 1m".into()),
    }
}

const SETTLE: Duration = Duration::from_secs(2);
/// As large as those of the library's own benchmark.
const PING: usize = 64;
