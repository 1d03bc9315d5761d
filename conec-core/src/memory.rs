//! How much memory others can make an endpoint take: one budget, and how it is shared out.
//!
//! What is known of each connection, of pairs, events and newcomers has a fixed size and a limit. The rest of the budget is
//! for what other sides send: half of it for what their windows let them have under way, and half for messages.

use crate::{ChannelConfig, ClientConfig, ConfigError, CoordinatorConfig, buffers::MAX_BUFFERS};

/// What there is for all channels of an endpoint together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shares {
    /// By how many bytes receive windows may grow.
    pub(crate) windows: u64,
    /// What messages may take that have arrived in part, or wait for their readers.
    pub(crate) messages: usize,
}

impl CoordinatorConfig {
    /// The most memory that a Coordinator can take by what Clients and strangers do, in bytes: its [`memory`](Self::memory).
    ///
    /// What its application itself sends comes on top.
    ///
    /// ```
    /// # #[cfg(feature = "self-signed")] {
    /// use conec_core::{Certificate, CoordinatorConfig};
    ///
    /// let mut config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
    /// assert!(config.worst_case_bytes() <= 512 << 20);
    /// // For more Clients, there must be more memory for what is known of each.
    /// config.limits.clients = 100_000;
    /// assert!(config.worst_case_bytes() > 12 << 30);
    /// config.memory = 20 << 30;
    /// assert!(config.worst_case_bytes() <= 20 << 30);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn worst_case_bytes(&self) -> u64 {
        worst_case(self.memory, self.fixed_memory(), &[&self.home])
    }

    pub(crate) fn shares(&self) -> Shares {
        shares(self.memory, self.fixed_memory(), &[&self.home])
    }

    pub(crate) fn validate_memory(&self) -> Result<(), ConfigError> {
        suffices(self.memory, self.worst_case_bytes())
    }

    fn fixed_memory(&self) -> u64 {
        let limits = &self.limits;
        sum([
            times(limits.clients, self.home.fixed_memory()),
            times(limits.handshakes, NEWCOMER),
            times(limits.pairs, PAIR),
            times(limits.events, EVENT),
            limits.forward_queue as u64,
            limits.group_memory as u64,
            times(limits.groups, GROUP),
            times(limits.clients, times(limits.groups_per_client, MEMBERSHIP)),
            in_engine(limits.member_memory as u64),
            times(limits.clients, in_engine(UNDER_WAY as u64)),
            MAX_BUFFERS as u64,
        ])
    }
}

impl ClientConfig {
    /// The most memory that a Client can take by what its Coordinator and its peers do, in bytes: its
    /// [`memory`](Self::memory).
    ///
    /// What its application itself sends comes on top.
    pub fn worst_case_bytes(&self) -> u64 {
        worst_case(self.memory, self.fixed_memory(), &[&self.home, &self.peer])
    }

    pub(crate) fn shares(&self) -> Shares {
        shares(self.memory, self.fixed_memory(), &[&self.home, &self.peer])
    }

    pub(crate) fn validate_memory(&self) -> Result<(), ConfigError> {
        suffices(self.memory, self.worst_case_bytes())
    }

    fn fixed_memory(&self) -> u64 {
        let limits = &self.limits;
        let peer = self.peer.fixed_memory() + PAIR;
        sum([
            self.home.fixed_memory(),
            // Those that it has asked for, and those that others have.
            times(limits.channels_per_client, peer).saturating_mul(2),
            times(limits.probe_targets, TARGET),
            times(self.names(), KNOWN),
            limits.group_memory as u64,
            MAX_BUFFERS as u64,
        ])
    }
}

impl ClientConfig {
    /// How many names may be known.
    fn names(&self) -> usize {
        let known = self.known.as_ref();
        known.map_or(0, |known| known.len().max(self.limits.known_names))
    }
}

impl ChannelConfig {
    /// What a channel may take by what the other side does, but for what is shared out among all.
    fn fixed_memory(&self) -> u64 {
        LINK + in_engine(u64::from(self.receive_window) + STEP) + WASTE
    }
}

fn worst_case(budget: usize, fixed: u64, channels: &[&ChannelConfig]) -> u64 {
    let Shares { windows, messages } = shares(budget, fixed, channels);
    sum([
        fixed,
        in_engine(windows),
        at_most(messages as u64, channels),
    ])
}

/// What is left of the budget. The largest messages must be able to come while others do.
fn shares(budget: usize, fixed: u64, channels: &[&ChannelConfig]) -> Shares {
    let least = MESSAGES * largest(channels);
    let rest = (budget as u64).saturating_sub(fixed);
    let spare = rest.saturating_sub(at_most(least, channels));
    let windows = spare.min(rest / 2) / in_engine(1);
    let messages = (rest - in_engine(windows)).saturating_sub(largest(channels)) / 9 * 8;
    Shares {
        windows,
        messages: messages.max(least) as usize,
    }
}

