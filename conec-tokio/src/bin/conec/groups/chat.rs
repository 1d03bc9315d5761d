//! `conec chat`.

use std::{
    io::{self, IsTerminal},
    pin::pin,
    process::ExitCode,
};

use conec_tokio::{ClientId, Group, GroupItem, GroupMessage, JoinConfig, Name, PublishError};
use tokio::io::AsyncWriteExt;

use super::{
    history::History,
    lines::Lines,
    seal::Seal,
    teller::{Teller, Who},
    text,
};
use crate::{
    failure::Failure,
    output::say,
    session::{Connect, Session},
};

/// Talk with everybody in a group, line by line
///
/// Prints what others say, and says each line that is typed, until the end of the input (Ctrl-D).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec chat lobby --name alice --passphrase-file secret")]
pub(crate) struct Args {
    /// The group's name; it is made by whoever comes first
    group: Name,
    /// Begin with so many of the last lines that were said before, as far as the Coordinator keeps them
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    history: u64,
    #[command(flatten)]
    seal: Seal,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.chat(session).await;
        self.connect.run(work).await
    }

    async fn chat(&self, session: &Session) -> Result<ExitCode, Failure> {
        let history = History::of(self.history);
        let part = |config: &mut JoinConfig| {
            config.watch = true;
            config.start = history.start();
        };
        let group = self.seal.join(session, &self.group, part).await?;
        self.welcome(session);
        let me = session.client().id();
        let mut screen = Screen {
            teller: Teller::new(self.group.clone(), me, true),
            history,
            me,
        };
        let mut speaking = pin!(speak(&group));
        let mut is_speaking = true;
        // Whoever says something in passing hears what was said before, too.
        while is_speaking || !screen.history.is_over(group.info().next) {
            tokio::select! {
                spoken = &mut speaking, if is_speaking => {
                    spoken?;
                    is_speaking = false;
                }
                item = group.recv() => screen.show(&item?).await?,
            }
        }
        while let Ok(item) = group.try_recv() {
            screen.show(&item).await?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn welcome(&self, session: &Session) {
        let group = &self.group;
        let name = session.client().name();
        let me = Who {
            id: Some(session.client().id()),
            name: name.as_ref(),
        };
        let read = match self.seal.is_used() {
            true => "only who has the same passphrase or key reads it",
            false => "the Coordinator can read it: --passphrase-file prevents that",
        };
        say(format_args!("in {group} as {me}; {read}"));
        if io::stdin().is_terminal() {
            say("type a line to say it; Ctrl-D leaves");
        }
    }
}

/// Says what is typed, until that ends and the Coordinator has all of it. While the Coordinator is away, lines wait.
async fn speak(group: &Group) -> Result<(), Failure> {
    let mut lines = Lines::new();
    while let Some(line) = lines.next().await? {
        match group.publish(line).await {
            Ok(()) => {}
            Err(error @ PublishError::TooLarge { .. }) => say(Failure::from(error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(group.confirmed().await?)
}

/// What is seen of a group.
struct Screen {
    teller: Teller,
    history: History,
    me: ClientId,
}

impl Screen {
    async fn show(&mut self, item: &GroupItem) -> Result<(), Failure> {
        if !self.history.wants(item) {
            return Ok(());
        }
        self.teller.tell(item);
        if let GroupItem::Message(message) = item
            && !self.is_typed_here(message)
        {
            print(message).await?;
        }
        Ok(())
    }

    /// That is seen already.
    fn is_typed_here(&self, message: &GroupMessage) -> bool {
        message.sender == Some(self.me) && !self.history.has(message.sequence)
    }
}

async fn print(message: &GroupMessage) -> Result<(), Failure> {
    let who = Who {
        id: message.sender,
        name: message.name.as_ref(),
    };
    let line = format!("{who}: {}\n", text::clean(&message.payload));
    let mut out = tokio::io::stdout();
    let written = async {
        out.write_all(line.as_bytes()).await?;
        out.flush().await
    };
    written
        .await
        .map_err(|error| Failure::io("cannot write to standard output", &error))
}
