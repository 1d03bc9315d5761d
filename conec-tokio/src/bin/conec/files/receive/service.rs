//! Who may send, and what becomes of what they send.

use std::collections::BTreeMap;

use conec_tokio::{ClientId, Offer, PeerInfo, Target};
use tokio::{
    sync::{Mutex, mpsc},
    task::AbortHandle,
};

use super::{consent::Consent, intake::Intake};
use crate::{codes, failure::Failure, target::Peer};

/// Receives from all who may send.
pub(super) struct Receiving {
    intake: Intake,
    consent: Consent,
    from: Vec<Peer>,
    /// Those that go on. Who begins another one has given up the former one, be it that this was not noticed here yet.
    transfers: Mutex<BTreeMap<ClientId, Transfer>>,
    completed: mpsc::Sender<()>,
}

/// Whether a transfer goes on is seen from its half of a pipe.
struct Transfer {
    task: AbortHandle,
    goes_on: mpsc::Sender<()>,
}

impl Receiving {
    /// And where it is told what is complete.
    pub(super) fn new(
        intake: Intake,
        consent: Consent,
        from: Vec<Peer>,
    ) -> (Self, mpsc::Receiver<()>) {
        let (completed, told) = mpsc::channel(1);
        let this = Self {
            intake,
            consent,
            from,
            transfers: Mutex::default(),
            completed,
        };
        (this, told)
    }

    /// Takes what somebody wants to send.
    pub(super) async fn take(self: std::sync::Arc<Self>, offer: Offer) -> Result<(), Failure> {
        let Some(peer) = offer.peer() else {
            return Ok(());
        };
        if !self.may_send(&peer) {
            offer.reject(codes::DENIED);
            return Ok(());
        }
        let mut transfers = self.transfers.lock().await;
        if let Some(former) = transfers.remove(&peer.id) {
            former.task.abort();
            former.goes_on.closed().await;
        }
        transfers.retain(|_, it| !it.goes_on.is_closed());
        if transfers.len() >= MOST {
            offer.reject(codes::BUSY);
            return Ok(());
        }
        let (goes_on, until) = mpsc::channel(1);
        let this = std::sync::Arc::clone(&self);
        let task = tokio::spawn(async move {
            let _until = until;
            this.receive(offer).await
        });
        let transfer = Transfer {
            task: task.abort_handle(),
            goes_on,
        };
        transfers.insert(peer.id, transfer);
        drop(transfers);
        // Where it was aborted, the one that follows it says what becomes of it.
        task.await.unwrap_or(Ok(()))
    }

    async fn receive(&self, offer: Offer) -> Result<(), Failure> {
        let channel = offer.accept().await?;
        if self.intake.take(channel, &self.consent).await? {
            // There may be one that was not heard of yet.
            let _ = self.completed.try_send(());
        }
        Ok(())
    }

    fn may_send(&self, peer: &PeerInfo) -> bool {
        let is_it = |it: &Peer| match it.target() {
            Target::Id(id) => peer.id == id,
            Target::Name(name) => peer.name.as_ref() == Some(&name),
            _ => false,
        };
        self.from.is_empty() || self.from.iter().any(is_it)
    }
}

/// How many may send at once.
const MOST: usize = 16;
