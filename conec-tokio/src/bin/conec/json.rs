//! Messages of streams that are JSON.

use conec_tokio::{Receiver, Sender};
use serde::{Serialize, de::DeserializeOwned};

use crate::failure::{Exit, Failure};

/// Sends something.
pub(crate) async fn send(sender: &mut Sender, what: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_vec(what)
        .map_err(|error| Failure::mistake(format!("cannot be sent: {error}")))?;
    Ok(sender.send(text.into()).await?)
}

/// Receives something.
pub(crate) async fn receive<T: DeserializeOwned>(receiver: &mut Receiver) -> Result<T, Failure> {
    next(receiver).await?.ok_or_else(|| {
        Failure::new(
            Exit::Lost,
            "the other end has ended before it said anything",
            "see whether it still runs, and what it says",
        )
    })
}

/// Receives what comes next. `None` after the last.
pub(crate) async fn next<T: DeserializeOwned>(
    receiver: &mut Receiver,
) -> Result<Option<T>, Failure> {
    let Some(message) = receiver.recv().await? else {
        return Ok(None);
    };
    serde_json::from_slice(&message).map(Some).map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("the other end is not understood: {error}"),
            "use the same version of conec at both ends",
        )
    })
}
