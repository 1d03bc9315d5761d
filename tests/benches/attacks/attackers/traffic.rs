//! What the attackers of this process have sent.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What is sent in all, or in a second.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

impl Traffic {
    /// What this process has sent so far.
    pub(crate) fn sent() -> Self {
        Self {
            datagrams: DATAGRAMS.load(Ordering::Relaxed),
            bytes: BYTES.load(Ordering::Relaxed),
        }
    }

    /// This process has sent a datagram.
    pub(crate) fn count(bytes: usize) {
        DATAGRAMS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

static DATAGRAMS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
