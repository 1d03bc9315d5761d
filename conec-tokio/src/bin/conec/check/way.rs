//! What packets travel on, for people and as JSON.

use std::{fmt, net::SocketAddr};

use conec_tokio::{Channel, Path};
use serde::Serialize;

/// The way of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "path", rename_all = "snake_case")]
pub(super) enum Way {
    Direct { address: SocketAddr },
    Proxied,
}

impl Way {
    pub(super) fn of(channel: &Channel) -> Self {
        match channel.path() {
            Path::Direct(address) => Self::Direct { address },
            Path::Proxied | _ => Self::Proxied,
        }
    }

    pub(super) fn is_direct(self) -> bool {
        match self {
            Self::Direct { .. } => true,
            Self::Proxied => false,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct { .. } => "directly",
            Self::Proxied => "through the Coordinator",
        })
    }
}
