//! The kinds of attacks.

use serde::{Deserialize, Serialize};

/// What an attacker does all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attack {
    /// Packets of 9 bytes on one route.
    SmallFlood,
    /// Packets of 9 bytes in turn on two routes, so that none can go together with the one before.
    MixedFlood,
    /// Large packets to and fro between two Clients of its own.
    BothWays,
    /// Newcomers that are gone at once, before or after their handshake.
    Handshakes,
    /// First packets, and what ends their connections, from addresses that are not its own.
    ForgedInitials,
    /// Clients that read nothing, whose addresses change, and whom an accomplice has channels offered to.
    Deaf,
    /// As many channels with the receiving bystander as can be had, and one's answers never come.
    Popular,
    /// Ever more keys, which all come from one host.
    Keys,
    /// Control messages of all kinds, and a new session when they were too many.
    Control,
    /// Streams full of messages that the Coordinator's application does not read.
    Unread,
    /// Messages of which the last byte never comes.
    Partial,
    /// Probes to the second port.
    Probes,
}

impl Attack {
    pub(crate) const ALL: [Self; 12] = [
        Self::SmallFlood,
        Self::MixedFlood,
        Self::BothWays,
        Self::Handshakes,
        Self::ForgedInitials,
        Self::Deaf,
        Self::Popular,
        Self::Keys,
        Self::Control,
        Self::Unread,
        Self::Partial,
        Self::Probes,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SmallFlood => "small flood",
            Self::MixedFlood => "flood on two routes",
            Self::BothWays => "flood both ways",
            Self::Handshakes => "handshakes",
            Self::ForgedInitials => "forged Initials",
            Self::Deaf => "deaf Clients",
            Self::Popular => "popular Client",
            Self::Keys => "many keys",
            Self::Control => "control messages",
            Self::Unread => "unread streams",
            Self::Partial => "partial messages",
            Self::Probes => "probes",
        }
    }
}
