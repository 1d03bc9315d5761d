//! Rules as text, a rule in a line.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use thiserror::Error;

use super::{
    Connect, GroupAct, InGroups, Introduce, Pattern, Reach, Rules, TOKEN, TokenHash, Who, Whom,
};
use crate::{
    Name, Policy,
    text::{TextError, decode},
};

/// Which line of a text is no rule, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct RulesError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: RuleProblem,
}

/// Why a line is no [rule](Rules).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// It begins with something else.
    #[error(
        "a rule begins with connect, reach, introduce, join, publish or create, and not with {0:?}"
    )]
    Kind(String),
    /// Something else stands where the decision should.
    #[error("a rule says allow, deny or ask, and not {0:?}")]
    Decision(String),
    /// Something else stands where it should say who is meant.
    #[error(
        "{0:?} says not who is meant: that is any, certified, the id of a key, name:PATTERN, or tag:TAG but in connect, same-tag after to, token:HASH in connect"
    )]
    Who(String),
    /// The id of a key, or the hash of a token, is damaged.
    #[error("{word:?} is damaged: {error}")]
    Damaged {
        /// What stands there.
        word: String,
        /// What is wrong with it.
        error: TextError,
    },
    /// A rule of this kind has no such part.
    #[error("{0:?} is out of place here")]
    Word(String),
    /// The line ends where something should follow.
    #[error("something is missing after {0:?}")]
    Missing(String),
    /// A name or tag is none.
    #[error("{0:?} is no name: 1 to 64 lower-case letters, digits, '.', '_' and '-'")]
    Name(String),
    /// It stands there twice.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// A pattern is none.
    #[error("{0:?} is no pattern: 1 to 128 visible ASCII characters, neither ',' nor '#'")]
    Pattern(String),
    /// A time is none.
    #[error("{0:?} is no time: seconds since 1970")]
    Time(String),
}

impl FromStr for Rules {
    type Err = RulesError;

    fn from_str(text: &str) -> Result<Self, RulesError> {
        let mut rules = Self::default();
        for (before, line) in text.lines().enumerate() {
            let text = line.split('#').next().unwrap_or_default();
            let words = Words::new(text);
            let line = before + 1;
            rules
                .read(words)
                .map_err(|problem| RulesError { line, problem })?;
        }
        Ok(rules)
    }
}

impl Rules {
    fn read(&mut self, mut words: Words<'_>) -> Result<(), RuleProblem> {
        let Some(kind) = words.next() else {
            return Ok(());
        };
        match kind {
            "connect" => self.connect.push(words.connect()?),
            "reach" => self.reach.push(words.reach()?),
            "introduce" => self.introduce.push(Introduce {
                policy: words.decision()?,
                who: words.who()?,
            }),
            "join" => self.groups.push(words.in_groups(GroupAct::Join)?),
            "publish" => self.groups.push(words.in_groups(GroupAct::Publish)?),
            "create" => self.groups.push(words.in_groups(GroupAct::Create)?),
            _ => return Err(RuleProblem::Kind(kind.into())),
        }
        match words.next() {
            None => Ok(()),
            Some(word) => Err(RuleProblem::Word(word.into())),
        }
    }
}

/// The words of a line that are left.
struct Words<'a> {
    rest: std::str::SplitWhitespace<'a>,
    last: &'a str,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        Self {
            rest: line.split_whitespace(),
            last: "",
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.rest.next().inspect(|word| self.last = word)
    }

    fn need(&mut self) -> Result<&'a str, RuleProblem> {
        let last = self.last;
        self.next().ok_or_else(|| RuleProblem::Missing(last.into()))
    }

    fn connect(&mut self) -> Result<Connect, RuleProblem> {
        let policy = self.decision()?;
        let word = self.need()?;
        let who = match word.strip_prefix("token:") {
            Some(hash) => Who::Token(token(hash)?),
            None if word.starts_with("tag:") => return Err(RuleProblem::Who(word.into())),
            None => who(word)?,
        };
        let mut rule = Connect::of(policy, who);
        let mut seen = BTreeSet::new();
        while let Some(word) = self.next() {
            if !seen.insert(word) {
                return Err(RuleProblem::Twice(word.into()));
            }
            match word {
                "until" => {
                    let time = self.need()?;
                    let seconds = time.parse().map_err(|_| RuleProblem::Time(time.into()))?;
                    rule.until = Some(Duration::from_secs(seconds));
                }
                "as" => rule.names = names(self.need()?)?,
                "tag" => rule.tags = names(self.need()?)?.into_iter().collect(),
                _ => return Err(RuleProblem::Word(word.into())),
            }
        }
        Ok(rule)
    }

    fn reach(&mut self) -> Result<Reach, RuleProblem> {
        let (policy, from) = (self.decision()?, self.who()?);
        match self.need()? {
            "to" => {}
            word => return Err(RuleProblem::Word(word.into())),
        }
        let to = match self.need()? {
            "same-tag" => Whom::SameTag,
            word => Whom::Like(who(word)?),
        };
        let label = match self.next() {
            None => None,
            Some("label") => Some(pattern(self.need()?)?),
            Some(word) => return Err(RuleProblem::Word(word.into())),
        };
        Ok(Reach {
            policy,
            from,
            to,
            label,
        })
    }

    fn in_groups(&mut self, act: GroupAct) -> Result<InGroups, RuleProblem> {
        let (policy, who) = (self.decision()?, self.who()?);
        let group = match self.next() {
            None => None,
            Some("group") => Some(pattern(self.need()?)?),
            Some(word) => return Err(RuleProblem::Word(word.into())),
        };
        Ok(InGroups {
            act,
            policy,
            who,
            group,
        })
    }

    fn decision(&mut self) -> Result<Policy, RuleProblem> {
        match self.need()? {
            "allow" => Ok(Policy::Allow),
            "deny" => Ok(Policy::Deny),
            "ask" => Ok(Policy::Ask),
            word => Err(RuleProblem::Decision(word.into())),
        }
    }

    fn who(&mut self) -> Result<Who, RuleProblem> {
        who(self.need()?)
    }
}

