//! What goes wrong in groups, for people.

use conec_tokio::{ErrorCode, GroupEnd, JoinError, PublishError};

use crate::{
    codes,
    failure::{self, Exit, Failure},
    reasons,
};

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Ended(end) => end.into(),
            JoinError::Refused(_) | _ => Self::new(
                Exit::Other,
                failure::chain(&error),
                "name each group once; if the Coordinator is away, try again when it is there",
            ),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Ended(end) => end.into(),
            PublishError::TooLarge { max } => Self::new(
                Exit::Other,
                format!("a message has at most {max} bytes here"),
                "publish it in parts, or send it by `conec send`",
            ),
            PublishError::Sealing(_) => Self::new(
                Exit::Other,
                failure::chain(&error),
                "begin again: what is sealed is counted anew then",
            ),
            PublishError::NotPublisher | _ => Self::mistake(failure::chain(&error)),
        }
    }
}

/// Why somebody is in a group no more.
impl From<GroupEnd> for Failure {
    fn from(end: GroupEnd) -> Self {
        match end {
            GroupEnd::Closed(reason) => reasons::ended(reason),
            GroupEnd::Refused(ErrorCode::NotFound) => Self::new(
                Exit::Refused,
                "the Coordinator does not let this Client into that group, or has ended it",
                ASK,
            ),
            GroupEnd::Refused(ErrorCode::Refused) => Self::new(
                Exit::Refused,
                "the Coordinator lets this Client hear in that group, but not publish",
                ASK,
            ),
            GroupEnd::Application(code) => {
                let (why, help) = match codes::meaning(code) {
                    Some((why, help)) => (why.to_owned(), help),
                    None => (code.to_string(), ASK),
                };
                Self::new(
                    Exit::Refused,
                    format!("refused by the Coordinator: {why}"),
                    help,
                )
            }
            GroupEnd::Refused(code) => {
                Self::new(Exit::Refused, code.to_string(), reasons::advice_by(code))
            }
            GroupEnd::TooSlow => Self::new(
                Exit::Lost,
                end.to_string(),
                reasons::advice_by(ErrorCode::TooSlow),
            ),
            GroupEnd::Left => Self::new(Exit::Other, end.to_string(), "run it again"),
            GroupEnd::Sealing(_) => Self::new(
                Exit::Other,
                end.to_string(),
                "ask whoever runs the Coordinator whether it was set back to an earlier state",
            ),
            GroupEnd::Violation | _ => Self::new(
                Exit::Other,
                end.to_string(),
                "are this and the Coordinator of the same version?",
            ),
        }
    }
}

const ASK: &str = "ask whoever runs it";
