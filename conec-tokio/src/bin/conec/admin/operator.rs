//! The operator's side.

use conec_tokio::{Receiver, Sender};

use super::{
    proof,
    protocol::{Answer, LABEL, Request},
};
use crate::{
    failure::{Exit, Failure},
    home::Home,
    json,
    session::Session,
};

/// Who may ask a Coordinator for things.
pub(super) struct Operator {
    requests: Sender,
    answers: Receiver,
}

impl Operator {
    /// Proves who this is: the first identity of this machine, whichever of them is connected.
    pub(super) async fn of(session: &Session) -> Result<Self, Failure> {
        let identity = Home::open()?.identity()?;
        let not_one = |failure: Failure| {
            if !matches!(failure.exit(), Exit::Refused | Exit::NotThere) {
                return failure;
            }
            let what = "the Coordinator does not take this machine for an operator";
            Failure::new(
                Exit::Refused,
                what,
                format!("have it run with --admin {}", identity.id()),
            )
        };
        let client = session.client();
        let (mut requests, mut answers) = client.home().open_bi(LABEL).await?;
        let challenge = answers.recv().await.map_err(|end| not_one(end.into()))?;
        let challenge = challenge.and_then(|it| it[..].try_into().ok());
        let about = proof::Session {
            pin: session.pin()?,
            client: client.id(),
            challenge: challenge.ok_or_else(unexpected)?,
        };
        json::send(&mut requests, &about.prove(&identity)?).await?;
        match json::next(&mut answers).await.map_err(not_one)? {
            Some(Answer::Welcome) => Ok(Self { requests, answers }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn ask(&mut self, request: &Request) -> Result<Answer, Failure> {
        json::send(&mut self.requests, request).await?;
        match json::next(&mut self.answers).await? {
            Some(Answer::Failed { why }) => Err(Failure::new(
                Exit::Other,
                format!("the Coordinator says: {why}"),
                "see its log, where it runs",
            )),
            Some(answer) => Ok(answer),
            None => Err(Failure::new(
                Exit::Lost,
                "the Coordinator has stopped",
                "try again when it runs",
            )),
        }
    }
}

/// An answer to something else.
pub(super) fn unexpected() -> Failure {
    Failure::new(
        Exit::Other,
        "the Coordinator has answered something else",
        "the tool and the Coordinator should be of the same version",
    )
}
