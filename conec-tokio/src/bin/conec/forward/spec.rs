//! What is forwarded to where, as it is written on the command line.

use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::target::Peer;

/// A port of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Tcp,
    Udp,
}

/// Who comes to one place is led to another, which one of the two ends reaches: `[bind:]port:NAME:host:port[/udp]`.
#[derive(Debug, Clone)]
pub(super) struct Tunnel {
    pub(super) at: Place,
    pub(super) peer: Peer,
    pub(super) to: Place,
    pub(super) kind: Kind,
}

/// Who comes to a place says where to: `[bind:]port:NAME`.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    pub(super) at: Place,
    pub(super) peer: Peer,
}

/// Places that may be reached: `host:port`, `host:port-port`, or with `*` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    host: Option<String>,
    ports: RangeInclusive<u16>,
}

/// Places that may be listened at: as [`Reach`], or without a host, which is the machine itself then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat(Reach);

impl Place {
    /// As sockets are bound to: `*` is all of the machine's addresses.
    pub(super) fn to_bind(&self) -> (&str, u16) {
        match self.host.as_str() {
            "*" => ("0.0.0.0", self.port),
            host => (host, self.port),
        }
    }

    fn of(host: &str, port: &str) -> Result<Self, String> {
        if host.is_empty() || host.len() > MAX_HOST {
            return Err("a host is missing, or too long".into());
        }
        Ok(Self {
            host: host.into(),
            port: parse_port(port)?,
        })
    }
}

impl Reach {
    pub(super) fn admits(&self, place: &Place) -> bool {
        let host = self.host.as_deref();
        self.ports.contains(&place.port) && host.is_none_or(|it| is_same(it, &place.host))
    }

    fn of(host: &str, ports: &str) -> Result<Self, String> {
        let ports = match ports.split_once('-') {
            _ if ports == "*" => 1..=u16::MAX,
            Some((first, last)) => parse_port(first)?..=parse_port(last)?,
            None => parse_port(ports)?..=parse_port(ports)?,
        };
        if host.is_empty() || ports.is_empty() {
            return Err("a host is missing, or ports".into());
        }
        let host = (host != "*").then(|| host.into());
        Ok(Self { host, ports })
    }
}

impl Seat {
    pub(super) fn admits(&self, place: &Place) -> bool {
        self.0.admits(place)
    }
}

impl FromStr for Tunnel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, kind) = match text.rsplit_once('/') {
            Some((rest, "udp")) => (rest, Kind::Udp),
            Some((rest, "tcp")) => (rest, Kind::Tcp),
            Some(_) => return Err("after the port there can be /tcp or /udp".into()),
            None => (text, Kind::Tcp),
        };
        let (bind, port, peer, host, to) = match parts(rest)?[..] {
            [port, peer, host, to] => (LOOPBACK, port, peer, host, to),
            [bind, port, peer, host, to] => (bind, port, peer, host, to),
            _ => {
                return Err(
                    "write it as [BIND:]PORT:NAME:HOST:PORT, such as 8080:office:localhost:80"
                        .into(),
                );
            }
        };
        let to = Place::of(host, to)?;
        if to.port == 0 {
            return Err("there is no port 0 to reach".into());
        }
        Ok(Self {
            at: Place::of(bind, port)?,
            peer: peer.parse()?,
            to,
            kind,
        })
    }
}

impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (bind, port, peer) = match parts(text)?[..] {
            [port, peer] => (LOOPBACK, port, peer),
            [bind, port, peer] => (bind, port, peer),
            _ => return Err("write it as [BIND:]PORT:NAME, such as 1080:office".into()),
        };
        Ok(Self {
            at: Place::of(bind, port)?,
            peer: peer.parse()?,
        })
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parts(text)?[..] {
            [host, ports] => Self::of(host, ports),
            _ => Err(
                "write it as HOST:PORT, such as localhost:80, localhost:8000-8010 or *:443".into(),
            ),
        }
    }
}

