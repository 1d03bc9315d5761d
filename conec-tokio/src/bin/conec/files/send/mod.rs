//! `conec send`.

mod transfer;
mod walk;

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use conec_tokio::{Channel, Offer};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::block_in_place,
};

use self::{
    transfer::{Outcome, Sending},
    walk::Thing,
};
use super::{
    code::{Code, Try},
    progress::{Progress, counted, tell},
    protocol::SERVICE,
};
use crate::{
    codes,
    failure::{Exit, Failure},
    output::{Output, print, say},
    serve::{Services, called},
    session::{Connect, Session},
    target::Peer,
};

/// Send files and folders to somebody
///
/// Somebody receives them with `conec receive`. What is cut off goes on where it was: by itself within the time of --retry, and also when
/// the same command is given again later, even if either machine was switched off meanwhile.
///
/// Links in folders, and what is neither a file nor a folder, are left out and said; then the exit code is 1.
///
/// With --code, a code to type at the other end is printed instead, for somebody who has joined the same Coordinator. It is good for one
/// try: who guesses wrong has used it up.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "conec send [OPTIONS] <FILE>... <NAME>\n       conec send [OPTIONS] --code <FILE>...",
    after_help = "Examples:\n  conec receive --name office         (there)\n  conec send report.pdf photos office (here)\n\n  conec send --code report.pdf        (here: prints a code)\n  conec receive --code                (there: asks for the code)"
)]
pub(crate) struct Args {
    /// What to send: files and folders; and at the end whom to, a name or an id as `conec id` prints it
    #[arg(required = true, value_name = "FILE")]
    words: Vec<PathBuf>,
    /// Print a code by which somebody can receive it, instead of naming who receives it
    #[arg(long, conflicts_with = "name")]
    code: bool,
    /// How long to try again after having been cut off
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    retry: Duration,
    /// Send at most so many bytes a second; without it, as many as the way takes
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let (paths, to) = self.split()?;
        let things: Result<Vec<_>, _> = paths.iter().map(|it| Thing::find(it)).collect();
        let things = things?;
        match to {
            Some(to) => self.to_peer(&things, &to).await,
            None => self.by_code(&things).await,
        }
    }

    /// What to send, and whom to.
    fn split(&self) -> Result<(&[PathBuf], Option<Peer>), Failure> {
        if self.code {
            return Ok((&self.words, None));
        }
        let usage = |what: &str| {
            Failure::usage(
                what,
                "conec send FILE… NAME, or conec send --code FILE… for somebody without a name",
            )
        };
        match &self.words[..] {
            [] | [_] => Err(usage("files to send and whom to send them to are needed")),
            [paths @ .., to] => {
                let text = to.to_str().unwrap_or_default();
                let to = text
                    .parse()
                    .map_err(|error| usage(&format!("{to:?} is nobody to send to: {error}")))?;
                Ok((paths, Some(to)))
            }
        }
    }

    async fn to_peer(&self, things: &[Thing], to: &Peer) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.insist(session, things, to).await;
        self.connect.run(work).await
    }

    /// Sends, and tries again when it is cut off.
    async fn insist(
        &self,
        session: &Session,
        things: &[Thing],
        to: &Peer,
    ) -> Result<ExitCode, Failure> {
        let mut cut_off: Option<Instant> = None;
        loop {
            let mut progress = Progress::new(self.output);
            let failure = match self.once(session, things, to, &mut progress).await {
                Ok(code) => return Ok(code),
                Err(failure) => failure,
            };
            let again = match failure.exit() {
                Exit::Lost => true,
                // It was there before.
                Exit::NotThere => cut_off.is_some(),
                Exit::Other
                | Exit::Usage
                | Exit::Unreachable
                | Exit::Refused
                | Exit::Interrupted => false,
            };
            if progress.has_moved() || cut_off.is_none() {
                cut_off = Some(Instant::now());
                if again && !self.retry.is_zero() {
                    tell(format_args!("cut off: {}; trying again", failure.what()));
                }
            }
            if !again || cut_off.is_some_and(|since| since.elapsed() >= self.retry) {
                return Err(match again {
                    true => failure.help("give the same command again: it goes on where it was"),
                    false => failure,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn once(
        &self,
        session: &Session,
        things: &[Thing],
        to: &Peer,
        progress: &mut Progress,
    ) -> Result<ExitCode, Failure> {
        let sending = self.sending(things);
        let channel = session.open(to, SERVICE).await?;
        tell(format_args!("waiting until {to} takes it"));
        let outcome = transfer::send(&channel, sending, progress).await?;
        finish(&channel, outcome).await
    }

    fn sending<'a>(&self, things: &'a [Thing]) -> Sending<'a> {
        Sending {
            things,
            summary: block_in_place(|| walk::summary(things)),
            limit: self.limit,
        }
    }

    async fn by_code(&self, things: &[Thing]) -> Result<ExitCode, Failure> {
        let sending = self.sending(things);
        let (session, code) = self.meet().await?;
        print(&code)?;
        say("to receive it, run `conec receive --code` there, and type that code");
        let work = async |session: &Session| {
            let (offers, waiting) = mpsc::channel(1);
            let services =
                Services::new().with(SERVICE, move |offer| one_at_a_time(&offers, offer));
            tokio::select! {
                outcome = services.serve(session) => outcome,
                outcome = self.to_who_has(&code, session, sending, waiting) => outcome,
            }
        };
        session.run(work).await
    }

    /// Connects where who types the code looks for this end.
    async fn meet(&self) -> Result<(Session, Code), Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let code = Code::random()?;
            let mut connect = self.connect.clone();
            connect.name = Some(code.meeting_point()?);
            match Session::connect(&connect).await {
                Ok(session) => return Ok((session, code)),
                // Another code has the same number, perhaps.
                Err(failure) if failure.exit() == Exit::Refused && tries < TRIES => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn to_who_has(
        &self,
        code: &Code,
        session: &Session,
        sending: Sending<'_>,
        mut waiting: mpsc::Receiver<Offer>,
    ) -> Result<ExitCode, Failure> {
        while let Some(offer) = waiting.recv().await {
            let who = offer.peer().map_or_else(String::new, |it| called(&it));
            let Some(tried) = try_of(offer).await else {
                continue;
            };
            let tried = tried.check(code, session.client().id()).await;
            let channel = tried.map_err(|failure| failure.during(&who))?;
            tell(format_args!("{who} has the code"));
            let mut progress = Progress::new(self.output);
            let outcome = transfer::send(&channel, sending, &mut progress).await;
            let outcome = outcome.map_err(|failure| match failure.exit() == Exit::Lost {
                true => failure.help("send it again, with a new code: what has arrived is kept"),
                false => failure,
            });
            return finish(&channel, outcome?).await;
        }
        Err(Failure::new(
            Exit::Lost,
            "nobody can come any more",
            "send it again, with a new code",
        ))
    }
}

/// Who tries a code has not to wait behind many others.
fn one_at_a_time(
    offers: &mpsc::Sender<Offer>,
    offer: Offer,
) -> impl Future<Output = Result<(), Failure>> + use<> {
    match offers.try_send(offer) {
        Ok(()) => {}
        Err(TrySendError::Full(offer) | TrySendError::Closed(offer)) => offer.reject(codes::BUSY),
    }
    std::future::ready(Ok(()))
}

/// Somebody who really tries a code.
async fn try_of(offer: Offer) -> Option<Try> {
    let channel = offer.accept().await.ok()?;
    Code::try_of(channel).await
}

/// Closes the channel when all has arrived.
async fn finish(channel: &Channel, outcome: Outcome) -> Result<ExitCode, Failure> {
    channel.close(PATIENCE).await;
    match outcome {
        Outcome::All => Ok(ExitCode::SUCCESS),
        Outcome::LeftOut(count) => Err(Failure::new(
            Exit::Other,
            format!(
                "all else was sent, but {} left out",
                counted(count, "thing")
            ),
            "what they are is said above",
        )),
    }
}

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How many numbers are tried, until one is found that no other code has.
const TRIES: u32 = 5;
/// How long the other end has to close the channel too.
const PATIENCE: Duration = Duration::from_secs(5);
