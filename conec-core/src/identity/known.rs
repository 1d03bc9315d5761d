//! Which key somebody had under a name, so that nobody else is taken for it later.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{ChannelId, ClientId, Name};

/// Which key belongs to which name, as far as a Client [knows](crate::ClientConfig::known): trust on first use.
///
/// Who bears a name is for the Coordinator to say. A Client that remembers what it was told, and found proved, notices when
/// it is told otherwise later: a name does not change its key but by [`insert`](Self::insert) and [`forget`](Self::forget).
///
/// ```
/// use conec_core::{Identity, KnownClients, Name};
///
/// let [old, new] = [[1; 32], [2; 32]].map(|seed| Identity::from_seed(seed).id());
/// let bob: Name = "bob".parse()?;
/// let mut known = KnownClients::new();
/// assert_eq!(known.insert(bob.clone(), old), None);
/// assert_eq!(known.get(&bob), Some(old));
/// // Bob has a new key, and has told it by telephone.
/// assert_eq!(known.insert(bob.clone(), new), Some(old));
/// assert_eq!(known.forget(&bob), Some(new));
/// # Ok::<(), conec_core::InvalidName>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct KnownClients {
    ids: BTreeMap<Name, ClientId>,
    /// Those names of which nobody has taken note that they were learned.
    learned: BTreeSet<Name>,
    /// Who else came under these names, most recently.
    others: BTreeMap<Name, Other>,
    /// Those names of which that is still to be told.
    untold: BTreeSet<Name>,
    /// Somebody was learned, or came under another's name, since this was asked last.
    has_news: bool,
    file: Option<PathBuf>,
}

/// Somebody who came under another's name.
#[derive(Debug, Clone, Copy)]
struct Other {
    id: ClientId,
    /// The channel that was asked for by that name.
    sought: Option<ChannelId>,
}

impl KnownClients {
    /// Without any name.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who is known by this name.
    pub fn get(&self, name: &Name) -> Option<ClientId> {
        self.ids.get(name).copied()
    }

    /// All names, in order, and who is known by them.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, ClientId)> {
        self.ids.iter().map(|(name, &id)| (name, id))
    }

    /// How many names are known.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// From now on, the name belongs to this key, whichever it belonged to before; that is given. No
    /// [limit](crate::ClientLimits::known_names) holds for what the application does itself.
    pub fn insert(&mut self, name: Name, id: ClientId) -> Option<ClientId> {
        let former = self.forget(&name);
        self.ids.insert(name, id);
        former
    }

    /// Whoever comes next under this name is learned anew. Gives who was known by it.
    pub fn forget(&mut self, name: &Name) -> Option<ClientId> {
        self.learned.remove(name);
        self.untold.remove(name);
        self.others.remove(name);
        self.ids.remove(name)
    }

    /// Who else came under a name that is known, most recently, since the key that it belongs to was learned or given.
    pub fn key_change(&self, name: &Name) -> Option<KeyChange> {
        self.change(name, self.others.get(name)?)
    }

    /// The next name under which somebody else came than is known by it, and the channel that ends by that if this Client had
    /// asked for it by that name. Told once, of each name what was last. For drivers that take [channel events](crate::Endpoint::poll_channel_event) by
    /// themselves; others are told by [`KeyChanged`](crate::ClientEvent::KeyChanged).
    pub fn poll_key_change(&mut self) -> Option<(KeyChange, Option<ChannelId>)> {
        let name = self.untold.pop_first()?;
        let other = self.others.get(&name)?;
        Some((self.change(&name, other)?, other.sought))
    }

    /// The names that were learned, and are not [noted](Self::note) yet, and whose they are. For drivers that take
    /// [channel events](crate::Endpoint::poll_channel_event) by themselves; others are told by
    /// [`Learned`](crate::ClientEvent::Learned).
    pub fn learned(&self) -> impl Iterator<Item = (&Name, ClientId)> {
        let ids = self.learned.iter();
        ids.filter_map(|name| Some((name, self.get(name)?)))
    }

    /// It was noted that the name was learned to be this one's.
    pub fn note(&mut self, name: &Name, id: ClientId) {
        if self.get(name) == Some(id) {
            self.learned.remove(name);
        }
    }

    /// The file that they were read from, to which drivers' handles add what is learned. The core reads and writes none.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Says where they were read from.
    pub fn set_file(&mut self, file: impl Into<PathBuf>) {
        self.file = Some(file.into());
    }

    /// Whether this one may bear the name: nobody else is known by it. If not, that is to be told, with the channel that was sought
    /// by that name.
    pub(crate) fn admit(&mut self, name: &Name, id: ClientId, sought: Option<ChannelId>) -> bool {
        if self.get(name).is_none_or(|known| known == id) {
            return true;
        }
        self.others.insert(name.clone(), Other { id, sought });
        self.untold.insert(name.clone());
        self.has_news = true;
        false
    }

    /// Learns whose the name is, if nobody is known by it yet. Fails if as many names are known as may be: what is known is
    /// not forgotten for what is new.
    pub(crate) fn learn(&mut self, name: &Name, id: ClientId, limit: usize) -> bool {
        if self.ids.contains_key(name) {
            return true;
        }
        if self.len() >= limit {
            return false;
        }
        self.ids.insert(name.clone(), id);
        self.learned.insert(name.clone());
        self.has_news = true;
        true
    }

    /// The next name that was learned, which is noted by that.
    pub(crate) fn poll_learned(&mut self) -> Option<(Name, ClientId)> {
        let name = self.learned.pop_first()?;
        let id = self.get(&name)?;
        Some((name, id))
    }

    /// Whether something is to be told.
    pub(crate) fn is_eventful(&self) -> bool {
        !self.learned.is_empty() || !self.untold.is_empty()
    }

    /// Whether there was something new to tell since this was asked last.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    fn change(&self, name: &Name, other: &Other) -> Option<KeyChange> {
        Some(KeyChange {
            known: self.get(name)?,
            found: other.id,
            name: name.clone(),
        })
    }
}

