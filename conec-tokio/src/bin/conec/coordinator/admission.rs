//! Who is let in, and who is an operator.

use std::collections::BTreeSet;

use bytes::Bytes;
use conec_tokio::{ChannelId, ClientId, Coordinator, Name, Rules, Secret};

use super::{plan::Plan, state::State};
use crate::{codes, failure::Failure};

/// What can be changed while a Coordinator runs.
#[derive(Debug)]
pub(super) struct Admission {
    token: Secret<Bytes>,
    admins: BTreeSet<ClientId>,
    pub(super) rules: Rules,
}

impl Admission {
    pub(super) fn new(plan: &Plan, state: &State) -> Result<Self, Failure> {
        let mut rules = String::new();
        for id in state.forbidden()? {
            rules.push_str(&format!("connect deny {id}\n"));
        }
        rules.push_str(&plan.rules()?);
        let rules = rules.parse();
        Ok(Self {
            token: state.token()?,
            admins: plan.admins().iter().copied().collect(),
            rules: rules.map_err(|error| {
                Failure::usage(
                    format!("rules: {error}"),
                    "`conec coordinator --help` explains them",
                )
            })?,
        })
    }

    pub(super) fn token(&self) -> &Secret<Bytes> {
        &self.token
    }

    pub(super) fn is_admin(&self, id: ClientId) -> bool {
        self.admins.contains(&id)
    }

    /// Answers somebody about whom the rules ask: who has the token is let in.
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
