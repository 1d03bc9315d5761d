//! What a process that is pinged does.
//!
//! The protocol of `conec/ping`: on each bidirectional stream, every message comes back as it is.

use conec_tokio::{IncomingStream, Offer, Receiver, Sender};

use crate::failure::Failure;

pub(crate) const SERVICE: &str = "conec/ping";

/// Sends everything back, until the other end has had enough.
pub(crate) async fn answer(offer: Offer) -> Result<(), Failure> {
    let channel = offer.accept().await?;
    while let Some(stream) = channel.accept().await {
        let IncomingStream {
            sender: Some(sender),
            receiver,
            ..
        } = stream
        else {
            continue;
        };
        tokio::spawn(send_back(sender, receiver));
    }
    Ok(())
}

pub(super) async fn send_back(mut answers: Sender, mut questions: Receiver) -> Result<(), Failure> {
    while let Some(question) = questions.recv().await? {
        answers.send(question).await?;
    }
    answers.finish()?;
    Ok(())
}
