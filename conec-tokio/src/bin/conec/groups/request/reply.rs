//! `conec reply`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use conec_tokio::{
    Offer, PeerInfo,
    calls::{Call, Calls},
};
use tokio::sync::Semaphore;

use super::{
    command,
    protocol::{Answer, RUN, SERVICE},
};
use crate::{
    codes,
    failure::Failure,
    output::say,
    serve::{Services, called},
    session::{Connect, Session},
};

/// Answer what others ask, by a command
///
/// For each request it runs once: it reads the body, what it prints is the reply, and its exit code is that of `conec request`. Everybody
/// who is connected to the Coordinator may ask: who it is, is in the command's environment, as CONEC_PEER_ID and, if that one has a name,
/// CONEC_PEER_NAME.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec reply --exec 'grep -c .' --name counter     (there)\n  conec request counter < book.txt                  (here)"
)]
pub(crate) struct Args {
    /// The command, as the shell takes it
    #[arg(long, value_name = "COMMAND")]
    exec: String,
    /// How many run at once; others wait
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    at_once: u16,
    /// How long one may take before it is killed, with all that it has begun; without it, as long as the asker waits
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let session = Session::connect(&self.connect).await?;
        session.tell_who();
        let answering = Arc::new(Answering {
            exec: self.exec,
            timeout: self.timeout,
            at_once: self.at_once.into(),
            running: Semaphore::new(self.at_once.into()),
        });
        let serve = move |offer| serve(offer, Arc::clone(&answering));
        let services = Services::new().with(SERVICE, serve);
        session
            .run(async |session: &Session| services.serve(session).await)
            .await
    }
}

async fn serve(offer: Offer, answering: Arc<Answering>) -> Result<(), Failure> {
    let channel = offer.accept().await?;
    let Some(peer) = channel.peer() else {
        return Ok(());
    };
    let mut calls = Calls::new(channel, answering.at_once);
    while let Some(call) = calls.next().await {
        tokio::spawn(Arc::clone(&answering).take(call, peer.clone()));
    }
    Ok(())
}

struct Answering {
    exec: String,
    timeout: Option<Duration>,
    at_once: usize,
    /// A permit for each command, whoever asks.
    running: Semaphore,
}

impl Answering {
    /// Answers a call, as long as somebody waits for that.
    async fn take(self: Arc<Self>, mut call: Call, peer: PeerInfo) {
        if &call.label()[..] != RUN.as_bytes() {
            return call.refuse(codes::NOT_SERVED);
        }
        // It is never closed.
        let turn = self.running.acquire();
        let Some(_turn) = while_wanted(&mut call, turn).await else {
            return;
        };
        // Who has its turn has to say what it wants.
        let question = tokio::time::timeout(SOON, call.question()).await;
        let Ok(Ok(body)) = question else {
            return call.refuse(codes::MALFORMED);
        };
        let running = command::run(&self.exec, &peer, body, self.timeout);
        match while_wanted(&mut call, running).await {
            None => tracing::debug!(peer = %peer.id, "the asker has gone"),
            Some(Ok(answer)) => give(call, &answer, &peer).await,
            Some(Err(failure)) => {
                say(format_args!("{}: {failure}", called(&peer)));
                call.refuse(codes::FAILED);
            }
        }
    }
}

async fn give(call: Call, answer: &Answer, peer: &PeerInfo) {
    let Ok(encoded) = answer.encode() else {
        return call.refuse(codes::FAILED);
    };
    if let Err(error) = call.answer(encoded).await {
        tracing::debug!(peer = %peer.id, %error, "the asker does not have the reply");
    }
}

/// Does something, unless nobody waits for it any more.
async fn while_wanted<T>(call: &mut Call, something: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = something => Some(done),
        () = call.abandoned() => None,
    }
}

const SOON: Duration = Duration::from_secs(60);
