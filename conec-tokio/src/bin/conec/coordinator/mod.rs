//! `conec coordinator`.

mod admission;
mod announce;
mod drain;
mod signals;
mod state;

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use conec_tokio::{BindError, Coordinator, CoordinatorConfig, CoordinatorEvent};

use self::{
    admission::Admission,
    announce::{Announcement, host_of},
    signals::{Signal, Signals},
    state::State,
};
use crate::{
    failure::{Exit, Failure},
    output::say,
};

/// Run a Coordinator: the one server that all others join
///
/// Prints its URL on standard output, and then the ticket by which others join it, which is as secret as a password.
/// A signal to terminate lets everybody go over to another Coordinator or wait for this one to come back; a second one ends it at once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  conec coordinator --host conec.example.org\n\nOthers then join by the ticket that it prints:\n  conec join"
)]
pub(crate) struct Args {
    /// The UDP address to listen at
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// A directory for what has to last: certificate, token, who is forbidden. Made if it is not there
    #[arg(long, value_name = "DIR", env = "CONEC_STATE")]
    state: Option<PathBuf>,
    /// A name or address by which others reach this machine; the first one is in the URL. May be given several times
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Do not print the ticket; it is in the state directory
    #[arg(long)]
    no_ticket: bool,
    /// How long Clients have to go over to another Coordinator, when this one is to stop
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    drain: Duration,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut signals = Signals::new()?;
        let state = State::open(self.state.clone())?;
        let host = host_of(&self.hosts, self.listen);
        let certificate = state.certificate(&self.hosts, &host)?;
        let mut config = CoordinatorConfig::new(certificate);
        let admission = Admission::new(state.token()?);
        config.rules = Some(admission.rules(&state.forbidden()?)?);
        let coordinator = self.bind(config).await?;
        let announcement = Announcement::new(&coordinator, &host, admission.token())?;
        state.keep_ticket(&announcement.ticket)?;
        announcement.print(!self.no_ticket)?;
        say(format_args!("listening at {}", coordinator.local_addr()));
        loop {
            tokio::select! {
                event = coordinator.next_event() => match event {
                    Some(event) => take(&coordinator, &admission, event),
                    None => return Err(Failure::new(Exit::Other, "the Coordinator has ended")),
                },
                signal = signals.next() => match signal {
                    Signal::Stop => break,
                    Signal::Reload => {}
                },
            }
        }
        drain::stop(&coordinator, self.drain, &mut signals).await;
        Ok(ExitCode::SUCCESS)
    }

    /// Where the system has no IPv6, the default address is one of IPv4.
    async fn bind(&self, config: CoordinatorConfig) -> Result<Coordinator, Failure> {
        let bound = Coordinator::bind(self.listen, config.clone()).await;
        let bound = match bound {
            Err(BindError::Io(error))
                if has_no_ipv6(&error) && self.listen.ip().is_unspecified() =>
            {
                Coordinator::bind(("0.0.0.0", self.listen.port()), config).await
            }
            bound => bound,
        };
        bound.map_err(|error| {
            let failure =
                Failure::from(error).during(format_args!("cannot listen at {}", self.listen));
            failure.help("is another Coordinator running? --listen chooses another address or port")
        })
    }
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    ) || error.raw_os_error() == Some(97)
}

/// Does what an event asks for, and logs what operators want to know.
fn take(coordinator: &Coordinator, admission: &Admission, event: CoordinatorEvent) {
    match event {
        CoordinatorEvent::ClientAsks {
            client,
            id,
            name,
            token,
            ..
        } => {
            admission.answer(coordinator, client, id, name, &token);
        }
        CoordinatorEvent::ClientConnected {
            id, name, address, ..
        } => {
            let name = name.as_ref().map(tracing::field::display);
            tracing::info!(%id, name, %address, "a Client has come");
        }
        CoordinatorEvent::PairAsks { pair, .. }
        | CoordinatorEvent::IntroductionAsks { pair, .. } => {
            // It may be over already.
            let _ = coordinator.deny(pair);
        }
        CoordinatorEvent::MemberAsks { request, .. } => {
            let _ = coordinator.deny_membership(request);
        }
        CoordinatorEvent::PairStarted { from, to, .. } => {
            tracing::debug!(%from, %to, "a channel has begun");
        }
        CoordinatorEvent::PairResumed { from, to, .. } => {
            tracing::debug!(%from, %to, "a channel goes on");
        }
        CoordinatorEvent::PairClosed { reason, .. } => {
            tracing::debug!(%reason, "a channel is over")
        }
        CoordinatorEvent::Channel { channel, event } => {
            tracing::info!(client = ?channel, ?event, "a Client has gone");
        }
        CoordinatorEvent::ClientJoined { .. } | CoordinatorEvent::GroupReadable { .. } | _ => {}
    }
}

const DEFAULT_LISTEN: &str = "[::]:4433";
