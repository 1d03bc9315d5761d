//! Somebody whose machine connections are forwarded to, or come from.

use std::{sync::Arc, time::Duration};

use conec_tokio::{Client, Receiver, Sender};
use tokio::sync::Mutex;

use super::{
    egress,
    link::{Link, Side},
    protocol::{self, Ask, Refusal, SERVICE},
    spec::Tunnel,
};
use crate::{failure::Failure, session, target::Peer};

/// Somebody, and the one channel there: opened when it is needed, and opened again when it was lost.
pub(super) struct Target {
    client: Client,
    pub(super) peer: Peer,
    /// What is listened at there, by numbers.
    pub(super) remote: Vec<Tunnel>,
    idle: Duration,
    link: Mutex<Option<Arc<Link>>>,
}

impl Target {
    pub(super) fn new(client: Client, peer: Peer, remote: Vec<Tunnel>, idle: Duration) -> Self {
        Self {
            client,
            peer,
            remote,
            idle,
            link: Mutex::default(),
        }
    }

    /// The channel.
    pub(super) async fn link(self: &Arc<Self>) -> Result<Arc<Link>, Failure> {
        let mut known = self.link.lock().await;
        if let Some(link) = known.as_ref().filter(|it| !it.is_over()) {
            return Ok(Arc::clone(link));
        }
        let channel = session::open(&self.client, &self.peer, SERVICE).await?;
        let link = Link::new(channel, Side::Asker);
        let this = Arc::clone(self);
        let answer = move |link, ask, stream| Arc::clone(&this).answer(link, ask, stream);
        tokio::spawn(Arc::clone(&link).serve(answer));
        *known = Some(Arc::clone(&link));
        Ok(link)
    }

    /// The other end asks for what it was asked to, and for nothing else.
    async fn answer(
        self: Arc<Self>,
        link: Arc<Link>,
        ask: Ask,
        (sender, receiver): (Sender, Receiver),
    ) -> Result<(), Failure> {
        let (number, flow) = match ask {
            Ask::Come { number, flow, .. } => (number, flow),
            Ask::Connect { .. } | Ask::Listen { .. } => {
                return protocol::refuse(sender, Refusal::denied("to ask for anything")).await;
            }
        };
        match self.remote.get(number) {
            Some(tunnel) => {
                egress::lead(link, &tunnel.to, flow, (sender, receiver), self.idle).await
            }
            None => protocol::refuse(sender, Refusal::denied("that number")).await,
        }
    }
}
