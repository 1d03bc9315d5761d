//! Hole punching without conec: shows what the routers of the lab let through, as the simulator's strangers do.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crate::Result;

/// Tells two who say where they are by themselves where each is by itself, and where it is seen.
pub(crate) fn mirror(address: &str) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let (text, source) = receive(&socket)?;
        let Some((name, host)) = text.split_once(' ') else {
            continue;
        };
        known.insert(name.to_owned(), format!("{host} {source}"));
        if let Some((_, places)) = known.iter().find(|(other, _)| *other != name) {
            socket.send_to(format!("peer {places}").as_bytes(), source)?;
        }
    }
}

/// Meets the other one that knows this mirror, and tells by which way: `direct` or, if there is none, `proxied`.
pub(crate) fn punch(mirror: &str, name: &str, patience: Duration) -> Result<&'static str> {
    let mirror: SocketAddr = mirror.parse()?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // From which address that is, only a connected socket knows.
    let probe = UdpSocket::bind("0.0.0.0:0")?;
    probe.connect(mirror)?;
    let host = SocketAddr::new(probe.local_addr()?.ip(), socket.local_addr()?.port());
    socket.set_read_timeout(Some(PACE))?;
    let ping = format!("ping {name}");
    let mut candidates: Vec<SocketAddr> = Vec::new();
    let mut end = Instant::now() + Duration::from_secs(20);
    let mut next = Instant::now();
    let mut proven = false;
    while Instant::now() < end {
        if Instant::now() >= next {
            next += PACE;
            if candidates.is_empty() {
                socket.send_to(format!("{name} {host}").as_bytes(), mirror)?;
            }
            for candidate in &candidates {
                // What cannot be reached from here does not matter.
                let _ = socket.send_to(ping.as_bytes(), candidate);
            }
        }
        let (text, source) = match receive(&socket) {
            Ok(received) => received,
            Err(error) if is_time_out(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["peer", host, seen] if source == mirror && candidates.is_empty() => {
                candidates = vec![host.parse()?, seen.parse()?];
                candidates.dedup();
                end = Instant::now() + patience;
            }
            // An address inside may be one's own, or anybody's.
            ["ping", from] if from != name && !candidates.is_empty() => {
                socket.send_to(format!("pong {from}").as_bytes(), source)?;
                if !candidates.contains(&source) {
                    candidates.push(source);
                    socket.send_to(ping.as_bytes(), source)?;
                }
            }
            ["pong", to] if to == name && !proven => {
                proven = true;
                // The other one may need some more.
                end = end.min(Instant::now() + 10 * PACE);
            }
            _ => {}
        }
    }
    if candidates.is_empty() {
        return Err("the other one is not there".into());
    }
    Ok(if proven { "direct" } else { "proxied" })
}

fn receive(socket: &UdpSocket) -> std::io::Result<(String, SocketAddr)> {
    let mut buf = [0; 200];
    loop {
        match socket.recv_from(&mut buf) {
            Ok((len, source)) => {
                return Ok((String::from_utf8_lossy(&buf[..len]).into_owned(), source));
            }
            // Something that was sent before was not welcome.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_time_out(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

const PACE: Duration = Duration::from_millis(50);
