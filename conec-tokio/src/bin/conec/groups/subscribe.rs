//! `conec sub`.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use conec_tokio::{Group, GroupItem, JoinConfig, Lossy, Name};
use tokio::io::AsyncWriteExt;

use super::{history::History, item::Item, seal::Seal, teller::Teller, text};
use crate::{
    failure::Failure,
    output::{Output, say},
    session::{Connect, Session},
};

/// Hear what is published in a group
///
/// Prints one message a line, until interrupted. What was missed, since this was too slow or the Coordinator was away, is said on standard
/// error.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  conec sub weather\n  conec sub logs --history 100 --json --passphrase-file secret"
)]
pub(crate) struct Args {
    /// The group's name; it is made by whoever comes first
    group: Name,
    /// Begin with so many of the last messages that were published before, as far as the Coordinator keeps them
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    history: u64,
    /// Stop after so many messages; without it, when interrupted
    #[arg(short = 'n', long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Tell who is there, who comes and who goes
    #[arg(long)]
    presence: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    seal: Seal,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| self.hear(session).await;
        self.connect.run(work).await
    }

    async fn hear(&self, session: &Session) -> Result<ExitCode, Failure> {
        let history = History::of(self.history);
        let part = |config: &mut JoinConfig| {
            config.publish = false;
            config.watch = self.presence;
            config.start = history.start();
            config.queue = QUEUE;
        };
        let group = self.seal.join(session, &self.group, part).await?;
        say(format_args!("in {}", self.group));
        let mut hearing = Hearing {
            teller: Teller::new(self.group.clone(), session.client().id(), self.presence),
            history,
            left: self.count,
            json: self.output.json,
            clean: io::stdout().is_terminal(),
        };
        hearing.print_all(&group).await?;
        Ok(ExitCode::SUCCESS)
    }
}

struct Hearing {
    teller: Teller,
    history: History,
    /// How many messages are to be printed, if not all.
    left: Option<u64>,
    json: bool,
    /// Nothing is printed that a terminal would take for more than text.
    clean: bool,
}

impl Hearing {
    /// Prints what is heard, as much at once as is there.
    async fn print_all(&mut self, group: &Group) -> Result<(), Failure> {
        // Written by another thread: this one can be interrupted while nobody reads.
        let mut out = tokio::io::stdout();
        while self.left != Some(0) {
            let mut lines = Vec::new();
            self.take(&group.recv().await?, &mut lines)?;
            while lines.len() < BATCH
                && self.left != Some(0)
                && let Ok(item) = group.try_recv()
            {
                self.take(&item, &mut lines)?;
            }
            let written = async {
                out.write_all(&lines).await?;
                out.flush().await
            };
            let written = written.await;
            written.map_err(|error| Failure::io("cannot write to standard output", &error))?;
        }
        Ok(())
    }

    fn take(&mut self, item: &GroupItem, lines: &mut Vec<u8>) -> Result<(), Failure> {
        if !self.history.wants(item) {
            return Ok(());
        }
        self.teller.tell(item);
        if self.json {
            if let Some(item) = Item::of(item) {
                let written = serde_json::to_writer(&mut *lines, &item);
                written.map_err(|error| Failure::mistake(error.to_string()))?;
                lines.push(b'\n');
            }
        } else if let GroupItem::Message(message) = item {
            match self.clean {
                true => lines.extend(text::clean(&message.payload).bytes()),
                false => lines.extend(&message.payload),
            }
            lines.push(b'\n');
        }
        if let (GroupItem::Message(_), Some(left)) = (item, &mut self.left) {
            *left -= 1;
        }
        Ok(())
    }
}

/// What waits while it is not read: about as much as the Coordinator keeps, and more.
const QUEUE: Lossy = Lossy::new(4096, 16 << 20);
/// How much is written at once.
const BATCH: usize = 64 << 10;
