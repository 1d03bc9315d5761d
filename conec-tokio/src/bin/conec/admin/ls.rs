//! `conec ls`.

use std::{collections::BTreeMap, process::ExitCode};

use super::{
    operator::{Operator, unexpected},
    protocol::{Answer, ChannelLine, ClientLine, Request},
};
use crate::{
    failure::Failure,
    output::Output,
    session::{Connect, Session},
};

/// List who is connected to the Coordinator (for its operators)
///
/// Operators are those whose ids the Coordinator was told by --admin.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  conec ls\n  conec ls --channels --json")]
pub(crate) struct Args {
    /// List the channels between Clients, instead
    #[arg(long)]
    channels: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let work = async |session: &Session| {
            let mut operator = Operator::of(session).await?;
            match self.channels {
                true => self.list_channels(&mut operator).await,
                false => self.list_clients(&mut operator).await,
            }
        };
        self.connect.run(work).await
    }

    async fn list_clients(&self, operator: &mut Operator) -> Result<ExitCode, Failure> {
        each_client(operator, |client| {
            self.output.line(&client, text_of_client(&client))
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }

    async fn list_channels(&self, operator: &mut Operator) -> Result<ExitCode, Failure> {
        let mut names = BTreeMap::new();
        if !self.output.json {
            each_client(operator, |client| {
                if let Some(name) = client.names.into_iter().next() {
                    names.insert(client.id, name);
                }
                Ok(())
            })
            .await?;
        }
        let mut after = None;
        loop {
            let Answer::Channels { channels, next } =
                operator.ask(&Request::Channels { after }).await?
            else {
                return Err(unexpected());
            };
            for channel in channels {
                self.output
                    .line(&channel, text_of_channel(&channel, &names))?;
            }
            if next.is_none() {
                return Ok(ExitCode::SUCCESS);
            }
            after = next;
        }
    }
}

async fn each_client(
    operator: &mut Operator,
    mut take: impl FnMut(ClientLine) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let Answer::Clients { clients, more } = operator.ask(&Request::Clients { after }).await?
        else {
            return Err(unexpected());
        };
        after = clients.last().map(|it| it.id.clone());
        clients.into_iter().try_for_each(&mut take)?;
        if !more {
            return Ok(());
        }
    }
}

fn text_of_client(it: &ClientLine) -> String {
    let names = match &it.names[..] {
        [] => "-".to_owned(),
        names => names.join(","),
    };
    let (id, address, channels) = (&it.id, it.address, it.channels);
    format!("{id}  {names}  {address}  channels: {channels}")
}

fn text_of_channel(it: &ChannelLine, names: &BTreeMap<String, String>) -> String {
    let who = |id: &String| match names.get(id) {
        Some(name) => format!("{name} ({id:.8})"),
        None => id.clone(),
    };
    let (from, to, bytes) = (who(&it.from), who(&it.to), it.bytes);
    let label = it.label.escape_debug();
    let state = match (it.started, it.direct) {
        (true, Some(true)) => format!("direct, forwarded before: {bytes} bytes"),
        (true, Some(false) | None) => format!("forwarded: {bytes} bytes"),
        (false, _) => "not accepted yet".into(),
    };
    format!("{from} -> {to}  {label}  {state}")
}
