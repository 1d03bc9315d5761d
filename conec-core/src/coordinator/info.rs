//! What an operator can see of Clients and channels.

use std::{collections::BTreeSet, net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{Coordinator, pairs::Side, registry::Member};
use crate::{Certified, ChannelId, ClientId, Name, PairId};

/// What a [`Coordinator`] knows of a Client that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its home channel.
    pub channel: ChannelId,
    /// When it was let in there, by the clock of [`Endpoint`](crate::Endpoint)'s calls. Who comes back on another home channel is let in anew.
    pub since: Instant,
    /// Who it is, proved by its key.
    pub id: ClientId,
    /// What it is called. The first is what others are told.
    pub names: Vec<Name>,
    /// By what [rules](crate::Rules) know it.
    pub tags: BTreeSet<Name>,
    /// What an authority says of it, if one of [those that are trusted](crate::CoordinatorConfig::authorities) does.
    pub certified: Option<Certified>,
    /// Where its packets come from: the last address that it has confirmed.
    pub address: SocketAddr,
    /// How many ends of channels between Clients it has, those being arranged included.
    pub channels: usize,
}

/// What a [`Coordinator`] knows of a channel between two Clients.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairInfo {
    /// The two ends.
    pub pair: PairId,
    /// Who began.
    pub from: ClientId,
    /// The other.
    pub to: ClientId,
    /// Who has asked for it, and among whose channels it counts: one of the two, or a third that has
    /// [introduced](crate::Client::introduce) them.
    pub asked_by: ClientId,
    /// What for.
    pub label: Bytes,
    /// Whether both have accepted it.
    pub started: bool,
    /// Whether both are connected, and have said that they still have it where one was away.
    pub complete: bool,
    /// Whether what each end sends, `from` first, travels directly: as its Client says, if it
    /// [does](crate::PathConfig::report).
    pub direct: [Option<bool>; 2],
    /// Datagrams that were taken to be forwarded, in both directions, since both Clients were here.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Coordinator {
    pub(super) fn client_info(&self, id: ClientId, member: &Member) -> ClientInfo {
        ClientInfo {
            channel: member.session,
            since: member.since,
            id,
            names: member.names().cloned().collect(),
            tags: member.tags().clone(),
            certified: member.certified().cloned(),
            address: member.place.address(),
            channels: self.pairs.count_of(id),
        }
    }

    pub(super) fn pair_info(&self, id: PairId) -> Option<PairInfo> {
        let pair = self.pairs.get(id)?;
        let [from, to] = Side::BOTH.map(|side| pair.end(side).id);
        let carried = Side::BOTH.map(|side| self.forwarder.carried(pair.end(side).route));
        Some(PairInfo {
            pair: id,
            from,
            to,
            asked_by: pair.payer(),
            label: pair.label.clone(),
            started: pair.is_started(),
            complete: !pair.is_incomplete(),
            direct: pair.ends.each_ref().map(|end| end.direct),
            packets: carried.iter().map(|it| it.packets).sum(),
            bytes: carried.iter().map(|it| it.bytes).sum(),
        })
    }
}
