//! What goes wrong in groups, for people.

use conec_tokio::{ErrorCode, GroupEnd, JoinError, PublishError};

use crate::{
    codes,
    failure::{self, Exit, Failure},
};

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Ended(end) => end.into(),
            JoinError::Refused(_) | _ => {
                Self::new(Exit::Other, failure::chain(&error)).help("try again")
            }
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
            )
            .help("publish it in parts, or send it by `conec send`"),
            PublishError::NotPublisher | PublishError::Sealing(_) | _ => {
                Self::new(Exit::Other, failure::chain(&error))
            }
        }
    }
}

/// Why somebody is in a group no more.
impl From<GroupEnd> for Failure {
    fn from(end: GroupEnd) -> Self {
        match end {
            GroupEnd::Closed(reason) => failure::ended(reason),
            GroupEnd::Refused(ErrorCode::NotFound) => Self::new(
                Exit::Refused,
                "the Coordinator does not let this Client into that group, or has ended it",
            )
            .help(ASK),
            GroupEnd::Refused(ErrorCode::Refused) => Self::new(
                Exit::Refused,
                "the Coordinator lets this Client hear in that group, but not publish",
            )
            .help(ASK),
            GroupEnd::Application(code) => {
                let (why, help) = match codes::meaning(code) {
                    Some((why, help)) => (why.to_owned(), help),
                    None => (code.to_string(), ASK),
                };
                Self::new(Exit::Refused, format!("refused by the Coordinator: {why}")).help(help)
            }
            GroupEnd::Refused(code) => Self::new(Exit::Refused, code.to_string()).help(ASK),
            GroupEnd::TooSlow => {
                Self::new(Exit::Lost, end.to_string()).help("read faster, and begin again")
            }
            GroupEnd::Left | GroupEnd::Violation | GroupEnd::Sealing(_) | _ => {
                Self::new(Exit::Other, end.to_string())
                    .help("are this and the Coordinator of the same version?")
            }
        }
    }
}

const ASK: &str = "ask whoever runs it";
