//! Where messages wait for the driver, so that not each of them takes the lock that everybody shares.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use conec_core::{Batch, CloseReason, Endpoint, SendEnd, StreamId};

use super::{State, brief_lock::BriefLock, waiters::Subject};
use crate::SendError;

/// Messages on their way from a sending half into its stream.
///
/// The first one asks whether there is room, and has the driver come for them. Those that follow before it comes are
/// added without asking, up to some 60 KiB.
pub(crate) struct Outbox {
    id: StreamId,
    batch: BriefLock<Option<Batch>>,
    /// Whether messages wait with room behind them, as said whenever that changes. A lock for every such question would
    /// cost as much as to add a small message.
    open: AtomicBool,
}

impl Outbox {
    pub(crate) fn new(id: StreamId) -> Arc<Self> {
        Arc::new(Self {
            id,
            batch: BriefLock::new(None),
            open: AtomicBool::new(false),
        })
    }

    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// Adds a message to those that the driver comes for, if there are any and it fits.
    #[inline]
    pub(crate) fn add(&self, message: &Bytes) -> Option<Result<(), SendError>> {
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
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether there is room for a message that the driver has to come for.
    pub(crate) fn ready<E: Endpoint + ?Sized>(
        &self,
        state: &mut State<E>,
    ) -> Result<Result<(), SendError>, Subject> {
        // If it has ended, that is told next.
        let _ = self.hand_over(state);
        state.send_by(self.id, |stream| stream.poll_ready())
    }

    /// Begins with this message. The driver has to come for it.
    pub(super) fn begin<E: Endpoint + ?Sized>(
        &self,
        state: &mut State<E>,
        message: &Bytes,
    ) -> Result<(), SendError> {
        let mut batch = self.batch.lock();
        if batch.is_none() {
            *batch = state.batch(self.id);
        }
        let Some(begun) = batch.as_mut() else {
            return Err(SendError::Ended(SendEnd::Closed(CloseReason::Local)));
        };
        begun.push(message)?;
        self.note(&batch);
        Ok(())
    }

    /// Hands everything over to the stream. What it does not take, because it has ended, is forgotten.
    pub(super) fn hand_over<E: Endpoint + ?Sized>(
        &self,
        state: &mut State<E>,
    ) -> Result<Result<(), SendError>, Subject> {
        let mut batch = self.batch.lock();
        let handed = match batch.as_mut().filter(|batch| !batch.is_empty()) {
            Some(batch) => state.send_by(self.id, |stream| stream.send_batch(batch)),
            None => Ok(Ok(())),
        };
        if let Ok(Err(_)) = handed {
            *batch = None;
        }
        self.note(&batch);
        handed
    }

    /// Forgets what was not handed over.
    pub(crate) fn clear(&self) {
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
