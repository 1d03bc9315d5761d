//! What was published before somebody came.

use conec_tokio::{GroupItem, GroupStart};

/// How much of it is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct History {
    count: u64,
    /// Before this number nothing is.
    first: Option<u64>,
    /// Where it ends.
    end: u64,
}

impl History {
    /// So many of the last messages.
    pub(super) fn of(count: u64) -> Self {
        Self {
            count,
            first: None,
            end: 0,
        }
    }

    /// All is asked for that is kept: how much that is, is known when it comes.
    pub(super) fn start(self) -> GroupStart {
        match self.count {
            0 => GroupStart::Next,
            _ => GroupStart::Oldest,
        }
    }

    /// Whether the message of this number belongs to it.
    pub(super) fn has(self, sequence: u64) -> bool {
        sequence < self.end
    }

    /// Whether all of it was heard, when this is the number of the next message.
    pub(super) fn is_over(self, next: u64) -> bool {
        self.first.is_some() && next >= self.end
    }

    /// Whether this is of interest. To be asked of all that is heard.
    pub(super) fn wants(&mut self, item: &GroupItem) -> bool {
        match (item, self.first) {
            (GroupItem::Joined(joined), None) => {
                self.first = Some(joined.end.saturating_sub(self.count));
                if self.count > 0 {
                    self.end = joined.end;
                }
                true
            }
            // It has missed something: that is all of interest.
            (GroupItem::Joined(_), Some(_)) => {
                (self.first, self.end) = (Some(0), 0);
                true
            }
            (
                GroupItem::Message(conec_tokio::GroupMessage { sequence, .. })
                | GroupItem::Unopened { sequence, .. },
                Some(first),
            ) => *sequence >= first,
            _ => true,
        }
    }
}
