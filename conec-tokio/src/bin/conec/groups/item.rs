//! What is heard in a group, as JSON.

use conec_tokio::{ClientId, GroupItem, GroupMember, KeyMatch, Name};
use data_encoding::BASE64;
use serde::Serialize;

/// One object in a line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    /// In the group, for the first time or again.
    Joined {
        /// Which order it is, in hexadecimal digits: the numbers of another have nothing to do with those of this.
        order: String,
        next: u64,
        missed: u64,
        is_new_order: bool,
    },
    Message {
        sequence: u64,
        sender: Option<String>,
        name: Option<&'a str>,
        #[serde(flatten)]
        payload: Payload<'a>,
    },
    Lagged {
        count: u64,
    },
    Arrived {
        id: String,
        name: Option<&'a str>,
        publishes: bool,
        hears: bool,
        /// In a sealed group, what it has shown of its key.
        key: Option<&'static str>,
    },
    Left {
        id: String,
    },
    Unopened {
        sequence: u64,
        sender: Option<String>,
        problem: String,
    },
    Withheld {
        sender: String,
        count: u64,
    },
}

/// As text where it is some.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Payload<'a> {
    Text(&'a str),
    Base64(String),
}

impl<'a> Item<'a> {
    /// `None` for what a later version of the library tells.
    pub(super) fn of(item: &'a GroupItem) -> Option<Self> {
        Some(match item {
            GroupItem::Joined(joined) => Self::Joined {
                order: format!("{:016x}", joined.incarnation),
                next: joined.next,
                missed: joined.missed,
                is_new_order: joined.is_new_order,
            },
            GroupItem::Message(message) => Self::Message {
                sequence: message.sequence,
                sender: id(message.sender),
                name: message.name.as_ref().map(Name::as_str),
                payload: Payload::of(&message.payload),
            },
            GroupItem::Lagged(count) => Self::Lagged { count: *count },
            GroupItem::Arrived(member) => Self::arrived(member),
            GroupItem::Left(id) => Self::Left { id: id.to_string() },
            GroupItem::Unopened {
                sequence,
                sender,
                problem,
            } => Self::Unopened {
                sequence: *sequence,
                sender: id(*sender),
                problem: problem.to_string(),
            },
            GroupItem::Withheld { sender, count } => Self::Withheld {
                sender: sender.to_string(),
                count: *count,
            },
            _ => return None,
        })
    }

    fn arrived(member: &'a GroupMember) -> Self {
        Self::Arrived {
            id: member.id.to_string(),
            name: member.name.as_ref().map(Name::as_str),
            publishes: member.publishes,
            hears: member.hears,
            key: member.key.map(|it| match it {
                KeyMatch::Same => "same",
                KeyMatch::Former => "former",
                KeyMatch::Unsealed => "none",
                KeyMatch::Different | _ => "different",
            }),
        }
    }
}

impl<'a> Payload<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Base64(BASE64.encode(bytes)),
        }
    }
}

fn id(id: Option<ClientId>) -> Option<String> {
    id.map(|it| it.to_string())
}
