//! Where to serve.

use std::{
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de::Error};

/// A TCP address. A port alone is one of this machine alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Address(SocketAddr);

impl Address {
    pub(super) fn socket(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse::<u16>().ok().map(Self::from);
        let address = port(text).or_else(|| text.parse().ok().map(Self));
        let address = address.or_else(|| port(text.strip_prefix("localhost:")?));
        address.ok_or_else(|| {
            format!("{text:?} is neither a port nor an address such as \"127.0.0.1:9433\"")
        })
    }
}

impl From<u16> for Address {
    fn from(port: u16) -> Self {
        Self((Ipv4Addr::LOCALHOST, port).into())
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "a port, or an address such as \"127.0.0.1:9433\""
        )]
        enum Said {
            Port(u16),
            Text(String),
        }
        match Said::deserialize(from)? {
            Said::Port(port) => Ok(port.into()),
            Said::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
