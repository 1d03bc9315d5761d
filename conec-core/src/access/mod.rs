//! Who may connect, who may reach whom, and who may do what in groups.

mod pattern;
mod policy;
mod text;

use std::{collections::BTreeSet, time::Duration};

use self::pattern::Pattern;
pub use self::{
    policy::Policy,
    text::{RuleProblem, RulesError},
};
use crate::{ClientId, Name, Secret, crypto::digest, text::encode};

/// Who may connect to a [`Coordinator`](crate::Coordinator), under which names, who may reach whom, and who may do what in groups.
///
/// Of each kind of rules, the first that fits decides. Whom none fits may not. They are written as text, a rule in a line:
///
/// ```
/// use conec_core::Rules;
///
/// let rules: Rules = "
///     ## Who may connect. `certified` is whom one of the Coordinator's authorities calls by a name.
///     connect deny  cyfxzc5mg5uxbfpakcehr6s3eh6tqmlkaqhwzuxgxgp5pdnpq5boyxdy
///     connect allow certified tag staff
///     connect allow name:printer-* tag office
///     connect ask   any
///
///     ## Who may reach whom, and what for: the label of the channel.
///     reach allow tag:staff to any
///     reach allow any to tag:office label print/*
///     reach allow any to same-tag
///
///     ## Who may have others connected to each other.
///     introduce allow name:lobby
///
///     ## Who may be in groups, say something there, and make them.
///     join allow any
///     publish allow tag:staff group news.*
///     publish allow any group room.*
///     create allow any group room.*
/// ".parse()?;
/// assert_eq!(rules.to_string().parse(), Ok(rules));
/// # Ok::<(), conec_core::RulesError>(())
/// ```
///
/// | rule | says |
/// | --- | --- |
/// | `connect` DECISION WHO [`until` TIME] [`as` NAME,...] [`tag` TAG,...] | whether who is like this may connect. It gets the first name, instead of the one that it asks for, and can be reached by the others as well; and the tags, by which other rules know it |
/// | `reach` DECISION WHO `to` WHO [`label` PATTERN] | whether the first may have a channel to the second; that one reaches the first by it, too, as soon as it stands. Who may not reach somebody learns no more than that nobody is there |
/// | `introduce` DECISION WHO | whether who is like this may have any two connected that may reach each other |
/// | `join` DECISION WHO [`group` PATTERN] | whether who is like this may be a member of groups of such names. Who may not learns no more than that there is none |
/// | `publish` DECISION WHO [`group` PATTERN] | whether it may publish there as well |
/// | `create` DECISION WHO [`group` PATTERN] | whether it may make such a group, by joining it first |
///
/// A decision is `allow`, `deny`, or `ask`, which asks the application as [`Policy::Ask`] does. A time is in seconds since 1970, and
/// counts when somebody connects.
///
/// | WHO | is |
/// | --- | --- |
/// | `any` | everybody |
/// | a [`ClientId`] | who has that key |
/// | `name:`PATTERN | who is called so; in `connect`, who wants to be called so, which proves nothing |
/// | `certified` | for whom one of the [authorities](crate::CoordinatorConfig::authorities) vouches |
/// | `tag:`TAG | who has that tag. Not in `connect` |
/// | `same-tag` | after `to`: who has a tag that the first has, too |
/// | `token:`HASH | in `connect`: who shows that [invitation](crate::Coordinator::invite), for the first time |
///
/// In a pattern, `*` stands for any number of characters. Tags are written as names are.
///
/// To look at one request takes as long as there are rules, some nanoseconds for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    connect: Vec<Connect>,
    reach: Vec<Reach>,
    introduce: Vec<Introduce>,
    groups: Vec<InGroups>,
}

impl Rules {
    /// Everybody may connect, reach everybody, and do everything in groups.
    pub fn everybody() -> Self {
        Self::of_policies(Policy::Allow, Policy::Allow, Policy::Allow)
    }

    /// Nobody may connect, until somebody is [invited](crate::Coordinator::invite). Those may reach each other, and do everything in
    /// groups.
    pub fn nobody() -> Self {
        Self::of_policies(Policy::Deny, Policy::Allow, Policy::Allow)
    }

    /// These may connect, and reach each other.
    pub fn listed(ids: impl IntoIterator<Item = ClientId>) -> Self {
        let mut rules = Self::nobody();
        let listed = ids
            .into_iter()
            .map(|id| Connect::of(Policy::Allow, Who::Key(id)));
        rules.connect.splice(0..0, listed);
        rules
    }

    /// Those may connect for whom an [authority](crate::CoordinatorConfig::authorities) vouches, and reach each other.
    pub fn certified() -> Self {
        Self {
            connect: vec![Connect::of(Policy::Allow, Who::Certified)],
            ..Self::nobody()
        }
    }

    /// The same, but that only those may reach each other who have a tag in common.
    #[must_use]
    pub fn within_tags(self) -> Self {
        let reach = vec![Reach {
            to: Whom::SameTag,
            ..Reach::all(Policy::Allow)
        }];
        Self { reach, ..self }
    }

