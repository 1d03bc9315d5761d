//! What goes on in a group besides messages, for people.

use std::{collections::BTreeMap, fmt};

use conec_tokio::{ClientId, GroupItem, GroupMember, Joined, KeyMatch, Name};

use crate::output::say;

/// Tells people what is missing, who comes and who goes.
#[derive(Debug)]
pub(super) struct Teller {
    group: Name,
    me: ClientId,
    /// Whether people want to know who is there.
    presence: bool,
    was_in: bool,
    present: BTreeMap<ClientId, Name>,
}

impl Teller {
    pub(super) fn new(group: Name, me: ClientId, presence: bool) -> Self {
        Self {
            group,
            me,
            presence,
            was_in: false,
            present: BTreeMap::new(),
        }
    }

    /// Tells of what has happened, unless it is a message.
    pub(super) fn tell(&mut self, item: &GroupItem) {
        match item {
            GroupItem::Message(_) => {}
            GroupItem::Joined(joined) => self.joined(joined),
            GroupItem::Lagged(count) => say(format_args!(
                "{} missing here: this reader was too slow",
                messages(*count)
            )),
            GroupItem::Arrived(member) => self.arrived(member),
            GroupItem::Left(id) => self.left(*id),
            GroupItem::Unopened {
                sequence,
                sender,
                problem,
            } => say(format_args!(
                "message {sequence} of {} was not opened: {problem}",
                self.who(*sender)
            )),
            GroupItem::Withheld { sender, count } => say(format_args!(
                "{} of {} withheld, by the Coordinator or on the way to it",
                messages(*count),
                self.who(Some(*sender))
            )),
            other => say(format_args!("{other:?}")),
        }
    }

    fn joined(&mut self, joined: &Joined) {
        let group = &self.group;
        if std::mem::replace(&mut self.was_in, true) {
            match joined.is_new_order {
                true => say(format_args!(
                    "in {group} again, which was begun anew: what was said last may be missing"
                )),
                false => say(format_args!("in {group} again")),
            }
        }
        if joined.missed > 0 {
            say(format_args!("{} missed", messages(joined.missed)));
        }
        if joined.unsure > 0 {
            say(format_args!(
                "{} published here, and may be lost: the Coordinator has not said that it had it",
                messages(joined.unsure)
            ));
        }
    }

    fn arrived(&mut self, member: &GroupMember) {
        let id = member.id;
        if let Some(name) = &member.name {
            self.present.insert(id, name.clone());
        }
        if id == self.me {
            return;
        }
        let who = self.who(Some(id));
        match member.key {
            Some(KeyMatch::Same) | None if self.presence => say(format_args!("{who} is here")),
            Some(KeyMatch::Same) | None => {}
            Some(KeyMatch::Unsealed) => say(format_args!(
                "{who} is here without a passphrase or key, and reads nothing of what is said here"
            )),
            Some(KeyMatch::Different | KeyMatch::Former) | Some(_) => say(format_args!(
                "{who} is here with another passphrase or key: neither of you reads the other"
            )),
        }
    }

    fn left(&mut self, id: ClientId) {
        let who = self.who(Some(id)).to_string();
        self.present.remove(&id);
        if self.presence && id != self.me {
            say(format_args!("{who} has gone"));
        }
    }

    fn who(&self, id: Option<ClientId>) -> Who<'_> {
        let name = id.and_then(|it| self.present.get(&it));
        Who { id, name }
    }
}

/// Somebody, as people are told.
pub(super) struct Who<'a> {
    pub(super) id: Option<ClientId>,
    pub(super) name: Option<&'a Name>,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name, self.id) {
            (Some(name), _) => name.fmt(f),
            (None, Some(id)) => f.write_str(&id.short()),
            (None, None) => f.write_str("the Coordinator"),
        }
    }
}

fn messages(count: u64) -> String {
    match count {
        1 => "1 message was".into(),
        count => format!("{count} messages were"),
    }
}
