//! One look at everything that a Coordinator knows.

use std::time::{Duration, Instant, SystemTime};

use conec_tokio::{Coordinator, EndpointStats};
use serde::Serialize;

use super::rows::{ChannelRow, ClientRow, GroupRow, Paths, per_second};
use crate::admin::protocol::Figures;

/// What there was at one time. Rates are of the time since the look before, and missing in the first one.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) time: SystemTime,
    pub(super) uptime: Duration,
    pub(super) stats: EndpointStats,
    pub(super) totals: Totals,
    /// In the order of their ids.
    pub(super) clients: Vec<ClientRow>,
    /// In the order in which they were asked for.
    pub(super) channels: Vec<ChannelRow>,
    pub(super) groups: Vec<GroupRow>,
}

/// Of all together.
#[derive(Serialize)]
pub(super) struct Totals {
    #[serde(flatten)]
    pub(super) figures: Figures,
    pub(super) paths: Paths,
    pub(super) groups: usize,
    pub(super) members: u64,
    pub(super) publishers: u64,
    /// Packets on home channels that were lost on their way to Clients.
    lost_per_second: Option<f64>,
    packets_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    drops_per_second: Option<f64>,
}

/// By which times are told: those of this process's clock in those of the world's, the same way in each look.
pub(super) struct Origin {
    here: Instant,
    world: SystemTime,
}

impl Origin {
    pub(super) fn now() -> Self {
        Self {
            here: Instant::now(),
            world: SystemTime::now(),
        }
    }

    pub(super) fn world_time(&self, at: Instant) -> SystemTime {
        let before = self.here.saturating_duration_since(at);
        let time = self.world + at.saturating_duration_since(self.here);
        time.checked_sub(before).unwrap_or(self.world)
    }
}

impl Look {
    pub(super) async fn take(
        coordinator: &Coordinator,
        origin: &Origin,
        before: Option<&Self>,
    ) -> Self {
        let at = Instant::now();
        // What was so long ago says nothing about now.
        let before = before.filter(|it| at - it.at < LONG_AGO);
        let since = before.map(|it| (at - it.at).as_secs_f64());
        let stats = coordinator.stats();
        let mut channels = channels(coordinator).await;
        let mut clients = clients(coordinator, origin).await;
        let mut groups = groups(coordinator).await;
        if let (Some(before), Some(seconds)) = (before, since) {
            ClientRow::compare(&mut clients, &before.clients, seconds);
            ChannelRow::compare(&mut channels, &before.channels, seconds);
            GroupRow::compare(&mut groups, &before.groups, seconds);
        }
        ChannelRow::charge(&mut channels, &mut clients);
        let rate = |count: fn(&EndpointStats) -> u64| {
            let (before, seconds) = (before?, since?);
            Some(per_second(count(&stats), count(&before.stats), seconds))
        };
        let totals = Totals {
            figures: Figures::new(clients.len(), channels.len(), &stats),
            paths: Paths::of(&channels),
            groups: groups.len(),
            members: groups.iter().map(|it| it.members).sum(),
            publishers: groups.iter().map(|it| it.publishers).sum(),
            lost_per_second: before.map(|_| lost_by(&clients)),
            packets_per_second: rate(|it| it.datagrams_forwarded),
            bytes_per_second: rate(|it| it.bytes_forwarded),
            drops_per_second: rate(|it| it.forwards_dropped),
        };
        Self {
            at,
            time: origin.world_time(at),
            uptime: at - origin.here,
            stats,
            totals,
            clients,
            channels,
            groups,
        }
    }
}

fn lost_by(clients: &[ClientRow]) -> f64 {
    let rates = clients.iter().filter_map(|it| it.lost_per_second);
    rates.fold(0.0, |sum, it| sum + it)
}

async fn clients(coordinator: &Coordinator, origin: &Origin) -> Vec<ClientRow> {
    let mut rows: Vec<ClientRow> = Vec::new();
    loop {
        let page = coordinator.list(rows.last().map(|it| it.id), PAGE);
        let is_last = page.len() < PAGE;
        rows.extend(page.iter().map(|it| {
            let since = origin.world_time(it.since);
            ClientRow::new(it, since, coordinator.client_stats(it.channel))
        }));
        if is_last {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

async fn channels(coordinator: &Coordinator) -> Vec<ChannelRow> {
    let mut rows: Vec<ChannelRow> = Vec::new();
    loop {
        let page = coordinator.pairs(rows.last().map(|it| it.pair), PAGE);
        let is_last = page.len() < PAGE;
        rows.extend(page.iter().map(ChannelRow::new));
        if is_last {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

async fn groups(coordinator: &Coordinator) -> Vec<GroupRow> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = coordinator.groups(after.as_ref(), PAGE);
        let is_last = page.len() < PAGE;
        after = page.last().cloned();
        let row = |name: conec_tokio::Name| {
            let state = coordinator.group_state(&name)?;
            Some(GroupRow::new(&name, &state))
        };
        rows.extend(page.into_iter().filter_map(row));
        if is_last {
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

/// The Coordinator does nothing else meanwhile.
const PAGE: usize = 128;
const LONG_AGO: Duration = Duration::from_secs(10);
