//! Where messages wait for the driver, so that not each of them takes the lock that everybody shares.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use conec_core::{
    Batch, CloseReason, Endpoint, SendEnd, StreamId,
    hub::{Attempt, Hub, SendError},
};

use super::brief_lock::BriefLock;

/// Messages on their way from a sending half into its stream.
///
/// The first one asks the hub whether there is room, and has the driver come for them. Those that follow before it comes
/// are added without asking, up to some 60 KiB.
pub(super) struct Outbox {
    id: StreamId,
    batch: BriefLock<Option<Batch>>,
    /// Whether messages wait with room behind them, as said whenever that changes. A lock for every such question would
    /// cost as much as to add a small message.
    open: AtomicBool,
}

impl Outbox {
    pub(super) fn new(id: StreamId) -> Arc<Self> {
        Arc::new(Self {
            id,
            batch: BriefLock::new(None),
            open: AtomicBool::new(false),
        })
    }

    /// Adds a message to those that the driver comes for, if there are any and it fits.
    #[inline]
    pub(super) fn add(&self, message: &Bytes) -> Option<Result<(), SendError>> {
        let mut batch = self.batch.lock();
        let waiting = batch.as_mut().filter(|batch| has_room(batch))?;
        let pushed = waiting.push(message);
        if !has_room(waiting) {
            self.note(&batch);
        }
        Some(pushed.map_err(SendError::from))
    }

    /// Whether [`add`](Self::add) would, unless the driver comes first.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether there is room for a message that the driver has to come for.
    pub(super) fn ready<W, E: Endpoint + ?Sized>(
        &self,
        hub: &mut Hub<W, E>,
    ) -> Attempt<Result<(), SendError>> {
        // If it has ended, that is told next.
        let _ = self.hand_over(hub);
        hub.send_ready(self.id)
    }

    /// Begins with this message. The driver has to come for it.
    pub(super) fn begin<W, E: Endpoint + ?Sized>(
        &self,
        hub: &mut Hub<W, E>,
        message: &Bytes,
    ) -> Result<(), SendError> {
        let mut batch = self.batch.lock();
        if batch.is_none() {
            *batch = hub.batch(self.id);
        }
        let Some(begun) = batch.as_mut() else {
            return Err(SendError::Ended(SendEnd::Closed(CloseReason::Local)));
        };
        begun.push(message)?;
        self.note(&batch);
        Ok(())
    }

    /// Hands everything over to the stream. What it does not take, because it has ended, is forgotten.
    pub(super) fn hand_over<W, E: Endpoint + ?Sized>(
        &self,
        hub: &mut Hub<W, E>,
    ) -> Attempt<Result<(), SendError>> {
        let mut batch = self.batch.lock();
        let handed = match batch.as_mut().filter(|batch| !batch.is_empty()) {
            Some(batch) => hub.send_batch(self.id, batch),
            None => Attempt::Done(Ok(())),
        };
        if let Attempt::Done(Err(_)) = handed {
            *batch = None;
        }
        self.note(&batch);
        handed
    }

    /// Forgets what was not handed over.
    pub(super) fn clear(&self) {
        let mut batch = self.batch.lock();
        *batch = None;
        self.note(&batch);
    }

    /// Says whether there is room, as it is now with the lock held.
    fn note(&self, batch: &Option<Batch>) {
        let open = batch.as_ref().is_some_and(has_room);
        self.open.store(open, Ordering::Relaxed);
    }
}

fn has_room(batch: &Batch) -> bool {
    !batch.is_empty() && batch.bytes() < FULL
}

/// As much as the system sends at once, headers aside. The rest of a larger batch would be sent by itself.
const FULL: usize = 60 << 10;
