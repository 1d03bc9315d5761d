//! Calls from one Client to another, each on a stream of its own.

use std::{error::Error, sync::Arc, time::Instant};

use bytes::Bytes;
use conec_tokio::Channel;
use tokio::task::JoinSet;

use crate::{
    load::{Load, MANY},
    meter::Meter,
    result::Result,
};

/// Calls without end. What is timed is how long all take that are made at once.
pub(crate) async fn make(channel: Channel, load: Load, meter: &Meter) -> Result<()> {
    let channel = Arc::new(channel);
    let question = Bytes::from(vec![0x5a; load.size()]);
    if let Load::Calls { workers } = load {
        let mut all = JoinSet::new();
        for _ in 0..workers {
            let (channel, question) = (Arc::clone(&channel), question.clone());
            all.spawn(async move {
                loop {
                    call(&channel, &question).await?;
                }
            });
        }
        // None ends but by an error.
        return all.join_next().await.ok_or("no workers")??;
    }
    loop {
        let begin = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..MANY {
            let (channel, question) = (Arc::clone(&channel), question.clone());
            all.spawn(async move { call(&channel, &question).await });
        }
        while let Some(done) = all.join_next().await {
            done??;
        }
        meter.round_trip(begin.elapsed());
    }
}

async fn call(channel: &Channel, question: &Bytes) -> Result<()> {
    let (mut sender, mut receiver) = channel.open_bi("call").await?;
    sender.send(question.clone()).await?;
    sender.finish()?;
    receiver.recv().await?.ok_or("no answer")?;
    Ok(())
}

/// Answers each call, and counts it.
pub(crate) async fn answer(channel: &Channel, meter: &Meter) -> Result<()> {
    while let Some(mut stream) = channel.accept().await {
        meter.received(0, 1);
        tokio::spawn(async move {
            let mut sender = stream.sender.take().ok_or("no way back")?;
            let question = stream.receiver.recv().await?.ok_or("no question")?;
            sender.send(question).await?;
            sender.finish()?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        });
    }
    Ok(())
}