/// What messages take at most where they are limited to so many bytes: of what is kept free for a turn, more may be taken once.
fn at_most(messages: u64, channels: &[&ChannelConfig]) -> u64 {
    messages + messages / 8 + largest(channels)
}

fn largest(channels: &[&ChannelConfig]) -> u64 {
    let sizes = channels.iter().map(|it| it.max_message_size as u64);
    sizes.max().unwrap_or_default()
}

/// The memory that the engine takes for so many bytes, but for [`WASTE`].
fn in_engine(bytes: u64) -> u64 {
    2 * bytes
}

fn suffices(budget: usize, needed: u64) -> Result<(), ConfigError> {
    if needed > budget as u64 {
        return Err(ConfigError::OutOfRange(
            "memory",
            "as much as worst_case_bytes() says, which follows from the limits and the largest message",
        ));
    }
    Ok(())
}

fn times(count: usize, bytes: u64) -> u64 {
    bytes.saturating_mul(count as u64)
}

fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// A connection with its TLS session and tables.
const LINK: u64 = 40 << 10;
/// So much of the engine's memory may be of no use before that is used better.
pub(crate) const WASTE: u64 = 16 << 10;
/// The engine lets in so many bytes more when some are set aside, which it takes for read.
pub(crate) const STEP: u64 = 4 << 10;
/// So many of the largest messages there must be room for.
const MESSAGES: u64 = 4;
/// A connection that was not let in, with its TLS session, and all that is taken of it until then.
const NEWCOMER: u64 = 64 << 10;
/// Both ends of a channel between Clients, with label, routes and deadlines.
const PAIR: u64 = 2 << 10;
/// With a token, a label, and names, and what is known of a channel that is over until its end is told.
const EVENT: u64 = 8 << 10;
/// A group, without its messages and members.
const GROUP: u64 = 3 << 10;
/// A member of a group, with its name and proof, twice where somebody watches.
const MEMBERSHIP: u64 = 1 << 10;
/// What may be under way to a Client of what groups send, whatever others have.
pub(crate) const UNDER_WAY: usize = 16 << 10;
/// An address that is probed.
const TARGET: u64 = 128;
/// A name, in all tables, and whose it is.
const KNOWN: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: u64 = 10 << 20;

    fn channel(largest: usize) -> ChannelConfig {
        ChannelConfig {
            max_message_size: largest,
            ..ChannelConfig::default()
        }
    }

    #[test]
    fn a_budget_is_used_up_and_not_exceeded() {
        let (small, large) = (channel(1000), channel(1 << 20));
        for budget in [20, 32, 100, 1000].map(|mib| (mib << 20) + 5) {
            for channels in [&[&small][..], &[&small, &large]] {
                let worst = worst_case(budget, FIXED, channels);
                assert!(worst <= budget as u64, "{worst} of {budget}");
                assert!(worst + 32 > budget as u64, "{worst} of {budget}");
            }
        }
        // Where there is too little, it says how much it takes: four of the largest messages, and what comes on top.
        let worst = worst_case(0, FIXED, &[&small, &large]);
        assert_eq!(worst, FIXED + (4 << 20) + (1 << 19) + (1 << 20));
    }

    /// Each may be one that it has asked for, and one that others have.
    #[test]
    fn every_channel_more_costs_what_it_may_take_twice() {
        let identity = crate::Identity::from_seed([1; 32]);
        let mut config = ClientConfig::new(identity, crate::Trust::Pin(crate::ClientId([2; 32])));
        let before = config.fixed_memory();
        config.limits.channels_per_client += 1;
        let more = config.fixed_memory() - before;
        assert_eq!(more, 2 * (config.peer.fixed_memory() + PAIR));
    }

    #[test]
    fn windows_get_half_of_what_is_left_unless_messages_need_it() {
        let (small, large) = (channel(1000), channel(1 << 20));
        let windows = |mib: usize, of| shares(mib << 20, FIXED, &[of]).windows;
        // The engine takes twice as much.
        assert_eq!(windows(30, &small), 5 << 20);
        assert_eq!(windows(30, &large), 5 << 20);
        assert_eq!(windows(20, &large), (10 << 20) / 4 - (1 << 18));
        assert_eq!(windows(15, &large), 0);
        let messages = |mib: usize| shares(mib << 20, FIXED, &[&large]).messages;
        assert_eq!(messages(15), 4 << 20);
        assert_eq!(messages(29), ((19 << 19) - (1 << 20)) / 9 * 8);
    }
}
