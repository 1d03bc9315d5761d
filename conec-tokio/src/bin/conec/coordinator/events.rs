//! What a Coordinator tells, and what is done about it.

use conec_tokio::CoordinatorEvent;

use super::office::Office;
use crate::admin::server;

/// Does what an event asks for, and logs what operators want to know.
pub(super) fn take(office: &Office, event: CoordinatorEvent) {
    let coordinator = office.coordinator();
    match event {
        CoordinatorEvent::ClientAsks {
            client,
            id,
            name,
            token,
            ..
        } => office
            .admission()
            .answer(coordinator, client, id, name, &token),
        CoordinatorEvent::ClientConnected {
            client,
            id,
            name,
            address,
        } => {
            if let Some(home) = coordinator.channel(client) {
                tokio::spawn(server::serve(office.clone(), home, id));
            }
            let name = name.as_ref().map(tracing::field::display);
            tracing::info!(%id, name, %address, "a Client has come");
        }
        // The configuration lets no such rules ask. It may be over already.
        CoordinatorEvent::PairAsks { pair, .. }
        | CoordinatorEvent::IntroductionAsks { pair, .. } => {
            let _ = coordinator.deny(pair);
        }
        CoordinatorEvent::MemberAsks { request, .. } => {
            let _ = coordinator.deny_membership(request);
        }
        CoordinatorEvent::PairStarted { from, to, .. } => {
            tracing::debug!(%from, %to, "a channel has begun");
        }
        CoordinatorEvent::PairResumed { from, to, .. } => {
            tracing::debug!(%from, %to, "a channel goes on");
        }
        CoordinatorEvent::PairClosed { reason, .. } => {
            tracing::debug!(%reason, "a channel is over")
        }
        CoordinatorEvent::Channel { channel, event } => {
            tracing::debug!(?channel, ?event, "a Client has gone");
        }
        CoordinatorEvent::ClientJoined { .. } | CoordinatorEvent::GroupReadable { .. } | _ => {}
    }
}
