//! Who is there in a group, and what of that the application has not heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ClientId, GroupItem, GroupMember};

/// Of the changes, what remains of them is told: who came and went in between is not told of.
#[derive(Debug, Default)]
pub(super) struct Roster {
    present: BTreeMap<ClientId, GroupMember>,
    /// Who was there before it is told anew, and was not named yet.
    doubtful: BTreeSet<ClientId>,
    /// Who the application knows of, as far as that is not who is there now.
    changed: BTreeMap<ClientId, Told>,
}

/// What the application knows of somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Present,
    Absent,
}

impl Roster {
    /// Somebody is there. Nothing comes of it if too many are.
    pub(super) fn arrived(&mut self, member: GroupMember) {
        let id = member.id;
        self.doubtful.remove(&id);
        if self.present.len() >= MOST && !self.present.contains_key(&id) {
            return;
        }
        let before = self.present.insert(id, member.clone());
        if before.as_ref() != Some(&member) {
            let told = match before {
                Some(_) => Told::Present,
                None => Told::Absent,
            };
            self.changed.entry(id).or_insert(told);
        }
    }

    pub(super) fn left(&mut self, id: ClientId) {
        self.doubtful.remove(&id);
        if self.present.remove(&id).is_some() {
            match self.changed.get(&id) {
                // The application has never heard of it.
                Some(Told::Absent) => {
                    self.changed.remove(&id);
                }
                Some(Told::Present) => {}
                None => {
                    self.changed.insert(id, Told::Present);
                }
            }
        }
    }

    /// Who is there is told anew.
    pub(super) fn begin(&mut self) {
        self.doubtful = self.present.keys().copied().collect();
    }

    /// That is done: who was not named is there no more.
    pub(super) fn complete(&mut self) {
        for id in std::mem::take(&mut self.doubtful) {
            self.left(id);
        }
    }

    /// The next change that the application has not heard of.
    pub(super) fn pop(&mut self) -> Option<GroupItem> {
        let (id, _) = self.changed.pop_first()?;
        Some(match self.present.get(&id) {
            Some(member) => GroupItem::Arrived(member.clone()),
            None => GroupItem::Left(id),
        })
    }

    pub(super) fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &GroupMember> {
        self.present.values()
    }
}

/// How many are remembered.
const MOST: usize = 4096;
/// What they may take, with names, in all three tables.
pub(super) const MEMORY: usize = MOST * 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn member(byte: u8, publishes: bool) -> GroupMember {
        GroupMember {
            id: ClientId::from_bytes([byte; 32]),
            name: None,
            publishes,
            hears: true,
            key: None,
        }
    }

    fn news(roster: &mut Roster) -> Vec<GroupItem> {
        std::iter::from_fn(|| roster.pop()).collect()
    }

    #[test]
    fn who_came_and_went_unheard_is_not_told_of() {
        let mut roster = Roster::default();
        let (one, other) = (member(1, true), member(2, true));
        roster.arrived(one.clone());
        roster.arrived(other.clone());
        roster.left(one.id);
        assert_eq!(news(&mut roster), [GroupItem::Arrived(other.clone())]);
        roster.left(other.id);
        roster.arrived(other.clone());
        assert_eq!(news(&mut roster), [GroupItem::Arrived(other.clone())]);
        roster.left(other.id);
        assert_eq!(news(&mut roster), [GroupItem::Left(other.id)]);
        roster.left(other.id);
        assert!(!roster.has_news());
    }

    #[test]
    fn who_is_told_anew_is_no_news_and_who_is_not_has_left() {
        let mut roster = Roster::default();
        let all = [1, 2, 3].map(|byte| member(byte, true));
        all.iter().for_each(|it| roster.arrived(it.clone()));
        assert_eq!(news(&mut roster).len(), 3);
        roster.begin();
        roster.arrived(all[0].clone());
        roster.arrived(member(2, false));
        roster.complete();
        let expected = [
            GroupItem::Arrived(member(2, false)),
            GroupItem::Left(all[2].id),
        ];
        assert_eq!(news(&mut roster), expected);
        assert_eq!(roster.members().count(), 2);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut roster = Roster::default();
        for number in 0..=MOST as u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let id = ClientId::from_bytes(id);
            roster.arrived(GroupMember {
                id,
                ..member(0, true)
            });
        }
        assert_eq!(roster.members().count(), MOST);
    }
}
