//! The second port, by which Clients learn what kind of NAT they are behind.

use std::{
    net::{SocketAddr, UdpSocket},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::Error};

/// Which port it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum SecondPort {
    /// The one after the first, or any free one where that is taken.
    #[default]
    Next,
    /// This one, or any free one with 0.
    At(u16),
    /// There is none.
    Off,
}

impl SecondPort {
    /// As the library takes it, beside this first address.
    pub(super) fn beside(self, first: SocketAddr) -> Option<u16> {
        match self {
            Self::Next => Some(next(first).unwrap_or(0)),
            Self::At(port) => Some(port),
            Self::Off => None,
        }
    }
}

impl FromStr for SecondPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let port = text.parse().map(Self::At);
        port.map_err(|_| format!("{text:?} is neither a port nor \"off\""))
    }
}

impl<'de> Deserialize<'de> for SecondPort {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a port, or \"off\"")]
        enum Said {
            Port(u16),
            Text(String),
        }
        match Said::deserialize(from)? {
            Said::Port(port) => Ok(Self::At(port)),
            Said::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

/// The port after the first one, if it is free.
fn next(first: SocketAddr) -> Option<u16> {
    // The system chooses the first one: what comes after that is not known yet.
    if first.port() == 0 {
        return None;
    }
    let port = first.port().checked_add(1)?;
    UdpSocket::bind((first.ip(), port)).is_ok().then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_port_after_the_first_where_that_is_free() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(SecondPort::Next.beside(any), Some(0));
        let last = SocketAddr::from(([127, 0, 0, 1], u16::MAX));
        assert_eq!(SecondPort::Next.beside(last), Some(0));
        let taken = UdpSocket::bind(any).unwrap();
        let taken = taken.local_addr().unwrap();
        let before = SocketAddr::new(taken.ip(), taken.port() - 1);
        assert_eq!(SecondPort::Next.beside(before), Some(0));
        assert_eq!(SecondPort::At(7).beside(taken), Some(7));
        assert_eq!(SecondPort::Off.beside(taken), None);
    }

    #[test]
    fn it_is_said_by_a_number_or_turned_off() {
        assert_eq!("4434".parse(), Ok(SecondPort::At(4434)));
        assert_eq!("off".parse(), Ok(SecondPort::Off));
        for wrong in ["", "on", "65536", "-1"] {
            assert!(wrong.parse::<SecondPort>().is_err(), "{wrong}");
        }
    }
}
