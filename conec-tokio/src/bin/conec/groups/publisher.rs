//! Who publishes, and knows what became of it.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use conec_tokio::{Group, GroupItem, TryHearError};

use super::teller::Teller;
use crate::failure::{Exit, Failure};

/// Publishes in a group in which it does not hear messages.
pub(super) struct Publisher {
    group: Group,
    teller: Teller,
    /// What may be lost is published once more.
    again: bool,
    /// What may be, since the Coordinator has not said that it has it. Nothing unless it is to be published once more.
    sent: VecDeque<Bytes>,
    lost: u64,
}

impl Publisher {
    pub(super) fn new(group: Group, teller: Teller, again: bool) -> Self {
        Self {
            group,
            teller,
            again,
            sent: VecDeque::new(),
            lost: 0,
        }
    }

    /// Waits for something, and takes meanwhile what happens in the group.
    pub(super) async fn meanwhile<T>(
        &mut self,
        something: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut something = pin!(something);
        loop {
            tokio::select! {
                biased;
                item = self.group.recv() => self.take(item?).await?,
                done = &mut something => return Ok(done),
            }
        }
    }

    /// Publishes a message, once the Coordinator is there: after what has to be published once more.
    pub(super) async fn publish(&mut self, message: Bytes) -> Result<(), Failure> {
        let group = self.group.clone();
        self.meanwhile(group.publish(&message)).await??;
        if self.again {
            self.sent.push_back(message);
        }
        // Asked first: who joins again begins to count anew, and that is heard of below.
        let unconfirmed = usize::try_from(self.group.info().unconfirmed).unwrap_or(usize::MAX);
        match self.hear()? {
            0 => {
                let done = self.sent.len().saturating_sub(unconfirmed);
                self.sent.drain(..done);
            }
            unsure => self.may_be_lost(unsure).await?,
        }
        Ok(())
    }

    /// Waits until the Coordinator has all of it. Fails if some may be lost.
    pub(super) async fn finish(mut self) -> Result<(), Failure> {
        loop {
            self.group.confirmed().await?;
            match self.hear()? {
                0 => break,
                unsure => self.may_be_lost(unsure).await?,
            }
        }
        match self.lost {
            0 => Ok(()),
            1 => Err(lost("a message that was published may be lost")),
            count => Err(lost(format!(
                "{count} messages that were published may be lost"
            ))),
        }
    }

    /// Takes all that has happened. How many messages may be lost by it.
    fn hear(&mut self) -> Result<u64, Failure> {
        let mut unsure = 0;
        loop {
            match self.group.try_recv() {
                Ok(item) => unsure += self.tell(&item),
                Err(TryHearError::Blocked) => return Ok(unsure),
                Err(TryHearError::Failed(end)) => return Err(end.into()),
            }
        }
    }

    async fn take(&mut self, item: GroupItem) -> Result<(), Failure> {
        match self.tell(&item) {
            0 => Ok(()),
            unsure => self.may_be_lost(unsure).await,
        }
    }

    fn tell(&mut self, item: &GroupItem) -> u64 {
        self.teller.tell(item);
        if let GroupItem::Joined(joined) = item {
            return joined.unsure;
        }
        0
    }

    async fn may_be_lost(&mut self, count: u64) -> Result<(), Failure> {
        if !self.again {
            self.lost += count;
            return Ok(());
        }
        // Which of them cannot be told to the last: one too many is better than one too few. They are kept until that is confirmed.
        for message in &self.sent {
            self.group.publish(message).await?;
        }
        Ok(())
    }
}

fn lost(what: impl Into<String>) -> Failure {
    Failure::new(
        Exit::Lost,
        what,
        "the Coordinator was away meanwhile: with --again, what may be lost is published once more, and may be heard twice",
    )
}
