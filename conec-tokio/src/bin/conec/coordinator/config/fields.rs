//! Kinds of values in a configuration file.

use std::time::Duration;

use conec_tokio::{ClientId, CongestionControl};
use serde::{Deserialize, Deserializer, de::Error};

/// A time, such as "30s" or "1h 30m".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let time = humantime::parse_duration(&text);
        time.map(Self).map_err(|error| {
            D::Error::custom(format_args!(
                "{text:?} is no time such as \"30s\" or \"1h 30m\": {error}"
            ))
        })
    }
}

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl From<Time> for Option<Duration> {
    fn from(time: Time) -> Self {
        Some(time.0)
    }
}

/// Whether all may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum Decision {
    Allow,
    Deny,
}

impl Decision {
    /// As rules write it.
    pub(in super::super) fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// How the Coordinator's packets on home channels share the way with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Congestion {
    Fair,
    LossTolerant,
    Background,
}

impl From<Congestion> for CongestionControl {
    fn from(congestion: Congestion) -> Self {
        match congestion {
            Congestion::Fair => Self::Fair,
            Congestion::LossTolerant => Self::LossTolerant,
            Congestion::Background => Self::Background,
        }
    }
}

/// Ids of Clients.
pub(super) fn ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<ClientId>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let ids = texts.iter().map(|text| {
        let id = text.parse();
        id.map_err(|error| D::Error::custom(format_args!("{text:?} is no id: {error}")))
    });
    ids.collect()
}
