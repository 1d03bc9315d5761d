//! `conec ls`.

use std::process::ExitCode;

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
        self.connect.run(None, work).await
    }

    async fn list_clients(&self, operator: &mut Operator) -> Result<ExitCode, Failure> {
        let mut after = None;
        loop {
            let Answer::Clients { clients, more } =
                operator.ask(&Request::Clients { after }).await?
            else {
                return Err(unexpected());
            };
            after = clients.last().map(|it| it.id.clone());
            for client in clients {
                self.output.line(&client, text_of_client(&client))?;
            }
            if !more {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    async fn list_channels(&self, operator: &mut Operator) -> Result<ExitCode, Failure> {
        let mut after = None;
        loop {
            let Answer::Channels { channels, next } =
                operator.ask(&Request::Channels { after }).await?
            else {
                return Err(unexpected());
            };
            for channel in channels {
                self.output.line(&channel, text_of_channel(&channel))?;
            }
            if next.is_none() {
                return Ok(ExitCode::SUCCESS);
            }
            after = next;
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

fn text_of_channel(it: &ChannelLine) -> String {
    let (from, to, label, bytes) = (&it.from, &it.to, &it.label, it.bytes);
    let label = label.escape_debug();
    let state = match (it.started, it.direct) {
        (true, Some(true)) => format!("direct, forwarded before: {bytes} bytes"),
        (true, Some(false) | None) => format!("forwarded: {bytes} bytes"),
        (false, _) => "not accepted yet".into(),
    };
    format!("{from} -> {to}  {label}  {state}")
}
