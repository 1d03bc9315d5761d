//! Clients, channels and groups, and how fast they are.

use std::{fmt, time::SystemTime};

use conec_tokio::{
    ChannelId, ChannelStats, ClientId, ClientInfo, GroupState, Name, PairId, PairInfo,
};
use serde::{Serialize, Serializer};

use crate::admin::protocol::{ChannelLine, ClientLine};

#[derive(Serialize)]
pub(super) struct ClientRow {
    #[serde(skip)]
    pub(super) id: ClientId,
    /// Another one is another connection, which has counted nothing yet.
    #[serde(skip)]
    home: ChannelId,
    #[serde(flatten)]
    pub(super) line: ClientLine,
    #[serde(serialize_with = "as_text")]
    since: SystemTime,
    paths: Paths,
    rtt_seconds: Option<f64>,
    /// Packets on the home channel that were lost on their way to the Client.
    lost: u64,
    pub(super) lost_per_second: Option<f64>,
    /// What passes on the home channel.
    #[serde(skip)]
    bytes: u64,
    /// What passes through the Coordinator from and to the Client.
    pub(super) bytes_per_second: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct ChannelRow {
    /// Tells one from another.
    #[serde(serialize_with = "as_written")]
    pub(super) pair: PairId,
    #[serde(skip)]
    ends: [ClientId; 2],
    #[serde(flatten)]
    pub(super) line: ChannelLine,
    /// What the two are called, where they have names.
    pub(super) names: [Option<String>; 2],
    pub(super) bytes_per_second: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct GroupRow {
    pub(super) name: String,
    pub(super) members: u64,
    pub(super) publishers: u64,
    messages: u64,
    bytes_kept: usize,
    #[serde(skip)]
    incarnation: u64,
    pub(super) messages_per_second: Option<f64>,
}

/// What channels travel on.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Paths {
    pub(super) direct: usize,
    pub(super) forwarded: usize,
    /// Those that were not accepted yet.
    pub(super) arranging: usize,
}

impl ClientRow {
    pub(super) fn new(info: &ClientInfo, since: SystemTime, home: Option<ChannelStats>) -> Self {
        let traffic = home.as_ref().map(|it| it.traffic);
        Self {
            id: info.id,
            home: info.channel,
            line: info.into(),
            since,
            paths: Paths::default(),
            rtt_seconds: home.as_ref().map(|it| it.rtt.as_secs_f64()),
            lost: home.as_ref().map_or(0, |it| it.packets_lost),
            lost_per_second: None,
            bytes: traffic.map_or(0, |it| it.bytes_sent + it.bytes_received),
            bytes_per_second: None,
        }
    }

    /// Both are in the order of ids.
    pub(super) fn compare(now: &mut [Self], before: &[Self], seconds: f64) {
        for row in now {
            let then = found(before, |it| it.id.cmp(&row.id)).filter(|it| it.home == row.home);
            let (bytes, lost) = then.map_or((0, 0), |it| (it.bytes, it.lost));
            row.bytes_per_second = Some(per_second(row.bytes, bytes, seconds));
            row.lost_per_second = Some(per_second(row.lost, lost, seconds));
        }
    }
}

impl ChannelRow {
    pub(super) fn new(info: &PairInfo) -> Self {
        Self {
            pair: info.pair,
            ends: [info.from, info.to],
            line: info.into(),
            names: [None, None],
            bytes_per_second: None,
        }
    }

    /// Both are in the order of numbers.
    pub(super) fn compare(now: &mut [Self], before: &[Self], seconds: f64) {
        for row in now {
            let then = found(before, |it| it.pair.cmp(&row.pair));
            let bytes = then.map_or(0, |it| it.line.bytes);
            row.bytes_per_second = Some(per_second(row.line.bytes, bytes, seconds));
        }
    }

    /// Lets channels have the names of Clients, and these count what they have of channels.
    pub(super) fn charge(channels: &mut [Self], clients: &mut [ClientRow]) {
        for channel in channels {
            for (at, id) in channel.ends.into_iter().enumerate() {
                let Ok(place) = clients.binary_search_by(|it| it.id.cmp(&id)) else {
                    continue;
                };
                let client = &mut clients[place];
                channel.names[at] = client.line.names.first().cloned();
                client.paths.add(channel);
                if let (Some(all), Some(one)) =
                    (&mut client.bytes_per_second, channel.bytes_per_second)
                {
                    *all += one;
                }
            }
        }
    }
}

impl GroupRow {
    pub(super) fn new(name: &Name, state: &GroupState) -> Self {
        Self {
            name: name.to_string(),
            members: state.members,
            publishers: state.publishers,
            messages: state.next,
            bytes_kept: state.kept.1,
            incarnation: state.incarnation,
            messages_per_second: None,
        }
    }

    /// Both are in the order of names.
    pub(super) fn compare(now: &mut [Self], before: &[Self], seconds: f64) {
        for row in now {
            let then = found(before, |it| it.name.cmp(&row.name));
            let then = then.filter(|it| it.incarnation == row.incarnation);
            let messages = then.map_or(0, |it| it.messages);
            row.messages_per_second = Some(per_second(row.messages, messages, seconds));
        }
    }
}

impl Paths {
    pub(super) fn of(channels: &[ChannelRow]) -> Self {
        let mut paths = Self::default();
        channels.iter().for_each(|it| paths.add(it));
        paths
    }

    fn add(&mut self, channel: &ChannelRow) {
        let line = &channel.line;
        let kind = match (line.started, line.direct) {
            (false, _) => &mut self.arranging,
            (true, Some(true)) => &mut self.direct,
            (true, Some(false) | None) => &mut self.forwarded,
        };
        *kind += 1;
    }
}

pub(super) fn per_second(now: u64, before: u64, seconds: f64) -> f64 {
    // Where it has begun anew, it is as if nothing had been.
    let rate = now.saturating_sub(before) as f64 / seconds;
    (rate * 10.0).round() / 10.0
}

fn found<T>(sorted: &[T], by: impl FnMut(&T) -> std::cmp::Ordering) -> Option<&T> {
    sorted.binary_search_by(by).ok().map(|at| &sorted[at])
}

fn as_written<S: Serializer>(what: &impl fmt::Debug, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{what:?}"))
}

pub(super) fn as_text<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_seconds(*time))
}
