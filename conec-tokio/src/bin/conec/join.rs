//! `conec join`.

use std::{
    io::{self, BufRead, IsTerminal},
    process::ExitCode,
};

use conec_tokio::Invitation;

use crate::{
    failure::Failure,
    home::Home,
    output::say,
    private,
    session::{Connect, Session, invitation},
};

/// Join a Coordinator by its ticket, so that all other commands speak to it
///
/// The ticket, which `conec coordinator` prints, is as secret as a password. Others on this machine can read the arguments of commands
/// while they run: where that matters, give it by standard input or a file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec join                      (asks for the ticket)\n  ssh server cat ticket | conec join -"
)]
pub(crate) struct Args {
    /// The ticket; "-" or nothing reads it from standard input
    ticket: Option<String>,
    /// A file with the ticket
    #[arg(long, conflicts_with = "ticket")]
    file: Option<std::path::PathBuf>,
    /// What to call the Coordinator here, instead of its host name
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// Save it without trying to connect
    #[arg(long)]
    offline: bool,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let text = self.ticket()?;
        let invitation = invitation(text.as_bytes())?;
        let home = Home::open()?;
        if !self.offline {
            try_out(&home, &invitation).await?;
        }
        let url = &invitation.coordinator;
        let name = self.name.unwrap_or_else(|| url.host().to_owned());
        let mut contexts = home.contexts()?;
        contexts.set(&name, &invitation);
        contexts.store()?;
        say(format_args!(
            "joined {} as context {name:?}",
            url.authority()
        ));
        Ok(ExitCode::SUCCESS)
    }

    fn ticket(&self) -> Result<String, Failure> {
        if let Some(path) = &self.file {
            return private::read_needed(path);
        }
        match self.ticket.as_deref() {
            Some("-") | None => {}
            Some(ticket) => return Ok(ticket.into()),
        }
        if io::stdin().is_terminal() {
            say("the ticket:");
        }
        let mut line = String::new();
        io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::io("cannot read the ticket from standard input", &error))?;
        Ok(line)
    }
}

/// Whether the Coordinator is there, is who it should be, and lets this machine in.
async fn try_out(home: &Home, invitation: &Invitation) -> Result<(), Failure> {
    let context = invitation.clone().into();
    let connect = Connect::default();
    let session = Session::connect_with(home, &context, &connect).await?;
    session.run(async |_| Ok(ExitCode::SUCCESS)).await?;
    Ok(())
}
