//! `conec pub`.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use bytes::Bytes;
use conec_tokio::Name;

use super::{lines::Lines, publisher::Publisher, seal::Seal, teller::Teller};
use crate::{
    failure::Failure,
    output::say,
    session::{Connect, Session},
};

/// Publish messages in a group
///
/// Everybody who is in the group at that time hears them: see `conec sub`. Without MESSAGE, each line of standard input is one. It ends
/// when the Coordinator has all of them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec pub weather 'rain at noon'\n  tail -f log | conec pub logs --passphrase-file secret"
)]
pub(crate) struct Args {
    /// The group's name; it is made by whoever comes first
    group: Name,
    /// What to publish
    message: Option<String>,
    /// Take standard input as one message, instead of each line as one
    #[arg(long, conflicts_with = "message")]
    whole: bool,
    /// Publish once more what may be lost with the Coordinator; others may hear that twice
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    seal: Seal,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.publish(session).await;
        self.connect.run(work).await
    }

    async fn publish(&self, session: &Session) -> Result<ExitCode, Failure> {
        let part = |config: &mut conec_tokio::JoinConfig| config.hear = false;
        let group = self.seal.join(session, &self.group, part).await?;
        if group.info().members <= 1 {
            say(format_args!("nobody else is in {} now", self.group));
        }
        let teller = Teller::new(self.group.clone(), session.client().id(), false);
        let mut publisher = Publisher::new(group, teller, self.again);
        if let Some(message) = &self.message {
            publisher.publish(Bytes::from(message.clone())).await?;
        } else {
            self.publish_input(&mut publisher).await?;
        }
        publisher.finish().await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn publish_input(&self, publisher: &mut Publisher) -> Result<(), Failure> {
        if io::stdin().is_terminal() {
            let what = if self.whole {
                "the message"
            } else {
                "a message in each line"
            };
            say(format_args!("type {what}; Ctrl-D ends it"));
        }
        let mut lines = Lines::new();
        if self.whole {
            let whole = publisher.meanwhile(lines.rest()).await??;
            return publisher.publish(whole).await;
        }
        while let Some(line) = publisher.meanwhile(lines.next()).await?? {
            publisher.publish(line).await?;
        }
        Ok(())
    }
}
