//! The kinds of congestion control that conec's channels can have.

use std::fmt;

use conec_core::ChannelConfig;

/// A channel's congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// What channels have without being told.
    Default,
}

impl Control {
    pub(crate) const ALL: [Self; 1] = [Self::Default];

    /// Has channels use it.
    pub(crate) fn configure(self, _: &mut ChannelConfig) {
        match self {
            Self::Default => {}
        }
    }

    /// Whether it leaves the link to others.
    pub(crate) fn gives_way(self) -> bool {
        match self {
            Self::Default => false,
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
        })
    }
}
