//! What a process does for others: services, by the labels of channels.

use std::{collections::BTreeMap, pin::Pin, process::ExitCode};

use conec_tokio::{Offer, PeerInfo};

use crate::{check::echo, codes, failure::Failure, output::say, reasons, session::Session};

/// The services of a process.
pub(crate) struct Services(BTreeMap<&'static str, Service>);

type Service = Box<dyn Fn(Offer) -> Work + Send>;
type Work = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

impl Services {
    /// One that everybody has, so that everybody can be pinged.
    pub(crate) fn new() -> Self {
        Self(BTreeMap::new()).with(echo::SERVICE, echo::answer)
    }

    /// Another one: who asks for it is given to `serve`, which accepts or rejects.
    pub(crate) fn with<W>(
        mut self,
        label: &'static str,
        serve: impl Fn(Offer) -> W + Send + 'static,
    ) -> Self
    where
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.0
            .insert(label, Box::new(move |offer| Box::pin(serve(offer))));
        self
    }

    /// Serves, each offer in a task of its own, until the Coordinator lets this Client go for good.
    pub(crate) async fn serve(&self, session: &Session) -> Result<ExitCode, Failure> {
        while let Some(offer) = session.client().accept().await {
            self.take(offer);
        }
        Err(reasons::ended(session.client().closed().await))
    }

    fn take(&self, offer: Offer) {
        let Some(peer) = offer.peer() else { return };
        let service = self
            .0
            .iter()
            .find(|(label, _)| label.as_bytes() == peer.label);
        match service {
            Some((label, service)) => drop(tokio::spawn(watch(label, peer, service(offer)))),
            None => offer.reject(codes::NOT_SERVED),
        }
    }
}

/// What somebody is called, for people.
pub(crate) fn called(peer: &PeerInfo) -> String {
    match &peer.name {
        Some(name) => format!("{name} ({})", peer.id.short()),
        None => peer.id.to_string(),
    }
}

async fn watch(label: &'static str, peer: PeerInfo, work: Work) {
    match work.await {
        Ok(()) => tracing::debug!(label, peer = %peer.id, "served"),
        // A ping that is given up is of no interest.
        Err(failure) if label == echo::SERVICE => {
            tracing::debug!(label, peer = %peer.id, %failure, "not served");
        }
        Err(failure) => say(format_args!("{}: {failure}", called(&peer))),
    }
}
