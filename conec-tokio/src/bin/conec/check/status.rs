//! `conec status`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use conec_tokio::{Client, Nat};
use serde::Serialize;

use super::{nat, tally::in_ms};
use crate::{
    failure::Failure,
    home::Home,
    output::{Output, print},
    session::{Connect, Session},
};

/// Show the Coordinator that commands speak to, and how it sees this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec status")]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let home = Home::open()?;
        let context = self.connect.context(&home)?;
        let session = Session::connect_with(&home, &context, &self.connect).await?;
        let work = async |session: &Session| {
            let status = Status::of(session, context.url.to_string()).await;
            self.show(&status)?;
            Ok(ExitCode::SUCCESS)
        };
        session.run(work).await
    }

    fn show(&self, status: &Status) -> Result<(), Failure> {
        if self.output.json {
            return self.output.line(status, "");
        }
        let round_trip = match status.round_trip_ms {
            Some(time) => format!("{time:.3} ms"),
            None => "not known".into(),
        };
        let observed = match status.observed_address {
            Some(address) => address.to_string(),
            None => "not known".into(),
        };
        print(format_args!("coordinator  {}", status.coordinator))?;
        print(format_args!("round trip   {round_trip}"))?;
        print(format_args!("seen at      {observed}"))?;
        print(format_args!("NAT          {}", status.nat_in_words))?;
        print(format_args!("id           {}", status.id))?;
        print(format_args!("version      {}", status.version))
    }
}

#[derive(Serialize)]
struct Status {
    coordinator: String,
    round_trip_ms: Option<f64>,
    observed_address: Option<SocketAddr>,
    nat: &'static str,
    #[serde(skip)]
    nat_in_words: &'static str,
    id: String,
    version: &'static str,
}

impl Status {
    async fn of(session: &Session, coordinator: String) -> Self {
        let nat = settled_nat(session.client()).await;
        let client = session.client();
        let round_trip = client.home().rtt();
        Self {
            coordinator,
            round_trip_ms: round_trip.map(in_ms),
            observed_address: client.observed_address(),
            nat: nat::word(nat),
            nat_in_words: nat::sentence(nat),
            id: client.id().to_string(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// What kind of NAT there is, once that is known, or will not be.
pub(super) async fn settled_nat(client: &Client) -> Nat {
    for _ in 0..LOOKS {
        if nat::is_settled(client.nat()) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    client.nat()
}

const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 20;
