//! The kinds of congestion control that conec's channels can have.

use std::fmt;

use conec_core::{ChannelConfig, CongestionControl};

/// A channel's congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// What channels have without being told: the fair one.
    Default,
    LossTolerant,
    Background,
}

impl Control {
    pub(crate) const ALL: [Self; 3] = [Self::Default, Self::LossTolerant, Self::Background];

    /// Has channels use it.
    pub(crate) fn configure(self, config: &mut ChannelConfig) {
        config.congestion = match self {
            Self::Default => CongestionControl::default(),
            Self::LossTolerant => CongestionControl::LossTolerant,
            Self::Background => CongestionControl::Background,
        };
    }

    /// Whether it leaves the link to others.
    pub(crate) fn gives_way(self) -> bool {
        match self {
            Self::Default | Self::LossTolerant => false,
            Self::Background => true,
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::LossTolerant => "loss-tolerant",
            Self::Background => "background",
        })
    }
}
