//! Those who watch: server-sent events, one a second.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch::Receiver};

use super::{
    looks::Looks,
    view::{View, Wanted},
};

/// What is in an answer, all at once or bit by bit.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// As many as may be.
pub(super) struct Watchers {
    places: Arc<Semaphore>,
    told: Arc<Told>,
    stopped: Receiver<bool>,
}

/// What all are told, written once.
struct Told {
    looks: Looks,
    latest: Mutex<Option<(Instant, Bytes)>>,
}

/// One who watches, until the other side is gone, or there is nothing to be seen any more.
struct Watcher {
    told: Arc<Told>,
    stopped: Receiver<bool>,
    seen: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Watchers {
    pub(super) fn new(looks: Looks, stopped: Receiver<bool>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            told: Arc::new(Told {
                looks,
                latest: Mutex::new(None),
            }),
            stopped,
        }
    }

    /// What one more is told, if there is a place.
    pub(super) fn enter(&self) -> Option<Body> {
        let watcher = Watcher {
            _place: Arc::clone(&self.places).try_acquire_owned().ok()?,
            told: Arc::clone(&self.told),
            stopped: self.stopped.clone(),
            seen: None,
        };
        let events = stream::unfold(watcher, |mut watcher| async {
            let event = watcher.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(event)), watcher))
        });
        Some(StreamBody::new(events).boxed_unsync())
    }
}

impl Watcher {
    /// The next event, which is another one than the last.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.seen.is_some() {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    _ = self.stopped.wait_for(|stop| *stop) => return None,
                }
            }
            let (at, event) = self.told.latest().await?;
            if self.seen.replace(at) != Some(at) {
                return Some(event);
            }
        }
    }
}

impl Told {
    async fn latest(&self) -> Option<(Instant, Bytes)> {
        let look = self.looks.latest().await;
        let mut latest = self.latest.lock().await;
        match &*latest {
            Some(told) if told.0 == look.at => Some(told.clone()),
            Some(_) | None => {
                let wanted = Wanted {
                    most: SHOWN,
                    ..Wanted::default()
                };
                let event = event(&View::of(&look, &wanted)).ok()?;
                Some(latest.insert((look.at, event)).clone())
            }
        }
    }
}

/// There is no line break in JSON that is written so.
fn event(view: &View<'_>) -> serde_json::Result<Bytes> {
    let mut text = b"retry: 2000\ndata: ".to_vec();
    serde_json::to_writer(&mut text, view)?;
    text.extend_from_slice(b"\n\n");
    Ok(text.into())
}

const PLACES: usize = 16;
const EVERY: Duration = Duration::from_secs(1);
/// As many Clients, channels and groups as a page shows at once.
const SHOWN: usize = 20;
