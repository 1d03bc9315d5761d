//! The other end of a measurement.

use std::{pin::Pin, sync::Arc};

use conec_tokio::{IncomingStream, Offer};
use tokio::sync::Semaphore;

use super::{
    load,
    protocol::{DOWN, ECHO, Order, UP},
};
use crate::{check::echo, codes, failure::Failure, json};

type Work = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Serves one at a time: two would measure each other.
pub(super) fn service() -> impl Fn(Offer) -> Work + Send + 'static {
    let turn = Arc::new(Semaphore::new(1));
    move |offer| Box::pin(serve(offer, Arc::clone(&turn)))
}

async fn serve(offer: Offer, turn: Arc<Semaphore>) -> Result<(), Failure> {
    let Ok(_turn) = turn.try_acquire() else {
        offer.reject(codes::BUSY);
        return Ok(());
    };
    let channel = offer.accept().await?;
    while let Some(stream) = channel.accept().await {
        tokio::spawn(async move {
            if let Err(failure) = answer(stream).await {
                tracing::debug!(%failure, "a measurement was not completed");
            }
        });
    }
    Ok(())
}

async fn answer(stream: IncomingStream) -> Result<(), Failure> {
    let label = String::from_utf8_lossy(&stream.label).into_owned();
    let mut receiver = stream.receiver;
    let Some(mut sender) = stream.sender else {
        return Ok(());
    };
    match label.as_str() {
        ECHO => echo::send_back(sender, receiver).await,
        UP => {
            match load::count(&mut receiver).await {
                Ok(came) => json::send(&mut sender, &came).await?,
                Err(failure) => {
                    sender.reset(codes::FAILED);
                    return Err(failure);
                }
            }
            Ok(sender.finish()?)
        }
        DOWN => {
            let order: Order = json::receive(&mut receiver).await?;
            load::send(&mut sender, order.time()).await
        }
        _ => {
            sender.reset(codes::MALFORMED);
            Ok(())
        }
    }
}
