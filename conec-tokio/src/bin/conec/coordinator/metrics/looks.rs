//! Looks, shared by all who want one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::look::{Look, Origin};
use crate::coordinator::Office;

/// A cheap handle.
#[derive(Clone)]
pub(super) struct Looks(Arc<Inner>);

struct Inner {
    office: Office,
    origin: Origin,
    latest: Mutex<Option<(Arc<Look>, Duration)>>,
}

impl Looks {
    pub(super) fn new(office: Office) -> Self {
        Self(Arc::new(Inner {
            office,
            origin: Origin::now(),
            latest: Mutex::new(None),
        }))
    }

    /// One that is hardly older than a second. Where there is much to see, it may be older: looking takes a small part of the time only.
    pub(super) async fn latest(&self) -> Arc<Look> {
        let mut latest = self.0.latest.lock().await;
        if let Some((look, took)) = &*latest
            && look.at.elapsed() < FRESH.max(*took * PART)
        {
            return Arc::clone(look);
        }
        let before = latest.as_ref().map(|(look, _)| &**look);
        let began = Instant::now();
        let look = Look::take(self.0.office.coordinator(), &self.0.origin, before).await;
        let look = Arc::new(look);
        *latest = Some((Arc::clone(&look), began.elapsed()));
        look
    }
}

/// A little less than a second: who comes each second, and is early once, still gets another one.
const FRESH: Duration = Duration::from_millis(900);
/// One in so many.
const PART: u32 = 50;
