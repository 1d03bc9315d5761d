//! Who is let in.

use bytes::Bytes;
use conec_tokio::{ChannelId, ClientId, Coordinator, Name, Rules, Secret};

use crate::{codes, failure::Failure};

/// Lets in who has the token.
#[derive(Debug)]
pub(super) struct Admission {
    token: Secret<Bytes>,
}

impl Admission {
    pub(super) fn new(token: Secret<Bytes>) -> Self {
        Self { token }
    }

    pub(super) fn token(&self) -> &Secret<Bytes> {
        &self.token
    }

    /// Whom the Coordinator lets in or keeps out by itself, and about whom it asks.
    pub(super) fn rules(&self, forbidden: &[ClientId]) -> Result<Rules, Failure> {
        let mut text = String::new();
        for id in forbidden {
            text.push_str(&format!("connect deny {id}\n"));
        }
        text.push_str(FOR_ALL);
        text.parse()
            .map_err(|error| Failure::usage(format!("the rules are damaged: {error}")))
    }

    /// Answers somebody who wants to be let in.
    pub(super) fn answer(
        &self,
        coordinator: &Coordinator,
        client: ChannelId,
        id: ClientId,
        name: Option<Name>,
        token: &Secret<Bytes>,
    ) {
        let answered = if *token == self.token {
            coordinator.admit(client, name)
        } else {
            tracing::warn!(%id, "turned away: its token is not right");
            coordinator.refuse(client, codes::TOKEN)
        };
        if answered.is_err() {
            tracing::debug!(%id, "it has given up meanwhile");
        }
    }
}

const FOR_ALL: &str = "\
connect ask any
reach allow any to any
join allow any
publish allow any
create allow any
";
