//! What this machine lets conec do.

use std::{
    io,
    net::{Ipv6Addr, UdpSocket},
    time::{Duration, SystemTime},
};

use conec_tokio::{Socket, SocketAbilities};

use super::finding::Finding;

/// Looks at what is to be seen without anybody else.
pub(super) fn look() -> Vec<Finding> {
    let mut findings = vec![clock(), ipv6()];
    match Socket::any().and_then(|it| it.abilities()) {
        Ok(abilities) => findings.extend([buffers(&abilities), batches(&abilities)]),
        Err(error) => findings.push(Finding::problem(
            "socket",
            format!("no UDP socket can be had: {error}"),
            "see whether something on this machine forbids it, such as a sandbox",
        )),
    }
    findings
}

fn clock() -> Finding {
    let now = SystemTime::now();
    let text = humantime::format_rfc3339_seconds(now).to_string();
    match now >= SystemTime::UNIX_EPOCH + LONG_AGO {
        true => Finding::well("clock", text),
        false => Finding::problem(
            "clock",
            format!("{text} is in the past"),
            "set it, best by NTP: certificates are not valid at that time",
        ),
    }
}

fn ipv6() -> Finding {
    match address_towards_the_internet() {
        Ok(address) if is_global(address) => Finding::well("IPv6", address.to_string()),
        Ok(_) | Err(_) => Finding::hint(
            "IPv6",
            "this machine has no address by which it reaches the Internet",
            "IPv4 does; with IPv6 at both ends, direct paths are found more often",
        ),
    }
}

/// What the system would send from. Nothing is sent: the address is one for documentation (RFC 3849).
fn address_towards_the_internet() -> io::Result<Ipv6Addr> {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
    socket.connect("[2001:db8::1]:9")?;
    match socket.local_addr()? {
        std::net::SocketAddr::V6(address) => Ok(*address.ip()),
        std::net::SocketAddr::V4(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

fn is_global(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_unicast_link_local()
        || address.is_unique_local())
}

fn buffers(abilities: &SocketAbilities) -> Finding {
    let SocketAbilities {
        send_buffer,
        receive_buffer,
        wanted_buffer,
        ..
    } = *abilities;
    let found = format!("{receive_buffer} bytes to receive, {send_buffer} to send");
    match receive_buffer.min(send_buffer) >= wanted_buffer {
        true => Finding::well("socket buffers", found),
        false => Finding::hint(
            "socket buffers",
            format!("{found}, of {wanted_buffer} that are wanted"),
            format!(
                "bursts may be lost on fast networks: sysctl -w net.core.rmem_max={wanted_buffer} net.core.wmem_max={wanted_buffer}"
            ),
        ),
    }
}

fn batches(abilities: &SocketAbilities) -> Finding {
    let (send, receive) = (abilities.send_segments, abilities.receive_segments);
    let found = format!("{send} packets in one call to send, {receive} to receive");
    match send > 1 && receive > 1 {
        true => Finding::well("GSO and GRO", found),
        false => Finding::hint(
            "GSO and GRO",
            found,
            "much traffic takes more processor time: a newer kernel has both (Linux 5.0)",
        ),
    }
}

/// This tool is not older: 2026-01-01.
const LONG_AGO: Duration = Duration::from_secs(1_767_225_600);
