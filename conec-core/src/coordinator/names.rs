//! Who has which name, and for whom those are kept whose Clients are gone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{ClientId, Name};

#[derive(Debug, Default)]
pub(super) struct Names {
    holders: BTreeMap<Name, ClientId>,
    /// Until when a name is nobody else's.
    kept: BTreeMap<Name, (ClientId, Instant)>,
}

impl Names {
    /// Who has it.
    pub(super) fn holder(&self, name: &Name) -> Option<ClientId> {
        self.holders.get(name).copied()
    }

    /// Whether it is another identity's, or is kept for one.
    pub(super) fn is_taken(&self, now: Instant, name: &Name, by_other_than: ClientId) -> bool {
        let kept = self.kept.get(name).filter(|(_, until)| now < *until);
        let holders = [self.holder(name), kept.map(|(id, _)| *id)];
        holders.into_iter().flatten().any(|it| it != by_other_than)
    }

    /// Who has it now. It must be free, or be kept for nobody else.
    pub(super) fn take(&mut self, name: &Name, id: ClientId) {
        self.kept.remove(name);
        let replaced = self.holders.insert(name.clone(), id);
        debug_assert!(replaced.is_none(), "one holder for each name");
    }

    /// Nobody has it any more, and nobody else gets it for a while. Of more than `most` that are kept, those go that would soonest.
    pub(super) fn give_up(&mut self, now: Instant, name: &Name, time: Duration, most: usize) {
        let Some(id) = self.holders.remove(name) else {
            return;
        };
        self.kept.retain(|_, (_, until)| now < *until);
        let until = |it: &(&Name, &(ClientId, Instant))| it.1.1;
        while self.kept.len() >= most.max(1)
            && let Some((soonest, _)) = self.kept.iter().min_by_key(until)
        {
            let soonest = soonest.clone();
            self.kept.remove(&soonest);
        }
        if !time.is_zero() && most > 0 {
            self.kept.insert(name.clone(), (id, now + time));
        }
    }

    /// How many there are.
    #[cfg(feature = "__testing")]
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    #[test]
    fn a_name_is_kept_for_who_had_it_and_then_free() {
        let start = Instant::now();
        let [alice, bob] = [1, 2].map(|byte| ClientId::from_bytes([byte; 32]));
        let mut names = Names::default();
        names.take(&name("alice"), alice);
        assert!(names.is_taken(start, &name("alice"), bob));
        assert!(!names.is_taken(start, &name("alice"), alice));
        names.give_up(start, &name("alice"), TIME, 10);
        assert_eq!(names.holder(&name("alice")), None);
        let almost = start + TIME - Duration::from_nanos(1);
        assert!(names.is_taken(almost, &name("alice"), bob));
        assert!(!names.is_taken(almost, &name("alice"), alice));
        assert!(!names.is_taken(start + TIME, &name("alice"), bob));
        // Who is back has it as before, and keeps it as long again.
        names.take(&name("alice"), alice);
        names.give_up(almost, &name("alice"), TIME, 10);
        assert!(names.is_taken(start + TIME, &name("alice"), bob));
        names.take(&name("alice"), alice);
        names.give_up(start, &name("alice"), Duration::ZERO, 10);
        assert!(!names.is_taken(start, &name("alice"), bob));
    }

    #[test]
    fn of_too_many_that_are_kept_those_go_that_would_soonest() {
        let start = Instant::now();
        let mut names = Names::default();
        let all: Vec<_> = (0..6_u8).map(|it| name(&it.to_string())).collect();
        for (at, name) in (0..).zip(&all) {
            let id = ClientId::from_bytes([at; 32]);
            names.take(name, id);
            names.give_up(start + Duration::from_secs(at.into()), name, TIME, 3);
        }
        let other = ClientId::from_bytes([9; 32]);
        let kept = all
            .iter()
            .map(|it| names.is_taken(start + TIME / 2, it, other));
        assert!(kept.eq([false, false, false, true, true, true]));
        // Those whose time is over are not kept any more.
        let (late, last) = (start + 2 * TIME, name("last"));
        names.take(&last, other);
        names.give_up(late, &last, TIME, 3);
        assert_eq!(names.kept.len(), 1);
    }
}
