//! Rules that change while Clients are there.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Coordinator, session::REFUSED};
use crate::{
    ClientId, ErrorCode, Name, PairId, Policy, Secret,
    access::{Applicant, Tags, TokenHash},
};

impl Coordinator {
    /// Rules have changed, which counts for what stands as well.
    pub(super) fn apply_rules(&mut self, now: Instant) {
        for id in self.registry.ids() {
            self.rule_on(now, id);
        }
        self.rule_on_members(now);
        let all: Vec<_> = self.pairs.from(PairId(0)).collect();
        for pair in all {
            // Of a Client that is away nothing is known until it is back.
            let is_there = |id: ClientId| self.registry.get(id).is_some();
            let Some(stands) = self.pairs.get(pair) else {
                continue;
            };
            // Who has only asked learns no more than others do.
            let code = match stands.is_offered() {
                true => REFUSED,
                false => ErrorCode::NotFound.into(),
            };
            let both = stands.ends.iter().all(|end| is_there(end.id));
            if both && self.policy_of(pair) == Policy::Deny {
                self.revoke_pair(now, pair, code);
            }
        }
    }

    pub(super) fn invite_somebody(
        &mut self,
        now: Instant,
        names: Vec<Name>,
        tags: Tags,
        valid: Duration,
    ) -> Secret<Bytes> {
        let time = self.host.unix_time(now);
        let token = [self.host.random(), self.host.random()].map(u64::to_be_bytes);
        let token = token.concat();
        self.rules.tidy(time);
        let (hash, until) = (TokenHash::of(&token), time.saturating_add(valid));
        self.rules.invite(hash, until, names, tags);
        token.into()
    }

    /// Gives a Client the tags that the rules have for it, or disconnects it.
    fn rule_on(&mut self, now: Instant, id: ClientId) {
        let time = self.host.unix_time(now);
        let Some(member) = self.registry.get_mut(id) else {
            return;
        };
        let admission = self.rules.admission(&Applicant {
            id,
            name: member.wanted(),
            certified: member.certified().is_some(),
            token: &Secret::default(),
            time,
        });
        member.set_tags(admission.tags);
        let session = member.session;
        if admission.policy == Policy::Deny {
            for pair in self.pairs.pairs_of(id) {
                self.revoke_pair(now, pair, REFUSED);
            }
            self.close_session(now, session, REFUSED);
        }
    }
}
