//! `conec reply`.

use std::{process::ExitCode, sync::Arc, time::Duration};

use conec_tokio::{Channel, IncomingStream, Offer, PeerInfo, Receiver, Sender};
use tokio::sync::Semaphore;

use super::{Outcome, SERVICE, command};
use crate::{
    codes,
    failure::Failure,
    output::say,
    serve::{Services, called},
    session::{Called, Connect, Session},
};

/// Answer what others ask, by a command
///
/// For each request it runs once: it reads the body, what it prints is the reply, and its exit code is that of `conec request`. Who asks
/// is in its environment, as CONEC_PEER_ID and, if that one has a name, CONEC_PEER_NAME.
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
    /// How long one may take before it is killed; without it, as long as the asker waits
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    called: Called,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let session = Session::connect(&self.connect, self.called.name.clone()).await?;
        session.tell_who();
        let answering = Arc::new(Answering {
            exec: self.exec,
            timeout: self.timeout,
            running: Semaphore::new(self.at_once.into()),
            there: Arc::new(Semaphore::new(usize::from(self.at_once) + WAITING)),
        });
        let services =
            Services::new().with(SERVICE, move |offer| serve(offer, Arc::clone(&answering)));
        session
            .run(async |session: &Session| services.serve(session).await)
            .await
    }
}

struct Answering {
    exec: String,
    timeout: Option<Duration>,
    /// A permit for each command.
    running: Semaphore,
    /// A permit for each request, those that wait included.
    there: Arc<Semaphore>,
}

async fn serve(offer: Offer, answering: Arc<Answering>) -> Result<(), Failure> {
    let channel = offer.accept().await?;
    let Some(peer) = channel.peer() else {
        return Ok(());
    };
    while let Some(stream) = channel.accept().await {
        let (channel, peer) = (channel.clone(), peer.clone());
        tokio::spawn(Arc::clone(&answering).take(channel, peer, stream));
    }
    Ok(())
}

impl Answering {
    /// Answers, unless too many wait.
    async fn take(self: Arc<Self>, channel: Channel, peer: PeerInfo, stream: IncomingStream) {
        let Some(mut reply) = stream.sender else {
            return;
        };
        let mut body = stream.receiver;
        let Ok(_there) = self.there.try_acquire() else {
            body.stop(codes::BUSY);
            reply.reset(codes::BUSY);
            return;
        };
        tokio::select! {
            answered = self.answer(&peer, body, &mut reply) => if let Err(failure) = answered {
                say(format_args!("{}: {failure}", called(&peer)));
                reply.reset(codes::FAILED);
            },
            reason = channel.closed() => {
                tracing::debug!(peer = %peer.id, %reason, "the asker has gone");
            }
        }
    }

    async fn answer(
        &self,
        peer: &PeerInfo,
        body: Receiver,
        reply: &mut Sender,
    ) -> Result<(), Failure> {
        // It is never closed.
        let _running = self.running.acquire().await;
        let mut child = command::start(&self.exec, peer)?;
        let answering = command::answer(&mut child, body, reply);
        let outcome = match self.timeout {
            None => answering.await?,
            Some(time) => match tokio::time::timeout(time, answering).await {
                Ok(outcome) => outcome?,
                Err(_) => Outcome::TimedOut,
            },
        };
        command::finish(reply, outcome).await
    }
}

/// How many requests wait for their turn.
const WAITING: usize = 1024;
