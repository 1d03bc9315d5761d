//! What a process that is pinged does.
//!
//! The protocol of `conec/ping`: on each bidirectional stream, every message comes back as it is.

use conec_tokio::{IncomingStream, Offer};

use crate::failure::Failure;

pub(crate) const SERVICE: &str = "conec/ping";

/// Sends everything back, until the other end has had enough.
pub(crate) async fn answer(offer: Offer) -> Result<(), Failure> {
    let channel = offer.accept().await?;
    while let Some(stream) = channel.accept().await {
        tokio::spawn(send_back(stream));
    }
    Ok(())
}

async fn send_back(stream: IncomingStream) -> Result<(), Failure> {
    let Some(mut answers) = stream.sender else {
        return Ok(());
    };
    let mut questions = stream.receiver;
    while let Some(question) = questions.recv().await? {
        answers.send(question).await?;
    }
    answers.finish()?;
    Ok(())
}
