//! What the Coordinator says, and what is on the way to it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use conec_tokio::{Client, CloseReason, ConnectError, CoordinatorUrl, Nat};

use super::finding::Finding;
use crate::{
    check::{nat, status::settled_nat},
    failure::Failure,
    home::{Context, Home, Lease},
    session::Connect,
};

/// Connects by each address of the Coordinator, one after the other.
pub(super) async fn look(home: &Home, connect: &Connect) -> Result<Vec<Finding>, Failure> {
    let context = match connect.context(home) {
        Ok(context) => context,
        Err(failure) => return Ok(vec![failed("Coordinator", &failure)]),
    };
    let addresses = match resolve(&context.url).await {
        Ok(addresses) => addresses,
        Err(failure) => return Ok(vec![failed("Coordinator", &failure)]),
    };
    let lease = home.lease()?;
    let (mut findings, mut failures) = (vec![certificate(&context.url)], Vec::new());
    let mut is_reached = false;
    for address in addresses {
        let began = Instant::now();
        match reach(&context, connect, &lease, address).await? {
            Ok(client) => {
                let took = began.elapsed();
                let found = format!(
                    "{} answers at {address}, connected in {took:.1?}",
                    context.url
                );
                findings.push(Finding::well("Coordinator", found));
                // Once is enough.
                if !std::mem::replace(&mut is_reached, true) {
                    findings.extend([behind(&client).await, packets(&client).await]);
                }
                client.close(PATIENCE).await;
            }
            Err(error) => failures.push((address, error)),
        }
    }
    let unreached = failures.into_iter().map(|(address, error)| {
        let failure = Failure::from(error).during(address);
        match is_reached {
            true => Finding::hint("Coordinator", failure.what(), ANOTHER),
            false => failed("Coordinator", &failure),
        }
    });
    findings.extend(unreached);
    Ok(findings)
}

/// Its first addresses.
async fn resolve(url: &CoordinatorUrl) -> Result<Vec<SocketAddr>, Failure> {
    let looked_up = tokio::net::lookup_host(url.authority()).await;
    let looked_up = looked_up.map_err(|error| {
        let host = url.authority();
        Failure::from(ConnectError::Resolve { host, error })
    })?;
    let mut addresses: Vec<_> = looked_up.collect();
    addresses.dedup();
    addresses.truncate(MOST);
    Ok(addresses)
}

async fn reach(
    context: &Context,
    connect: &Connect,
    lease: &Lease,
    address: SocketAddr,
) -> Result<Result<Client, ConnectError>, Failure> {
    let config = connect.config(lease, context)?;
    let addresses = [address];
    let connecting = Client::connect_to(context.url.host(), &addresses, config);
    let connected = tokio::time::timeout(LONG, connecting).await;
    Ok(connected.unwrap_or_else(|_| Err(CloseReason::TimedOut.into())))
}

fn certificate(url: &CoordinatorUrl) -> Finding {
    let found = match url.pin() {
        Some(_) => "known by its key: neither the names nor the dates in it matter",
        None => "known by its name: it has to be valid by this machine's clock",
    };
    Finding::well("certificate", found)
}

async fn behind(client: &Client) -> Finding {
    let nat = settled_nat(client).await;
    let mut found = nat::sentence(nat).to_owned();
    if let Some(address) = client.observed_address() {
        found = format!("{found}; seen at {address}");
    }
    match nat {
        Nat::PortDependent => Finding::hint(
            "NAT",
            found,
            "where the other end has such a NAT too, packets go through the Coordinator: forward a UDP port to this machine, or use IPv6",
        ),
        Nat::Unclassified => Finding::hint(
            "NAT",
            found,
            "have whoever runs the Coordinator see that it has a second port (--second-port), and that no firewall stops UDP to it",
        ),
        Nat::Absent | Nat::PortIndependent | Nat::Unknown | _ => Finding::well("NAT", found),
    }
}

/// How large they may be.
async fn packets(client: &Client) -> Finding {
    // Larger ones are tried one after the other.
    tokio::time::sleep(TRIES).await;
    let stats = client.home().stats();
    let mtu = stats.map_or(0, |it| it.mtu);
    let found = format!("packets of {mtu} bytes get to the Coordinator");
    match mtu > SMALLEST {
        true => Finding::well("MTU", found),
        false => Finding::hint(
            "MTU",
            format!("{found}, and no larger ones"),
            "much traffic takes more processor time: see whether a tunnel or VPN on the way can have a larger MTU",
        ),
    }
}

fn failed(check: &'static str, failure: &Failure) -> Finding {
    Finding::problem(check, failure.what(), failure.advice())
}

const ANOTHER: &str =
    "another address works: if this is to work too, see whether a firewall stops UDP there";
/// How many addresses are tried.
const MOST: usize = 4;
/// How long for each.
const LONG: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_millis(500);
const TRIES: Duration = Duration::from_secs(1);
/// What every path takes (RFC 9000, 14).
const SMALLEST: u16 = 1200;