    /// The same for everybody.
    pub(crate) fn of_policies(connect: Policy, reach: Policy, groups: Policy) -> Self {
        Self {
            connect: vec![Connect::of(connect, Who::Anyone)],
            reach: vec![Reach::all(reach)],
            introduce: Vec::new(),
            groups: [GroupAct::Join, GroupAct::Publish, GroupAct::Create]
                .map(|act| InGroups {
                    act,
                    policy: groups,
                    who: Who::Anyone,
                    group: None,
                })
                .to_vec(),
        }
    }

    /// What is decided about somebody who wants to connect.
    pub(crate) fn admission(&self, applicant: &Applicant<'_>) -> Admission {
        let fits = |rule: &&Connect| rule.fits(applicant);
        let rule = self.connect.iter().find(fits);
        rule.map_or_else(Admission::default, |rule| Admission {
            policy: rule.policy,
            names: rule.names.clone(),
            tags: rule.tags.clone(),
            invitation: match rule.who {
                Who::Token(hash) => Some(hash),
                Who::Anyone | Who::Key(_) | Who::Named(_) | Who::Tagged(_) | Who::Certified => None,
            },
        })
    }

    /// Whether one may have a channel to the other, for what is in its label.
    pub(crate) fn reach(&self, from: &Standing<'_>, to: &Standing<'_>, label: &[u8]) -> Policy {
        let rule = self.reach.iter().find(|rule| rule.fits(from, to, label));
        rule.map_or(Policy::Deny, |rule| rule.policy)
    }

    /// Whether somebody may have others connected.
    pub(crate) fn introduction(&self, by: &Standing<'_>) -> Policy {
        let rule = self.introduce.iter().find(|rule| rule.who.fits(by));
        rule.map_or(Policy::Deny, |rule| rule.policy)
    }

    /// Whether somebody may do something in a group.
    pub(crate) fn in_group(&self, by: &Standing<'_>, act: GroupAct, group: &Name) -> Policy {
        let rule = self.groups.iter().find(|rule| rule.fits(by, act, group));
        rule.map_or(Policy::Deny, |rule| rule.policy)
    }

    /// Whether the application may be asked about a channel that a Client wants, for itself or for others.
    pub(crate) fn may_ask_about_channels(&self) -> bool {
        let reach = self.reach.iter().map(|rule| rule.policy);
        let introduce = self.introduce.iter().map(|rule| rule.policy);
        reach.chain(introduce).any(|policy| policy == Policy::Ask)
    }

    /// Whether there are no channels between Clients at all.
    pub(crate) fn allow_no_channels(&self) -> bool {
        self.reach.iter().all(|rule| rule.policy == Policy::Deny)
    }

    /// Lets somebody in, once, who shows the token of this hash until that time since 1970.
    pub(crate) fn invite(
        &mut self,
        hash: TokenHash,
        until: Duration,
        names: Vec<Name>,
        tags: Tags,
    ) {
        let rule = Connect {
            until: Some(until),
            names,
            tags,
            ..Connect::of(Policy::Allow, Who::Token(hash))
        };
        // Who is forbidden is, invited or not.
        let others = self.connect.iter().position(|it| it.forbidden().is_none());
        self.connect
            .insert(others.unwrap_or(self.connect.len()), rule);
    }

    /// An invitation was used: from now on it is the key of who did that lets it in. Whether there was one.
    pub(crate) fn joined(&mut self, hash: TokenHash, id: ClientId) -> bool {
        let is_it = |rule: &&mut Connect| rule.who == Who::Token(hash);
        let rule = self.connect.iter_mut().find(is_it);
        let is_there = rule.is_some();
        if let Some(rule) = rule {
            rule.who = Who::Key(id);
            rule.until = None;
        }
        is_there
    }

    /// Whoever has this key may not connect, whatever other rules say.
    pub(crate) fn forbid(&mut self, id: ClientId) {
        self.permit(id);
        let rule = Connect::of(Policy::Deny, Who::Key(id));
        self.connect.insert(0, rule);
    }

    /// Takes back what was [forbidden](Self::forbid). Whether it was.
    pub(crate) fn permit(&mut self, id: ClientId) -> bool {
        let before = self.connect.len();
        self.connect.retain(|rule| rule.forbidden() != Some(id));
        self.connect.len() < before
    }

    /// Invitations that nobody has used in time are no more.
    pub(crate) fn tidy(&mut self, time: Duration) {
        let is_over = |rule: &Connect| {
            matches!(rule.who, Who::Token(_)) && rule.until.is_some_and(|until| until <= time)
        };
        self.connect.retain(|rule| !is_over(rule));
    }
}