fn who(word: &str) -> Result<Who, RuleProblem> {
    Ok(match word.split_once(':') {
        Some(("name", text)) => Who::Named(pattern(text)?),
        Some(("tag", tag)) => Who::Tagged(name(tag)?),
        Some(_) => return Err(RuleProblem::Who(word.into())),
        None if word == "any" => Who::Anyone,
        None if word == "certified" => Who::Certified,
        // Shorter words are mistyped otherwise.
        None if word.len() >= ID_LEN / 2 => {
            let damaged = |error| RuleProblem::Damaged {
                word: word.into(),
                error,
            };
            Who::Key(word.parse().map_err(damaged)?)
        }
        None => return Err(RuleProblem::Who(word.into())),
    })
}

fn token(text: &str) -> Result<TokenHash, RuleProblem> {
    let damaged = |error| RuleProblem::Damaged {
        word: text.into(),
        error,
    };
    let bytes = decode::<3>(TOKEN, text).map_err(damaged)?;
    let found = text.len();
    let bytes = bytes.try_into();
    bytes
        .map(TokenHash)
        .map_err(|_| damaged(TextError::Length { found }))
}

fn names(text: &str) -> Result<Vec<Name>, RuleProblem> {
    let mut all = Vec::new();
    for text in text.split(',') {
        let name = name(text)?;
        if all.contains(&name) {
            return Err(RuleProblem::Twice(text.into()));
        }
        all.push(name);
    }
    Ok(all)
}

fn name(text: &str) -> Result<Name, RuleProblem> {
    text.parse().map_err(|_| RuleProblem::Name(text.into()))
}

fn pattern(text: &str) -> Result<Pattern, RuleProblem> {
    Pattern::new(text).ok_or_else(|| RuleProblem::Pattern(text.into()))
}

/// As text that is [read](Rules#impl-FromStr-for-Rules) as the same rules; comments are not kept.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.connect {
            write!(f, "connect {} {}", word(rule.policy), rule.who)?;
            if let Some(until) = rule.until {
                write!(f, " until {}", until.as_secs())?;
            }
            write_names(f, "as", rule.names.iter())?;
            write_names(f, "tag", rule.tags.iter())?;
            writeln!(f)?;
        }
        for rule in &self.reach {
            write!(f, "reach {} {} to ", word(rule.policy), rule.from)?;
            match &rule.to {
                Whom::Like(who) => write!(f, "{who}")?,
                Whom::SameTag => write!(f, "same-tag")?,
            }
            if let Some(label) = &rule.label {
                write!(f, " label {label}")?;
            }
            writeln!(f)?;
        }
        for rule in &self.introduce {
            writeln!(f, "introduce {} {}", word(rule.policy), rule.who)?;
        }
        for rule in &self.groups {
            let act = match rule.act {
                GroupAct::Join => "join",
                GroupAct::Publish => "publish",
                GroupAct::Create => "create",
            };
            write!(f, "{act} {} {}", word(rule.policy), rule.who)?;
            if let Some(group) = &rule.group {
                write!(f, " group {group}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("any"),
            Self::Key(id) => write!(f, "{id}"),
            Self::Named(pattern) => write!(f, "name:{pattern}"),
            Self::Tagged(tag) => write!(f, "tag:{tag}"),
            Self::Certified => f.write_str("certified"),
            Self::Token(hash) => write!(f, "token:{}", hash.to_text()),
        }
    }
}

fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Allow => "allow",
        Policy::Deny => "deny",
        Policy::Ask => "ask",
    }
}

fn write_names<'a>(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    names: impl Iterator<Item = &'a Name>,
) -> fmt::Result {
    for (at, name) in names.enumerate() {
        match at {
            0 => write!(f, " {word} {name}")?,
            _ => write!(f, ",{name}")?,
        }
    }
    Ok(())
}

/// Of the id of a key.
const ID_LEN: usize = 56;
