//! `conec kick`.

use std::process::ExitCode;

use conec_tokio::ClientId;

use super::{
    operator::{Operator, unexpected},
    protocol::{Answer, Request},
};
use crate::{
    failure::{Exit, Failure},
    output::say,
    session::{Connect, Session},
    target::Peer,
};

/// Disconnect somebody from the Coordinator (for its operators)
///
/// It can connect again, unless it is forbidden. Who is forbidden stays so when the Coordinator is started anew.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec kick office\n  conec kick office --forbid\n  conec kick --permit ID"
)]
pub(crate) struct Args {
    /// Whom: a name, or an id as `conec ls` shows it
    #[arg(required_unless_present = "permit")]
    who: Option<Peer>,
    /// Keep it out from now on: who has its key is let in no more. By its id, also if it is not connected
    #[arg(long)]
    forbid: bool,
    /// Let somebody in again who was forbidden
    #[arg(long, value_name = "ID", conflicts_with_all = ["who", "forbid"])]
    permit: Option<ClientId>,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.kick(session).await;
        self.connect.run(work).await
    }

    async fn kick(&self, session: &Session) -> Result<ExitCode, Failure> {
        let mut operator = Operator::of(session).await?;
        let (request, done, not_there) = match (&self.who, self.permit) {
            (Some(who), _) => (
                Request::Kick {
                    who: who.to_string(),
                    forbid: self.forbid,
                },
                match self.forbid {
                    true => format!("{who} is forbidden"),
                    false => format!("{who} was sent away"),
                },
                format!("nobody called {who} is connected"),
            ),
            (None, Some(id)) => (
                Request::Permit { id: id.to_string() },
                format!("{id} is let in again"),
                format!("{id} was not forbidden"),
            ),
            (None, None) => {
                return Err(Failure::usage(
                    "it was not said whom",
                    "give a name or an id, as `conec ls` shows them",
                ));
            }
        };
        match operator.ask(&request).await? {
            Answer::Done => say(done),
            Answer::NotThere => {
                return Err(Failure::new(
                    Exit::NotThere,
                    not_there,
                    "`conec ls` lists who is connected",
                ));
            }
            Answer::Welcome
            | Answer::Clients { .. }
            | Answer::Channels { .. }
            | Answer::Figures(_)
            | Answer::Failed { .. } => return Err(unexpected()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