/// Somebody who wants to connect.
pub(crate) struct Applicant<'a> {
    pub(crate) id: ClientId,
    /// What it would be called.
    pub(crate) name: Option<&'a Name>,
    pub(crate) certified: bool,
    pub(crate) token: &'a Secret<bytes::Bytes>,
    /// Since 1970.
    pub(crate) time: Duration,
}

/// Somebody who is connected, as rules see it.
#[derive(Clone, Copy)]
pub(crate) struct Standing<'a> {
    pub(crate) id: ClientId,
    pub(crate) name: Option<&'a Name>,
    /// What else it is called.
    pub(crate) others: &'a [Name],
    pub(crate) tags: &'a Tags,
    pub(crate) certified: bool,
}

/// By what rules know Clients.
pub(crate) type Tags = BTreeSet<Name>;

/// What is decided about somebody who wants to connect.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    pub(crate) policy: Policy,
    /// Instead of the name that it wants, where there are some.
    pub(crate) names: Vec<Name>,
    pub(crate) tags: Tags,
    /// Which invitation it has shown.
    pub(crate) invitation: Option<TokenHash>,
}

impl Default for Admission {
    /// Of somebody whom no rule fits.
    fn default() -> Self {
        Self {
            policy: Policy::Deny,
            names: Vec::new(),
            tags: Tags::new(),
            invitation: None,
        }
    }
}

/// What is kept of the token of an invitation, from which it cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenHash([u8; 20]);

impl TokenHash {
    pub(crate) fn of(token: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, token);
        let short = hash.as_ref().first_chunk();
        Self(*short.expect("the hash has 32 bytes"))
    }

    fn to_text(self) -> String {
        encode::<3>(TOKEN, &self.0)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Connect {
    policy: Policy,
    who: Who,
    /// Until which time since 1970 it counts.
    until: Option<Duration>,
    names: Vec<Name>,
    tags: Tags,
}

impl Connect {
    fn of(policy: Policy, who: Who) -> Self {
        Self {
            policy,
            who,
            until: None,
            names: Vec::new(),
            tags: Tags::new(),
        }
    }

    /// The key that may not connect by it, if it is of that kind.
    fn forbidden(&self) -> Option<ClientId> {
        match self.who {
            Who::Key(id) if self.policy == Policy::Deny => Some(id),
            Who::Key(_)
            | Who::Anyone
            | Who::Named(_)
            | Who::Tagged(_)
            | Who::Certified
            | Who::Token(_) => None,
        }
    }

    fn fits(&self, it: &Applicant<'_>) -> bool {
        let fits = match &self.who {
            Who::Anyone => true,
            Who::Key(id) => *id == it.id,
            Who::Named(pattern) => it.name.is_some_and(|name| pattern.fits(name.as_str())),
            Who::Certified => it.certified,
            Who::Token(hash) => {
                !it.token.as_ref().is_empty() && *hash == TokenHash::of(it.token.as_ref())
            }
            Who::Tagged(_) => false,
        };
        fits && self.until.is_none_or(|until| it.time < until)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reach {
    policy: Policy,
    from: Who,
    to: Whom,
    label: Option<Pattern>,
}

impl Reach {
    fn all(policy: Policy) -> Self {
        Self {
            policy,
            from: Who::Anyone,
            to: Whom::Like(Who::Anyone),
            label: None,
        }
    }

    fn fits(&self, from: &Standing<'_>, to: &Standing<'_>, label: &[u8]) -> bool {
        let reaches = match &self.to {
            Whom::Like(who) => who.fits(to),
            Whom::SameTag => !from.tags.is_disjoint(to.tags),
        };
        let is_for = |pattern: &Pattern| pattern.fits_bytes(label);
        reaches && self.from.fits(from) && self.label.as_ref().is_none_or(is_for)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Introduce {
    policy: Policy,
    who: Who,
}

/// What somebody does in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupAct {
    Join,
    Publish,
    /// It is the first who joins.
    Create,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InGroups {
    act: GroupAct,
    policy: Policy,
    who: Who,
    group: Option<Pattern>,
}

impl InGroups {
    fn fits(&self, by: &Standing<'_>, act: GroupAct, group: &Name) -> bool {
        let is_of = |pattern: &Pattern| pattern.fits(group.as_str());
        self.act == act && self.who.fits(by) && self.group.as_ref().is_none_or(is_of)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Anyone,
    Key(ClientId),
    Named(Pattern),
    Tagged(Name),
    Certified,
    Token(TokenHash),
}

impl Who {
    fn fits(&self, it: &Standing<'_>) -> bool {
        match self {
            Self::Anyone => true,
            Self::Key(id) => *id == it.id,
            Self::Named(pattern) => {
                let mut names = it.name.into_iter().chain(it.others);
                names.any(|name| pattern.fits(name.as_str()))
            }
            Self::Tagged(tag) => it.tags.contains(tag),
            Self::Certified => it.certified,
            Self::Token(_) => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    Like(Who),
    SameTag,
}

/// What the checksum of a token's hash is for.
const TOKEN: &str = "conec token";

#[cfg(test)]
mod tests;
