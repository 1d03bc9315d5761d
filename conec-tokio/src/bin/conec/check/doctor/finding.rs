//! What was found, and what to do about it.

use std::fmt;

use serde::Serialize;

/// What one look has found.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    pub(super) verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// All is well.
    Well,
    /// It works, and could do better.
    Hint,
    /// It does not work until something is done.
    Problem,
}

impl Finding {
    pub(super) fn well(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Well,
            found: found.into(),
            help: None,
        }
    }

    pub(super) fn hint(
        check: &'static str,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Hint,
            help: Some(help.into()),
            ..Self::well(check, found)
        }
    }

    pub(super) fn problem(
        check: &'static str,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Problem,
            help: Some(help.into()),
            ..Self::well(check, found)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Well => "ok   ",
            Verdict::Hint => "hint ",
            Verdict::Problem => "TO DO",
        };
        write!(f, "{mark}  {}: {}", self.check, self.found)?;
        match &self.help {
            Some(help) => write!(f, "\n       {help}"),
            None => Ok(()),
        }
    }
}
