//! Where messages wait for the driver, so that not each of them takes the lock of the endpoint.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use conec_core::{Batch, StreamId};

use super::brief_lock::BriefLock;
use crate::SendError;

/// Messages on their way from a sending half into its stream.
///
/// The first one asks the stream whether there is room, and wakes the driver to fetch it. Those that follow before it is
/// fetched are added without asking, up to some 60 KiB.
pub(crate) struct Outbox {
    id: StreamId,
    batch: BriefLock<Option<Batch>>,
    /// Whether messages wait, and another can be added. Updated with every change: taking the lock to ask would cost as
    /// much as adding a small message.
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

    /// Adds a message to those that wait for the driver, if there are any and it fits.
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

    /// Whether [`add`](Self::add) would add one, unless the driver fetches the others first.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Does something to all messages that wait, or to the room for them.
    pub(super) fn change<T>(&self, f: impl FnOnce(&mut Option<Batch>) -> T) -> T {
        let mut batch = self.batch.lock();
        let result = f(&mut batch);
        self.note(&batch);
        result
    }

    /// Forgets what was not handed over.
    pub(crate) fn clear(&self) {
        self.change(|batch| *batch = None);
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

/// As much as one system call sends, headers aside. A larger batch would leave a small rest to be sent separately.
const FULL: usize = 60 << 10;
