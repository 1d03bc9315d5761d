//! How others find a Coordinator: its URL and its ticket.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use bytes::Bytes;
use conec_tokio::{Coordinator, CoordinatorUrl, Invitation, Secret};
use qrcode::{QrCode, render::unicode::Dense1x2};

use crate::{
    failure::{Exit, Failure},
    output::{print, say},
};

/// What others need.
pub(super) struct Announcement {
    pub(super) url: CoordinatorUrl,
    pub(super) ticket: String,
}

impl Announcement {
    pub(super) fn new(
        coordinator: &Coordinator,
        host: &str,
        token: &Secret<Bytes>,
    ) -> Result<Self, Failure> {
        let port = coordinator.local_addr().port();
        let url = CoordinatorUrl::new(Some(coordinator.pin()), host, port);
        let url = url.map_err(|error| {
            let what = format!("--host {host}: {error}");
            Failure::usage(what, "give a DNS name or an IP address, without a port")
        })?;
        let invitation = Invitation::new(url.clone(), token.clone()).map_err(|error| {
            Failure::usage(error.to_string(), "move the file `token` in the state directory away: another one is made, and all have to join again")
        })?;
        Ok(Self {
            url,
            ticket: invitation.to_text(),
        })
    }

    /// The URL in the first line, the ticket in the second one.
    pub(super) fn print(&self, with_ticket: bool, as_code: bool) -> Result<(), Failure> {
        print(&self.url)?;
        if with_ticket {
            print(&self.ticket)?;
            tracing::info!(
                "others join by the ticket, which is as secret as a password: conec join"
            );
        }
        if as_code {
            say(code(&self.ticket)?);
        }
        Ok(())
    }
}

/// A QR code for terminals.
fn code(ticket: &str) -> Result<String, Failure> {
    let code = QrCode::new(ticket).map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("the ticket does not fit in a QR code: {error}"),
            "leave --qr away, and copy the ticket",
        )
    })?;
    Ok(code.render::<Dense1x2>().build())
}

/// By what others reach this machine: the first host that was given, or the address listened at, or a guess.
pub(super) fn host_of(hosts: &[String], listen: SocketAddr) -> String {
    if let Some(host) = hosts.first() {
        return host.clone();
    }
    if !listen.ip().is_unspecified() {
        return listen.ip().to_string();
    }
    let host =
        address_towards_the_internet().map_or_else(|| "localhost".into(), |it| it.to_string());
    tracing::warn!(
        "the URL has this machine's address {host}: give --host NAME if others reach it by another one"
    );
    host
}

/// What the system would send from. Nothing is sent: the address is one for documentation (RFC 5737).
fn address_towards_the_internet() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}
