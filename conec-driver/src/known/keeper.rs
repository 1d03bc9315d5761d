//! What a Client learns is stored before anybody makes use of it.

use std::sync::{Arc, Mutex, PoisonError};

use conec_core::{ClientId, KeyChange, Name, PeerInfo};

use super::{KnownError, KnownFile};
use crate::{off_thread::off_thread, shared::Shared};

/// Stores what a Client learns, in the file that its names have come from.
pub(crate) struct Keeper {
    pub(crate) file: KnownFile,
    shared: Arc<Shared<conec_core::Client>>,
    /// Whoever finds nothing to store has to know that it is stored, and not that somebody is about to.
    storing: Mutex<()>,
}

impl Keeper {
    pub(crate) fn new(file: KnownFile, shared: Arc<Shared<conec_core::Client>>) -> Arc<Self> {
        let storing = Mutex::new(());
        Arc::new(Self {
            file,
            shared,
            storing,
        })
    }

    /// Stores what was learned and is not stored yet. Fails if the file gives the name of this one, who was met under it, to
    /// somebody else by now.
    pub(crate) async fn keep(self: &Arc<Self>, met: Option<PeerInfo>) -> Result<(), KeyChange> {
        if !self.learned().is_empty() {
            let this = Arc::clone(self);
            let stored = off_thread(move || this.store()).await;
            let failed = match stored {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error),
                Err(error) => Some(self.file.failed(error)),
            };
            if let Some(error) = failed {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what was learned of names is not stored");
            }
        }
        match met {
            Some(PeerInfo {
                name: Some(name),
                id,
                ..
            }) => self.see(name, id),
            Some(_) | None => Ok(()),
        }
    }

    fn store(&self) -> Result<(), KnownError> {
        let _turn = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, id) in self.learned() {
            let whose = self.file.add(&name, id)?;
            self.shared.with(|state| {
                // The application may have decided otherwise meanwhile.
                let known = state.endpoint_mut().known_mut();
                let Some(known) = known.filter(|known| known.get(&name) == Some(id)) else {
                    return;
                };
                match whose == id {
                    true => known.note(&name, id),
                    false => drop(known.insert(name, whose)),
                }
            });
        }
        Ok(())
    }

    /// Whether this is whom the name belongs to.
    fn see(&self, name: Name, found: ClientId) -> Result<(), KeyChange> {
        let known = self
            .shared
            .with(|state| state.endpoint().known()?.get(&name));
        match known {
            Some(known) if known != found => Err(KeyChange::new(name, known, found)),
            Some(_) | None => Ok(()),
        }
    }

    fn learned(&self) -> Vec<(Name, ClientId)> {
        self.shared.with(|state| {
            let known = state.endpoint().known().into_iter();
            let learned = known.flat_map(|known| known.learned());
            learned.map(|(name, id)| (name.clone(), id)).collect()
        })
    }
}
