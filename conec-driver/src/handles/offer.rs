//! Channels that are offered.

use std::{fmt, sync::Arc};

use conec_core::{CloseReason, Code, Endpoint, PathPolicy, PeerInfo};

use crate::{Channel, known::Keeper, shared::Shared};

/// A channel that somebody wants with this Client.
///
/// With [`auto_accept`](conec_core::ClientConfig::auto_accept) offers come when their channels are open already, so that
/// [`accept`](Self::accept) is immediate, and rejecting is closing.
///
/// # Dropping
///
/// Dropping an offer rejects it. An offer that is left alone is rejected by itself after
/// [`answer_timeout`](conec_core::ClientLimits::answer_timeout).
#[must_use = "dropping an offer rejects it"]
pub struct Offer {
    pub(super) channel: Channel,
    pub(super) shared: Arc<Shared<conec_core::Client>>,
    pub(super) keeper: Option<Arc<Keeper>>,
}

impl Offer {
    /// Who wants it, be it still there or not. The channel opens only if the other end proves to be that Client.
    pub fn peer(&self) -> Option<PeerInfo> {
        self.channel.peer()
    }

    /// Accepts the channel, and waits until it is open.
    ///
    /// Fails if the other end has given up, does not prove its identity, or the offer has expired; and if its name is
    /// [known](conec_core::ClientConfig::known) with another key by now. Dropped before it is
    /// done, the channel is closed.
    pub async fn accept(self) -> Result<Channel, CloseReason> {
        self.answer(None).await
    }

    /// Accepts the channel as [`accept`](Self::accept) does, with a policy for what its packets may travel on instead of
    /// the Client's ([`PathConfig`](conec_core::PathConfig)). Where the channel was accepted automatically, it has the
    /// Client's already.
    pub async fn accept_with(self, policy: PathPolicy) -> Result<Channel, CloseReason> {
        self.answer(Some(policy)).await
    }

    /// Rejects the channel; the other end learns the code.
    pub fn reject(self, code: Code) {
        let id = self.channel.id();
        self.shared.command(|client, now| {
            // One that was accepted automatically is ended.
            if client.reject(now, id, code).is_err()
                && let Some(mut channel) = client.channel(id)
            {
                channel.abort(now, code);
            }
        });
    }

    async fn answer(self, policy: Option<PathPolicy>) -> Result<Channel, CloseReason> {
        let id = self.channel.id();
        self.shared.command(|client, now| {
            // An offer that needs no answer, or is too late for one, shows what has become of it.
            let _ = match policy {
                Some(policy) => client.accept_with(now, id, policy),
                None => client.accept(now, id),
            };
        });
        self.channel.opened().await?;
        if let Some(keeper) = &self.keeper {
            let kept = keeper.keep(self.channel.peer()).await;
            kept.map_err(|_| CloseReason::KeyChanged)?;
        }
        Ok(self.channel)
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Offer({:?})", self.channel.id())
    }
}