impl FromStr for Seat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match parts(text)?[..] {
            // What the system chooses is asked for by 0.
            ["0"] => Ok(Self(Reach {
                host: Some(LOOPBACK.into()),
                ports: 0..=0,
            })),
            [ports] => Ok(Self(Reach::of(LOOPBACK, ports)?)),
            [host, ports] => Ok(Self(Reach::of(host, ports)?)),
            _ => Err("write it as [ADDRESS:]PORT, such as 8080".into()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What stands between colons, where those in brackets do not count.
fn parts(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (part, after) = match text.strip_prefix('[') {
            Some(inside) => {
                let (part, after) = inside.split_once(']').ok_or("a bracket is not closed")?;
                (part, after)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        parts.push(part);
        rest = match after {
            "" => None,
            after => Some(
                after
                    .strip_prefix(':')
                    .ok_or("after a bracket there has to be a colon")?,
            ),
        };
    }
    Ok(parts)
}

fn parse_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is no port"))
}

/// Addresses can be written in several ways, and names in capitals.
fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Where nothing else is said, only this machine can come.
const LOOPBACK: &str = "127.0.0.1";
/// As in the domain name system (RFC 1035, 3.1), and in SOCKS.
const MAX_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: u16) -> Place {
        Place {
            host: host.into(),
            port,
        }
    }

    fn tunnel(text: &str) -> (Place, String, Place, Kind) {
        let Tunnel { at, peer, to, kind } = text.parse().expect("it is a tunnel");
        (at, peer.to_string(), to, kind)
    }

    #[test]
    fn tunnels_are_read() {
        assert_eq!(
            tunnel("8080:office:localhost:80"),
            (
                place("127.0.0.1", 8080),
                "office".into(),
                place("localhost", 80),
                Kind::Tcp
            )
        );
        assert_eq!(
            tunnel("[::1]:0:office:[fe80::1]:53/udp"),
            (
                place("::1", 0),
                "office".into(),
                place("fe80::1", 53),
                Kind::Udp
            )
        );
        for wrong in [
            "",
            "80",
            "80:office",
            "80:office:host",
            "80:office:host:0",
            "x:office:host:80",
            "80:office:host:80/sctp",
            "80:No Name:host:80",
            "80:office::80",
            "1:2:3:4:5:6",
            "[::1:80:office:host:80",
        ] {
            assert!(wrong.parse::<Tunnel>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn proxies_are_read() {
        let Proxy { at, peer } = "*:1080:office".parse().expect("it is a proxy");
        assert_eq!(
            (at.to_bind(), peer.to_string()),
            (("0.0.0.0", 1080), "office".into())
        );
        assert!("1080".parse::<Proxy>().is_err());
        assert!("1080:office:host:80".parse::<Proxy>().is_err());
    }

    #[test]
    fn only_what_is_said_may_be_reached() {
        let admits = |reach: &str, host: &str, port| {
            let reach: Reach = reach.parse().expect("it is a reach");
            reach.admits(&place(host, port))
        };
        assert!(admits("localhost:80", "LocalHost", 80));
        assert!(!admits("localhost:80", "127.0.0.1", 80));
        assert!(!admits("localhost:80", "localhost", 81));
        assert!(admits("[::1]:8000-8010", "0:0:0:0:0:0:0:1", 8010));
        assert!(!admits("[::1]:8000-8010", "::1", 8011));
        assert!(admits("*:443", "example.org", 443));
        assert!(!admits("*:443", "example.org", 80));
        assert!(admits("10.0.0.1:*", "10.0.0.1", 1));
        for wrong in [
            "", "80", ":80", "host", "host:", "host:x", "host:9-8", "a:b:1",
        ] {
            assert!(wrong.parse::<Reach>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_is_said_may_be_listened_at() {
        let admits = |seat: &str, host: &str, port| {
            let seat: Seat = seat.parse().expect("it is a seat");
            seat.admits(&place(host, port))
        };
        assert!(admits("8080", "127.0.0.1", 8080));
        assert!(!admits("8080", "*", 8080));
        assert!(admits("*:8080", "*", 8080));
        assert!(admits("0", "127.0.0.1", 0));
        assert!(!admits("8000-8010", "127.0.0.1", 0));
    }
}
