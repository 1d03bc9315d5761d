//! `conec listen`.

use std::{
    future::Future,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use conec_tokio::{Channel, Offer, PeerInfo, Receiver, Sender};
use tokio::{net::TcpStream, sync::mpsc};

use super::{
    exec,
    protocol::{self, End, SERVICE},
    stdio,
};
use crate::{
    allow::Allowed,
    codes,
    failure::Failure,
    open_files,
    output::say,
    relay::{Broken, inward, outward, with_tcp},
    serve::{Services, called},
    session::{Connect, Session},
};

/// Wait for others to connect, and give them a command, a port or a socket
///
/// Without any of these, the first who connects gets standard input and output, and that is all. Each direction ends by itself.
///
/// A command gets who connects in CONEC_PEER_ID and, if it has a name, CONEC_PEER_NAME; what it writes to standard error is shown here.
/// When who has connected is gone, the command is ended by SIGTERM.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec listen --name office --tcp localhost:22      (then: ssh -o ProxyCommand='conec connect office' office)\n  conec listen --name backup --exec 'cat > photos.tar' --once\n  conec listen --name inbox < /dev/null > received"
)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Serve one connection, and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    connect: Connect,
}

/// To what who connects is connected.
#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
struct What {
    /// A command, which a shell runs anew for each connection
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// A TCP port
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    tcp: Option<String>,
    /// A socket in the file system
    #[cfg(unix)]
    #[arg(long, value_name = "PATH")]
    unix: Option<std::path::PathBuf>,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        if self.what.exec.is_none() {
            open_files::allow_many();
        }
        let session = Session::connect(&self.connect).await?;
        let (ends, mut ended) = mpsc::channel(1);
        let listener = Arc::new(Listener {
            only_one: self.once || self.what.is_stdio(),
            what: self.what,
            allowed: self.allowed,
            busy: AtomicBool::new(false),
            ends,
        });
        let services =
            Services::new().with(SERVICE, move |offer| Arc::clone(&listener).serve(offer));
        let work = async |session: &Session| {
            session.tell_who();
            tokio::select! {
                outcome = services.serve(session) => outcome,
                Some(outcome) = ended.recv() => outcome.map(|()| ExitCode::SUCCESS),
            }
        };
        session.run(work).await
    }
}

struct Listener {
    what: What,
    allowed: Allowed,
    only_one: bool,
    /// Somebody is there, and nobody else can be.
    busy: AtomicBool,
    /// How the only connection was.
    ends: mpsc::Sender<Result<(), Failure>>,
}

impl Listener {
    async fn serve(self: Arc<Self>, offer: Offer) -> Result<(), Failure> {
        let Some((offer, peer)) = self.allowed.admit(offer) else {
            return Ok(());
        };
        if self.only_one && self.busy.swap(true, Ordering::AcqRel) {
            say(format_args!(
                "{} has to stay outside: another is here",
                called(&peer)
            ));
            offer.reject(codes::BUSY);
            return Ok(());
        }
        let channel = match offer.accept().await {
            Ok(channel) => channel,
            Err(reason) => {
                self.busy.store(false, Ordering::Release);
                return Err(reason.into());
            }
        };
        say(format_args!("{} connects", called(&peer)));
        let outcome = self.what.give(&channel, &peer).await;
        if !self.only_one {
            return outcome;
        }
        // Nobody receives it if the process is to end for another reason.
        let _ = self.ends.send(outcome).await;
        Ok(())
    }
}

impl What {
    fn is_stdio(&self) -> bool {
        #[cfg(unix)]
        if self.unix.is_some() {
            return false;
        }
        self.exec.is_none() && self.tcp.is_none()
    }

    async fn give(&self, channel: &Channel, peer: &PeerInfo) -> Result<(), Failure> {
        let give = async {
            let stream = protocol::begun(channel).await?;
            let end = self.relay(stream, peer).await?;
            protocol::tell(channel, &end).await
        };
        tokio::select! {
            biased;
            outcome = give => outcome,
            // Nothing may be under way that would notice it.
            reason = channel.closed() => Err(reason.into()),
        }
    }

    async fn relay(&self, stream: (Sender, Receiver), peer: &PeerInfo) -> Result<End, Failure> {
        if let Some(command) = &self.exec {
            return exec::run(command, peer, stream).await;
        }
        if let Some(place) = &self.tcp {
            return to_socket(stream, place, TcpStream::connect(place), with_tcp).await;
        }
        #[cfg(unix)]
        if let Some(path) = &self.unix {
            let socket = tokio::net::UnixStream::connect(path);
            return to_socket(stream, path.display(), socket, async |stream, socket| {
                crate::relay::relay(stream, socket.into_split()).await
            })
            .await;
        }
        to_stdio(stream).await
    }
}

async fn to_stdio((sender, receiver): (Sender, Receiver)) -> Result<End, Failure> {
    let (input, output) = (stdio::input()?, stdio::output()?);
    // The one may go on when the other is not wanted any more.
    let (sent, received) = tokio::join!(outward(input, sender), inward(receiver, output));
    match (sent, received) {
        (_, Err(Broken::There(failure))) => Err(failure),
        (Err(Broken::Here(error)), _) => Err(Failure::io("cannot read standard input", &error)),
        (_, Err(Broken::Here(error))) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", &error))
        }
        (Ok(()) | Err(Broken::There(_)), Ok(()) | Err(Broken::Here(_))) => Ok(End::Done),
    }
}

/// Connects to a socket, and relays between it and the stream.
async fn to_socket<S>(
    stream: (Sender, Receiver),
    place: impl std::fmt::Display,
    socket: impl Future<Output = std::io::Result<S>>,
    relay: impl AsyncFnOnce((Sender, Receiver), S) -> Result<(), Broken>,
) -> Result<End, Failure> {
    let failed = |error: std::io::Error| {
        let why = format!("{place}: {error}");
        say(format_args!("error: cannot serve {why}"));
        Ok(End::Failed { why })
    };
    let socket = match socket.await {
        Ok(socket) => socket,
        Err(error) => return failed(error),
    };
    match relay(stream, socket).await {
        Ok(()) => Ok(End::Done),
        Err(Broken::Here(error)) => failed(error),
        Err(Broken::There(failure)) => Err(failure),
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    match !host.is_empty() && port.parse::<u16>().is_ok_and(|it| it != 0) {
        true => Ok(text.into()),
        false => Err("write it as HOST:PORT, such as localhost:22".into()),
    }
}