impl FromIterator<(Name, ClientId)> for KnownClients {
    fn from_iter<I: IntoIterator<Item = (Name, ClientId)>>(known: I) -> Self {
        Self {
            ids: known.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// A name has come with another key than is [known](KnownClients): its Client has a new one, or somebody poses as it, with the
/// Coordinator's help or by its mistake.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
#[error(
    "{name} is known by the id {known}, and now the coordinator gives this name to {found}. Somebody may pose as {name}: ask it which id is right, \
     by another way. If it has a new key, replace the one that is known"
)]
pub struct KeyChange {
    /// The name.
    pub name: Name,
    /// Whose it is, as far as is known.
    pub known: ClientId,
    /// Whom the Coordinator calls so now.
    pub found: ClientId,
}

impl KeyChange {
    /// That somebody else was found under a name than is known by it.
    pub fn new(name: Name, known: ClientId, found: ClientId) -> Self {
        Self { name, known, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ClientId = ClientId([1; 32]);
    const OTHER: ClientId = ClientId([2; 32]);

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    #[test]
    fn a_name_keeps_its_key() {
        let (bob, mut known) = (name("bob"), KnownClients::new());
        assert!(known.admit(&bob, ONE, None) && known.learn(&bob, ONE, 1));
        assert!(known.admit(&bob, ONE, None) && known.learn(&bob, ONE, 1));
        for _ in 0..2 {
            assert!(!known.admit(&bob, OTHER, Some(ChannelId(7))));
            // Nor by being learned.
            known.learn(&bob, OTHER, 2);
            assert_eq!(known.get(&bob), Some(ONE));
        }
        let change = KeyChange {
            name: bob.clone(),
            known: ONE,
            found: OTHER,
        };
        let text = change.to_string();
        for shown in ["bob", &ONE.to_string(), &OTHER.to_string()] {
            assert!(text.contains(shown), "{text}");
        }
        // Told once, and to be looked up.
        let told = known.poll_key_change();
        assert_eq!(told, Some((change.clone(), Some(ChannelId(7)))));
        assert_eq!(known.poll_key_change(), None);
        assert_eq!(known.key_change(&bob), Some(change));
        assert_eq!(known.insert(bob.clone(), OTHER), Some(ONE));
        assert_eq!(known.key_change(&bob), None);
        assert!(known.admit(&bob, OTHER, None) && !known.admit(&bob, ONE, None));
    }

    #[test]
    fn what_is_known_is_not_forgotten_for_what_is_new() {
        let [bob, carol] = ["bob", "carol"].map(name);
        let mut known = KnownClients::from_iter([(bob.clone(), ONE)]);
        assert!(!known.learn(&carol, OTHER, 1) && known.learn(&bob, ONE, 0));
        assert_eq!((known.get(&carol), known.len()), (None, 1));
        assert!(!known.is_empty() && KnownClients::new().is_empty());
        assert!(!known.is_eventful() && !known.take_news());
        // It is not known, so nobody is anybody else.
        assert!(known.admit(&carol, ONE, None) && known.admit(&carol, OTHER, None));
        assert_eq!(known.forget(&bob), Some(ONE));
        assert!(known.learn(&carol, OTHER, 1));
        // The application itself is not bound by it.
        known.insert(bob, ONE);
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn what_was_learned_is_told_once() {
        let [bob, carol] = ["bob", "carol"].map(name);
        let mut known = KnownClients::new();
        assert!(known.learn(&bob, ONE, 9) && known.learn(&carol, OTHER, 9));
        assert!(known.take_news() && !known.take_news() && known.is_eventful());
        assert_eq!(known.learned().count(), 2);
        // Somebody has noted something else.
        known.note(&bob, OTHER);
        assert_eq!(known.learned().count(), 2);
        known.note(&bob, ONE);
        assert_eq!(known.poll_learned(), Some((carol.clone(), OTHER)));
        assert_eq!(known.poll_learned(), None);
        assert!(!known.is_eventful());
        // Forgotten before it was told.
        known.forget(&carol);
        assert!(known.learn(&carol, OTHER, 9));
        known.forget(&carol);
        assert_eq!(known.poll_learned(), None);
    }

    #[test]
    fn where_names_were_read_from_is_remembered_for_who_writes_them() {
        let mut known = KnownClients::new();
        assert_eq!(known.file(), None);
        known.set_file("known_clients");
        assert_eq!(known.file(), Some(Path::new("known_clients")));
    }
}
