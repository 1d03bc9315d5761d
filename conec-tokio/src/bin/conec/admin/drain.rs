//! `conec drain`.

use std::{process::ExitCode, time::Duration};

use super::{
    operator::{Operator, unexpected},
    protocol::{Answer, Place, Request},
};
use crate::{
    failure::{Exit, Failure},
    output::say,
    session::{Connect, Session},
};

/// Have everybody go over to another Coordinator, and stop this one (for its operators)
///
/// Channels between Clients go on where the other one has the same ticket key, as it does with the same certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  conec drain --to backup.example.org:4433 --within 1m")]
pub(crate) struct Args {
    /// Where another Coordinator is, host:port, that is tried before those that Clients know. May be given several times
    #[arg(long, value_name = "HOST:PORT")]
    to: Vec<String>,
    /// How long they have; those that are left are disconnected then
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    within: Duration,
    #[command(flatten)]
    connect: Connect,
}

impl Args {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut to = Vec::new();
        for place in &self.to {
            to.extend(look_up(place).await?);
        }
        let request = Request::Drain {
            seconds: self.within.as_secs_f64(),
            to,
        };
        let work = async |session: &Session| {
            let mut operator = Operator::of(session).await?;
            let Answer::Done = operator.ask(&request).await? else {
                return Err(unexpected());
            };
            say("the Coordinator lets everybody go, and stops");
            Ok(ExitCode::SUCCESS)
        };
        self.connect.run(work).await
    }
}

async fn look_up(place: &str) -> Result<Vec<Place>, Failure> {
    let Some((host, _)) = place.rsplit_once(':') else {
        return Err(Failure::usage(
            format!("--to {place}: there is no port"),
            "write it as host:port",
        ));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = tokio::net::lookup_host(place).await;
    let found = found.map_err(|error| Failure::io(format!("cannot resolve {place}"), &error))?;
    let places = found.map(|address| Place {
        host: host.into(),
        address,
    });
    let places: Vec<_> = places.collect();
    match places.is_empty() {
        true => Err(Failure::new(
            Exit::Other,
            format!("{place} has no address"),
            "check how it is written, or give its IP address",
        )),
        false => Ok(places),
    }
}
