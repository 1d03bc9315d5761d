//! How to take part in a group, and how groups are.

use std::time::Duration;

use crate::{ConfigError, GroupKey, GroupSealer, KeySealer, Lossy, limits::MAX_TIME};

/// How a Client takes part in a [group](crate::Client::join). Begin with the default, which publishes and hears, and set fields.
///
/// ```
/// use conec_core::{GroupKey, GroupStart, JoinConfig};
///
/// let mut config = JoinConfig::sealed(GroupKey::random()?);
/// config.start = GroupStart::Oldest;
/// config.watch = true;
/// # Ok::<(), conec_core::NoRandomness>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct JoinConfig {
    /// Whether it publishes. It does by default.
    pub publish: bool,
    /// Whether it hears what is published. It does by default. Who does neither is not let in.
    pub hear: bool,
    /// Whether it hears what it publishes itself, at its place in the order. It does by default.
    pub hear_own: bool,
    /// Whether it is told who is there, who arrives and who leaves. It is not by default.
    pub watch: bool,
    /// With which message it begins to hear. The [next](GroupStart::Next) one by default.
    pub start: GroupStart,
    /// What happens when it is too slow, on the way or here. The [oldest messages are dropped](SlowMember::DropOldest) by default.
    pub slow: SlowMember,
    /// How many messages wait here for the application. 256 messages of 256 KiB together by default. What is too much for that is
    /// treated as `slow` says, but in a group that [pushes back](GroupConfig::push_back).
    pub queue: Lossy,
    /// Seals what it publishes, and opens what it hears, so that the Coordinator cannot read it. `None`, the default, does not.
    pub sealer: Option<Box<dyn GroupSealer>>,
}

impl Default for JoinConfig {
    fn default() -> Self {
        Self {
            publish: true,
            hear: true,
            hear_own: true,
            watch: false,
            start: GroupStart::Next,
            slow: SlowMember::DropOldest,
            queue: Lossy::default(),
            sealer: None,
        }
    }
}

impl JoinConfig {
    /// Sealed with a key that all members have.
    pub fn sealed(key: GroupKey) -> Self {
        Self {
            sealer: Some(Box::new(KeySealer::new(key))),
            ..Self::default()
        }
    }
}

/// With which message a member begins to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum GroupStart {
    /// The first that is published after it has joined.
    #[default]
    Next,
    /// The oldest that the group [keeps](GroupConfig::history).
    Oldest,
    /// The one with this number in this order, as [`Joined`](crate::Joined) and [`GroupMessage`](crate::GroupMessage) tell them; what is
    /// not kept of them any more is [counted](crate::Joined::missed). In another order, the oldest that is kept.
    At {
        /// Which order.
        incarnation: u64,
        /// The number of the first message that was not heard.
        sequence: u64,
    },
}

/// What is to happen when a member takes messages more slowly than they are published. Others do not wait for it, unless the
/// [group](GroupConfig::push_back) is of those that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlowMember {
    /// The oldest messages are dropped that wait for it, and it is [told how many](crate::GroupItem::Lagged).
    #[default]
    DropOldest,
    /// All but the latest are, and it is told how many. For states, of which only the present one is of interest.
    LatestOnly,
    /// It is a member no more, and told so: [`TooSlow`](crate::ErrorCode::TooSlow).
    Leave,
}

/// How a group is, at the Coordinator. Begin with the default, and set fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupConfig {
    /// How many of its last messages a group keeps: for who joins and [asks](JoinConfig::start) for them, and for members that are slow. 256
    /// messages of 256 KiB together by default. Fewer where [all groups](crate::CoordinatorLimits::group_memory) keep too much.
    pub history: Lossy,
    /// The largest message, in bytes, as it is published: a sealed one is 65 bytes larger. 64 KiB by default, at most 1 MiB, and less
    /// where home channels take less.
    pub max_message_size: usize,
    /// Whether publishers wait for the slowest member, so that nobody loses anything: until it has taken nothing for this long, and is
    /// [sent away](crate::ErrorCode::TooSlow). `None`, the default, waits for nobody.
    ///
    /// Members that do not want all messages, as [`JoinConfig::slow`] says, do not hold up others.
    pub push_back: Option<Duration>,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            history: Lossy::default(),
            max_message_size: 64 << 10,
            push_back: None,
        }
    }
}

impl GroupConfig {
    /// With messages that fit in those of home channels.
    pub(crate) fn fit(self, home_message: usize) -> Self {
        let most = home_message.saturating_sub(PUBLISH_HEADER);
        Self {
            max_message_size: self.max_message_size.min(most),
            ..self
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_GROUP_MESSAGE).contains(&self.max_message_size) {
            return Err(ConfigError::OutOfRange(
                "max_message_size of groups",
                "at least 1 byte, and at most 1 MiB",
            ));
        }
        if self
            .push_back
            .is_some_and(|time| time.is_zero() || time > MAX_TIME)
        {
            return Err(ConfigError::OutOfRange(
                "push_back",
                "more than 0 and at most 1 day",
            ));
        }
        Ok(())
    }
}

/// What travels in front of a message that is published.
const PUBLISH_HEADER: usize = 1;
/// No group has larger messages.
pub(crate) const MAX_GROUP_MESSAGE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_its_bounds() {
        let with = |change: fn(&mut GroupConfig)| {
            let mut config = GroupConfig::default();
            change(&mut config);
            config.validate().is_ok()
        };
        assert!(with(|it| it.push_back = Some(MAX_TIME)));
        assert!(with(|it| it.push_back = Some(Duration::from_nanos(1))));
        assert!(!with(
            |it| it.push_back = Some(MAX_TIME + Duration::from_nanos(1))
        ));
        assert!(!with(|it| it.push_back = Some(Duration::ZERO)));
        assert!(with(|it| it.max_message_size = 1));
        assert!(with(|it| it.max_message_size = MAX_GROUP_MESSAGE));
        assert!(!with(|it| it.max_message_size = 0));
        assert!(!with(|it| it.max_message_size = MAX_GROUP_MESSAGE + 1));
    }
}
